"""What two runs say of their steps: how they ended, why, and how long they took."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import JobFailureData
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb.debug.noise import FLOOR_WITH, FLOOR_WITHOUT, noise
from debug.diffs import Measured, change, changed, diff_of
from debug.history import call
from python.entries import event, run


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


@pytest.mark.parametrize(
    ("longer", "history", "by", "says"),
    [
        (20.0, [10.0, 11.0, 12.0, 13.0, 14.0], "deviations", "3 deviations over 5 runs"),
        (0.2, [0.1] * 5, "floor", "the floor of 50 ms, above 3 deviations over 5 runs"),
        (20.0, [], "share", "25% of the longer one, without a history"),
        (0.5, [], "floor", "the floor of 250 ms, above 25% of the longer one, without a history"),
    ],
)
def test_what_decided_what_is_noise_is_told(
    instance: DagsterInstance,
    timed: Timed,
    longer: float,
    history: Sequence[float],
    by: str,
    says: str,
) -> None:
    for seconds in history:
        timed(seconds)
    a, b = timed(0.1), timed(longer)
    [found] = compared(instance, a, b)
    assert found["noise_by"] == by
    table = call("diff", Path(instance.run_storage._base_dir), a, b).stdout
    row = " ".join(line.split("│")[-2].strip() for line in table.splitlines() if "│" in line)
    assert says in " ".join(row.split())
