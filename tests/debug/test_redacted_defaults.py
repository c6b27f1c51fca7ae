"""Defaults in the snapshot of a job are redacted by the paths of run config at which they stand."""

import json
import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import dagster as dg
import pytest
from dagster._config.snap import ConfigTypeSnap
from dagster._core.snap import JobSnap
from dagster._serdes import deserialize_value, serialize_value
from hypothesis import example, given
from hypothesis import strategies as st

from dagster_lmdb.debug.defaults import REPLACED, with_new_keys
from dagster_lmdb.debug.globs import ANYTHING, NUMBER, Globs
from dagster_lmdb.debug.redact import OWN_DEFAULTS, Redaction

TOKEN = {"token": dg.Field(str, "the-token"), "plain": dg.Field(str, "the-plain")}


def op(name: str, schema: Any) -> dg.OpDefinition:
    @dg.op(name=name, config_schema=schema)
    def made() -> None: ...

    return made


def job(*ops: dg.OpDefinition, **options: Any) -> dg.JobDefinition:
    @dg.graph
    def a_job() -> None:
        for each in ops:
            each()

    return a_job.to_job(**options)


def snapshot(definition: dg.JobDefinition) -> dict[str, Any]:
    return json.loads(serialize_value(JobSnap.from_job_def(definition)))


def redacted(packed: Mapping[str, Any], *config: str) -> JobSnap:
    redaction = Redaction(config=config)
    redaction.look(packed)
    made = with_new_keys(packed, redaction.apply(packed))
    return deserialize_value(json.dumps(made), JobSnap)


def defaults(made: JobSnap) -> dict[str, Any]:
    """All defaults by their paths, as Dagster finds them; anything of an array or a map is `*`."""
    schema = made.config_schema_snapshot
    found: dict[str, Any] = {}

    def visit(each: ConfigTypeSnap, path: str) -> None:
        for field in each.fields or ():
            below = f"{path}.{field.name}" if path else str(field.name)
            if field.default_provided:
                found[below] = json.loads(str(field.default_value_as_json_str))
            visit(schema.get_config_snap(field.type_key), below)
        for key in each.type_param_keys or ():
            inside = each.kind.name in ("ARRAY", "MAP")
            visit(schema.get_config_snap(key), f"{path}.*" if inside else path)

    visit(schema.get_config_snap(str(made.mode_def_snaps[0].root_config_key)), "")
    return found


def test_a_default_is_redacted_at_its_path_alone() -> None:
    packed = snapshot(job(op("one", TOKEN), op("two", {**TOKEN, "token": dg.Field(str, "other")})))
    after = defaults(redacted(packed, "ops.one.config.token"))
    assert after["ops.one.config.token"] == REPLACED
    assert after["ops.two.config.token"] == "other"
    assert after["ops.one.config.plain"] == after["ops.two.config.plain"] == "the-plain"


def test_a_default_is_redacted_in_those_of_what_it_is_in() -> None:
    packed = snapshot(job(op("one", TOKEN)))
    assert defaults(deserialize_value(json.dumps(packed), JobSnap))["ops"]["one"]["config"] == {
        "token": "the-token",
        "plain": "the-plain",
    }
    made = redacted(packed, "*.token")
    after = defaults(made)
    hidden = {"token": REPLACED, "plain": "the-plain"}
    assert after["ops"] == {"one": {"config": hidden}}
    assert after["ops.one"] == {"config": hidden}
    assert after["ops.one.config"] == hidden
    [definition] = made.node_defs_snapshot.op_def_snaps
    assert json.loads(definition.config_field_snap.default_value_as_json_str) == hidden


def test_a_pattern_takes_all_defaults_below_it() -> None:
    packed = snapshot(job(op("one", TOKEN), op("two", {"plain": dg.Field(str, "another")})))
    after = defaults(redacted(packed, "ops.one"))
    assert after["ops.one.config.plain"] == after["ops.one.config.token"] == REPLACED
    assert after["ops"]["two"] == {"config": {"plain": "another"}}


def test_a_type_at_several_paths_is_redacted_if_one_of_them_matches() -> None:
    after = defaults(redacted(snapshot(job(op("one", TOKEN), op("two", TOKEN))), "ops.two.*.token"))
    assert after["ops.one.config.token"] == after["ops.two.config.token"] == REPLACED


def test_a_pattern_may_name_what_only_a_run_names() -> None:
    """Elements of arrays and keys of maps are in no schema."""
    inner = {"cell": dg.Field(str, "the-cell"), "other": dg.Field(str, "the-other")}
    schema = {"rows": [inner], "table": dg.Map(str, {"cell": dg.Field(str, "in-a-map")})}
    packed = snapshot(job(op("one", schema)))
    after = defaults(redacted(packed, "ops.one.config.rows[[]17].cell"))
    assert after["ops.one.config.rows.*.cell"] == REPLACED
    assert after["ops.one.config.rows.*.other"] == "the-other"
    assert after["ops.one.config.table.*.cell"] == "in-a-map"
    after = defaults(redacted(packed, "ops.one.config.table.prod.cell"))
    assert after["ops.one.config.table.*.cell"] == REPLACED
    assert after["ops.one.config.rows.*.cell"] == "the-cell"
    # No number has such a name, while a key of a map may have it.
    after = defaults(redacted(packed, "*password*"))
    assert after["ops.one.config.rows.*.cell"] == "the-cell"
    assert after["ops.one.config.table.*.cell"] == REPLACED


def test_config_of_an_op_below_a_graph_that_maps_its_own_has_the_path_of_the_op() -> None:
    inner = op("inner", TOKEN)

    @dg.config_mapping(config_schema={"above": dg.Field(str, "the-above")})
    def mapping(config: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    @dg.graph(config=mapping)
    def mapped() -> None:
        inner.alias("again")()

    @dg.graph
    def outer() -> None:
        mapped()

    made = redacted(snapshot(job(outer)), "ops.outer.ops.mapped.ops.again.config.token")  # type: ignore[arg-type]
    [definition] = made.node_defs_snapshot.op_def_snaps
    assert json.loads(definition.config_field_snap.default_value_as_json_str) == {
        "plain": "the-plain",
        "token": REPLACED,
    }
    assert "the-token" not in serialize_value(made)


def test_config_of_resources_that_code_makes_is_redacted() -> None:
    class Db(dg.ConfigurableResource[Any]):
        password: str
        host: str = "the-host"

    @dg.op
    def uses(db: Db) -> None: ...

    packed = snapshot(job(uses, resource_defs={"db": Db(password="the-password")}))
    assert "the-password" in json.dumps(packed)
    made = redacted(packed, "resources.*.password")
    after = defaults(made)
    assert after["resources.db.config"] == {"password": REPLACED}
    assert after["resources.db.config.host"] == "the-host"
    assert "the-password" not in serialize_value(made)


def test_config_of_the_job_itself_is_redacted() -> None:
    preset = {"ops": {"one": {"config": {"token": "of-the-job"}}}}
    packed = snapshot(job(op("one", {**TOKEN, "asked": dg.Field(str, "any")}), config=preset))
    assert "of-the-job" in json.dumps(packed)
    made = redacted(packed, "*TOKEN*")
    assert defaults(made)["ops"]["one"]["config"]["token"] == REPLACED
    assert "of-the-job" not in serialize_value(made)


@pytest.mark.parametrize(
    ("field", "stands"),
    [
        (dg.Field(str, "text"), REPLACED),
        (dg.Field(int, 123456), 0),
        (dg.Field(float, 12.5), 0.0),
        (dg.Field(bool, True), False),
        (dg.Field(dg.Any, ["text"]), REPLACED),
        (dg.Field(dg.StringSource, "text"), REPLACED),
        (dg.Field(dg.IntSource, 123456), {"env": REPLACED}),
        (dg.Field(dg.StringSource, {"env": "VARIABLE"}), REPLACED),
        (dg.Field(dg.Noneable(str), "text"), REPLACED),
        (dg.Field([str], ["text"]), []),
        (dg.Field(dg.Map(str, int), {"text": 1}), {}),
        (dg.Field(dg.Enum("E", [dg.EnumValue("first"), dg.EnumValue("other")]), "other"), "first"),
        (dg.Field({"a": str, "b": dg.Field(int, 123456)}, {"a": "text"}), {"a": REPLACED}),
        (dg.Field(dg.Permissive({"a": int}), {"a": 1, "key": "text"}), {"a": 0}),
        (dg.Field(dg.Permissive(), {"key": "text"}), {}),
        (dg.Field(dg.Selector({"a": str, "b": int}), {"b": 123456}), {"a": REPLACED}),
        (dg.Field(dg.ScalarUnion(int, {"a": int}), 123456), {"a": 0}),
    ],
)
def test_what_stands_instead_is_the_same_whatever_it_was_and_valid(
    field: dg.Field, stands: Any
) -> None:
    packed = snapshot(job(op("one", {"hidden": field})))
    after = defaults(redacted(packed, "*.hidden"))
    assert after["ops.one.config.hidden"] == stands
    # As Dagster checks a default.
    dg.Field(field.config_type, default_value=stands)
    assert "123456" not in json.dumps(after)


def test_a_default_in_which_a_value_stands_stays_a_json_document() -> None:
    schema = {
        "pin": dg.Field(int, 43210),
        "same": dg.Field(int, 43210),
        "text": dg.Field(str, 'a pin of 43210 "or so"'),
    }
    after = defaults(redacted(snapshot(job(op("one", schema))), "*.pin"))
    assert after["ops.one.config"] == {
        "pin": 0,
        "same": 43210,
        "text": f'a pin of {REPLACED} "or so"',
    }


def test_keys_of_types_do_not_tell_defaults_by_their_hashes() -> None:
    schema = {"pin": dg.Field(int, 4321), "plain": dg.Field(str, "the-plain")}
    guessed = dg.Shape(schema).key
    packed = snapshot(job(op("one", schema), op("two", {"plain": dg.Field(str, "another")})))
    assert guessed in json.dumps(packed)
    made = redacted(packed, "*.pin")
    before = set(packed["config_schema_snapshot"]["all_config_snaps_by_key"])
    after = set(made.config_schema_snapshot.all_config_keys)
    hashes = {key: re.search("[0-9a-f]{40}", key) for key in before - after}
    assert guessed in hashes
    text = serialize_value(made)
    assert not [found for found in hashes.values() if found is None or found[0] in text]
    # Others keep theirs.
    assert dg.Shape({"plain": dg.Field(str, "another")}).key in after
    assert len(after) == len(before)


def test_defaults_of_dagster_itself_are_replaced_by_name_alone() -> None:
    packed = snapshot(job())
    found: set[str] = set()

    def visit(value: Any) -> None:
        for each in value.values() if isinstance(value, dict) else [value]:
            if isinstance(each, dict):
                visit(each)
            elif isinstance(each, str):
                found.add(each)

    visit(defaults(deserialize_value(json.dumps(packed), JobSnap)))
    assert found == OWN_DEFAULTS
    packed["description"] = "dagster INFO"
    made = redacted(packed, "loggers.*")
    assert made.description == "dagster INFO"
    assert defaults(made)["loggers.console.config.name"] == REPLACED


# Patterns and paths with parts that are not known

PIECES = st.lists(st.sampled_from(["a", "1", ".", "*", "?", "[a1]", "[!a]", "[", "]"]), max_size=4)


@given(
    glob=PIECES.map("".join),
    before=st.text("a1.", max_size=3),
    after=st.text("a1.", max_size=3),
    unknown=st.sampled_from([(ANYTHING, "a1.![]"), (NUMBER, "0123")]),
)
@example("[!]", "", "", (ANYTHING, "a1.![]"))
@example("*a[]a]", "1", "a", (ANYTHING, "a1.![]"))
@example("a?*1", "a", "1", (NUMBER, "0123"))
def test_a_path_with_an_unknown_part_matches_if_one_in_its_place_does(
    glob: str, before: str, after: str, unknown: tuple[str, str]
) -> None:
    part, characters = unknown
    globs = Globs([glob])
    lengths = range(part == NUMBER, 5)
    texts = ("".join(each) for length in lengths for each in product(characters, repeat=length))
    can = any(globs(f"{before}{text}{after}") for text in texts)
    assert globs(f"{before}{part}{after}") == can


def test_what_is_no_name_matches_nothing() -> None:
    assert not Globs(["*"])(None)
    assert not Globs([])("a")
