"""What an instance did in a window of time: its runs, ticks and backfills."""

from collections.abc import Iterator, Sequence

from dagster._core.execution.backfill import BulkActionsFilter, PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRunStatus, RunsFilter
from dagster._time import datetime_from_timestamp

from dagster_lmdb.debug.runs import Source

_NOT_ENDED = [status for status in DagsterRunStatus if status not in FINISHED_STATUSES]


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


def ticks_within(source: Source, begin: float, end: float) -> Iterator[InstigatorTick]:
    """The ticks that began then of each sensor and schedule that has a state, oldest first."""
    for state in source.schedules.all_instigator_state():
        ticks = source.schedules.get_ticks(
            state.instigator_origin_id, state.selector_id, before=end, after=begin
        )
        yield from reversed(ticks)


def backfills_within(source: Source, begin: float, end: float) -> Iterator[PartitionBackfill]:
    """The backfills that had begun before the end and had not ended before the beginning."""
    filters = BulkActionsFilter(created_before=datetime_from_timestamp(end))
    for backfill in reversed(source.runs.get_backfills(filters)):
        if backfill.backfill_end_timestamp is None or backfill.backfill_end_timestamp > begin:
            yield backfill
