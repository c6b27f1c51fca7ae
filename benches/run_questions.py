"""What is asked of a run storage, by name."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from benches.runs import BEGIN, EVERY, STATUSES, run_id
from dagster import RunsFilter
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import JobBucket, TagBucket
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARTITION_NAME_TAG

PAGE = 25

#: A question, asked of a storage. Counts come as text, since numbers are taken for ids.
Question = Callable[[RunStorage[Any]], Any]


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
        return lambda runs: [str(runs.get_runs_count(RunsFilter(**filters)))]

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
        "count": count(),
        "count of a status": count(statuses=failed),
        "count of created_after": count(created_after=at(middle)),
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
        "has_run": lambda runs: runs.has_run(middle_id),
        "run by id": records(run_ids=[middle_id], limit=1),
        "get_runs": lambda runs: runs.get_runs(limit=PAGE),
        "has_job_snapshot, not there": lambda runs: runs.has_job_snapshot("a" * 40),
        "heartbeats, none there": lambda runs: runs.get_daemon_heartbeats(),
        "cursor values, none there": lambda runs: runs.get_cursor_values({"AN_OFFSET"}),
        "backfill by id": lambda runs: [runs.get_backfill("backfill_3")],
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
            [str(runs.get_backfills_count(BulkActionsFilter(created_before=at(middle))))]
        ),
    }
