"""Two runs that differ in one thing differ in that thing alone."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp

from dagster_lmdb.debug.flat import ABSENT, Change, changes, nested_changes
from dagster_lmdb.debug.noise import FLOOR_WITH, FLOOR_WITHOUT, noise
from debug.history import call, execute, refused
from python.entries import event, job_origin, run, whole_block

LISTS = (
    "config",
    "tags",
    "code",
    "selection",
    "steps",
    "retries",
    "errors",
    "metadata",
    "data_versions",
)


class Measured:
    """A store in which runs of ``measuring_job`` are made and compared."""

    def __init__(self, home: Path, told: Path, instance: DagsterInstance) -> None:
        self.directory = home / "history"
        self.instance = instance
        self._told = told
        self.plain = self.run()

    def run(self, *told: str, tags: Mapping[str, str] | None = None, **config: Any) -> str:
        """A run of the job, told to be slow, to fail or to retry."""
        for name in told:
            (self._told / name).touch()
        try:
            ops = {"ops": {"measure": {"config": config}}} if config else {}
            return execute(self.instance, "measuring_job", ops, tags)
        finally:
            for name in told:
                (self._told / name).unlink()

    def diff(self, a: str, b: str) -> dict[str, Any]:
        result = call("diff", self.directory, a, b, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    home, told = tmp_path_factory.mktemp("diff"), tmp_path_factory.mktemp("told")
    with (
        pytest.MonkeyPatch.context() as patch,
        instance_for_test(whole_block(home), temp_dir=str(home)) as instance,
    ):
        patch.setenv("DEBUG_TOLD", str(told))
        yield Measured(home, told, instance)


def changed(found: Mapping[str, Any]) -> set[str]:
    """The sections that are not empty; durations on a busy machine are not looked at here."""
    return {name for name in LISTS if found[name]}


def change(path: str, *, a: Any = ABSENT, b: Any = ABSENT) -> dict[str, Any]:
    return Change(path, a, b).as_object()


def test_runs_that_did_the_same_are_alike(measured: Measured) -> None:
    found = measured.diff(measured.plain, measured.run())
    assert changed(found) == set()
    assert found["parting"] is None
    assert found["runs"]["a"]["run_id"] == measured.plain
    assert found["runs"]["a"]["job"] == "measuring_job"
    assert found["runs"]["b"]["status"] == "SUCCESS"


def test_a_run_is_like_itself(measured: Measured) -> None:
    assert measured.diff(measured.plain, measured.plain)["alike"] is True
    result = call("diff", measured.directory, measured.plain, measured.plain)
    assert "the runs are alike" in result.stdout


def test_a_tag_is_all_that_changed(measured: Measured) -> None:
    one, two = measured.run(tags={"team": "a", "old": "x"}), measured.run(tags={"team": "b"})
    found = measured.diff(one, two)
    assert changed(found) == {"tags"}
    assert found["tags"] == [change("old", a="x"), change("team", a="a", b="b")]
    assert found["parting"] is None
    assert found["alike"] is False


def test_metadata_that_changed_is_where_the_runs_part(measured: Measured) -> None:
    found = measured.diff(measured.run(rows=1), measured.run(rows=2))
    assert changed(found) == {"config", "metadata"}
    assert found["config"] == [change("ops.measure.config.rows", a=1, b=2)]
    assert found["metadata"] == [change("asset measured rows", a=1, b=2)]
    parting = found["parting"]
    assert parting["step"] == "measure"
    assert parting["a"]["event_type"] == parting["b"]["event_type"] == "ASSET_MATERIALIZATION"


def test_a_data_version_changed(measured: Measured) -> None:
    found = measured.diff(measured.run(value=1), measured.run(value=2))
    assert changed(found) == {"config", "data_versions"}
    assert found["data_versions"] == [change("asset measured data_version", a="v1", b="v2")]
    assert found["parting"]["b"]["event_type"] == "ASSET_MATERIALIZATION"


def test_config_that_only_one_has_is_added_or_removed(measured: Measured) -> None:
    with_config = measured.run(value=1)
    [added] = measured.diff(measured.plain, with_config)["config"]
    assert added == change("ops.measure.config.value", b=1)
    [removed] = measured.diff(with_config, measured.plain)["config"]
    assert removed == change("ops.measure.config.value", a=1)


def test_a_step_that_was_tried_again(measured: Measured) -> None:
    found = measured.diff(measured.plain, measured.run("retry"))
    assert changed(found) == {"retries"}
    assert found["retries"] == [change("measure", a=0, b=1)]
    parting = found["parting"]
    assert parting["a"]["event_type"] == "ASSET_MATERIALIZATION"
    assert parting["b"]["event_type"] == "STEP_UP_FOR_RETRY"


def test_a_step_that_failed(measured: Measured) -> None:
    found = measured.diff(measured.plain, measured.run("fail"))
    assert changed(found) == {"tags", "steps", "errors", "metadata", "data_versions"}
    assert found["tags"] == [change("dagster/failure_reason", b="STEP_FAILURE")]
    assert found["steps"] == [
        change("measure", a="success", b="failure"),
        change("report", a="success"),
    ]
    assert found["errors"] == [change("measure", b="RuntimeError: told to fail")]
    assert found["parting"]["b"]["event_type"] == "STEP_FAILURE"
    assert found["parting"]["b"]["step_key"] == "measure"


def test_code_from_elsewhere(measured: Measured) -> None:
    moved = measured.run()
    stored = measured.instance.get_run_by_id(moved)
    measured.instance.run_storage.replace_job_origin(stored, job_origin("elsewhere"))
    found = measured.diff(measured.plain, moved)
    assert changed(found) == {"code"}
    paths = {each["path"]: each.get("b") for each in found["code"]}
    assert paths["origin.external_repository_origin.repository_name"] == "elsewhere"
    assert found["parting"] is None


def test_the_table_says_what_the_object_says(measured: Measured) -> None:
    two = measured.run("fail", tags={"team": "b"}, rows=7)
    result = call("diff", measured.directory, measured.plain, two)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.replace("│", " ").split()) for line in result.stdout.splitlines()]
    assert "+ ops.measure.config.rows 7" in lines
    assert "+ team b" in lines
    assert "~ measure success failure" in lines
    assert "- report success" in lines
    assert "+ measure RuntimeError: told to fail" in lines
    assert any(line.startswith("B") and "STEP_FAILURE measure" in line for line in lines)
    assert "\x1b" not in result.stdout


def test_partitions_that_stand_for_each_other_are_compared(instance: DagsterInstance) -> None:
    one, two = (
        execute(instance, "letters_job", tags={"dagster/partition": partition})
        for partition in ("a", "b")
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    found = json.loads(result.stdout)
    assert found["tags"] == [change("dagster/partition", a="a", b="b")]
    metadata = {each["path"]: (each.get("a"), each.get("b")) for each in found["metadata"]}
    assert metadata["asset letters letter"] == ("a", "b")
    assert metadata["asset letters (partition)"] == ("a", "b")
    # Its code has no version, so that each run makes a new one.
    assert "asset letters data_version" in [each["path"] for each in found["data_versions"]]
    # The metadata of a result is told with the output first.
    assert found["parting"]["a"]["event_type"] == "STEP_OUTPUT"
    assert found["parting"]["step"] == "letters"


@pytest.mark.parametrize("place", [0, 1])
def test_an_unknown_run_is_refused(measured: Measured, place: int) -> None:
    unknown = make_new_run_id()
    runs = [measured.plain, measured.plain]
    runs[place] = unknown
    assert f"no run {unknown}" in refused(call("diff", measured.directory, *runs))


# Durations, at times that are made


Timed = Callable[..., str]


@pytest.fixture
def timed(instance: DagsterInstance) -> Timed:
    """Stores a run whose one step took the given seconds."""

    def store(seconds: float, begin: float = 1000.0) -> str:
        made = run(job_name="timed")
        instance.run_storage.add_historical_run(made, datetime_from_timestamp(begin))
        data = StepSuccessData(seconds * 1000)
        for at, of_type, fields in (
            (begin, DagsterEventType.RUN_START, {}),
            (begin, DagsterEventType.STEP_START, {"step_key": "a_step"}),
            (
                begin + seconds,
                DagsterEventType.STEP_SUCCESS,
                {"step_key": "a_step", "data": data},
            ),
            (begin + seconds, DagsterEventType.RUN_SUCCESS, {}),
        ):
            instance.handle_new_event(event(made.run_id, of_type, timestamp=at, **fields))
        return made.run_id

    return store


def compared(instance: DagsterInstance, a: str, b: str) -> Sequence[dict[str, Any]]:
    result = call("diff", Path(instance.run_storage._base_dir), a, b, "--json")
    assert result.exit_code == 0, result.output
    found: Sequence[dict[str, Any]] = json.loads(result.stdout)["durations"]
    return found


def test_a_duration_is_judged_by_the_history_of_its_step(
    instance: DagsterInstance, timed: Timed
) -> None:
    for place in range(21):
        timed(10.0 + place % 5, begin=2000.0 + place)  # 10 to 14 seconds, by turns
    usual, slow, slower = timed(12.0), timed(17.0), timed(20.0)
    [found] = compared(instance, usual, slower)
    # The median of the deviations from 12 is 1: 3 * sqrt(2) * 1.4826.
    assert found["noise"] == pytest.approx(6.290, abs=0.001)
    assert found["history"]["runs"] == 20
    assert found["history"]["median"] == 12.0
    assert (found["step"], found["a"], found["b"]) == ("a_step", 12.0, 20.0)
    assert compared(instance, usual, slow) == []


def test_without_a_history_a_quarter_is_noise(instance: DagsterInstance, timed: Timed) -> None:
    a, b, c = timed(8.0), timed(10.0), timed(11.0)
    assert compared(instance, a, b) == []
    [found] = compared(instance, a, c)
    assert found["noise"] == 2.75
    assert found["history"] == {"runs": 0, "median": None}
    result = call("diff", Path(instance.run_storage._base_dir), a, c)
    assert "+3.00 s" in result.stdout


def test_noise_has_a_floor() -> None:
    assert noise(0.01, 0.02, [0.01] * 10).seconds == FLOOR_WITH
    assert noise(0.01, 0.02, [0.01] * 4).seconds == FLOOR_WITHOUT
    assert noise(0.01, 0.02, [0.01] * 4).runs == 0
    # One slow run in ten does not make a step noisy.
    assert noise(1.0, 1.0, [1.0] * 9 + [100.0]).seconds == FLOOR_WITH


# Paths


def test_leaves_are_compared_by_their_paths() -> None:
    a = {"x": {"y": [1, 2], "gone": {}}, "same": None, "t": 1}
    b = {"x": {"y": [1, 3, 4]}, "same": None, "t": True}
    assert nested_changes(a, b) == [
        Change("t", 1, True),
        Change("x.gone", {}, ABSENT),
        Change("x.y[1]", 2, 3),
        Change("x.y[2]", ABSENT, 4),
    ]
    assert nested_changes({}, None) == []
    assert changes({"nan": float("nan")}, {"nan": float("nan")}) == []


def test_metadata_of_any_kind_is_shown(instance: DagsterInstance) -> None:
    @dg.op(config_schema={"rows": int})
    def table(context: dg.OpExecutionContext) -> None:
        columns = [dg.TableColumn("a"), dg.TableColumn("b")][: context.op_config["rows"]]
        context.log_event(
            dg.AssetMaterialization(
                "a_table", metadata={"schema": dg.TableSchema(columns), "none": None}
            )
        )

    @dg.job
    def tables() -> None:
        table()

    one, two = (
        tables.execute_in_process(
            {"ops": {"table": {"config": {"rows": rows}}}}, instance=instance
        ).run_id
        for rows in (1, 2)
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    [found] = json.loads(result.stdout)["metadata"]
    assert found["path"] == "asset a_table schema"
    assert [each["name"] for each in found["b"]["schema"]["columns"]] == ["a", "b"]
