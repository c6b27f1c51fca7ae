"""What is redacted is nowhere in a capsule, and the capsule is whole all the same."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import RunRequest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import instance_for_test

from dagster_lmdb.debug.capsule import read_capsule
from dagster_lmdb.debug.defaults import REPLACED
from dagster_lmdb.debug.redact import Redaction
from debug.capsules import TICK
from debug.history import call, refused
from debug.leaks import decompressed, traces
from python.entries import whole_block

SECRET_TAG = "s3cr3t-of-a-tag"
SECRET_CONFIG = 's3cr3t "of\n config\\ é'
SECRET_METADATA = "s3cr3t-of-metadata"
SECRETS = (SECRET_TAG, SECRET_CONFIG, SECRET_METADATA)


@dg.op(config_schema={"token": str, "pin": int, "plain": str})
def leaks(context: dg.OpExecutionContext) -> None:
    token = context.op_config["token"]
    context.log.info(f"the token is {token}")
    context.log.info(f"config: {context.op_config!r}")
    context.log.info(json.dumps(dict(context.op_config)))
    context.log_event(
        dg.AssetMaterialization(
            "leaked",
            description=f"made with {SECRET_METADATA}",
            metadata={
                "password": SECRET_METADATA,
                "nested": dg.MetadataValue.json({"inner": [SECRET_METADATA]}),
                "pin": 1234,
                "url": dg.MetadataValue.url(f"https://x/?key={SECRET_METADATA}"),
                "rows": 17,
            },
            tags={"customer": SECRET_TAG, "fine": "visible"},
        )
    )
    raise ValueError(f"could not log in with {token} for {SECRET_TAG}")


@dg.job(tags={"customer": SECRET_TAG, "kept": "as it is"}, executor_def=dg.in_process_executor)
def leaking_job() -> None:
    leaks()


CONFIG = {"ops": {"leaks": {"config": {"token": SECRET_CONFIG, "pin": 4321, "plain": "visible"}}}}
OPTIONS = [
    "--redact-tags",
    "CUSTOMER*",
    "--redact-config",
    "ops.*.config.token",
    "--redact-config",
    "*.pin",
    "--redact-metadata",
    "password",
    "--redact-metadata",
    "pin",
]


@pytest.fixture
def leaked(instance: DagsterInstance) -> str:
    """A run whose secrets stand in everything that Dagster keeps about it."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    tick = instance.create_tick(
        TICK._replace(
            cursor=f"after {SECRET_TAG}",
            run_requests=[RunRequest(run_config=CONFIG, tags={"customer": SECRET_TAG})],
        )
    )
    instance.add_backfill(
        PartitionBackfill(
            "a_backfill",
            BulkActionStatus.COMPLETED_SUCCESS,
            from_failure=False,
            tags={"customer": SECRET_TAG},
            backfill_timestamp=1000.0,
            title=f"for {SECRET_TAG}",
            run_config=CONFIG,
            asset_selection=[dg.AssetKey("leaked")],
        )
    )
    result = leaking_job.execute_in_process(
        instance=instance,
        run_config=CONFIG,
        tags={"dagster/tick": str(tick.tick_id), "dagster/backfill": "a_backfill"},
        raise_on_error=False,
    )
    return result.run_id


def extracted(directory: Path, path: Path, run_id: str, options: list[str]) -> Path:
    result = call("extract", directory, run_id, "-o", path, *options)
    assert result.exit_code == 0, result.output
    return path


def test_a_secret_leaves_no_trace(instance: DagsterInstance, leaked: str, tmp_path: Path) -> None:
    directory = tmp_path / "history"
    open_path = extracted(directory, tmp_path / "open", leaked, [])
    assert traces(open_path, SECRETS) == set(SECRETS)
    path = extracted(directory, tmp_path / "run.capsule", leaked, OPTIONS)
    assert traces(path, SECRETS) == set()
    content = decompressed(path)
    assert re.search(rb"(?<![\w.-])(4321|1234)(?![\w-])", content) is None
    for kept in (b"visible", b"as it is", b"could not log in with REDACTED for REDACTED"):
        assert kept in content


def test_what_is_not_redacted_is_as_it_was(
    instance: DagsterInstance, leaked: str, tmp_path: Path
) -> None:
    path = extracted(tmp_path / "history", tmp_path / "run.capsule", leaked, OPTIONS)
    before = read_capsule(extracted(tmp_path / "history", tmp_path / "open", leaked, []))
    after = read_capsule(path)
    run = after.runs[0].run
    assert run.tags["customer"] == REPLACED
    assert run.tags["kept"] == "as it is"
    assert run.run_config["ops"]["leaks"]["config"] == {
        "token": REPLACED,
        "pin": REPLACED,
        "plain": "visible",
    }
    assert len(after.runs[0].events) == len(before.runs[0].events)
    for one, other in zip(before.runs[0].events, after.runs[0].events, strict=True):
        assert (one.timestamp, one.step_key, one.dagster_event_type) == (
            other.timestamp,
            other.step_key,
            other.dagster_event_type,
        )
    [made] = [
        each.asset_materialization for each in after.runs[0].events if each.asset_materialization
    ]
    assert made.metadata["password"] == dg.MetadataValue.text(REPLACED)
    assert made.metadata["pin"] == dg.MetadataValue.text(REPLACED)
    assert made.metadata["rows"] == dg.MetadataValue.int(17)
    assert made.metadata["nested"] == dg.MetadataValue.json({"inner": [REPLACED]})
    assert made.metadata["url"].value == f"https://x/?key={REPLACED}"
    assert made.tags == {"customer": REPLACED, "fine": "visible"}
    [tick] = after.ticks.values()
    assert tick.cursor == f"after {REPLACED}"
    [backfill] = after.backfills
    assert backfill.title == f"for {REPLACED}"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_snapshots_that_change_have_the_ids_of_their_content(
    instance: DagsterInstance, leaked: str, tmp_path: Path
) -> None:
    """The job's own tags stand in its snapshot, whose id is its hash."""
    path = extracted(tmp_path / "history", tmp_path / "run.capsule", leaked, OPTIONS)
    before = instance.get_run_by_id(leaked)
    home = tmp_path / "elsewhere"
    home.mkdir()
    assert call("absorb", path, home / "history").exit_code == 0
    assert "Added 0 runs" in call("absorb", path, home / "history").stdout
    with instance_for_test(whole_block(home), temp_dir=str(home)) as other:
        run = other.get_run_by_id(leaked)
        assert run.job_snapshot_id != before.job_snapshot_id
        snapshot = other.get_job_snapshot(run.job_snapshot_id)
        assert snapshot.snapshot_id == run.job_snapshot_id
        assert snapshot.tags["customer"] == REPLACED
        plan = other.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        assert plan.job_snapshot_id == run.job_snapshot_id


def test_without_a_pattern_nothing_is_replaced(
    instance: DagsterInstance, leaked: str, tmp_path: Path
) -> None:
    path = extracted(
        tmp_path / "history", tmp_path / "run.capsule", leaked, ["--redact-tags", "none"]
    )
    assert REPLACED.encode() not in decompressed(path)
    assert list(read_capsule(path).runs[0].events) == instance.all_logs(leaked)


def test_a_value_that_dagster_needs_is_refused(instance: DagsterInstance, tmp_path: Path) -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def harmless() -> None:
        nothing()

    run_id = harmless.execute_in_process(instance=instance, tags={"word": "STEP_START"}).run_id
    path = tmp_path / "run.capsule"
    line = refused(
        call("extract", tmp_path / "history", run_id, "-o", path, "--redact-tags", "word")
    )
    assert "choose narrower patterns" in line
    assert not path.exists()


def redacted(packed: Any, **patterns: list[str]) -> Any:
    redaction = Redaction(**patterns)
    redaction.look(packed)
    return redaction.apply(packed)


def test_what_is_short_is_replaced_by_name_alone() -> None:
    packed = {"tags": {"a": "abc", "b": "abcd"}, "message": "abc abcd"}
    assert redacted(packed, tags=["*"]) == {
        "tags": {"a": REPLACED, "b": REPLACED},
        "message": f"abc {REPLACED}",
    }


def test_numbers_are_replaced_as_words() -> None:
    packed = {
        "run_config": {"pin": 4321, "rate": 0.125, "few": 12},
        "said": "4321, 0.125 and (4321) of 12: 54321 4321-a a4321",
        "timestamp": 4321.0,
    }
    assert redacted(packed, config=["*"]) == {
        "run_config": {"pin": REPLACED, "rate": REPLACED, "few": REPLACED},
        "said": f"{REPLACED}, {REPLACED} and ({REPLACED}) of 12: 54321 4321-a a4321",
        "timestamp": 4321.0,
    }


def test_a_pattern_of_config_takes_all_below_it() -> None:
    config = {"resources": {"db": {"config": {"host": "h", "ports": [1, 2]}}}, "ops": {}}
    packed = {"run_config": config}
    assert redacted(packed, config=["resources.db"]) == {
        "run_config": {"resources": {"db": REPLACED}, "ops": {}}
    }
    assert redacted(packed, config=["*.ports[[]1]"])["run_config"]["resources"]["db"] == {
        "config": {"host": "h", "ports": [1, REPLACED]}
    }


def test_tags_are_redacted_in_every_form_in_which_snapshots_have_them() -> None:
    item = {"__class__": "ExecutionPlanMetadataItemSnap"}
    packed = {
        "run_tags": {"a": "x", "b": "y"},
        "metadata_items": [{**item, "key": "a", "value": "x"}, {**item, "key": "b", "value": "y"}],
    }
    assert redacted(packed, tags=["a"]) == {
        "run_tags": {"a": REPLACED, "b": "y"},
        "metadata_items": [
            {**item, "key": "a", "value": REPLACED},
            {**item, "key": "b", "value": "y"},
        ],
    }


def test_what_only_looks_like_dagsters_is_anything() -> None:
    packed = {
        "data": {
            "metadata_items": [1],
            "config_schema_snapshot": None,
            "default_value_as_json_str": "no JSON",
            "tags": ["a"],
            "run_config": [{"a": 1}],
            "container_context": "a",
        },
        "run_config": {"env": {"env": 1}, "not": {"env": "\ud800"}},
    }
    after = {"env": REPLACED, "not": {"env": "\ud800"}}
    assert redacted(packed, config=["env"]) == {**packed, "run_config": after}
    after = {"env": {"env": 1}, "not": REPLACED}
    assert redacted(packed, config=["not"]) == {**packed, "run_config": after}


def test_texts_of_a_json_document_that_is_redacted_are_replaced_too() -> None:
    packed = {"tags": {"a": '{"b": ["within"]}'}, "said": "within"}
    assert redacted(packed, tags=["a"]) == {"tags": {"a": REPLACED}, "said": REPLACED}


def test_how_a_code_location_is_launched_has_paths_of_its_own() -> None:
    docker = {"env_vars": ["NAME=a password"], "networks": ["one"]}
    packed = {"container_context": {"docker": docker}, "said": "it is a password"}
    assert redacted(packed, config=["*env_vars*"]) == {
        "container_context": {"docker": {"env_vars": REPLACED, "networks": ["one"]}},
        "said": f"it is {REPLACED}",
    }
    # What Dagster reads is a mapping.
    assert redacted(packed, config=["*"])["container_context"] == {"docker": REPLACED}


def test_what_a_variable_of_the_environment_is_here_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SET_HERE", "a password")
    monkeypatch.delenv("NOT_SET", raising=False)
    packed = {
        "run_config": {"one": {"env": "SET_HERE"}, "two": {"env": "NOT_SET"}},
        "said": "a password",
    }
    assert redacted(packed, config=["*"]) == {
        "run_config": {"one": REPLACED, "two": REPLACED},
        "said": REPLACED,
    }


def test_a_text_is_replaced_where_a_url_has_it() -> None:
    packed = {"tags": {"a": "p&ss/w rd"}, "said": "db://u:p%26ss%2Fw%20rd@host?p=p%26ss%2Fw+rd"}
    assert redacted(packed, tags=["a"])["said"] == f"db://u:{REPLACED}@host?p={REPLACED}"


def test_a_text_with_a_lone_surrogate_is_replaced_as_any_other() -> None:
    packed = {"tags": {"a": "half \ud800"}, "said": "it is half \ud800, and \udfff"}
    assert redacted(packed, tags=["a"])["said"] == f"it is {REPLACED}, and \udfff"


def test_names_of_the_fields_of_dagsters_objects_stay() -> None:
    packed = {"tags": {"a": "known"}, "state": {"__class__": "Known", "known_state": "known"}}
    assert redacted(packed, tags=["a"])["state"] == {"__class__": "Known", "known_state": REPLACED}


def test_a_longer_text_goes_before_one_within_it() -> None:
    packed = {"tags": {"a": "pass", "b": "password-of-b"}, "said": "password-of-b and pass"}
    assert redacted(packed, tags=["*"])["said"] == f"{REPLACED} and {REPLACED}"


def test_what_names_classes_stays() -> None:
    packed = {"__class__": "Text", "tags": {"a": "Text"}, "text": "Text"}
    assert redacted(packed, tags=["a"]) == {
        "__class__": "Text",
        "tags": {"a": REPLACED},
        "text": REPLACED,
    }


def test_ids_of_the_runs_that_leave_stay_but_by_name() -> None:
    packed = {"tags": {"version": "the-run"}, "run_id": "the-run"}
    redaction = Redaction(tags=["version"], kept=["the-run"])
    redaction.look(packed)
    assert redaction.apply(packed) == {"tags": {"version": REPLACED}, "run_id": "the-run"}
