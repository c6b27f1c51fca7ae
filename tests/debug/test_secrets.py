"""Wherever config, tags and metadata can be given, what is redacted is nowhere in a capsule."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._config.snap import get_recursive_type_keys
from dagster._core.code_pointer import FileCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.definitions.run_request import RunRequest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.snap.job_snapshot import construct_config_type_from_snap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap
from dagster._core.test_utils import instance_for_test

from debug import secretive
from debug.capsules import TICK
from debug.history import call
from debug.leaks import decompressed, traces
from debug.secretive import SECRETS, secret
from python.entries import run, whole_block

OF_THE_ENVIRONMENT = "s3cr3t-of-the-environment"

#: What no record has, since code alone knows it and writes it nowhere.
OF_CODE_ALONE = {
    "configured",
    "given by a mapping",
    "default of a nested resource",
    "argument of a nested resource",
}

NUMBERS = re.compile(rb"(?<!\d)701000\d")

OPTIONS = ["--redact-tags", "secret*", "--redact-config", "*secret*", "--redact-config", "*env*"]
OPTIONS += ["--redact-metadata", "*SECRET*"]
ALL = ["--redact-tags", "secret*", "--redact-config", "*", "--redact-metadata", "*"]


CONFIG = {
    "ops": {
        "by_field": {
            "config": {
                "secret_given": secret("run config"),
                "given_env": {"env": "SECRETIVE_ENV"},
                "rows": [{}],
                "table": {"a": {}},
            },
            "inputs": {"loaded": {}},
        }
    }
}


def execute(instance: DagsterInstance, job: str, run_config: Any = None, **tags: str) -> str:
    # By its name, so that it is the module whose secrets are known here.
    repository = ReconstructableRepository.for_module(secretive.__name__, "defs")
    tags["secret_tag"] = secret("tag of a run")
    definition = repository.get_reconstructable_job(job)
    with dg.execute_job(definition, instance, run_config=run_config, tags=tags) as result:
        return result.run_id


class Made(NamedTuple):
    directory: Path
    run_ids: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    home = tmp_path_factory.mktemp("secretive")
    with (
        pytest.MonkeyPatch.context() as patched,
        instance_for_test(whole_block(home), temp_dir=str(home)) as instance,
    ):
        patched.setenv("SECRETIVE_ENV", OF_THE_ENVIRONMENT)
        tick, backfill = caused(instance)
        run_ids = [
            execute(instance, "secretive", **{"dagster/tick": tick}),
            execute(instance, "secretive", CONFIG),
            execute(instance, "assets_job", **{"dagster/backfill": backfill}),
            launched(instance),
        ]
        yield Made(home / "history", run_ids)


def caused(instance: DagsterInstance) -> tuple[str, str]:
    """A tick and a backfill with secrets."""
    tick = instance.create_tick(
        TICK._replace(
            cursor=secret("config that a run request has"),
            run_requests=[
                RunRequest(
                    run_config={
                        "ops": {"by_field": {"config": {"secret_given": secret("run request")}}},
                        "resources": {"secret_db": {"config": [secret("run request's resource")]}},
                    },
                    tags={"secret_request": secret("tag that a run request has")},
                ),
                RunRequest(run_config={"secret": {"any": secret("config that a run request has")}}),
            ],
        )
    )
    instance.add_backfill(
        PartitionBackfill(
            "a_backfill",
            BulkActionStatus.COMPLETED_SUCCESS,
            from_failure=False,
            tags={"secret_backfill": secret("tag of a backfill")},
            backfill_timestamp=1000.0,
            description=secret("config of a backfill"),
            run_config={"resources": {"db": {"secret_config": secret("config of a backfill")}}},
            asset_selection=[dg.AssetKey("leaked")],
        )
    )
    return str(tick.tick_id), "a_backfill"


def launched(instance: DagsterInstance) -> str:
    """A run whose deployment configures how it is launched."""
    context = {
        "docker": {"env_vars": [f"PASSWORD={secret('container context')}"], "networks": ["one"]},
        "k8s": {"secret_config": {"labels": {"a": secret("config of a container")}}},
    }
    origin = RepositoryPythonOrigin(
        executable_path="/usr/bin/python",
        code_pointer=FileCodePointer("defs.py", "defs", None),
        container_context=context,
    )
    made = run(DagsterRunStatus.SUCCESS, job_code_origin=JobPythonOrigin("a_job", origin))
    instance.add_run(made)
    instance.report_engine_event(f"PASSWORD={secret('container context')}", made)
    return made.run_id


def extracted(made: Made, path: Path, options: list[str]) -> Path:
    result = call("extract", made.directory, *made.run_ids, "-o", path, *options)
    assert result.exit_code == 0, result.output
    return path


def test_every_secret_is_there_to_be_found(made: Made, tmp_path: Path) -> None:
    path = extracted(made, tmp_path / "open", [])
    secrets = {**SECRETS, "environment": OF_THE_ENVIRONMENT}
    found = traces(path, secrets.values())
    assert {place for place, text in secrets.items() if text not in found} == OF_CODE_ALONE
    assert set(NUMBERS.findall(decompressed(path))) == {b"701000%d" % n for n in range(1, 6)}


def test_no_secret_is_left(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETIVE_ENV", OF_THE_ENVIRONMENT)
    path = extracted(made, tmp_path / "redacted", OPTIONS)
    secrets = {**SECRETS, "environment": OF_THE_ENVIRONMENT}
    found = traces(path, secrets.values())
    assert {place for place, text in secrets.items() if text in found} == set()
    assert NUMBERS.findall(decompressed(path)) == []
    assert b"s3cr3t" not in decompressed(path)


@pytest.mark.parametrize("options", [OPTIONS, ALL], ids=["named", "all"])
def test_dagster_makes_the_types_of_config_from_what_is_left(
    made: Made, tmp_path: Path, options: list[str]
) -> None:
    path = extracted(made, tmp_path / "redacted", options)
    home = tmp_path / "elsewhere"
    home.mkdir()
    result = call("absorb", path, home / "history")
    assert result.exit_code == 0, result.output
    with instance_for_test(whole_block(home), temp_dir=str(home)) as instance:
        for run_id in made.run_ids[:3]:
            snapshot_id = instance.get_run_by_id(run_id).job_snapshot_id
            snapshot = instance.get_job_snapshot(snapshot_id)
            assert snapshot.snapshot_id == snapshot_id
            schema = snapshot.config_schema_snapshot
            root = schema.get_config_snap(snapshot.mode_def_snaps[0].root_config_key)
            assert {key: each.key for key, each in schema.all_config_snaps_by_key.items()} == {
                key: key for key in schema.all_config_keys
            }
            made_type = construct_config_type_from_snap(root, schema.all_config_snaps_by_key)
            assert {"ops", "resources"} <= made_type.fields.keys()
            assert get_recursive_type_keys(root, schema) <= set(schema.all_config_keys)
            assert yaml.safe_load(default_values_yaml_from_type_snap(schema, root)) is not None
            for node in snapshot.node_defs_snapshot.op_def_snaps:
                snapshot.get_config_type_from_node_def_snap(node)
