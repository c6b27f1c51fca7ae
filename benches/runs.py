"""A history of runs and backfills, the same each time, of ten thousand runs or of a million.

What is frequent comes at the same rate in both, what is rare as often, and a time is asked for in
the middle. So a question about one of these has an answer of the same size in both.
"""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple
from uuid import UUID

from dagster import DagsterRun, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    ROOT_RUN_ID_TAG,
)

#: Raised when the history changes, so that no older one is used.
FORMAT = 1
BEGIN = datetime(2020, 1, 1, tzinfo=timezone.utc)
EVERY = 10.0  # seconds
#: How many runs there are of what is rare, whatever the size.
RARE = 50
STATUSES = DagsterRunStatus

SIZES = {"10 thousand": 10_000, "1 million": 1_000_000}


class Ran(NamedTuple):
    """A run as its history has left it. Times are Unix seconds."""

    run: DagsterRun
    created: float
    started: float | None
    ended: float | None

    @property
    def updated(self) -> float:
        """When its status was set."""
        return self.ended or self.started or self.created


def run_id(number: int) -> str:
    """Looks random, and is the same each time."""
    return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4))


def status_of(number: int, size: int) -> DagsterRunStatus:
    """The last runs are in progress, one in fifty of the others failed."""
    if number >= size - 10:
        return STATUSES.STARTING
    if number >= size - 20:
        return STATUSES.STARTED
    return STATUSES.FAILURE if number % 50 == 7 else STATUSES.SUCCESS


def a_run(number: int, size: int) -> DagsterRun:
    """One of the runs of a history of a size."""
    tags = {
        "team": f"team_{number % 4}",
        PARTITION_NAME_TAG: f"2020-{number % 97}",
        "half": "first" if number < size // 2 else "second",
    }
    if number % (size // RARE) == 3:
        tags["rare"] = "yes"
    if number % 10 == 4:
        tags[BACKFILL_ID_TAG] = f"backfill_{number // 1000}"
    if number % 100 in (1, 2, 5):
        tags[ROOT_RUN_ID_TAG] = run_id(number - number % 100)
    job = "old_job" if number < 1000 else f"job_{number % 10}"
    if number % (size // RARE) == 5:
        job = "rare_job"
    return DagsterRun(
        job_name=job, run_id=run_id(number), status=status_of(number, size), tags=tags
    )


def all_runs(size: int) -> Iterator[Ran]:
    """The runs, each begun a few seconds after it was made, and ended in another order."""
    for number in range(size):
        run = a_run(number, size)
        made = BEGIN.timestamp() + number * EVERY
        started = None if run.status == STATUSES.STARTING else made + 2.5
        ended = made + 20 + number * 37 % 300 if run.is_finished else None
        yield Ran(run, made, started, ended)


def backfills(size: int) -> Iterator[PartitionBackfill]:
    """A backfill for every hundred runs."""
    for number in range(size // 100):
        yield PartitionBackfill(
            backfill_id=f"backfill_{number}",
            status=BulkActionStatus.FAILED if number % 4 == 1 else BulkActionStatus.COMPLETED,
            from_failure=False,
            tags={"team": f"team_{number % 4}"},
            backfill_timestamp=BEGIN.timestamp() + number * EVERY * 100,
        )
