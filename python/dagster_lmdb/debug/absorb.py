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
from dagster._core.scheduler.instigation import InstigatorTick, TickData
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRun, RunsFilter
from dagster._core.storage.tags import TICK_ID_TAG
from dagster._time import get_current_timestamp

from dagster_lmdb._arguments import storage_id_from
from dagster_lmdb._opening import open_store
from dagster_lmdb._progress import Report
from dagster_lmdb._rows import Event, Term
from dagster_lmdb._runs import ENDED, STARTED, run_terms
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
class Taken:
    """What became of the ticks of a capsule, or of its backfills."""

    added: int
    #: Those that were there already, with the same content.
    present: int
    #: Ids of those that are there with other content, and were left.
    other: Sequence[str]


@dataclass(frozen=True)
class Absorbed:
    """What was added, and what was there already."""

    #: Ids of runs.
    added: Sequence[str]
    present: Sequence[str]
    events: int
    snapshots: int
    ticks: Taken
    backfills: Taken
    #: Runs that were there already, and name their tick from now on.
    named: Sequence[str]
    #: Backfills that had not ended, and were put as canceled, so that no daemon goes on with them.
    canceled_backfills: Sequence[str]


def absorb(
    contents: Contents,
    directory: Path,
    overrides: tuple[str, ...] = (),
    *,
    unfinished: bool = False,
    report: Report | None = None,
) -> Absorbed:
    """Takes runs into a store, which is made if there is none.

    What the store lacks is added: runs with their events, and the snapshots, ticks and backfills of
    all runs, those that are there already too.

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
        wanted = [plan for plan in plans if plan.here is None]
        snapshots = _put_snapshots(source, contents)
        backfills, canceled = _put_backfills(source, contents.backfills)
        ticks, ids = _put_ticks(source, contents, plans)
        named = _name_ticks(source, plans, ids)
        stored = _store_events(source, wanted, report)
        _put_runs(source, wanted, ids)
    return Absorbed(
        added=[plan.run_id for plan in wanted],
        present=[plan.run_id for plan in plans if plan.here is not None],
        events=stored,
        snapshots=snapshots,
        ticks=ticks,
        backfills=backfills,
        named=named,
        canceled_backfills=canceled,
    )


@dataclass(frozen=True)
class _Plan:
    """What is to be done about a run."""

    run: CapsuleRun
    #: As it is there, whole and the same.
    here: DagsterRun | None
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
        return _Plan(wanted, records[0].dagster_run, [])
    if here != list(wanted.events[: len(here)]):
        raise ConflictingRunError(
            f"there are {len(here):,} events of run {run_id} here that are not the capsule's;"
            " nothing was added. Absorb into another store"
        )
    return _Plan(wanted, None, wanted.events[len(here) :])


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


def _put_snapshots(source: Source, contents: Contents) -> int:
    added = 0
    for snapshot_id, snapshot in contents.snapshots.items():
        if not source.runs.has_snapshot(snapshot_id):
            source.runs.add_snapshot(snapshot)
            added += 1
    return added


def _put_backfills(
    source: Source, backfills: Sequence[PartitionBackfill]
) -> tuple[Taken, Sequence[str]]:
    """What became of backfills, and the ids of those that were put as canceled."""
    added, present, other, canceled = 0, 0, [], []
    for backfill in backfills:
        ended = backfill
        if backfill.status not in BULK_ACTION_TERMINAL_STATUSES:
            ended = backfill.with_status(BulkActionStatus.CANCELED)  # type: ignore[no-untyped-call]
        here = source.runs.get_backfill(backfill.backfill_id)
        if here is None:
            source.runs.add_backfill(ended)
            added += 1
            if ended is not backfill:
                canceled.append(backfill.backfill_id)
        elif here in (backfill, ended):
            present += 1
        else:
            other.append(backfill.backfill_id)
    return Taken(added, present, other), canceled


def _put_ticks(
    source: Source, contents: Contents, plans: Sequence[_Plan]
) -> tuple[Taken, Mapping[int, int]]:
    """What became of ticks, and by their ids in the capsule those that they have here."""
    added, present, other, ids = 0, 0, [], {}
    for old, tick in contents.ticks.items():
        runs = [plan.here for plan in plans if plan.here and _tick_id(plan.run.run) == old]
        here = _tick_here(source, tick, runs)
        if here is None:
            ids[old] = source.schedules.create_tick(tick).tick_id
            added += 1
            continue
        ids[old] = here.tick_id
        if here.tick_data == tick:
            present += 1
        else:
            other.append(str(here.tick_id))
    return Taken(added, present, other), ids


def _tick_here(source: Source, tick: TickData, runs: Sequence[DagsterRun]) -> InstigatorTick | None:
    """The tick in this store: the one that its runs name here, or one with the same content."""

    def place(tick: TickData) -> tuple[str, str | None, float]:
        return tick.instigator_origin_id, tick.selector_id, tick.timestamp

    named = {tick_id for run in runs if (tick_id := _tick_id(run)) is not None}
    for here in source.schedules.get_ticks_by_ids(sorted(named)):
        if place(here.tick_data) == place(tick):
            return here
    at = tick.timestamp
    for here in source.schedules.get_ticks(
        tick.instigator_origin_id, tick.selector_id or "", after=at - 1, before=at + 1
    ):
        if here.tick_data == tick:
            return here
    return None


def _tick_id(run: DagsterRun) -> int | None:
    """The tick that a run names."""
    return storage_id_from(run.tags.get(TICK_ID_TAG, ""))


def _name_ticks(source: Source, plans: Sequence[_Plan], ticks: Mapping[int, int]) -> Sequence[str]:
    """Has runs that are there already name the ticks that are there now; the ids of those runs."""
    named = []
    for plan in plans:
        tick_id = ticks.get(_tick_id(plan.run.run) or 0)
        if plan.here is not None and tick_id is not None and _tick_id(plan.here) != tick_id:
            source.runs.add_run_tags(plan.run_id, {TICK_ID_TAG: str(tick_id)})
            named.append(plan.run_id)
    return named


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
        tick_id = ticks.get(_tick_id(run) or 0)
        run = _without_tick(run)
        if tick_id is not None:
            run = run.with_tags({**run.tags, TICK_ID_TAG: str(tick_id)})
        terms: list[Term] = run_terms(run, created=wanted.created, updated=wanted.updated)
        for name, time in ((STARTED, wanted.started), (ENDED, wanted.ended)):
            if time is not None:
                terms.append((name, "", time))
        documents.append((None, run.run_id, wanted.created, terms, run))
    if not documents:
        return
    source.log.put_documents("run", documents, "insert", get_current_timestamp())
