"""What an instance did in a window of time: its runs, ticks and backfills."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from dagster._core.execution.backfill import BulkActionsFilter, PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorTick, TickData, TickStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRunStatus, RunsFilter
from dagster._time import datetime_from_timestamp

from dagster_lmdb.debug.runs import Source

_NOT_ENDED = [status for status in DagsterRunStatus if status not in FINISHED_STATUSES]

#: How many ticks that began before a window are read at first, and how many times as many next.
_FEW, _MORE = 8, 4
#: As exact as ticks are ordered, in seconds.
_EXACT = 1e-6


class Evaluation(NamedTuple):
    """A tick, and from when to when it was evaluated, in Unix seconds."""

    tick: TickData
    begin: float
    end: float


def runs_within(source: Source, begin: float, end: float) -> Sequence[str]:
    """The ids of the runs that were created before the end and had not ended before the beginning.

    Cost: the runs that were created before the end and changed after the beginning, and those that
    have not ended, by the index.
    """
    created = datetime_from_timestamp(end)
    changed = RunsFilter(created_before=created, updated_after=datetime_from_timestamp(begin))
    going = RunsFilter(created_before=created, statuses=_NOT_ENDED)
    found = {
        record.storage_id: record.dagster_run.run_id
        for filters in (changed, going)
        for record in source.runs.get_run_records(filters)
        # Tags change a run that ended long ago.
        if record.end_time is None or record.end_time > begin
    }
    return [found[storage_id] for storage_id in sorted(found)]


def ticks_within(source: Source, begin: float, end: float) -> Iterator[Sequence[Evaluation]]:
    """The ticks that were evaluated then, oldest first, of each instigator that has ticks.

    Whether an instigator has a state does not matter: the daemon of automation conditions has none,
    and that of a sensor may be gone. One evaluates its ticks one after the other. So a tick that
    never ended went on until the next one at most, and a tick of a schedule, whose time is the one
    at which it was due, was evaluated no earlier than the one before it had ended.

    Cost: the instigators with ticks, and of each the ticks that began in the window and those
    before it back to one that had ended by then, or four times as many; all by the index.

    Args:
        source (Source): The store.
        begin (float): The window's beginning, in Unix seconds.
        end (float): Its end, no later than now: when a tick that goes on is seen.
    """
    for origin_id, selector_id in source.schedules.get_instigators_with_ticks():
        found = [
            each
            for each in _evaluations(_ticks_of(source, origin_id, selector_id, begin, end), end)
            if each.begin < end and (each.end > begin or each.begin >= begin)
        ]
        if found:
            yield found


def backfills_within(source: Source, begin: float, end: float) -> Iterator[PartitionBackfill]:
    """The backfills that had begun before the end and had not ended before the beginning."""
    filters = BulkActionsFilter(created_before=datetime_from_timestamp(end))
    for backfill in reversed(source.runs.get_backfills(filters)):
        if backfill.backfill_end_timestamp is None or backfill.backfill_end_timestamp > begin:
            yield backfill


def _ticks_of(
    source: Source, origin_id: str, selector_id: str, begin: float, end: float
) -> Sequence[InstigatorTick]:
    """The ticks of an instigator before the end, oldest first.

    They begin with one that had ended by the beginning, where there is one.
    """
    # Both bounds are excluded.
    inside = source.schedules.get_ticks(origin_id, selector_id, before=end, after=begin - _EXACT)
    before: Sequence[InstigatorTick] = []
    limit = _FEW
    # A bound of 0 is none.
    while begin > 0:
        before = source.schedules.get_ticks(origin_id, selector_id, before=begin, limit=limit)
        if len(before) < limit or _had_ended(before[-1], begin):
            break
        limit *= _MORE
    # At the bound one may be among both.
    found = {tick.tick_id: tick for tick in (*inside, *before)}
    return sorted(found.values(), key=lambda tick: (tick.timestamp, tick.tick_id))


def _had_ended(tick: InstigatorTick, by: float) -> bool:
    if tick.end_timestamp is None:
        return tick.status is not TickStatus.STARTED
    return tick.end_timestamp <= by


def _evaluations(ticks: Sequence[InstigatorTick], until: float) -> Iterator[Evaluation]:
    """When each of the ticks of an instigator was evaluated, which do not overlap."""
    free = float("-inf")
    for tick, after in zip_longest(ticks, ticks[1:]):
        begin = max(tick.timestamp, free)
        end = tick.end_timestamp
        if end is None:
            open_until = until if after is None else after.timestamp
            end = open_until if tick.status is TickStatus.STARTED else begin
        free = max(begin, end)
        yield Evaluation(tick.tick_data, begin, free)
