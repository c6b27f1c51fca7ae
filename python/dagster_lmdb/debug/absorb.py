"""The runs of a capsule taken into a store.

What can be refused is refused before anything is written: the capsule is read and checked whole,
and each of its runs is held against the store. Then snapshots, backfills and ticks are put, then
all events, in one commit for each ``BATCH``, then all runs, as they ended, in one commit. So
whoever lists runs sees none of them or all of them, each with its whole log; whoever asks for
events of an asset may see them a moment before. What a call that died has left is gone on with by
the next one.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster import EventLogEntry
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.scheduler.instigation import TickData
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRun, RunsFilter
from dagster._core.storage.tags import TICK_ID_TAG
from dagster._time import get_current_timestamp

from dagster_lmdb._rows import Event, Term
from dagster_lmdb._runs import ENDED, STARTED, run_terms
from dagster_lmdb.cli.progress import Report
from dagster_lmdb.cli.store import open_store
from dagster_lmdb.debug.capsule import CapsuleRun, Contents
from dagster_lmdb.debug.errors import (
    AbsorbRunningError,
    ConflictingRunError,
    UnfinishedRunError,
)
from dagster_lmdb.debug.runs import Source, run_events

#: Events that are stored in one commit.
BATCH = 20_000


@dataclass(frozen=True)
class Absorbed:
    """What was added, and what was there already."""

    added: Sequence[str]
    present: Sequence[str]
    events: int
    #: Backfills that had not ended, and were put as canceled, so that no daemon goes on with them.
    canceled_backfills: Sequence[str]
    #: Backfills that are there with other content, and were left.
    other_backfills: Sequence[str]


def absorb(
    contents: Contents,
    directory: Path,
    overrides: tuple[str, ...] = (),
    *,
    unfinished: bool = False,
    report: Report | None = None,
) -> Absorbed:
    """Takes runs into a store, which is made if there is none.

    Cost: the capsule's events, and those that the store has of its runs. A run that is there with
    events of the same texts costs these texts.

    Args:
        contents (Contents): What a capsule holds.
        directory (Path): The store.
        overrides (Tuple[str, ...]): How to open it.
        unfinished (bool): Whether runs that have not ended are taken too.
        report (Optional[Report]): Is told how many events have been stored.

    Raises:
        CapsuleVersionError: If events cannot be read; nothing was added.
        ConflictingRunError: If a run is there with other content; nothing was added.
        UnfinishedRunError: If a run has not ended; nothing was added.
        AbsorbRunningError: If another process absorbs into the store.
        LmdbStoreError: If the store cannot be opened or cannot take it.
    """
    _refuse_unfinished(contents, unfinished)
    if not directory.is_dir() or not any(directory.iterdir()):
        # What cannot be read is refused before a store is made for it.
        for run in contents.runs:
            _ = run.events
    # Made where there is none; refused where there is something else.
    open_store(directory, overrides, create=True).close()
    with _alone(directory):
        source = Source(directory, overrides)
        plans = [_plan(source, run) for run in contents.runs]
        wanted = [plan for plan in plans if not plan.present]
        if not wanted:
            return Absorbed([], [plan.run_id for plan in plans], 0, [], [])
        for snapshot in contents.snapshots.values():
            source.runs.add_snapshot(snapshot)
        canceled, other = _put_backfills(source, contents.backfills)
        ticks = {
            old: _put_tick(source, tick)
            for old, tick in contents.ticks.items()
            if any(plan.run.run.tags.get(TICK_ID_TAG) == str(old) for plan in wanted)
        }
        stored = _store_events(source, wanted, report)
        _put_runs(source, wanted, ticks)
    return Absorbed(
        added=[plan.run_id for plan in wanted],
        present=[plan.run_id for plan in plans if plan.present],
        events=stored,
        canceled_backfills=canceled,
        other_backfills=other,
    )


@dataclass(frozen=True)
class _Plan:
    """What is to be done about a run."""

    run: CapsuleRun
    #: Whether it is there, whole and the same.
    present: bool
    #: What is not there of its events.
    missing: Sequence[EventLogEntry]

    @property
    def run_id(self) -> str:
        return self.run.run.run_id


def _refuse_unfinished(contents: Contents, unfinished: bool) -> None:
    for each in contents.runs:
        if each.run.status not in FINISHED_STATUSES and not unfinished:
            raise UnfinishedRunError(
                f"run {each.run.run_id} had not ended ({each.run.status.value}); a daemon on this"
                " store would take it for its own, and launch it or declare it dead. Where none"
                " runs, give --unfinished"
            )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keeps other absorbing processes out; a lock on the directory, which no one else uses."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AbsorbRunningError(
            f"another process absorbs into {directory}; try again when it has ended"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _plan(source: Source, wanted: CapsuleRun) -> _Plan:
    run_id = wanted.run.run_id
    records = source.runs.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
    stored = list(run_events(source, run_id))
    here = [entry for _, entry in stored]
    if records:
        if _without_tick(records[0].dagster_run) != _without_tick(wanted.run):
            raise ConflictingRunError(
                f"run {run_id} is here already, and is not the capsule's:"
                f" {_why(records[0].dagster_run, wanted.run)}; nothing was added. Absorb into"
                " another store"
            )
        if not _same_texts(source, stored, wanted.texts) and here != list(wanted.events):
            raise ConflictingRunError(
                f"run {run_id} is here already with other events ({len(here):,} here,"
                f" {len(wanted.events):,} in the capsule); nothing was added. Absorb into another"
                " store"
            )
        return _Plan(wanted, True, [])
    if here != list(wanted.events[: len(here)]):
        raise ConflictingRunError(
            f"there are {len(here):,} events of run {run_id} here that are not the capsule's;"
            " nothing was added. Absorb into another store"
        )
    return _Plan(wanted, False, wanted.events[len(here) :])


def _same_texts(source: Source, stored: Sequence[Event], texts: Sequence[str] | None) -> bool:
    """Whether events are serialized alike, which tells sooner than reading them that they are."""
    return (
        texts is not None
        and len(stored) == len(texts)
        and all(
            source.log.packed_json(sequence) == text
            for (sequence, _), text in zip(stored, texts, strict=True)
        )
    )


def _without_tick(run: DagsterRun) -> DagsterRun:
    """A run without the id of its tick, which is another one in each store."""
    return run.with_tags({key: tag for key, tag in run.tags.items() if key != TICK_ID_TAG})


def _why(here: DagsterRun, wanted: DagsterRun) -> str:
    for name, differs in (
        ("job_name", "its job name differs"),
        ("status", "its status differs"),
        ("run_config", "its run config differs"),
        ("tags", "its tags differ"),
    ):
        if getattr(_without_tick(here), name) != getattr(_without_tick(wanted), name):
            return differs
    return "its origin or its snapshots differ"


def _put_backfills(
    source: Source, backfills: Sequence[PartitionBackfill]
) -> tuple[Sequence[str], Sequence[str]]:
    canceled, other = [], []
    for backfill in backfills:
        if backfill.status not in BULK_ACTION_TERMINAL_STATUSES:
            backfill = backfill.with_status(BulkActionStatus.CANCELED)  # type: ignore[no-untyped-call]
            canceled.append(backfill.backfill_id)
        here = source.runs.get_backfill(backfill.backfill_id)
        if here is None:
            source.runs.add_backfill(backfill)
        elif here != backfill:
            other.append(backfill.backfill_id)
    return canceled, other


def _put_tick(source: Source, tick: TickData) -> int:
    """The id of the tick in this store, which it gets where it is not there."""
    at = tick.timestamp
    for here in source.schedules.get_ticks(
        tick.instigator_origin_id, tick.selector_id or "", after=at - 1, before=at + 1
    ):
        if here.tick_data == tick:
            return here.tick_id
    return source.schedules.create_tick(tick).tick_id


def _store_events(source: Source, plans: Sequence[_Plan], report: Report | None) -> int:
    events = [entry for plan in plans for entry in plan.missing]
    for begin in range(0, len(events), BATCH):
        source.events.store_event_batch(events[begin : begin + BATCH])
        if report is not None:
            report("storing events", min(begin + BATCH, len(events)), len(events))
    return len(events)


def _put_runs(source: Source, plans: Sequence[_Plan], ticks: Mapping[int, int]) -> None:
    """Adds the runs, as they ended, in one commit; their tags name ticks as this store does.

    A tick that did not come along is not named: its number may be another tick's here.
    """
    documents = []
    for plan in plans:
        wanted, run = plan.run, plan.run.run
        tick_id = run.tags.get(TICK_ID_TAG, "")
        if tick_id.isdigit() and int(tick_id) in ticks:
            run = run.with_tags({**run.tags, TICK_ID_TAG: str(ticks[int(tick_id)])})
        else:
            run = _without_tick(run)
        terms: list[Term] = run_terms(run, created=wanted.created, updated=wanted.updated)
        for name, time in ((STARTED, wanted.started), (ENDED, wanted.ended)):
            if time is not None:
                terms.append((name, "", time))
        documents.append((None, run.run_id, wanted.created, terms, run))
    source.log.put_documents("run", documents, "insert", get_current_timestamp())
