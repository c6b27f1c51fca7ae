"""Runs of a store written into a capsule."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from dagster import EventLogEntry
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import TickData
from dagster._core.snap import (
    ExecutionPlanSnapshot,
    JobSnap,
    create_execution_plan_snapshot_id,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRun, RunRecord, RunsFilter
from dagster._core.storage.tags import BACKFILL_ID_TAG, TICK_ID_TAG
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.serdes.serdes import PackableValue

from dagster_lmdb._arguments import storage_id_from
from dagster_lmdb._progress import Report
from dagster_lmdb.debug.capsule import (
    BACKFILLS,
    RUNS,
    SNAPSHOTS,
    TICKS,
    CapsuleWriter,
    events_name,
)
from dagster_lmdb.debug.defaults import with_new_keys
from dagster_lmdb.debug.destination import whole_file
from dagster_lmdb.debug.errors import RedactionError, UnfinishedRunError, UnknownRunError
from dagster_lmdb.debug.redact import Redaction
from dagster_lmdb.debug.runs import Source, run_events

Snapshot = JobSnap | ExecutionPlanSnapshot


class Extraction:
    """What is to leave a store: runs, and what is needed to open them elsewhere.

    Args:
        source (Source): The store.
        run_ids (Sequence[str]): The runs.
        parents (bool): Whether the runs that they were made from come along.
        unfinished (bool): Whether runs that have not ended may leave.

    Raises:
        UnknownRunError: If the store has no record of a run.
        UnfinishedRunError: If a run has not ended.
    """

    def __init__(
        self,
        source: Source,
        run_ids: Sequence[str],
        *,
        parents: bool = True,
        unfinished: bool = False,
    ) -> None:
        self._source = source
        self.records: dict[str, RunRecord] = {}
        for run_id in run_ids:
            self._add_run(run_id, parents)
        for record in self.records.values():
            run = record.dagster_run
            if run.status not in FINISHED_STATUSES and not unfinished:
                raise UnfinishedRunError(
                    f"run {run.run_id} has not ended ({run.status.value}); wait for its end, or"
                    " give --unfinished to take it as it is"
                )
        self.snapshots: dict[str, Snapshot] = {}
        self.ticks: dict[int, TickData] = {}
        self.backfills: dict[str, PartitionBackfill] = {}
        for record in self.records.values():
            self._add_snapshots(record.dagster_run)
            self._add_causes(record.dagster_run)

    def _add_run(self, run_id: str, parents: bool) -> None:
        if run_id in self.records:
            return
        found = self._source.runs.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
        if not found:
            raise UnknownRunError(run_id)
        self.records[run_id] = record = found[0]
        run = record.dagster_run
        for relative in (run.parent_run_id, run.root_run_id):
            # One that was deleted is not missed.
            if parents and relative and self._source.runs.has_run(relative):
                self._add_run(relative, parents)

    def _add_snapshots(self, run: DagsterRun) -> None:
        """The run's snapshots; what one was made from comes before it."""
        self._add_job_snapshot(run.job_snapshot_id)
        plan_id = run.execution_plan_snapshot_id
        if plan_id and plan_id not in self.snapshots and self._source.runs.has_snapshot(plan_id):
            self.snapshots[plan_id] = self._source.runs.get_execution_plan_snapshot(plan_id)

    def _add_job_snapshot(self, snapshot_id: str | None) -> None:
        if not snapshot_id or snapshot_id in self.snapshots:
            return
        if not self._source.runs.has_snapshot(snapshot_id):
            return
        snapshot = self._source.runs.get_job_snapshot(snapshot_id)
        if snapshot.lineage_snapshot is not None:
            self._add_job_snapshot(snapshot.lineage_snapshot.parent_snapshot_id)
        self.snapshots[snapshot_id] = snapshot

    def _add_causes(self, run: DagsterRun) -> None:
        """The tick and the backfill that the run's tags name, as far as they are still here."""
        tick_id = storage_id_from(run.tags.get(TICK_ID_TAG, ""))
        if tick_id is not None:
            for tick in self._source.schedules.get_ticks_by_ids([tick_id]):
                self.ticks[tick.tick_id] = tick.tick_data
        backfill_id = run.tags.get(BACKFILL_ID_TAG)
        if backfill_id:
            backfill = self._source.runs.get_backfill(backfill_id)
            if backfill is not None:
                self.backfills[backfill_id] = backfill

    def events(self, run_id: str) -> Iterator[EventLogEntry]:
        """The events of a run, in the order of the log."""
        return (entry for _, entry in run_events(self._source, run_id))


def extract(
    extraction: Extraction,
    destination: Path,
    redaction: Redaction | None = None,
    *,
    force: bool = False,
    report: Report | None = None,
) -> int:
    """Writes a capsule, and returns how many events it has.

    Cost: the runs' events, each decoded and serialized once, and twice where something is redacted.

    Args:
        extraction (Extraction): What to write.
        destination (Path): The file, which is there whole afterwards, or not at all.
        redaction (Optional[Redaction]): What is taken out of it.
        force (bool): Whether it takes the place of a file that is there.
        report (Optional[Report]): Is told how many events have been read.

    Raises:
        DestinationExistsError: If the file is there.
        DestinationError: If it cannot be written.
        RedactionError: If redacting would leave something that Dagster cannot read.
    """
    with whole_file(destination, force=force) as file, CapsuleWriter(file) as writer:
        packer = _Packer(redaction or Redaction())
        if packer.redaction:
            for each in _everything(extraction, report, "looking for what is redacted"):
                packer.look(each)
        # Snapshots come first: redacting changes the ids of what follows.
        snapshots = [packer.snapshot(each) for each in extraction.snapshots.values()]
        writer.add(SNAPSHOTS, snapshots)
        writer.add(
            TICKS,
            (
                _with_id(tick_id, "tick", packer.pack(tick))
                for tick_id, tick in extraction.ticks.items()
            ),
        )
        writer.add(BACKFILLS, map(packer.pack, extraction.backfills.values()))
        writer.add(RUNS, (_run_line(record, packer) for record in extraction.records.values()))
        count = 0
        for run_id in extraction.records:
            entries = _counted(extraction.events(run_id), report, "writing events", count)
            count += writer.add(events_name(run_id), map(packer.pack, entries))
        writer.finish(list(extraction.records), {"redacted": packer.redaction.patterns})
    return count


def _everything(extraction: Extraction, report: Report | None, phase: str) -> Iterator[Any]:
    yield from extraction.snapshots.values()
    yield from extraction.ticks.values()
    yield from extraction.backfills.values()
    for run_id, record in extraction.records.items():
        yield record.dagster_run
        yield from _counted(extraction.events(run_id), report, phase)


def _counted(
    entries: Iterable[EventLogEntry], report: Report | None, phase: str, done: int = 0
) -> Iterator[EventLogEntry]:
    for number, entry in enumerate(entries, done + 1):
        yield entry
        if report is not None and number % 1000 == 0:
            report(phase, number, 0)


class _Packer:
    """Serializes objects, without what is redacted, and with the ids that snapshots then have."""

    def __init__(self, redaction: Redaction) -> None:
        self.redaction = redaction
        self._new_ids: dict[str, str] = {}

    def look(self, value: Any) -> None:
        self.redaction.look(json.loads(serialize_value(value)))

    def pack(self, value: Any) -> str:
        """An object as Dagster serializes it, in one line."""
        text = serialize_value(value)
        if not self.redaction:
            return text
        before = json.loads(text)
        after = self.redaction.apply(before)
        if isinstance(value, JobSnap):
            after = with_new_keys(before, after)
        text = json.dumps(after)
        for old, new in self._new_ids.items():
            text = text.replace(old, new)
        read = _read_back(text, type(value))
        if read is None:
            raise RedactionError(
                f"redacting leaves a {type(value).__name__} that Dagster cannot read: a value that"
                " is to be redacted also stands where Dagster needs it, such as the name of a type;"
                " choose narrower patterns"
            )
        return read

    def snapshot(self, snapshot: Snapshot) -> str:
        """A snapshot with its id, which is a hash of its content."""
        old, text = _snapshot_id(snapshot), self.pack(snapshot)
        if self.redaction:
            made = deserialize_value(text, (JobSnap, ExecutionPlanSnapshot))
            new = _snapshot_id(made)
            if new != old:
                self._new_ids[old] = new
            return _with_id(new, "snapshot", text)
        return _with_id(old, "snapshot", text)


def _read_back(text: str, kind: type) -> str | None:
    """An object as Dagster writes what it has read; None if it does not read it as what it is.

    What it cannot read may become another one. What has other names may get another order.
    """
    try:
        made = deserialize_value(text, cast(type[PackableValue], kind))
    except Exception:
        return None
    again = serialize_value(made)
    before, after = json.loads(text), json.loads(again)
    return again if before == after or _unordered(before) == _unordered(after) else None


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(map(_unordered, value), key=partial(json.dumps, sort_keys=True))
    return value


def _snapshot_id(snapshot: Snapshot) -> str:
    if isinstance(snapshot, JobSnap):
        return snapshot.snapshot_id
    return create_execution_plan_snapshot_id(snapshot)


def _with_id(identity: str | int, name: str, packed: str) -> str:
    return f'{{"id": {json.dumps(identity)}, "{name}": {packed}}}'


def _run_line(record: RunRecord, packer: _Packer) -> str:
    times = {
        "created": record.create_timestamp.timestamp(),
        "updated": record.update_timestamp.timestamp(),
        "started": record.start_time,
        "ended": record.end_time,
    }
    return f'{json.dumps(times)[:-1]}, "run": {packer.pack(record.dagster_run)}}}'
