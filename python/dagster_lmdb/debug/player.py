"""A run played again: which of its events have happened at a moment of the replay.

The player knows neither clock nor terminal: whoever shows it says how many seconds passed. Its time
is that of the run, in seconds since the run's first moment, and never goes back, also where the
processes of a run wrote events whose times are out of order: those happen together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dagster import EventLogEntry
from dagster._core.events import DagsterEventType

from dagster_lmdb._arguments import storage_id_from
from dagster_lmdb.debug.errors import NotInRunError
from dagster_lmdb.debug.runs import RunHistory, event_type_from, shown_type
from dagster_lmdb.debug.timeline import Timeline

_FAILURES = frozenset(
    event_type.value
    for event_type in (
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RESOURCE_INIT_FAILURE,
        DagsterEventType.HOOK_ERRORED,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
    )
)

SLOWEST, FASTEST = 1 / 1024, 65536.0


@dataclass(frozen=True)
class Moment:
    """An event of a run, and when it happens in the replay."""

    sequence: int
    entry: EventLogEntry
    #: Seconds since the run's first moment.
    elapsed: float

    @property
    def is_failure(self) -> bool:
        event = self.entry.dagster_event
        return event is not None and event.event_type_value in _FAILURES


class Player:
    """Where the replay of a run is.

    Args:
        history: The run.
        speed: How many of its seconds pass in one.
        begin: The place of the first event to be shown; those before have happened.
        end: The place after the last one.
    """

    def __init__(
        self, history: RunHistory, speed: float = 1.0, begin: int = 0, end: int | None = None
    ) -> None:
        self.history = history
        self.speed = speed
        self.paused = False
        self.timeline = Timeline(history.created)
        self.moments = moments(history)
        self.begin = begin
        self.end = len(self.moments) if end is None else end
        failures = [n for n, moment in enumerate(self.moments[: self.end]) if moment.is_failure]
        self._last_failure = failures[-1] if failures else -1
        self.place = 0
        for moment in self.moments[:begin]:
            self._happen(moment)
        self.now = self.moments[begin].elapsed if begin < len(self.moments) else 0.0

    @property
    def start(self) -> float:
        """The run's first moment, in Unix seconds."""
        return first_time(self.history)

    @property
    def length(self) -> float:
        """The run's length in seconds, to its last event."""
        return self.moments[-1].elapsed if self.moments else 0.0

    def latest(self) -> Iterator[Moment]:
        """What has happened, the last first."""
        return (self.moments[place] for place in range(self.place - 1, -1, -1))

    @property
    def ended(self) -> bool:
        return self.place >= self.end

    @property
    def has_failure_ahead(self) -> bool:
        """Whether a failure is among the events that have not happened."""
        return self.place <= self._last_failure

    @property
    def pending(self) -> float | None:
        """Seconds of the viewer's until the next event; None where none will come by itself."""
        if self.paused or self.ended:
            return None
        return max(self.moments[self.place].elapsed - self.now, 0.0) / self.speed

    def advance(self, seconds: float) -> Sequence[Moment]:
        """Lets seconds of the viewer's pass; returns what happened in them."""
        if self.paused or self.ended:
            return []
        self.now += seconds * self.speed
        before = self.place
        while self.place < self.end and self.moments[self.place].elapsed <= self.now:
            self._happen(self.moments[self.place])
        if self.place == self.end:
            self.now = self.moments[self.place - 1].elapsed
        return self.moments[before : self.place]

    def step(self) -> Sequence[Moment]:
        """Pauses, and lets the next event happen at once."""
        self.paused = True
        return self._go_to(min(self.place + 1, self.end))

    def go_to_failure(self) -> Sequence[Moment]:
        """Pauses, and lets all happen up to the next failure, which is the last event shown."""
        for place in range(self.place, self.end):
            if self.moments[place].is_failure:
                self.paused = True
                return self._go_to(place + 1)
        return []

    def go_to_end(self) -> Sequence[Moment]:
        """Lets all happen that has not."""
        return self._go_to(self.end)

    def change_speed(self, factor: float) -> None:
        """Multiplies the speed, within bounds; one that is beyond them already stays."""
        slowest, fastest = min(SLOWEST, self.speed), max(FASTEST, self.speed)
        self.speed = min(max(self.speed * factor, slowest), fastest)

    def _go_to(self, place: int) -> Sequence[Moment]:
        before = self.place
        while self.place < place:
            self._happen(self.moments[self.place])
        if self.place > before:
            self.now = max(self.now, self.moments[self.place - 1].elapsed)
        return self.moments[before : self.place]

    def _happen(self, moment: Moment) -> None:
        self.timeline.fold(moment.entry)
        self.place += 1


def first_time(history: RunHistory) -> float:
    """The run's first moment: when it was created, or its first event, in Unix seconds."""
    times = [history.events[0][1].timestamp] if history.events else []
    if history.created is not None:
        times.append(history.created)
    return min(times, default=0.0)


def moments(history: RunHistory) -> list[Moment]:
    """The events of a run with the times at which they happen in a replay, which never go back."""
    start, latest = first_time(history), 0.0
    found = []
    for sequence, entry in history.events:
        latest = max(latest, entry.timestamp - start)
        found.append(Moment(sequence, entry, latest))
    return found


def place_of_step(history: RunHistory, step_key: str) -> int:
    """The place of the first event of a step.

    Raises:
        NotInRunError: If the run has no event of it.
    """
    for place, (_, entry) in enumerate(history.events):
        if entry.step_key == step_key:
            return place
    keys = dict.fromkeys(entry.step_key for _, entry in history.events if entry.step_key)
    raise NotInRunError(
        f"run {history.run_id} has no event of a step {step_key!r}; its steps are:"
        f" {', '.join(keys) or 'none'}"
    )


def place_after(history: RunHistory, event: str, begin: int = 0) -> int:
    """The place after an event: the first of a type from a place on, or the one of a storage id.

    Raises:
        NotInRunError: If the run has no such event, none from the place on, or Dagster no such
            type.
    """
    storage_id = storage_id_from(event)
    if storage_id is not None:
        for place, (sequence, _) in enumerate(history.events):
            if sequence == storage_id:
                if place < begin:
                    raise _before_start(history, f"the event of the storage id {event}", begin)
                return place + 1
        raise NotInRunError(f"run {history.run_id} has no event of the storage id {event}")
    stored = event_type_from(event)
    if stored is None:
        raise NotInRunError(
            f"{event!r} is neither a type of event, such as STEP_FAILURE or RUN_SUCCESS, nor a"
            " storage id"
        )
    seen = False
    for place, (_, entry) in enumerate(history.events):
        if entry.dagster_event and entry.dagster_event.event_type_value == stored:
            seen = True
            if place >= begin:
                return place + 1
    if seen:
        raise _before_start(history, f"the last event {event}", begin)
    raise NotInRunError(f"run {history.run_id} has no event {event} to play until")


def _before_start(history: RunHistory, what: str, begin: int) -> NotInRunError:
    sequence, entry = history.events[begin]
    return NotInRunError(
        f"{what} of run {history.run_id} is before the replay's start, which is the event"
        f" {sequence}, {shown_type(entry)} of the step {entry.step_key}; begin with an earlier"
        " step, or play until a later event"
    )
