"""Events become spans that say what passed, and lanes in which nothing overlaps."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData, StepSuccessData
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb.debug.runs import RunHistory, Source, read_run
from dagster_lmdb.debug.timeline import Kind, Outcome, Span, Timeline
from debug.history import Store
from python.entries import event

RUN = "a_run"


def history(store: Store, name: str) -> RunHistory:
    return read_run(Source(store.directory), store.runs[name])


def timeline(events: Iterable[EventLogEntry]) -> Timeline:
    found = Timeline()
    for entry in events:
        found.fold(entry)
    return found


def kinds(spans: Sequence[Span]) -> list[Kind]:
    return [span.kind for span in spans]


def assert_in_order(spans: Sequence[Span], begin: float, end: float) -> None:
    """The spans lie within the bounds, one after the other, and so do their parts within them."""
    place = begin
    for span in spans:
        assert span.end is not None
        assert place <= span.start <= span.end <= end
        assert_in_order(span.parts, span.start, span.end)
        place = span.end


@pytest.mark.parametrize("name", ["everything", "failing", "letters"])
def test_no_lane_of_a_real_run_overlaps(store: Store, name: str) -> None:
    found = timeline(entry for _, entry in history(store, name).events)
    assert found.first is not None
    assert found.last is not None
    for lane in [found.phases, *(step.spans for step in found.steps.values())]:
        assert lane
        assert_in_order(lane, found.first, found.last)


def test_a_step_that_is_retried_has_its_attempts_with_their_processes(store: Store) -> None:
    run = history(store, "everything")
    step = timeline(entry for _, entry in run.events).steps["flaky"]
    assert kinds(step.spans) == [
        Kind.PROCESS,
        Kind.RESOURCES,
        Kind.ATTEMPT,
        Kind.RETRY,
        Kind.PROCESS,
        Kind.RESOURCES,
        Kind.ATTEMPT,
    ]
    first, second = step.attempts
    assert (first.outcome, second.outcome) == (Outcome.RETRY, Outcome.SUCCESS)
    assert "not the first time" in str(first.error)
    assert second.error is None
    assert first.pid != second.pid
    pids = {
        entry.dagster_event.pid
        for _, entry in run.events
        if entry.dagster_event and entry.step_key == "flaky"
    }
    assert {first.pid, second.pid} <= pids
    waited = step.spans[3]
    assert waited.seconds(0.0) >= 0.3
    assert step.retries == 1


def test_a_step_that_waits_for_a_slot_says_so(store: Store) -> None:
    found = timeline(entry for _, entry in history(store, "everything").events)
    waits = {
        key: [span for span in step.spans if span.kind is Kind.SLOT]
        for key, step in found.steps.items()
        if key.startswith("drive")
    }
    [waited] = [span for spans in waits.values() for span in spans]
    assert waited.label == "slot of lane"
    # As long as the other step held it.
    assert waited.seconds(0.0) >= 0.4


def test_inputs_and_outputs_are_parts_of_their_attempt(store: Store) -> None:
    [attempt] = (
        timeline(entry for _, entry in history(store, "everything").events).steps["record"].attempts
    )
    assert [(part.kind, part.label) for part in attempt.parts] == [
        (Kind.INPUT, "numbers"),
        (Kind.INPUT, "numbers"),
        (Kind.COMPUTE, "compute"),
        (Kind.OUTPUT, "result"),
        (Kind.REST, "after output"),
    ]


class Manager(dg.IOManager):
    """Takes a while, and fails where it is told to."""

    def __init__(self, fails_to: str = "") -> None:
        self.fails_to = fails_to

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        time.sleep(0.01)
        if self.fails_to == "handle" and not context.name.startswith("first"):
            raise ValueError("full")

    def load_input(self, context: dg.InputContext) -> int:
        time.sleep(0.01)
        if self.fails_to == "load":
            raise ValueError("gone")
        return 1


def parts_of(instance: DagsterInstance, job: dg.JobDefinition, manager: Manager) -> dict[str, Any]:
    """The parts of each step's last attempt."""
    run_id = job.execute_in_process(
        instance=instance, resources={"io_manager": manager}, raise_on_error=False
    ).run_id
    found = timeline(instance.all_logs(run_id))
    return {
        key: [(part.kind, part.label) for part in step.attempts[-1].parts]
        for key, step in found.steps.items()
    }


@dg.op(out={"first": dg.Out(int), "second": dg.Out(int)})
def yields():
    time.sleep(0.01)
    yield dg.Output(1, "first")
    time.sleep(0.01)
    yield dg.Output(2, "second")
    time.sleep(0.01)


@dg.op(ins={"number": dg.In(int)}, out={})
def takes(number: int):
    time.sleep(0.01)


@dg.job
def passing() -> None:
    takes(yields().second)


COMPUTED = (Kind.COMPUTE, "compute")


def test_what_follows_the_last_output_is_told_from_what_comes_before_one(
    instance: DagsterInstance,
) -> None:
    assert parts_of(instance, passing, Manager()) == {
        "yields": [
            COMPUTED,
            (Kind.OUTPUT, "first"),
            COMPUTED,
            (Kind.OUTPUT, "second"),
            (Kind.REST, "after output"),
        ],
        # No output, and so all that it did.
        "takes": [(Kind.INPUT, "number"), COMPUTED],
    }


def test_a_loading_or_a_handling_that_failed_is_none_of_the_computing(
    instance: DagsterInstance,
) -> None:
    handled = [COMPUTED, (Kind.OUTPUT, "first"), COMPUTED, (Kind.OUTPUT, "second")]
    assert parts_of(instance, passing, Manager("handle")) == {"yields": handled}
    assert parts_of(instance, passing, Manager("load"))["takes"] == [(Kind.INPUT, "")]


def test_a_failure_keeps_its_error_and_its_cause(store: Store) -> None:
    found = timeline(entry for _, entry in history(store, "failing").events)
    assert found.outcome is Outcome.FAILURE
    [attempt] = found.steps["fails"].attempts
    assert attempt.outcome is Outcome.FAILURE
    assert attempt.error is not None
    assert attempt.error.cause.cause.cls_name == "KeyError"


ERROR = SerializableErrorInfo("it broke", [], "ValueError")
DATA = {
    DagsterEventType.STEP_SUCCESS: StepSuccessData(0.0),
    DagsterEventType.STEP_FAILURE: StepFailureData(ERROR, None),
    DagsterEventType.STEP_UP_FOR_RETRY: StepRetryData(ERROR),
    DagsterEventType.STEP_WORKER_STARTING: EngineEventData(),
}


def at(seconds: float, event_type: DagsterEventType, **fields: object) -> EventLogEntry:
    data = DATA.get(event_type)
    return event(RUN, event_type, data, timestamp=1000.0 + seconds, **fields)


def test_a_run_waits_in_the_queue_starts_and_runs() -> None:
    found = timeline(
        [
            at(0, DagsterEventType.RUN_ENQUEUED),
            at(5, DagsterEventType.RUN_DEQUEUED),
            at(6, DagsterEventType.RUN_STARTING),
            at(8, DagsterEventType.RUN_START),
            at(20, DagsterEventType.RUN_CANCELED),
        ]
    )
    assert [(span.kind, span.start, span.end) for span in found.phases] == [
        (Kind.QUEUE, 1000, 1005),
        (Kind.STARTUP, 1006, 1008),
        (Kind.EXECUTION, 1008, 1020),
    ]
    assert found.outcome is Outcome.CANCELED


def test_what_the_end_of_a_run_cuts_off_is_interrupted() -> None:
    found = timeline(
        [
            at(0, DagsterEventType.RUN_START),
            at(1, DagsterEventType.STEP_START, step_key="a"),
            at(9, DagsterEventType.RUN_FAILURE),
        ]
    )
    [attempt] = found.steps["a"].attempts
    assert (attempt.end, attempt.outcome) == (1009, Outcome.INTERRUPTED)


def test_a_step_that_begins_again_without_an_end_was_interrupted() -> None:
    found = timeline(
        [
            at(0, DagsterEventType.STEP_START, step_key="a"),
            at(3, DagsterEventType.STEP_START, step_key="a"),
            at(5, DagsterEventType.STEP_SUCCESS, step_key="a"),
        ]
    )
    assert [(span.label, span.outcome) for span in found.steps["a"].attempts] == [
        ("attempt 1", Outcome.INTERRUPTED),
        ("attempt 2", Outcome.SUCCESS),
    ]


def test_a_step_that_fails_before_it_begins_has_an_attempt_without_length() -> None:
    found = timeline(
        [
            at(0, DagsterEventType.STEP_WORKER_STARTING, step_key="a"),
            at(2, DagsterEventType.STEP_FAILURE, step_key="a"),
        ]
    )
    process, attempt = found.steps["a"].spans
    assert (process.kind, process.end) == (Kind.PROCESS, 1002)
    assert (attempt.start, attempt.end, attempt.outcome) == (1002, 1002, Outcome.FAILURE)


def test_times_that_go_back_leave_no_overlap() -> None:
    found = timeline(
        [
            at(5, DagsterEventType.STEP_START, step_key="a"),
            at(4, DagsterEventType.STEP_UP_FOR_RETRY, step_key="a"),
            at(3, DagsterEventType.STEP_RESTARTED, step_key="a"),
            at(2, DagsterEventType.STEP_SUCCESS, step_key="a"),
        ]
    )
    assert_in_order(found.steps["a"].spans, 1000, 1010)
    assert found.first == 1002
