"""The arguments of a question, and how questions are registered.

A question is a pair: what the storages answer, and what the model says that they have to. Both give
plain values that compare. ``Probe`` holds the arguments; as it is made without any, its questions
show all that there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dagster._time import datetime_from_timestamp

from dagster_lmdb import DagsterLmdbStorage
from model.drafts import EPOCH
from model.instance.instance import Instance
from model.instance.objects import ORIGINS, SELECTORS

Times = tuple[int | None, int | None]


@dataclass(frozen=True)
class RunProbe:
    ids: tuple[str, ...] = ()
    job: str | None = None
    statuses: tuple[str, ...] = ()
    #: A value, or several.
    tags: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    snapshot: str | None = None
    #: Bounds, after and before.
    created: Times = (None, None)
    updated: Times = (None, None)
    exclude_subruns: bool = False
    cursor: str | None = None
    limit: int | None = None
    ascending: bool = False
    order_by: str | None = None
    #: A tag or None for the job, its values, and how many of each.
    bucket: tuple[str | None, tuple[str, ...], int | None] | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class BackfillProbe:
    ids: tuple[str, ...] = ()
    job: str | None = None
    statuses: tuple[str, ...] = ()
    tags: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    created: Times = (None, None)
    by_selector: bool = False
    cursor: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class ScheduleProbe:
    repository: str | None = None
    is_schedule: bool = False
    state_statuses: tuple[str, ...] = ()
    origin: str = ORIGINS[0]
    selector: str = SELECTORS[0]
    #: Bounds, after and before.
    times: Times = (None, None)
    statuses: tuple[str, ...] = ()
    limit: int | None = None
    #: Places among the ticks that there have been.
    ids: tuple[int, ...] = ()
    key_limit: int = 100
    before: int | None = None


@dataclass(frozen=True)
class Probe:
    runs: RunProbe = field(default_factory=RunProbe)
    backfills: BackfillProbe = field(default_factory=BackfillProbe)
    schedules: ScheduleProbe = field(default_factory=ScheduleProbe)


Answer = Callable[[DagsterLmdbStorage, Probe], Any]
Truth = Callable[[Instance, Probe], Any]
QUESTIONS: dict[str, tuple[Answer, Truth]] = {}


def question(truth: Truth) -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        QUESTIONS[answer.__name__] = (answer, truth)
        return answer

    return register


def time_of(seconds: int | None) -> float | None:
    return None if seconds is None else EPOCH + seconds


def datetime_of(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime_from_timestamp(EPOCH + seconds)


def within(time: float, bounds: Times) -> bool:
    """Whether a time is between bounds, which exclude."""
    after, before = bounds
    return (after is None or time > after) and (before is None or time < before)


def have_tags(tags: dict[str, str], wanted: Sequence[tuple[str, str | tuple[str, ...]]]) -> bool:
    """Whether there is each of the tags wanted, with its value or with one of its values."""
    return all(
        tags.get(key) == values if isinstance(values, str) else tags.get(key) in values
        for key, values in wanted
    )


def tags_filter(wanted: Sequence[tuple[str, str | tuple[str, ...]]]) -> dict[str, Any]:
    return {key: value if isinstance(value, str) else list(value) for key, value in wanted}


def refused(ask: Callable[[], Any]) -> Any:
    """The answer, or the type of the error."""
    try:
        return ask()
    except Exception as error:
        return type(error).__name__
