"""Definitions with a secret of its own in each place where code and config can put one.

Each is in a field, tag or label whose name has `secret` in it, and says where it comes from.
"""

import enum
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import dagster as dg
from pydantic import Field as Attribute

#: Secrets by the place where each one is.
SECRETS: dict[str, str] = {}


def secret(place: str) -> str:
    """The text that is secret at a place, which other texts have to write in other ways."""
    return SECRETS.setdefault(place, f"s3cr3t {place} \"of\" & 'é'\n/.")


def short(place: str, text: str) -> str:
    SECRETS[place] = text
    return text


class Kind(enum.Enum):
    PLAIN = "plain"
    S3CR3T_KIND = "known to code alone"


SECRETS["value of an enumeration of a class"] = Kind.S3CR3T_KIND.name


class Nested(dg.Config):
    secret_inner: str = secret("nested config class")
    secret_count: int = 7_010_001


class Cat(dg.Config):
    kind: Literal["cat"] = "cat"
    secret_name: str = secret("variant of a union")


class Dog(dg.Config):
    kind: Literal["dog"] = "dog"


class Settings(dg.Config):
    secret_text: str = secret("config class")
    secret_optional: str | None = secret("optional of a config class")
    secret_list: list[str] = [secret("list of a config class")]
    secret_map: dict[str, str] = {"key": secret("dict of a config class")}
    secret_any: Any = {"deep": [{"er": secret("anything of a config class")}]}
    secret_kind: Kind = Kind.S3CR3T_KIND
    secret_rate: float = 7_010_002.5
    secret_attribute: str = Attribute(default=secret("attribute"), description="the attribute")
    nested: Nested = Nested()
    made: Nested = Nested(secret_inner=secret("nested config made in code"))
    several: list[Nested] = []
    by_name: dict[str, Nested] = {}
    pet: Cat | Dog = Attribute(Cat(), discriminator="kind")


class Permissive(dg.PermissiveConfig):
    declared: int = 1


SCHEMA = {
    "secret_text": dg.Field(str, secret("default of a field")),
    "secret_source": dg.Field(dg.StringSource, secret("default of a source")),
    "secret_number": dg.Field(int, 7_010_003),
    "secret_source_number": dg.Field(dg.IntSource, 7_010_004),
    "secret_flag": dg.Field(bool, True),
    "secret_none": dg.Field(dg.Noneable(str), secret("default of a noneable")),
    "secret_array": dg.Field([str], [secret("default of an array")]),
    "secret_map": dg.Field(dg.Map(str, str), {"name": secret("default of a map")}),
    "secret_enum": dg.Field(
        dg.Enum("Colour", [dg.EnumValue("plain"), dg.EnumValue("s3cr3t-colour")]), "s3cr3t-colour"
    ),
    "secret_choice": dg.Field(
        dg.Selector({"by_name": str, "by_key": {"key": str}}),
        {"by_key": {"key": secret("default of a selector")}},
    ),
    "secret_shape": dg.Field({"one": str}, {"one": secret("default of a shape")}),
    "shape": {"secret_two": dg.Field(str, secret("default within a shape"))},
    "permissive": dg.Field(
        dg.Permissive({"known": str}),
        {"known": "known", "secret_unknown": secret("what a permissive does not declare")},
    ),
    "rows": dg.Field(
        [{"secret_cell": dg.Field(str, secret("default within an array"))}], is_required=False
    ),
    "table": dg.Field(
        dg.Map(str, {"secret_value": dg.Field(str, secret("default within a map"))}),
        is_required=False,
    ),
    "secret_given": str,
    "env": dg.Field(dg.StringSource, {"env": "SECRETIVE_ENV"}),
    "given_env": dg.StringSource,
}
SECRETS["value of an enumeration"] = "s3cr3t-colour"


class Inner(dg.ConfigurableResource[Any]):
    secret_key: str = secret("default of a nested resource")


class Db(dg.ConfigurableResource[Any]):
    secret_default: str = secret("default of a resource")
    secret_password: str
    secret_env: str = "none"
    inner: Inner = Inner()


class Keeper(dg.ConfigurableIOManager):
    secret_path: str = secret("default of an I/O manager")
    kept: dict[str, Any] = {}

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        context.log.info(f"keeping at {self.secret_path}")
        context.add_output_metadata({"secret_kept": secret("metadata of an I/O manager")})

    def load_input(self, context: dg.InputContext) -> Any:
        context.log.info(f"loading from {self.secret_path}")
        return 1


class Old(dg.IOManager):
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        context.log.info(f"output with {context.config}")

    def load_input(self, context: dg.InputContext) -> Any:
        context.log.info(f"input with {context.config}")
        return None


@dg.io_manager(
    output_config_schema={"secret_out": dg.Field(str, secret("default of an output's config"))},
    input_config_schema={"secret_in": dg.Field(str, secret("default of an input's config"))},
)
def old() -> Old:
    return Old()


@dg.resource(config_schema={"secret_plain": dg.Field(str, secret("default of an old resource"))})
def plain(context: dg.InitResourceContext) -> Any:
    return context.resource_config


@dg.resource(config_schema={"secret_plain": str})
def to_configure(context: dg.InitResourceContext) -> Any:
    return context.resource_config


@dg.logger(config_schema={"secret_sink": dg.Field(str, secret("default of a logger"))})
def sink(context: dg.InitLoggerContext) -> Any:
    context.logger_config["secret_sink"]
    return logging.getLogger("secretive")


@dg.dagster_type_loader({"secret_loaded": dg.Field(str, secret("default of a type loader"))})
def load(context: Any, config: Mapping[str, Any]) -> str:
    return str(config["secret_loaded"])


Loaded = dg.DagsterType(
    lambda context, value: dg.TypeCheck(
        True, description="checked", metadata={"secret_checked": secret("metadata of a type check")}
    ),
    "Loaded",
    loader=load,
    metadata={"secret_type": secret("metadata of a type")},
)


@dg.failure_hook
def on_failure(context: dg.HookContext) -> None:
    context.log.error(f"hook: {context.op_config}")
    raise RuntimeError(f"the hook failed too, over {context.op_exception}")


@dg.op(
    config_schema=SCHEMA,
    ins={"loaded": dg.In(Loaded, metadata={"secret_in": secret("metadata of an input")})},
    out=dg.Out(metadata={"secret_out": secret("metadata of an output")}, io_manager_key="old"),
    tags={"secret_op": secret("tag of an op")},
)
def by_field(
    context: dg.OpExecutionContext, loaded: str, db: Db, plain: dg.ResourceParam[Any]
) -> dg.Output[int]:
    context.log.info(f"{context.op_config} {context.op_config!r} {loaded}")
    for text in (db.secret_default, db.secret_password, db.secret_env, str(plain)):
        context.log.info(f"a resource has {text}, also as {text!r}")
    key = dg.AssetKey("kept")
    context.log_event(
        dg.AssetMaterialization(
            key,
            description=f"with {db.secret_password}",
            metadata={
                "secret_text": secret("metadata of a materialization"),
                "secret_json": {"list": [secret("metadata that is JSON")]},
                "secret_url": dg.MetadataValue.url(secret("metadata that is a URL")),
                "secret_number": 7_010_005,
                "secret_table": dg.MetadataValue.table([dg.TableRecord({"cell": secret("table")})]),
                "config": json.dumps(dict(context.op_config)),
            },
            tags={"secret_tag": "s3cr3t-tag-of-a-materialization"},
        )
    )
    context.log_event(
        dg.AssetObservation(key, metadata={"secret_seen": secret("metadata of an observation")})
    )
    context.log_event(
        dg.ExpectationResult(
            True,
            label="fine",
            metadata={"secret_as_expected": secret("expectation")},
        )
    )
    return dg.Output(1, metadata={"secret_made": secret("metadata of what is put out")})


SECRETS["tag of a materialization"] = "s3cr3t-tag-of-a-materialization"


@dg.op(
    ins={"number": dg.In(input_manager_key="old")},
    out={"result": dg.Out(io_manager_key="keeper")},
    retry_policy=dg.RetryPolicy(max_retries=1),
)
def by_class(context: dg.OpExecutionContext, config: Settings, number: Any) -> Iterator[Any]:
    context.log.info(f"{config} {config.model_dump()}")
    if context.retry_number == 0:
        raise RuntimeError(f"cannot log in with {config.secret_text}: {config!r}")
    yield dg.Output(1)


@dg.op(config_schema={"secret_below": dg.Field(str, secret("default below a mapped graph"))})
def below(context: dg.OpExecutionContext, number: int) -> int:
    # What a mapping gives is known to code alone.
    if context.op_handle.name == "below_again":
        context.log.info(str(context.op_config))
    return number


@dg.config_mapping(config_schema={"secret_above": dg.Field(str, secret("default of a mapping"))})
def mapping(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"below": {"config": {"secret_below": secret("given by a mapping")}}}


@dg.graph(config=mapping)
def mapped(number: int) -> int:
    return below(number)


@dg.graph
def deeper(number: int) -> int:
    return below.alias("below_again")(number)


@dg.op
def fails(context: dg.OpExecutionContext, number: int, config: Permissive) -> None:
    try:
        raise KeyError(str(config))
    except KeyError as error:
        raise dg.Failure(
            description=f"failed with {config}",
            metadata={"secret_failed": secret("metadata of a failure")},
        ) from error


@dg.graph(tags={"secret_graph": secret("tag of a graph")})
def everything_secret() -> None:
    number = by_class(by_field())
    fails.with_hooks({on_failure}).tag({"secret_node": secret("tag of a node")})(
        deeper(mapped(number))
    )


PRESET = {
    "ops": {
        "by_field": {
            "config": {
                "secret_given": secret("config of a job"),
                "given_env": {"env": "SECRETIVE_ENV"},
            },
            "inputs": {"loaded": {}},
        },
        "fails": {"config": {"secret_extra": secret("config of a job for an op")}},
    },
    "resources": {"db": {"config": {"secret_password": secret("config of a job for a resource")}}},
}

secretive = everything_secret.to_job(
    "secretive",
    config=PRESET,
    resource_defs={
        "db": Db(
            secret_password=secret("argument of a resource"),
            secret_env=dg.EnvVar("SECRETIVE_ENV"),
            inner=Inner(secret_key=secret("argument of a nested resource")),
        ),
        "keeper": Keeper(),
        "old": old,
        "plain": plain,
        "configured": to_configure.configured({"secret_plain": secret("configured")}),
    },
    logger_defs={"sink": sink},
    executor_def=dg.in_process_executor,
    tags={"secret_job": secret("tag of a job"), "secret_short": short("short tag", "s3t")},
    run_tags={"secret_run": secret("run tag of a job"), "secret_json": '["s3cr3t-in-a-json-tag"]'},
    metadata={"secret_job": secret("metadata of a job")},
)


class AssetConfig(dg.Config):
    secret_text: str = secret("config of an asset")


@dg.asset(
    tags={"secret_asset": "s3cr3t-tag-of-an-asset"},
    op_tags={"secret_op_of_asset": secret("op tag of an asset")},
)
def kept_secret(
    context: dg.AssetExecutionContext, config: AssetConfig
) -> dg.MaterializeResult[Any]:
    context.log.info(f"{config.secret_text}")
    return dg.MaterializeResult(metadata={"secret_result": secret("metadata of a result")})


@dg.asset_check(asset=kept_secret, metadata={"secret_check": "of its definition"})
def check_secret() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False,
        description=secret("metadata of a check"),
        metadata={"secret_checked": secret("metadata of a check")},
    )


assets_job = dg.define_asset_job(
    "assets_job",
    config=dg.RunConfig(ops={"kept_secret": AssetConfig(secret_text=secret("run config of it"))}),
    tags={"secret_job": secret("tag of an asset job")},
    executor_def=dg.in_process_executor,
)

defs = dg.Definitions(
    assets=[kept_secret], asset_checks=[check_secret], jobs=[secretive, assets_job]
)
