"""A run's events folded into spans: its phases, its steps, their attempts and the parts of these.

``Timeline.fold`` takes events one by one, in the order of the log, so that a run can be seen at any
of its moments. Each lane (the run's own, and one a step) is a list of spans that do not overlap;
the parts of an attempt lie within it. Several processes write a run's events, whose clocks and
commits may be a little out of order: a span that would begin before its lane's last one ends begins
there, and one that would end before it begins is empty.

What Dagster does not tell is not made up: an input's loading is what passed since the event before
it in its step, and an output's handling what passed since the output was yielded. No event parts
what code does after its last output from how Dagster then ends the step: that is one span of its
own. What a failure cut off is a loading or a handling where its error says that it is, which that
of a step with a retry policy does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from dagster import EventLogEntry
from dagster._core.definitions.metadata.metadata_value import PoolMetadataValue
from dagster._core.errors import DagsterExecutionHandleOutputError, DagsterExecutionLoadInputError
from dagster._core.events import (
    DagsterEvent,
    DagsterEventType,
    EngineEventData,
    HandledOutputData,
    LoadedInputData,
)
from dagster._core.execution.plan.outputs import StepOutputData
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb.debug.runs import error_of


class Kind(str, Enum):
    """What passes in a span."""

    QUEUE = "queue wait"
    STARTUP = "start-up"
    EXECUTION = "execution"
    SLOT = "slot wait"
    PROCESS = "process start-up"
    RESOURCES = "resources"
    ATTEMPT = "attempt"
    RETRY = "retry wait"
    INPUT = "load input"
    COMPUTE = "compute"
    OUTPUT = "handle output"
    REST = "after output"


class Outcome(str, Enum):
    """How a span ended, or that it has not."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    RETRY = "up for retry"
    SKIPPED = "skipped"
    CANCELED = "canceled"
    #: Nothing says how it ended: its process is gone, or its run ended without it.
    INTERRUPTED = "interrupted"


@dataclass
class Span:
    """Something that took time, in Unix seconds; ``end`` is None while it goes on."""

    kind: Kind
    label: str
    start: float
    end: float | None = None
    outcome: Outcome = Outcome.RUNNING
    #: The process that wrote its first event.
    pid: int | None = None
    error: SerializableErrorInfo | None = None
    parts: list["Span"] = field(default_factory=list)

    def close(self, time: float, outcome: Outcome = Outcome.SUCCESS) -> None:
        """Ends the span, and what goes on within it."""
        self.end = max(time, self.start, *(part.end or part.start for part in self.parts), 0.0)
        self.outcome = outcome
        for part in self.parts:
            if part.end is None:
                part.close(self.end, outcome)

    def seconds(self, now: float) -> float:
        """How long it took, or has taken so far."""
        return (now if self.end is None else self.end) - self.start


@dataclass
class Step:
    """A step's lane."""

    key: str
    spans: list[Span] = field(default_factory=list)
    outcome: Outcome | None = None
    #: Where the next part of the attempt begins.
    mark: float = 0.0
    #: The last output that the attempt has yielded.
    output: str | None = None

    @property
    def attempts(self) -> list[Span]:
        return [span for span in self.spans if span.kind is Kind.ATTEMPT]

    @property
    def retries(self) -> int:
        """How often it was tried again."""
        return max(len(self.attempts) - 1, 0)

    @property
    def running(self) -> Span | None:
        """The attempt that goes on."""
        last = self.spans[-1] if self.spans else None
        return last if last and last.kind is Kind.ATTEMPT and last.end is None else None


_RUN_ENDS = {
    DagsterEventType.RUN_SUCCESS.value: Outcome.SUCCESS,
    DagsterEventType.RUN_FAILURE.value: Outcome.FAILURE,
    DagsterEventType.RUN_CANCELED.value: Outcome.CANCELED,
}
_STEP_ENDS = {
    DagsterEventType.STEP_SUCCESS.value: Outcome.SUCCESS,
    DagsterEventType.STEP_FAILURE.value: Outcome.FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY.value: Outcome.RETRY,
    DagsterEventType.STEP_SKIPPED.value: Outcome.SKIPPED,
}


class Timeline:
    """A run at a moment, as its events so far tell it."""

    def __init__(self, created: float | None = None) -> None:
        self.phases: list[Span] = []
        #: In the order in which they were first heard of.
        self.steps: dict[str, Step] = {}
        self.outcome: Outcome | None = None
        self.first: float | None = created
        self.last: float | None = created

    def fold(self, entry: EventLogEntry) -> None:
        """Takes the next event of the run."""
        time = entry.timestamp
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)
        event = entry.dagster_event
        if event is None:
            return
        if event.step_key:
            step = self.steps.get(event.step_key)
            if step is None:
                step = self.steps[event.step_key] = Step(event.step_key)
            _fold_step(step, event, entry)
        else:
            self._fold_run(event, entry)

    def _fold_run(self, event: DagsterEvent, entry: EventLogEntry) -> None:
        time, of_type = entry.timestamp, event.event_type_value
        if of_type == DagsterEventType.RUN_ENQUEUED:
            _open(self.phases, Kind.QUEUE, "queued", time)
        elif of_type == DagsterEventType.RUN_DEQUEUED:
            _close_last(self.phases, time)
        elif of_type == DagsterEventType.RUN_STARTING:
            _open(self.phases, Kind.STARTUP, "starting", time)
        elif of_type == DagsterEventType.RUN_START:
            _open(self.phases, Kind.EXECUTION, "running", time, event.pid)
            self.outcome = Outcome.RUNNING
        elif of_type in _RUN_ENDS:
            self.outcome = _RUN_ENDS[of_type]
            # A run that fails while it is launched is one that had no execution.
            _close_last(self.phases, time, self.outcome, error_of(entry))
            for step in self.steps.values():
                _close_last(step.spans, time, Outcome.INTERRUPTED)
                if step.outcome is Outcome.RUNNING:
                    step.outcome = Outcome.INTERRUPTED
        elif (
            isinstance(event.event_specific_data, EngineEventData)
            and self.phases
            # Resources that are made after the run's end, to read its outputs, are not its own.
            and self.phases[-1].end is None
        ):
            _fold_resources(self.phases[-1].parts, event.event_specific_data, entry)

    @property
    def spans(self) -> Iterator[tuple[str | None, Span]]:
        """Every span of every lane, with the step that it is of."""
        for span in self.phases:
            yield None, span
        for step in self.steps.values():
            for span in step.spans:
                yield step.key, span


def _fold_step(step: Step, event: DagsterEvent, entry: EventLogEntry) -> None:
    time, of_type, data = entry.timestamp, event.event_type_value, event.event_specific_data
    if of_type in (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED):
        _close_last(step.spans, time, Outcome.INTERRUPTED if step.running else Outcome.SUCCESS)
        label = f"attempt {len(step.attempts) + 1}"
        step.mark = _open(step.spans, Kind.ATTEMPT, label, time, event.pid).start
        step.outcome, step.output = Outcome.RUNNING, None
    elif of_type in _STEP_ENDS:
        _end_attempt(step, _STEP_ENDS[of_type], entry, event.pid)
    elif of_type == DagsterEventType.STEP_WORKER_STARTING:
        _open(step.spans, Kind.PROCESS, "process start-up", time)
    elif of_type == DagsterEventType.STEP_WORKER_STARTED:
        _close_last(step.spans, time, kind=Kind.PROCESS)
    elif isinstance(data, EngineEventData):
        pool = data.metadata.get("pool")
        if isinstance(pool, PoolMetadataValue):
            last = step.spans[-1] if step.spans else None
            if last is None or last.kind is not Kind.SLOT or last.end is not None:
                _open(step.spans, Kind.SLOT, f"slot of {pool.pool}", time)
        elif step.running is None:
            _fold_resources(step.spans, data, entry)
    elif step.running is not None:
        _fold_part(step, step.running, event, time)


def _fold_part(step: Step, attempt: Span, event: DagsterEvent, time: float) -> None:
    """The parts of an attempt: one after the other, from the mark to the event's time."""
    of_type, data = event.event_type_value, event.event_specific_data
    if isinstance(data, LoadedInputData):
        _part(step, attempt, Kind.INPUT, data.input_name, time)
    elif of_type == DagsterEventType.STEP_INPUT:
        # The input's type has been checked.
        step.mark = max(step.mark, time)
    elif isinstance(data, StepOutputData):
        _part(step, attempt, Kind.COMPUTE, "compute", time)
        step.output = data.output_name
    elif isinstance(data, HandledOutputData):
        _part(step, attempt, Kind.OUTPUT, data.output_name, time)


def _part(step: Step, attempt: Span, kind: Kind, label: str, time: float) -> None:
    part = Span(kind, label, step.mark)
    part.close(time)
    attempt.parts.append(part)
    assert part.end is not None
    step.mark = part.end


def _end_attempt(step: Step, outcome: Outcome, entry: EventLogEntry, pid: int | None) -> None:
    time = entry.timestamp
    attempt = step.running
    if attempt is None:
        # It failed before it began, or was skipped.
        attempt = _open(step.spans, Kind.ATTEMPT, f"attempt {len(step.attempts) + 1}", time, pid)
    elif time > step.mark and outcome is not Outcome.SKIPPED:
        _part(step, attempt, *_last_part(step, error_of(entry)), time)
    attempt.error = error_of(entry)
    attempt.close(time, outcome)
    step.outcome = outcome
    if outcome is Outcome.RETRY:
        _open(step.spans, Kind.RETRY, "retry wait", time)


def _last_part(step: Step, error: SerializableErrorInfo | None) -> tuple[Kind, str]:
    """What passed before an attempt's end, since the last event that tells of a part."""
    while error is not None:
        if error.cls_name == DagsterExecutionLoadInputError.__name__:
            # Its message alone says which one.
            return Kind.INPUT, ""
        if error.cls_name == DagsterExecutionHandleOutputError.__name__:
            return Kind.OUTPUT, step.output or ""
        error = error.cause
    if step.output is None:
        return Kind.COMPUTE, Kind.COMPUTE.value
    return Kind.REST, Kind.REST.value


def _fold_resources(lane: list[Span], data: EngineEventData, entry: EventLogEntry) -> None:
    if data.marker_start == "resources":
        _open(lane, Kind.RESOURCES, "resources", entry.timestamp)
    elif data.marker_end == "resources":
        outcome = Outcome.FAILURE if data.error else Outcome.SUCCESS
        _close_last(lane, entry.timestamp, outcome, data.error, kind=Kind.RESOURCES)


def _open(lane: list[Span], kind: Kind, label: str, time: float, pid: int | None = None) -> Span:
    """Begins a span where the last one of its lane ends, or later."""
    if lane:
        if lane[-1].end is None:
            lane[-1].close(time)
        assert lane[-1].end is not None
        time = max(time, lane[-1].end)
    span = Span(kind, label, time, pid=pid)
    lane.append(span)
    return span


def _close_last(
    lane: list[Span],
    time: float,
    outcome: Outcome = Outcome.SUCCESS,
    error: SerializableErrorInfo | None = None,
    kind: Kind | None = None,
) -> None:
    """Ends the last span of a lane if it goes on, and is of a kind where one is named."""
    if lane and lane[-1].end is None and kind in (None, lane[-1].kind):
        lane[-1].error = error
        lane[-1].close(time, outcome)
