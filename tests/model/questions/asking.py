"""The arguments of a question, and how questions are registered.

A question is a pair: what the storage answers, and what the history says that it has to. Both give
plain values that compare. ``Probe`` holds the arguments, which mean to each question what they can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from dagster._core.event_api import EventLogCursor, RunShardedEventsCursor
from dagster._core.events import DagsterEventType

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import ASSETS, CHECKS, EPOCH, RUNS
from model.history import History, Stored


@dataclass(frozen=True)
class Probe:
    run: str = RUNS[0]
    asset: str = ASSETS[0]
    check: tuple[str, str] = CHECKS[0]
    partitions: tuple[str, ...] = ()
    types: tuple[DagsterEventType, ...] = ()
    jobs: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    after: int | None = None
    before: int | None = None
    after_time: int | None = None
    before_time: int | None = None
    limit: int | None = None
    ascending: bool = True
    sharded: bool = False
    cursor: str = "none"
    partition: str | None = None
    statuses: tuple[str, ...] = ()

    @property
    def page(self) -> int:
        return self.limit or 1000

    def cursor_text(self) -> str | None:
        """A cursor of one of Dagster's kinds, or none."""
        if self.after is None:
            return None
        return {
            "none": None,
            "integer": None,
            "offset": EventLogCursor.from_offset(self.after).to_string(),
            "id": EventLogCursor.from_storage_id(self.after).to_string(),
        }[self.cursor]

    def bound(self, number: int | None) -> Any:
        if number is None or not self.sharded:
            return number
        return RunShardedEventsCursor(number, datetime.now(timezone.utc))

    def within(self, number: int) -> bool:
        return (self.after is None or number > self.after) and (
            self.before is None or number < self.before
        )

    def in_time(self, stored: Stored) -> bool:
        time = stored.draft.time
        return (self.after_time is None or time > self.after_time) and (
            self.before_time is None or time < self.before_time
        )


Answer = Callable[[LmdbEventLogStorage, Probe], Any]
Truth = Callable[[History, Probe], Any]
QUESTIONS: dict[str, tuple[Answer, Truth]] = {}


def question(truth: Truth) -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        QUESTIONS[answer.__name__] = (answer, truth)
        return answer

    return register


def cut(found: Sequence[Any], limit: int | None) -> list[Any]:
    return list(found[:limit] if limit else found)


def ordered(found: Sequence[Stored], probe: Probe) -> list[Stored]:
    return sorted(found, key=lambda stored: stored.id, reverse=not probe.ascending)


def time_of(seconds: int | None) -> float | None:
    return None if seconds is None else EPOCH + seconds
