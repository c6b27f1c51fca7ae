"""What the queries of the run storage take with ten thousand runs and with a million.

Usage: python benches/runs.py [--few 10000] [--many 1000000] [--rounds 31]

Each question is asked of two stores in turns, and its answer is as long in both: what is frequent
comes at the same rate, what is rare as often, and a time is asked for in the middle of the history.
Prints the medians, and how many times that of the few runs that of the many is. The stores are made
once, the same ones each time, and kept under .cache/benches.
"""

import gc
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from dagster import DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import JobBucket, TagBucket
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    ROOT_RUN_ID_TAG,
)
from rich.progress import track

from dagster_lmdb import LmdbRunStorage
from dagster_lmdb._runs import ENDED, STARTED, run_terms

DATA = Path(__file__).parents[1] / ".cache" / "benches" / "runs"
BEGIN = datetime(2020, 1, 1, tzinfo=timezone.utc)
EVERY = 10.0
PAGE = 25
#: How many runs there are of what is rare, whatever the size.
RARE = 50
STATUSES = DagsterRunStatus

#: A question, asked of a storage. What it gives has a length, or is None.
Question = Callable[[LmdbRunStorage], Any]


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


def documents(size: int) -> Iterator[tuple[Any, ...]]:
    """The runs, each begun a few seconds after it was made, and ended in another order."""
    for number in range(size):
        run = a_run(number, size)
        made = BEGIN.timestamp() + number * EVERY
        started, ended = made + 2.5, made + 20 + number * 37 % 300
        terms, updated = [], made
        if run.status != STATUSES.STARTING:
            terms.append((STARTED, "", started))
            updated = started
        if run.is_finished:
            terms.append((ENDED, "", ended))
            updated = ended
        terms += run_terms(run, created=made, updated=updated)
        yield None, run.run_id, made, terms, run


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


def open_runs(directory: Path) -> LmdbRunStorage:
    """A run storage on a store that may lose its last commit."""
    return LmdbRunStorage(str(directory), durability="relaxed")


def history(size: int) -> LmdbRunStorage:
    """The storage with a history of this size, made if it is not there."""
    directory = DATA / str(size)
    complete = directory.with_suffix(".complete")
    if complete.exists():
        return open_runs(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    storage = open_runs(directory)
    runs = documents(size)
    for _ in track(range(0, size, 5000), f"{size:,} runs"):
        storage._log.put_documents("run", list(islice(runs, 5000)), "insert", time.time())
    for backfill in backfills(size):
        storage.add_backfill(backfill)
    complete.touch()
    return storage


def questions(size: int) -> dict[str, Question]:
    """By name what is asked of a storage with a history of this size."""

    def at(number: float) -> datetime:
        """A moment between two runs."""
        return BEGIN + timedelta(seconds=(number - 0.5) * EVERY)

    middle = size // 2
    window = {"created_after": at(middle), "created_before": at(middle + PAGE)}

    def records(limit: int | None = PAGE, **more: Any) -> Question:
        arguments = ("order_by", "ascending", "cursor", "bucket_by")
        asked = {name: more.pop(name) for name in arguments if name in more}
        filters = RunsFilter(**more)
        return lambda runs: runs.get_run_records(filters, limit=limit, **asked)

    def ids(**filters: Any) -> Question:
        return lambda runs: runs.get_run_ids(RunsFilter(**filters), limit=PAGE)

    def count(**filters: Any) -> Question:
        return lambda runs: [None] * runs.get_runs_count(RunsFilter(**filters))

    def found(**filters: Any) -> Question:
        return lambda runs: runs.get_backfills(BulkActionsFilter(**filters), limit=PAGE)

    failed, finished = [STATUSES.FAILURE], [STATUSES.SUCCESS, STATUSES.FAILURE]
    running = [STATUSES.STARTING, STATUSES.STARTED]
    jobs = [f"job_{number}" for number in range(10)]
    middle_id = run_id(middle)
    return {
        "newest": records(),
        "oldest": records(ascending=True),
        "ids": ids(),
        "ids, created_before": ids(created_before=at(middle)),
        "ids, updated_after": ids(updated_after=at(size - PAGE)),
        "ids, job, status, created_before": ids(
            job_name="job_3", statuses=finished, created_before=at(middle)
        ),
        "after a cursor": records(cursor=middle_id),
        "of given ids": records(run_ids=[run_id(n * (size // PAGE)) for n in range(PAGE)]),
        "created_before": records(created_before=at(middle)),
        "created_after, oldest first": records(created_after=at(middle), ascending=True),
        "created within": records(**window),
        "updated_before": records(updated_before=at(middle)),
        "updated_after, oldest first": records(updated_after=at(middle), ascending=True),
        "status": records(statuses=failed),
        "status, created_before": records(statuses=failed, created_before=at(middle)),
        "in progress": records(statuses=running),
        "in progress, updated_before": records(statuses=running, updated_before=at(size)),
        "status, no subruns": records(statuses=finished, exclude_subruns=True),
        "no subruns, created_before": records(exclude_subruns=True, created_before=at(middle)),
        "job": records(job_name="job_3"),
        "job, status, created_before": records(
            job_name="job_3", statuses=finished, created_before=at(middle)
        ),
        "job of few runs": records(job_name="rare_job"),
        "job of old runs": records(job_name="old_job"),
        "tag": records(tags={"team": "team_1"}),
        "tag with several values": records(tags={"team": ["team_1", "team_2"]}),
        "tag of few runs": records(tags={"rare": "yes"}),
        "two tags, a job, a cursor": records(
            tags={"team": "team_1", "half": "first"}, job_name="job_3", cursor=middle_id
        ),
        "job and tag that never meet": records(job_name="old_job", tags={"half": "second"}),
        "tag and times that never meet": records(
            tags={"half": "first"}, created_after=at(middle + 1)
        ),
        "job and tag that alternate and never meet": records(
            job_name="job_2", tags={"team": "team_1"}
        ),
        "backfill's runs": records(tags={BACKFILL_ID_TAG: "backfill_3"}),
        "by create_timestamp": records(order_by="create_timestamp"),
        "by update_timestamp": records(order_by="update_timestamp"),
        "by start_time": records(order_by="start_time"),
        "by start_time, oldest first": records(order_by="start_time", ascending=True),
        "by end_time": records(order_by="end_time"),
        "by end_time, job": records(order_by="end_time", job_name="job_3"),
        "by start_time, job of few runs": records(order_by="start_time", job_name="rare_job"),
        "by create_timestamp, job of old runs": records(
            order_by="create_timestamp", job_name="old_job"
        ),
        "by update_timestamp, status, updated_after": records(
            order_by="update_timestamp",
            ascending=True,
            statuses=finished,
            updated_after=at(middle),
        ),
        "by update_timestamp, created_before": records(
            order_by="update_timestamp", created_before=at(middle)
        ),
        "count": lambda runs: runs.get_runs_count() and None,
        "count of a status": lambda runs: runs.get_runs_count(RunsFilter(statuses=failed)) and None,
        "count of created_after": lambda runs: (
            runs.get_runs_count(RunsFilter(created_after=at(middle))) and None
        ),
        "count of created within": count(**window),
        "count of status, job of few runs": count(statuses=finished, job_name="rare_job"),
        "count of job, created within": count(job_name="job_3", **window),
        "newest of each job": records(bucket_by=JobBucket(jobs, bucket_limit=2)),
        "newest of each team, status": records(
            statuses=failed,
            bucket_by=TagBucket("team", ["team_1", "team_3"], bucket_limit=10),
        ),
        "newest of jobs, no limit of each": records(bucket_by=JobBucket(jobs, bucket_limit=None)),
        "newest of each job by end_time": records(
            order_by="end_time", bucket_by=JobBucket(jobs, bucket_limit=2)
        ),
        "tag keys": lambda runs: runs.get_run_tag_keys(),
        "values of a tag": lambda runs: runs.get_run_tags([PARTITION_NAME_TAG, "team"]),
        "values that begin so": lambda runs: runs.get_run_tags([BACKFILL_ID_TAG], "backfill_1", 1),
        "run group": lambda runs: runs.get_run_group(run_id(middle - middle % 100))[1],
        "newest of each partition": lambda runs: runs.get_run_partition_data(
            RunsFilter(job_name="job_3")
        ),
        "has_run": lambda runs: runs.has_run(middle_id) and None,
        "run by id": records(run_ids=[middle_id], limit=1),
        "backfills": found(),
        "backfills after a cursor": lambda runs: runs.get_backfills(
            cursor=f"backfill_{size // 200}", limit=PAGE
        ),
        "backfills, created_before": found(created_before=at(middle)),
        "backfills, status": found(statuses=[BulkActionStatus.FAILED]),
        "backfills, status, tag, created_before": found(
            statuses=[BulkActionStatus.FAILED],
            tags={"team": "team_1"},
            created_before=at(size),
        ),
        "count of backfills, created_before": lambda runs: (
            runs.get_backfills_count(BulkActionsFilter(created_before=at(middle))) and None
        ),
    }


def seconds_of(ask: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


@click.command()
@click.option("--few", default=10_000, show_default=True)
@click.option("--many", default=1_000_000, show_default=True)
@click.option("--rounds", default=31, show_default=True, help="Calls of which the median is taken.")
@click.option("--only", default="", help="Questions whose name contains this.")
def main(few: int, many: int, rounds: int, only: str) -> None:
    """Ask each question of both stores in turns, and print a table."""
    stores = [history(few), history(many)]
    asked = [questions(few), questions(many)]
    print(f"| | rows | {few:,} runs | {many:,} runs | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    gc.disable()
    for name in asked[0]:
        if only not in name:
            continue
        asks = [partial(ask[name], store) for ask, store in zip(asked, stores, strict=True)]
        answers = [ask() for ask in asks]
        rows = {None if answer is None else len(answer) for answer in answers}
        if len(rows) > 1:
            raise click.ClickException(f"{name}: the answers are {rows} long")
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for taken, ask in zip(times, asks, strict=True):
                taken.append(seconds_of(ask) * 1000)
        small, large = (statistics.median(taken) for taken in times)
        length = rows.pop()
        cells = [name, "" if length is None else f"{length}", f"{small:.3f} ms", f"{large:.3f} ms"]
        print("|", " | ".join([*cells, f"{large / small:.2f}"]), "|", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
