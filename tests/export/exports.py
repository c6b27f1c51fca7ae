"""Calling ``dagster-lmdb export``, and reading what it left."""

import hashlib
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.utils import make_new_run_id

from dagster_lmdb.cli import main
from export import samples
from export.oracle import Row
from export.reading import rows
from python.entries import job_origin, run

TABLES = ("events", "runs", "ticks", "asset_checks", "backfills")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def files(destination: Path, table: str = "") -> list[Path]:
    """What a reader finds who looks for a table's files, or those of all tables."""
    if not table:
        return [path for name in TABLES for path in files(destination, name)]
    return sorted((destination / table).rglob("*.parquet"))


def read(destination: Path, table: str) -> list[Row]:
    """The rows of a table, those of each increment after those before."""
    parts = [pq.ParquetFile(path).read() for path in files(destination, table)]
    return rows(pa.concat_tables(parts)) if parts else []


def contents(directory: Path) -> dict[str, str]:
    """All that is in a directory, by name."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "directory"
        for path in directory.rglob("*")
        if path.name != ".lock"
    }


def a_backfill(backfill_id: str) -> PartitionBackfill:
    return PartitionBackfill(
        backfill_id=backfill_id,
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={"é": samples.UNICODE},
        backfill_timestamp=1700000000.25,
        asset_selection=[dg.AssetKey(["a", "b/c"])],
    )


def fill(instance: DagsterInstance) -> str:
    """Stores a run with all that is special, and what belongs to every other table."""
    run_id = instance.add_run(run(remote_job_origin=job_origin())).run_id
    instance.event_log_storage.store_event_batch(samples.special(run_id))
    other = instance.add_run(run()).run_id
    instance.event_log_storage.store_event_batch(samples.of_a_real_run(other))
    tick = instance.create_tick(samples.a_tick(TickStatus.STARTED))
    instance.update_tick(tick.with_status(TickStatus.FAILURE, error=samples.raised()))
    backfill = a_backfill(make_new_run_id())
    instance.add_backfill(backfill)
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    return run_id
