"""Two runs that differ in one thing differ in that thing alone."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.definitions.events import (
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.events import (
    AssetFailedToMaterializeData,
    JobFailureData,
    StepMaterializationData,
)
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb.debug.flat import ABSENT, Change, changes, nested_changes
from dagster_lmdb.debug.noise import FLOOR_WITH, FLOOR_WITHOUT, noise
from debug.history import call, execute, refused
from engine.children import without_a_reader
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
    # One version of several partitions, each of which has one that its run's id went into.
    assert [each["path"] for each in found["data_versions"]] == [
        "asset words input_data_version/letters"
    ]
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


def test_no_two_leaves_have_one_path() -> None:
    nested = [
        {"a": {"b": 1}},
        {"a.b": 1},
        {"a": [1]},
        {"a": {"0": 1}},
        {"a[0]": 1},
        {"a": {0: 1}},
        {"a": {"": 1}},
        {'a["b"]': 1},
    ]
    for one in nested:
        for other in nested:
            assert (nested_changes(one, other) == []) == (one is other), (one, other)
    whole = {"a.b": 1, "a": {"b": 2}}
    assert nested_changes(whole, {}) == [Change('["a.b"]', 1, ABSENT), Change("a.b", 2, ABSENT)]


def test_versions_that_dagster_makes_of_the_runs_id_are_no_change(
    instance: DagsterInstance,
) -> None:
    @dg.asset
    def unversioned() -> int:
        return 1

    @dg.asset(code_version="1")
    def beneath(unversioned: int) -> int:
        return unversioned

    @dg.asset
    def said() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion(next(versions)))

    versions = iter(["one", "one", "two"])
    assets = [unversioned, beneath, said]
    runs = [dg.materialize(assets, instance=instance).run_id for _ in range(3)]
    directory = Path(instance.run_storage._base_dir)
    same, other = (
        json.loads(call("diff", directory, *runs[place : place + 2], "--json").stdout)
        for place in (0, 1)
    )
    assert changed(same) == set()
    assert same["parting"] is None
    assert changed(other) == {"data_versions"}
    assert other["data_versions"] == [change("asset said data_version", a="one", b="two")]


def test_ids_of_both_runs_are_one_text_wherever_they_stand(instance: DagsterInstance) -> None:
    """As where a run that was executed again reads what the first one has written."""
    one, two = make_new_run_id(), make_new_run_id()
    for run_id, wrote in ((one, one), (two, one)):
        config = {"ops": {"load": {"config": {"to": f"/tmp/{run_id}/f", "from": f"/tmp/{wrote}"}}}}
        instance.add_run(run(run_id=run_id, run_config=config, tags={"out": f"s3://{run_id}"}))
        made = dg.AssetMaterialization("a", metadata={"path": dg.MetadataValue.path(f"/{wrote}/a")})
        instance.event_log_storage.store_event(
            event(
                run_id,
                DagsterEventType.ASSET_MATERIALIZATION,
                StepMaterializationData(made),
                step_key="load",
            )
        )
    directory = Path(instance.run_storage._base_dir)
    found = json.loads(call("diff", directory, one, two, "--json").stdout)
    assert changed(found) == set()
    assert found["parting"] is None


def test_a_step_that_the_runs_end_cut_off_is_interrupted(instance: DagsterInstance) -> None:
    ends = {
        make_new_run_id(): [(DagsterEventType.STEP_SUCCESS, StepSuccessData(1.0), "cut")],
        make_new_run_id(): [],
    }
    for run_id, end in ends.items():
        instance.add_run(run(run_id=run_id))
        for of_type, data, step_key in [
            (DagsterEventType.RUN_START, None, None),
            (DagsterEventType.STEP_START, None, "cut"),
            *end,
            (DagsterEventType.RUN_CANCELED, None, None),
        ]:
            instance.event_log_storage.store_event(event(run_id, of_type, data, step_key=step_key))
    directory = Path(instance.run_storage._base_dir)
    found = json.loads(call("diff", directory, *ends, "--json").stdout)
    assert found["steps"] == [change("cut", a="success", b="interrupted")]


def test_what_steps_say_of_one_asset_is_compared_step_by_step(instance: DagsterInstance) -> None:
    def speaking(name: str) -> dg.OpDefinition:
        @dg.op(name=name, ins={"after": dg.In(dg.Nothing)})
        def speaks(context: dg.OpExecutionContext) -> None:
            context.log_event(dg.AssetMaterialization("shared", metadata={"by": name}))

        return speaks

    def in_order(first: str, second: str) -> dg.JobDefinition:
        @dg.job(name="orderly")
        def orderly() -> None:
            speaking(second)(speaking(first)())

        return orderly

    one, two = (
        in_order(*names).execute_in_process(instance=instance).run_id
        for names in (("x", "y"), ("y", "x"))
    )
    result = call("diff", Path(instance.run_storage._base_dir), one, two, "--json")
    assert json.loads(result.stdout)["metadata"] == []


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


# What steps say


@pytest.fixture
def told(instance: DagsterInstance) -> Callable[..., str]:
    """Runs an op in a job of its own, and returns the run's id."""

    def execute_op(*says: Any, hooks: Any = frozenset(), **options: Any) -> str:
        @dg.op(out=dg.Out(is_required=False), **options)
        def speaks(context: dg.OpExecutionContext) -> Iterator[Any]:
            for each in says:
                if isinstance(each, BaseException):
                    raise each
                if isinstance(each, dg.Output):
                    yield each
                else:
                    context.log_event(each)

        @dg.job(hooks=hooks)
        def saying() -> None:
            speaks()

        return saying.execute_in_process(instance=instance, raise_on_error=False).run_id

    return execute_op


def diff_of(instance: DagsterInstance, a: str, b: str) -> dict[str, Any]:
    result = call("diff", Path(instance.run_storage._base_dir), a, b, "--json")
    assert result.exit_code == 0, result.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return found


def failed(rows: int) -> dg.Failure:
    return dg.Failure("no rows", metadata={"rows": rows})


def check(rows: int = 1, **fields: Any) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        dg.AssetKey("a"), "c", fields.pop("passed", True), {"rows": rows}, **fields
    )


@pytest.mark.parametrize(
    ("make", "path", "event_type"),
    [
        (failed, "failure speaks rows", "STEP_FAILURE"),
        (
            lambda rows: dg.AssetMaterialization("a", metadata={"rows": rows}),
            "asset a rows",
            "ASSET_MATERIALIZATION",
        ),
        (
            lambda rows: dg.AssetObservation("a", metadata={"rows": rows}),
            "observation a rows",
            "ASSET_OBSERVATION",
        ),
        (
            lambda rows: dg.ExpectationResult(True, "few", metadata={"rows": rows}),
            "expectation speaks.few rows",
            "STEP_EXPECTATION_RESULT",
        ),
        (check, "check a:c rows", "ASSET_CHECK_EVALUATION"),
        (
            lambda rows: dg.Output(0, metadata={"rows": rows}),
            "output speaks.result rows",
            "STEP_OUTPUT",
        ),
    ],
)
def test_metadata_is_all_that_changed(
    instance: DagsterInstance,
    told: Callable[..., str],
    make: Callable[[int], Any],
    path: str,
    event_type: str,
) -> None:
    found = diff_of(instance, told(make(1)), told(make(2)))
    assert changed(found) == {"metadata"}
    assert found["metadata"] == [change(path, a=1, b=2)]
    for side in ("a", "b"):
        assert found["parting"][side]["event_type"] == event_type


@pytest.mark.parametrize(
    ("says", "path", "values"),
    [
        (
            [dg.AssetMaterialization("a", description=text) for text in ("one", "two")],
            "asset a (description)",
            ("one", "two"),
        ),
        (
            [check(severity=each) for each in dg.AssetCheckSeverity],
            "check a:c (severity)",
            ("WARN", "ERROR"),
        ),
        ([check(passed=each) for each in (True, False)], "check a:c (passed)", (True, False)),
        (
            [dg.ExpectationResult(each, "few") for each in (True, False)],
            "expectation speaks.few (success)",
            (True, False),
        ),
    ],
)
def test_what_an_event_says_beside_its_metadata_is_compared(
    instance: DagsterInstance,
    told: Callable[..., str],
    says: Sequence[Any],
    path: str,
    values: tuple[Any, Any],
) -> None:
    found = diff_of(instance, *map(told, says))
    assert found["metadata"] == [change(path, a=values[0], b=values[1])]


def test_metadata_of_inputs_outputs_and_their_types_is_compared(instance: DagsterInstance) -> None:
    class Manager(dg.IOManager):
        def __init__(self, rows: int) -> None:
            self.rows = rows

        def handle_output(self, context: dg.OutputContext, obj: object) -> None:
            context.add_output_metadata({"written": self.rows})

        def load_input(self, context: dg.InputContext) -> int:
            context.add_input_metadata({"read": self.rows})
            return self.rows

    rows_type = dg.DagsterType(
        lambda _, rows: dg.TypeCheck(True, metadata={"checked": rows}), name="Rows"
    )

    @dg.op(out=dg.Out(rows_type))
    def one() -> int:
        return 5

    @dg.op(ins={"number": dg.In(rows_type)})
    def two(number: int) -> None: ...

    @dg.job
    def both() -> None:
        two(one())

    runs = [
        both.execute_in_process(instance=instance, resources={"io_manager": Manager(rows)}).run_id
        for rows in (1, 2)
    ]
    found = diff_of(instance, *runs)
    expected = {
        "input two.number read",
        "handled one.result written",
        "type of input two.number (type) checked",
    }
    assert {each["path"] for each in found["metadata"]} == expected


def test_an_error_that_says_something_else_is_where_the_runs_part(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    one, two = (told(ValueError(text)) for text in ("full", "gone"))
    found = diff_of(instance, one, two)
    assert found["errors"] == [change("speaks", a="ValueError: full", b="ValueError: gone")]
    assert found["parting"]["a"]["event_type"] == "STEP_FAILURE"
    assert found["parting"]["b"]["error"] == "ValueError: gone"
    table = call("diff", Path(instance.run_storage._base_dir), one, two).stdout
    assert table.index("ValueError: gone") < table.index("Errors")


def test_what_ends_a_run_without_a_step_is_an_error_of_the_run(instance: DagsterInstance) -> None:
    def ends(text: str) -> str:
        made = instance.add_run(run()).run_id
        error = SerializableErrorInfo(f"Gone: {text} in {made}", [], "Gone")
        data = JobFailureData(error, None, None)
        instance.handle_new_event(event(made, DagsterEventType.RUN_FAILURE, data))
        return made

    one, again, other = ends("disk"), ends("disk"), ends("host")
    assert diff_of(instance, one, again)["alike"] is True
    found = diff_of(instance, one, other)
    assert found["errors"] == [
        change("(run)", a=f"Gone: disk in {one}", b=f"Gone: host in {other}")
    ]


def test_a_hook_that_one_run_did_not_have_is_where_they_part(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    @dg.success_hook
    def rings(context: dg.HookContext) -> None: ...

    parting = diff_of(instance, told(), told(hooks={rings}))["parting"]
    assert parting["a"] is None
    assert parting["b"]["event_type"] == "HOOK_COMPLETED"


def test_what_a_lost_asset_says_is_compared(instance: DagsterInstance) -> None:
    def loses(rows: int) -> str:
        made = instance.add_run(run()).run_id
        lost = AssetMaterializationFailure(
            dg.AssetKey("a"),
            AssetMaterializationFailureType.FAILED,
            AssetMaterializationFailureReason.FAILED_TO_MATERIALIZE,
            metadata={"rows": rows},
        )
        of_type = DagsterEventType.ASSET_FAILED_TO_MATERIALIZE
        data = AssetFailedToMaterializeData(lost)
        instance.handle_new_event(event(made, of_type, data, step_key="a"))
        return made

    found = diff_of(instance, loses(1), loses(2))
    assert found["metadata"] == [change("failed asset a rows", a=1, b=2)]
    assert found["parting"]["step"] == "a"


# What is shown


def test_floats_that_json_has_no_number_for_are_named(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    floats = [float(name) for name in ("nan", "inf", "-inf")]
    one, two = (
        told(dg.AssetMaterialization("a", metadata={"x": x, "all": {"of": floats, "and": y}}))
        for x, y in ((floats[0], 1), (floats[1], 2))
    )
    found = diff_of(instance, one, two)
    named = ["NaN", "Infinity", "-Infinity"]
    assert found["metadata"] == [
        change(
            "asset a all",
            **{side: {"data": {"of": named, "and": y}} for side, y in (("a", 1), ("b", 2))},
        ),
        change("asset a x", a="NaN", b="Infinity"),
    ]
    assert diff_of(instance, one, one)["alike"] is True
    directory = Path(instance.run_storage._base_dir)
    for words in (["tail", directory, "--run", one], ["replay", directory, one]):
        for line in call(*words, "--json").stdout.splitlines():
            json.loads(line, parse_constant=pytest.fail)


def test_values_of_other_kinds_that_look_alike_are_told_apart(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    values = ("/srv", dg.MetadataValue.path("/srv"))
    runs = [told(dg.AssetMaterialization("a", metadata={"at": value})) for value in values]
    [found] = diff_of(instance, *runs)["metadata"]
    assert found["a"] == {"__class__": "TextMetadataEntryData", "text": "/srv"}
    assert found["b"] == {"__class__": "PathMetadataEntryData", "path": "/srv"}


def test_a_table_shows_of_long_texts_where_they_differ(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    values = ["x" * 50_000 + end + "y" * 50_000 for end in ("first", "second")]
    values[0] = "a\nb\n" + values[0]
    values[1] = "a\nb\n" + values[1]
    runs = [told(dg.AssetMaterialization("a", metadata={"text": value})) for value in values]
    shown = call("diff", Path(instance.run_storage._base_dir), *runs).stdout
    assert len(shown) < 20_000
    for wanted in ("first", "second", "(49,904 characters)", "(49,105 more characters)"):
        assert wanted in shown
    lines = [told(dg.AssetMaterialization("a", metadata={"t": f"{n}\n" * 900})) for n in (1, 2)]
    shown = call("diff", Path(instance.run_storage._base_dir), *lines).stdout
    assert len(shown.splitlines()) < 60


def test_what_a_value_holds_does_not_reach_the_terminal(
    instance: DagsterInstance, told: Callable[..., str]
) -> None:
    obeyed = "clear\x1b[2J bell\x07 half\ud800"
    runs = [
        told(
            dg.AssetMaterialization("a", metadata={obeyed: f"{obeyed} {number}"}),
            RuntimeError(f"{obeyed} {number}"),
        )
        for number in (1, 2)
    ]
    words = ["diff", Path(instance.run_storage._base_dir), *runs]
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(r"clear\x1b[2J bell\x07 half\ud800") >= 4
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_a_table_that_nobody_reads_ends_quietly_as_by_sigpipe(measured: Measured) -> None:
    two = measured.run("fail", tags={"team": "b"})
    for options in ([], ["--json"]):
        words = ["diff", measured.directory, measured.plain, two, *options]
        result = without_a_reader(*words)
        assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")
