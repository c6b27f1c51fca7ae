"""Runs as Chrome trace events, the JSON form of the Trace Event Format, which Perfetto opens.

A run is a process of the trace: a lane for the run itself (queue wait, start-up, execution) and one
for each step (slot waits, process start-up, resources, attempts with the loading of their inputs
and the handling of their outputs, waits before a retry). What happened at a moment
(materializations, observations, checks, failures) is an instant on its step's lane. Sensors,
schedules and backfills are lanes of a process of their own. Slices of a lane never overlap but by
nesting. Times are microseconds since the trace's first moment, which ``otherData.origin`` has in
Unix seconds, or of aligned runs since the creation of each, and that is 0.

Source: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dagster import EventLogEntry
from dagster._core.events import DagsterEventType
from dagster._core.execution.backfill import PartitionBackfill

from dagster_lmdb._texts import json_text
from dagster_lmdb.debug.lines import own_error
from dagster_lmdb.debug.runs import RunHistory, asset_of, shown_type
from dagster_lmdb.debug.timeline import Kind, Outcome, Span, Timeline
from dagster_lmdb.debug.window import Evaluation

TraceEvent = dict[str, Any]

#: Names of Chrome's palette, which Perfetto takes for how a slice ended.
_COLOURS = {
    Outcome.FAILURE: "terrible",
    Outcome.RETRY: "bad",
    Outcome.CANCELED: "grey",
    Outcome.INTERRUPTED: "grey",
}
_INSTANTS = frozenset(
    event_type.value
    for event_type in (
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.STEP_EXPECTATION_RESULT,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELING,
        DagsterEventType.RUN_CANCELED,
        DagsterEventType.RESOURCE_INIT_FAILURE,
        DagsterEventType.HOOK_ERRORED,
    )
)

_RUN_LANE = 1
_FIRST_STEP_LANE = 2


class Lane(NamedTuple):
    """Where events go: a process and a thread of the trace."""

    process: int
    number: int
    #: Seconds to take from the times of its events.
    shift: float = 0.0


@dataclass
class Trace:
    """Trace events with times in Unix seconds, until they are written."""

    #: Whether every run's creation is the trace's first moment.
    aligned: bool = False
    _events: list[TraceEvent] = field(default_factory=list)
    #: How many runs it has.
    runs: int = 0
    #: How many lanes of sensors, schedules and backfills have a name.
    _named: Counter[str] = field(default_factory=Counter)

    def add_run(self, history: RunHistory, until: float | None = None) -> None:
        """Adds a run; what goes on in it ends with its last event, or ``until``.

        Args:
            history (RunHistory): The run.
            until (Optional[float]): When what goes on is seen, in Unix seconds.
        """
        timeline = Timeline(history.created)
        instants: list[tuple[str | None, EventLogEntry, int]] = []
        for sequence, entry in history.events:
            timeline.fold(entry)
            event = entry.dagster_event
            if event is not None and event.event_type_value in _INSTANTS:
                instants.append((event.step_key, entry, sequence))
        self.runs += 1
        process = self.runs
        first, last = timeline.first or 0.0, max(timeline.last or 0.0, until or 0.0)
        shift = first if self.aligned else 0.0
        name = f"{history.job_name or 'run'} {history.run_id[:8]}"
        status = history.run.status.value if history.run else None
        run = {"run_id": history.run_id, "job": history.job_name, "status": status}
        self._name("process", process, 0, name, sort=process)
        self._name("thread", process, _RUN_LANE, "run", sort=0)
        numbers = {key: number for number, key in enumerate(timeline.steps, _FIRST_STEP_LANE)}
        for key, number in numbers.items():
            self._name("thread", process, number, key, sort=number)

        def lane_of(step_key: str | None) -> Lane:
            number = _RUN_LANE if step_key is None else numbers[step_key]
            return Lane(process, number, shift)

        for step_key, span in timeline.spans:
            self._slices(lane_of(step_key), step_key, span, last, run)
        for step_key, entry, sequence in instants:
            self._instant(lane_of(step_key), entry, sequence)

    def add_ticks(self, evaluations: Sequence[Evaluation]) -> None:
        """Adds the evaluations of a sensor or schedule, on a lane of their own, in their order."""
        lane = None
        for tick, begin, end in evaluations:
            if lane is None:
                name = f"{tick.instigator_type.value.lower()} {tick.instigator_name}"
                lane = Lane(0, self._lane(name))
            facts = {
                "status": tick.status.value,
                "due": tick.timestamp,
                "runs": list(tick.run_ids),
                "skip_reason": tick.skip_reason,
                "cursor": tick.cursor,
                "error": tick.error.to_string() if tick.error else None,
            }
            self._slice(lane, f"tick: {tick.status.value.lower()}", "tick", begin, end, facts)

    def add_backfill(self, backfill: PartitionBackfill, until: float) -> None:
        """Adds a backfill, to its end, or ``until`` where it goes on."""
        lane = self._lane(f"backfill {backfill.backfill_id}")
        facts = {"status": backfill.status.value, "tags": dict(backfill.tags or {})}
        begin = backfill.backfill_timestamp
        end = max(backfill.backfill_end_timestamp or until, begin)
        self._slice(Lane(0, lane), backfill.status.value.lower(), "backfill", begin, end, facts)

    def _slices(
        self, lane: Lane, step_key: str | None, span: Span, last: float, run: Mapping[str, Any]
    ) -> None:
        """A span and its parts; one that goes on ends with the last moment."""
        end = max(last, span.start) if span.end is None else span.end
        facts: dict[str, Any] = {"outcome": span.outcome.value, "process": span.pid}
        name = _name_of(span)
        if span.kind is Kind.EXECUTION:
            facts, name = {**run, **facts}, run["job"] or name
        elif span.kind is Kind.ATTEMPT and step_key is not None:
            facts["step"] = step_key
            name = step_key if span.label == "attempt 1" else f"{step_key} ({span.label})"
        if span.error is not None:
            facts["error"] = span.error.to_string()
        self._slice(
            lane, name, span.kind.value, span.start, end, facts, colour=_COLOURS.get(span.outcome)
        )
        for part in span.parts:
            part_start = min(max(part.start, span.start), end)
            part_end = end if part.end is None else min(part.end, end)
            self._slice(lane, _name_of(part), part.kind.value, part_start, part_end)

    def _instant(self, lane: Lane, entry: EventLogEntry, sequence: int) -> None:
        name = shown_type(entry)
        facts: dict[str, Any] = {"storage_id": sequence, "type": name, "message": entry.message}
        asset = asset_of(entry)
        if asset is not None:
            key, partition = asset
            name = f"{key.to_user_string()}{f' [{partition}]' if partition else ''}"
            facts["partition"] = partition
        error = own_error(entry)
        if error is not None:
            facts["error"] = error.to_string()
        self._events.append(
            {
                "ph": "i",
                "s": "t",
                "pid": lane.process,
                "tid": lane.number,
                "name": name,
                "cat": facts["type"].lower(),
                "ts": entry.timestamp - lane.shift,
                "args": _present(facts),
            }
        )

    def _slice(
        self,
        lane: Lane,
        name: str,
        category: str,
        start: float,
        end: float,
        facts: Mapping[str, Any] | None = None,
        colour: str | None = None,
    ) -> None:
        self._events.append(
            {
                "ph": "X",
                "pid": lane.process,
                "tid": lane.number,
                "name": name,
                "cat": category,
                "ts": start - lane.shift,
                "end": end - lane.shift,
                **({"cname": colour} if colour else {}),
                "args": _present(facts or {}),
            }
        )

    def _lane(self, name: str) -> int:
        """A new lane of a sensor, schedule or backfill; of those of one name each has its own."""
        if not self._named:
            self._name("process", 0, 0, "sensors, schedules, backfills", sort=0)
        self._named[name] += 1
        lane, number = self._named.total(), self._named[name]
        self._name("thread", 0, lane, name if number == 1 else f"{name} ({number})", sort=lane)
        return lane

    def _name(self, what: str, process: int, lane: int, name: str, sort: int) -> None:
        for field_name, fact in (
            (f"{what}_name", {"name": name}),
            (f"{what}_sort_index", {"sort_index": sort}),
        ):
            self._events.append(
                {"ph": "M", "pid": process, "tid": lane, "name": field_name, "args": fact}
            )

    def written(self) -> Iterator[str]:
        """The trace as JSON, in pieces: an object with ``traceEvents``, one event a line."""
        times = (event["ts"] for event in self._events if "ts" in event)
        # Of aligned runs each has times since its own first moment already.
        origin = 0.0 if self.aligned else min(times, default=0.0)
        facts = {"origin": origin, "aligned": self.aligned, "producer": "dagster-lmdb trace"}
        yield f'{{"displayTimeUnit": "ms", "otherData": {json_text(facts)}, "traceEvents": [\n'
        separator = ""
        for event in _in_order(self._events, origin):
            yield separator + json_text(event)
            separator = ",\n"
        yield "\n]}\n"


def _in_order(events: Sequence[TraceEvent], origin: float) -> Iterator[TraceEvent]:
    """Names first, then events by time in whole microseconds, an outer slice before its parts."""
    placed = []
    for event in events:
        if "ts" not in event:
            yield event
            continue
        event = dict(event)
        event["ts"] = start = _microseconds(event["ts"] - origin)
        if "end" in event:
            event["dur"] = max(_microseconds(event.pop("end") - origin) - start, 0)
        placed.append(event)
    placed.sort(key=lambda event: (event["ts"], -event.get("dur", -1)))
    yield from placed


def _name_of(span: Span) -> str:
    named = span.kind in (Kind.INPUT, Kind.OUTPUT)
    return f"{span.kind.value} {span.label}".rstrip() if named else span.label


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}
