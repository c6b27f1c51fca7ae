"""Runs beyond Dagster's suite: buckets, cursors, tags, and what changes nothing."""

import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._check import CheckError
from dagster._core.errors import (
    DagsterInvariantViolationError,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    DagsterSnapshotDoesNotExist,
)
from dagster._core.execution.backfill import (
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.snap import create_execution_plan_snapshot_id
from dagster._core.storage.dagster_run import JobBucket, TagBucket
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    REPOSITORY_LABEL_TAG,
    ROOT_RUN_ID_TAG,
)
from dagster._core.utils import make_new_run_id
from dagster._daemon.types import DaemonHeartbeat
from dagster._time import get_current_datetime

from dagster_lmdb import LmdbRunStorage
from python.entries import event, job_origin, log_line, run, status_event


def head(runs: LmdbRunStorage) -> int:
    return int(runs._log.stat()["head"])


def add(runs: LmdbRunStorage, count: int, **fields: object) -> list[str]:
    return [runs.add_run(run(**fields)).run_id for _ in range(count)]


def ids(found: list[DagsterRun]) -> list[str]:
    return [each.run_id for each in found]


class TestBuckets:
    @pytest.fixture
    def added(self, runs: LmdbRunStorage) -> list[str]:
        """Runs of three jobs in turns, and of two teams."""
        return [
            runs.add_run(run(job_name=f"job_{n % 3}", tags={"team": f"team_{n % 2}"})).run_id
            for n in range(12)
        ]

    def test_the_newest_of_each_job(self, runs: LmdbRunStorage, added: list[str]) -> None:
        assert runs.supports_bucket_queries
        bucket = JobBucket(["job_0", "job_2", "nothing"], bucket_limit=2)
        newest = [added[11], added[9], added[8], added[6]]
        assert ids(runs.get_runs(bucket_by=bucket)) == newest
        assert ids(runs.get_runs(bucket_by=bucket, ascending=True)) == newest[::-1]
        records = runs.get_run_records(bucket_by=bucket)
        assert [record.dagster_run.run_id for record in records] == newest
        assert all(record.storage_id for record in records)

    def test_the_newest_of_each_value_of_a_tag(
        self, runs: LmdbRunStorage, added: list[str]
    ) -> None:
        bucket = TagBucket("team", ["team_1", "team_0"], bucket_limit=1)
        assert ids(runs.get_runs(bucket_by=bucket)) == [added[11], added[10]]
        assert runs.get_runs(bucket_by=TagBucket("other", ["team_1"], bucket_limit=1)) == []
        everything = TagBucket("team", ["team_0", "team_1"], bucket_limit=None)
        assert ids(runs.get_runs(bucket_by=everything)) == added[::-1]

    def test_with_filters_cursor_limit_and_order(
        self, runs: LmdbRunStorage, added: list[str]
    ) -> None:
        bucket = JobBucket(["job_0", "job_1", "job_2"], bucket_limit=1)
        team = RunsFilter(tags={"team": "team_0"})
        assert ids(runs.get_runs(team, bucket_by=bucket)) == [added[10], added[8], added[6]]
        assert ids(runs.get_runs(cursor=added[3], bucket_by=bucket)) == added[2::-1]
        assert ids(runs.get_runs(limit=1, bucket_by=bucket)) == [added[11]]
        assert runs.get_runs(cursor="unknown", bucket_by=bucket) == []
        runs.add_run_tags(added[9], {"a": "b"})
        by_update = runs.get_run_records(bucket_by=bucket, order_by="update_timestamp")
        assert [each.dagster_run.run_id for each in by_update] == [added[9], added[11], added[10]]

    def test_the_limit_of_all_is_kept_in_the_order_asked_for(
        self, runs: LmdbRunStorage, added: list[str]
    ) -> None:
        of_all = JobBucket(["job_0", "job_1"], bucket_limit=None)
        assert ids(runs.get_runs(limit=3, bucket_by=of_all)) == [added[10], added[9], added[7]]
        oldest = runs.get_runs(limit=3, bucket_by=of_all, ascending=True)
        assert ids(oldest) == [added[0], added[1], added[3]]
        of_each = JobBucket(["job_0", "job_1"], bucket_limit=2)
        oldest = runs.get_runs(limit=3, bucket_by=of_each, ascending=True)
        assert ids(oldest) == [added[6], added[7], added[9]]
        runs.add_run_tags(added[4], {"a": "b"})
        for bucket, last in ((of_all, added[4]), (of_each, added[10])):
            [first] = runs.get_run_records(bucket_by=bucket, order_by="update_timestamp", limit=1)
            assert first.dagster_run.run_id == last

    def test_follow_the_tags_that_runs_have_now(
        self, runs: LmdbRunStorage, added: list[str]
    ) -> None:
        runs.add_run_tags(added[0], {"team": "team_1"})
        runs.delete_run(added[11])
        bucket = TagBucket("team", ["team_1"], bucket_limit=3)
        assert ids(runs.get_runs(bucket_by=bucket)) == [added[9], added[7], added[5]]
        bucket = TagBucket("team", ["team_1"], bucket_limit=None)
        assert ids(runs.get_runs(bucket_by=bucket))[-1] == added[0]
        [oldest] = runs.get_runs(RunsFilter(run_ids=[added[0]]), bucket_by=bucket)
        assert oldest.tags == {"team": "team_1"}


def test_cursors_compare_by_storage_id_whatever_the_order(runs: LmdbRunStorage) -> None:
    added = add(runs, 4)
    runs.add_run_tags(added[0], {"a": "b"})
    by_update = runs.get_run_records(order_by="update_timestamp", cursor=added[2])
    assert [each.dagster_run.run_id for each in by_update] == [added[0], added[1]]
    assert runs.get_run_records(order_by="update_timestamp", cursor="unknown") == []
    assert runs.get_run_ids(cursor="unknown") == []
    assert runs.get_runs(cursor=added[2], ascending=True, limit=1)[0].run_id == added[3]


def test_runs_come_in_the_order_of_any_column(runs: LmdbRunStorage) -> None:
    for number, (job, tags) in enumerate([("b", {}), ("a", {PARTITION_NAME_TAG: "p"}), ("b", {})]):
        runs.add_run(DagsterRun(job, f"run_{2 - number}", tags=tags))

    def by(column: str, **more: Any) -> list[str]:
        records = runs.get_run_records(order_by=column, **more)
        return [record.dagster_run.run_id for record in records]

    assert by("run_id", ascending=True) == ["run_0", "run_1", "run_2"]
    assert by("run_id", limit=2) == ["run_2", "run_1"]
    assert by("pipeline_name", ascending=True)[0] == "run_1"
    assert by("partition") == ["run_1", "run_0", "run_2"]
    assert by("status", ascending=True) == ["run_2", "run_1", "run_0"]
    assert by("pipeline_name", filters=RunsFilter(job_name="b"), limit=5) == ["run_0", "run_2"]
    with pytest.raises(CheckError, match="not run_body"):
        by("run_body")
    with pytest.raises(CheckError, match="not ordered by status"):
        by("status", bucket_by=JobBucket(["b"], bucket_limit=1))


def test_runs_without_a_time_come_as_the_earliest(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    added = add(runs, 3)
    for run_id in (added[2], added[0]):
        whole.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))

    def by_start(**arguments: object) -> list[str]:
        records = runs.get_run_records(order_by="start_time", **arguments)
        return [record.dagster_run.run_id for record in records]

    assert by_start() == [added[0], added[2], added[1]]
    assert by_start(ascending=True) == [added[1], added[2], added[0]]
    assert by_start(limit=1) == [added[0]]
    with pytest.raises(CheckError, match="not nothing"):
        runs.get_run_records(order_by="nothing")


def test_times_are_of_runs_and_backfills_alone(runs: LmdbRunStorage) -> None:
    find = runs._log.find_documents
    assert find("backfill", ranges=[("@created", None, 1.0)], order_by="@ended") == []
    for space, name in (("tick", "@created"), ("run", "@begun"), ("run", "status")):
        with pytest.raises(ValueError, match=f'no time of a {space}: "{name}"'):
            find(space, ranges=[(name, None, 1.0)])
        with pytest.raises(ValueError, match=f'no time of a {space}: "{name}"'):
            find(space, order_by=name)


def test_pages_by_creation_time_find_runs_that_were_brought_from_elsewhere(
    runs: LmdbRunStorage,
) -> None:
    """As Dagster's page of runs does: a cursor that is a time, in the order of storage."""
    added = add(runs, 3)
    begin = datetime(2020, 1, 1, tzinfo=timezone.utc)
    old = [
        runs.add_historical_run(run(), begin + timedelta(days=day)).run_id for day in (3, 1, 2, 4)
    ]
    added += [*old, *add(runs, 2)]
    before = RunsFilter(created_before=begin + timedelta(days=3.5))
    assert ids(runs.get_runs(before, limit=2)) == [old[2], old[1]]
    assert ids(runs.get_runs(before, cursor=old[1], limit=2)) == [old[0]]
    after = RunsFilter(created_after=begin + timedelta(days=2))
    assert ids(runs.get_runs(after, ascending=True, limit=4)) == [*added[:3], old[0]]
    assert runs.get_runs_count(before) == 3
    assert runs.get_runs_count(after) == 7


def test_bounds_are_strict_and_in_any_zone(runs: LmdbRunStorage) -> None:
    when = datetime(2024, 5, 1, 12, 0, 0, 123456)
    run_id = runs.add_historical_run(run(), when).run_id
    utc = when.replace(tzinfo=timezone.utc)
    [record] = runs.get_run_records()
    assert record.create_timestamp == utc
    assert record.update_timestamp > utc
    elsewhere = utc.astimezone(timezone(timedelta(hours=9)))
    step = timedelta(microseconds=1)
    for bound in (when, utc, elsewhere):
        assert runs.get_run_ids(RunsFilter(created_after=bound)) == []
        assert runs.get_run_ids(RunsFilter(created_before=bound)) == []
        assert runs.get_run_ids(RunsFilter(created_after=bound - step)) == [run_id]
        assert runs.get_run_ids(RunsFilter(created_before=bound + step)) == [run_id]
        assert runs.get_runs_count(RunsFilter(created_before=bound + step)) == 1


def test_filters_are_all_kept_at_once(whole: DagsterInstance, runs: LmdbRunStorage) -> None:
    backfill = {BACKFILL_ID_TAG: "a_backfill"}
    wanted = add(runs, 1, tags={"team": "a", "size": "1"})[0]
    add(runs, 1, tags={"team": "a", "size": "1", **backfill})
    add(runs, 1, tags={"team": "b", "size": "1"})
    add(runs, 1, tags={"team": "a"})
    add(runs, 1, tags={"team": "a", "size": "1"}, job_name="other")
    whole.handle_new_event(status_event(wanted, DagsterEventType.RUN_START))
    filters = RunsFilter(
        job_name="a_job",
        statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.QUEUED],
        tags={"team": ["a", "c"], "size": "1"},
        exclude_subruns=True,
        created_after=get_current_datetime() - timedelta(hours=1),
        updated_before=get_current_datetime() + timedelta(hours=1),
    )
    assert runs.get_run_ids(filters) == [wanted]
    assert runs.get_runs_count(filters) == 1
    assert runs.get_run_ids(RunsFilter(tags={"team": []})) == []
    assert runs.get_runs_count(RunsFilter(exclude_subruns=True)) == 4
    assert runs.get_runs_count(RunsFilter(run_ids=[wanted, "unknown", wanted])) == 1
    assert runs.get_runs_count() == 5


def test_a_run_is_a_subrun_from_when_it_has_the_tag_of_a_backfill(runs: LmdbRunStorage) -> None:
    """As a filter of tags finds it, and unlike a column that is written as the run is added."""
    alone, tagged = add(runs, 2)
    without = RunsFilter(exclude_subruns=True, statuses=[DagsterRunStatus.NOT_STARTED])
    assert runs.get_run_ids(without) == [tagged, alone]
    runs.add_run_tags(tagged, {BACKFILL_ID_TAG: "a_backfill"})
    assert runs.get_run_ids(without) == [alone]
    assert runs.get_run_ids(RunsFilter(exclude_subruns=True)) == [alone]
    assert runs.get_runs_count(without) == 1
    assert runs.get_run_ids(RunsFilter(tags={BACKFILL_ID_TAG: "a_backfill"})) == [tagged]


def test_what_many_runs_share_is_found_by_what_is_rare(runs: LmdbRunStorage) -> None:
    base = datetime(2024, 1, 1, tzinfo=timezone.utc)
    many = [
        runs.add_historical_run(run(tags={"team": "a"}), base + timedelta(hours=n)).run_id
        for n in range(60)
    ]
    bounds = {
        "created_after": base + timedelta(hours=9),
        "created_before": base + timedelta(hours=13),
    }
    for limit in (None, 2, 50):
        found = runs.get_run_ids(RunsFilter(tags={"team": "a"}, **bounds), limit=limit)
        assert found == many[12:9:-1][:limit]
        assert runs.get_run_ids(RunsFilter(**bounds), limit=limit) == many[12:9:-1][:limit]
    ordered = runs.get_run_records(order_by="create_timestamp", ascending=True, limit=1)
    assert [each.dagster_run.run_id for each in ordered] == many[:1]


def test_tags_and_their_values(runs: LmdbRunStorage) -> None:
    long = "x" * 200
    add(runs, 1, tags={"team": "b", "size": "10"})
    add(runs, 1, tags={"team": "a", "size": "2", "only": "here"})
    gone = add(runs, 1, tags={"team": "c", "gone": "soon", long + "1": long})[0]
    assert runs.get_run_tag_keys() == ["gone", "only", "size", "team", long + "1"]
    assert runs.get_run_tags(["team", "size"]) == [("size", {"10", "2"}), ("team", {"a", "b", "c"})]
    assert runs.get_run_tags(["team", "size"], limit=3) == [
        ("size", {"10", "2"}),
        ("team", {"a"}),
    ]
    assert runs.get_run_tags(["size", "team"], value_prefix="1") == [("size", {"10"})]
    assert runs.get_run_tags([long + "1"], value_prefix="x" * 150) == [(long + "1", {long})]
    assert runs.get_run_tags([]) == []
    runs.delete_run(gone)
    assert runs.get_run_tag_keys() == ["only", "size", "team"]


def test_tags_are_read_back_in_the_order_of_their_keys(runs: LmdbRunStorage) -> None:
    a_run = run(tags={"m": "1", "z": "1"})
    runs.add_run(a_run)
    runs.add_run_tags(a_run.run_id, dict.fromkeys("qcxbagd", "1"))
    assert ["".join(each.tags) for each in runs.get_runs()] == ["abcdgmqxz"]


def test_tags_of_storage_are_found_and_not_read_back(runs: LmdbRunStorage) -> None:
    added = runs.add_run(run(remote_job_origin=job_origin(), tags={"team": "a"}))
    label = {REPOSITORY_LABEL_TAG: "a_repository@a_location"}
    assert runs.get_runs(RunsFilter(tags=label)) == [added]
    runs.add_run_tags(added.run_id, {"size": "1", "team": "b"})
    [read] = runs.get_runs(RunsFilter(tags={**label, "team": "b"}))
    assert read.tags == {"team": "b", "size": "1"}
    assert runs.get_run_ids(RunsFilter(tags={"team": "a"})) == []
    with pytest.raises(DagsterRunNotFoundError):
        runs.add_run_tags("unknown", {"a": "b"})


def test_tags_that_only_storage_has_are_news_once(runs: LmdbRunStorage) -> None:
    added = runs.add_run(run(remote_job_origin=job_origin()))
    label = {REPOSITORY_LABEL_TAG: "a_repository@a_location"}
    heads = [runs._log.head()]
    for _ in range(2):
        runs.add_run_tags(added.run_id, label)
        [read] = runs.get_runs(RunsFilter(tags=label))
        assert read.tags == label
        heads.append(runs._log.head())
    runs.replace_job_origin(read, job_origin("new"))
    heads.append(runs._log.head())
    runs.add_run_tags(added.run_id, {REPOSITORY_LABEL_TAG: "new@a_location"})
    heads.append(runs._log.head())
    assert [after - before for before, after in pairwise(heads)] == [1, 0, 1, 0]


def test_an_origin_is_replaced_in_the_run_and_in_its_label(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    added = runs.add_run(run(remote_job_origin=job_origin("old"), tags={"team": "a"}))
    whole.handle_new_event(status_event(added.run_id, DagsterEventType.RUN_START))
    runs.add_run_tags(added.run_id, {"team": "b"})
    [before] = runs.get_run_records()
    # The run as it was read before it started.
    runs.replace_job_origin(added, job_origin("new"))
    [after] = runs.get_run_records(RunsFilter(tags={REPOSITORY_LABEL_TAG: "new@a_location"}))
    assert runs.get_runs(RunsFilter(tags={REPOSITORY_LABEL_TAG: "old@a_location"})) == []
    assert after.dagster_run.remote_job_origin == job_origin("new")
    assert after.dagster_run.status == DagsterRunStatus.STARTED
    assert after.dagster_run.tags == {"team": "b", REPOSITORY_LABEL_TAG: "new@a_location"}
    assert after._replace(dagster_run=before.dagster_run) == before
    runs.replace_job_origin(run(), job_origin("new"))
    assert runs.get_runs_count() == 1


def test_a_run_is_added_once_and_with_its_snapshot(runs: LmdbRunStorage) -> None:
    added = runs.add_run(run())
    with pytest.raises(DagsterRunAlreadyExists):
        runs.add_run(run(run_id=added.run_id, job_name="other"))
    with pytest.raises(DagsterSnapshotDoesNotExist):
        runs.add_run(run(job_snapshot_id="nothing"))
    assert runs.get_runs() == [added]


def test_a_run_without_an_origin_is_never_queued(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    run_id = runs.add_run(run()).run_id
    whole.handle_new_event(status_event(run_id, DagsterEventType.RUN_ENQUEUED))
    assert runs.get_runs()[0].status == DagsterRunStatus.NOT_STARTED
    assert runs.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.QUEUED])) == []


def test_a_group_is_its_root_and_what_descends_from_it(runs: LmdbRunStorage) -> None:
    root = runs.add_run(run())
    child = runs.add_run(
        run(
            root_run_id=root.run_id,
            parent_run_id=root.run_id,
            tags={ROOT_RUN_ID_TAG: root.run_id, PARENT_RUN_ID_TAG: root.run_id},
        )
    )
    other = runs.add_run(run())
    assert runs.get_run_group(child.run_id) == (root.run_id, [root, child])
    assert runs.get_run_group(root.run_id) == (root.run_id, [root, child])
    assert runs.get_run_group(other.run_id) == (other.run_id, [other])
    runs.delete_run(root.run_id)
    for run_id in (child.run_id, "unknown"):
        with pytest.raises(DagsterRunNotFoundError):
            runs.get_run_group(run_id)


def test_a_deleted_run_takes_all_of_its_own_along(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    run_id, kept = add(runs, 2)
    whole.event_log_storage.set_concurrency_slots("pool", 1)
    whole.event_log_storage.claim_concurrency_slot("pool", run_id, "step")
    for each in (run_id, kept):
        whole.event_log_storage.store_event(log_line(each, "a"))
        whole.event_log_storage.store_event(status_event(each, DagsterEventType.RUN_START))
        runs.add_run_telemetry(RunTelemetryData(run_id=each, datapoints={"cpu": 1.0}))
    word = runs._log.commit_word()
    runs.delete_run(run_id)
    assert runs._log.commit_word() != word
    assert runs.get_run_ids() == [kept]
    assert whole.all_logs(run_id) == []
    assert len(whole.all_logs(kept)) == 2
    assert whole.event_log_storage.get_concurrency_run_ids() == set()
    assert runs._log.count_documents("telemetry") == 1
    before = head(runs)
    runs.delete_run(run_id)
    runs.delete_run("unknown")
    assert head(runs) == before
    assert runs.add_run(run(run_id=run_id)).run_id == run_id
    assert runs.get_run_ids() == [run_id, kept]
    assert runs.get_runs()[0].status == DagsterRunStatus.NOT_STARTED


def test_events_may_go_while_their_run_keeps_its_status(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    run_id = add(runs, 1)[0]
    whole.handle_new_event(status_event(run_id, DagsterEventType.RUN_START))
    whole.event_log_storage.delete_events(run_id)
    assert whole.all_logs(run_id) == []
    assert runs.get_runs()[0].status == DagsterRunStatus.STARTED
    assert runs._log.husk(list(range(1, head(runs) + 1)))
    assert runs._log.verify().differences == []
    whole.event_log_storage.wipe()
    assert runs.get_runs()[0].status == DagsterRunStatus.STARTED
    assert runs._log.verify().differences == []


def test_snapshots_are_kept_once(runs: LmdbRunStorage) -> None:
    @dg.job
    def a_job() -> None: ...

    job = a_job.get_job_snapshot()
    plan = dg._core.snap.snapshot_from_execution_plan(
        dg._core.execution.api.create_execution_plan(a_job), job.snapshot_id
    )
    assert runs.get_job_snapshot(job.snapshot_id) is None
    for _ in range(2):
        assert runs.add_job_snapshot(job) == job.snapshot_id
        runs.add_snapshot(plan)
        before = head(runs)
    assert head(runs) == before
    assert runs.get_job_snapshot(job.snapshot_id) == job
    plan_id = create_execution_plan_snapshot_id(plan)
    assert runs.get_execution_plan_snapshot(plan_id) == plan
    assert runs.has_snapshot(plan_id)
    assert runs.has_execution_plan_snapshot(plan_id)
    assert not runs.has_job_snapshot("unknown")


def backfill(backfill_id: str, **fields: object) -> PartitionBackfill:
    return PartitionBackfill(
        **{
            "backfill_id": backfill_id,
            "status": BulkActionStatus.REQUESTED,
            "from_failure": False,
            "tags": {"team": "a"},
            "backfill_timestamp": 1_700_000_000.5,
            **fields,
        }
    )


def test_backfills(runs: LmdbRunStorage) -> None:
    added = [
        backfill(f"b{n}", backfill_timestamp=1_700_000_000.5 + n, tags={"team": "ab"[n % 2]})
        for n in range(4)
    ]
    for each in added:
        runs.add_backfill(each)
    assert runs.get_backfills() == added[::-1]
    assert runs.get_backfills(cursor="b2", limit=1) == [added[1]]
    assert runs.get_backfills(cursor="unknown") == []
    between = BulkActionsFilter(
        created_after=datetime.fromtimestamp(1_700_000_000.5, timezone.utc),
        created_before=datetime.fromtimestamp(1_700_000_003.5, timezone.utc),
        tags={"team": ["b", "c"]},
        statuses=[BulkActionStatus.REQUESTED],
        backfill_ids=["b1", "b2", "unknown"],
    )
    assert runs.get_backfills(between) == [added[1]]
    assert runs.get_backfills_count(between) == 1
    with pytest.raises(DagsterInvariantViolationError):
        runs.get_backfills(between, status=BulkActionStatus.REQUESTED)
    for unknown, put in ((added[0], runs.add_backfill), (backfill("x"), runs.update_backfill)):
        with pytest.raises(DagsterInvariantViolationError):
            put(unknown)
    done = added[0].with_status(BulkActionStatus.COMPLETED_SUCCESS)
    for _ in range(2):
        runs.update_backfill(done)
        before = head(runs)
    assert head(runs) == before
    assert runs.get_backfill("b0") == done
    assert runs.get_backfill("x") is None
    assert runs.get_backfills(status=BulkActionStatus.COMPLETED_SUCCESS) == [done]
    assert runs.get_backfills_count() == 4


def test_what_is_set_again_to_what_it_is_appends_nothing(runs: LmdbRunStorage) -> None:
    heartbeat = DaemonHeartbeat(1000.0, "SENSOR", "an_id", [])
    added = runs.add_run(run())
    now = time.time()
    for _ in range(2):
        runs.add_daemon_heartbeat(heartbeat)
        runs.set_cursor_values({"one": "1", "two": "2"})
        runs.get_run_storage_id()
        runs.replace_job_origin(added, job_origin())
        runs.add_run_telemetry(RunTelemetryData(run_id=added.run_id, datapoints={"cpu": now}))
        before = head(runs)
    runs.set_cursor_values({})
    assert head(runs) == before
    assert runs.get_daemon_heartbeats() == {"SENSOR": heartbeat}
    assert runs.get_cursor_values({"one", "unknown"}) == {"one": "1"}


def test_a_wipe_keeps_cursors_the_storages_id_and_what_others_store(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    run_id = add(runs, 1)[0]
    whole.event_log_storage.store_event(event(run_id, DagsterEventType.STEP_START, step_key="a"))
    runs.set_cursor_values({"one": "1"})
    runs.add_daemon_heartbeat(DaemonHeartbeat(1000.0, "SENSOR", None, None))
    runs.add_backfill(backfill("a_backfill"))
    storage_id = runs.get_run_storage_id()
    last = runs.get_run_records()[0].storage_id
    runs.wipe()
    assert runs.get_runs() == []
    assert runs.get_backfills() == []
    assert runs.get_daemon_heartbeats() == {}
    assert runs.get_run_tag_keys() == []
    assert runs.get_cursor_values({"one"}) == {"one": "1"}
    assert runs.get_run_storage_id() == storage_id
    assert len(whole.all_logs(run_id)) == 1
    before = head(runs)
    runs.wipe()
    runs.wipe_daemon_heartbeats()
    assert head(runs) == before
    runs.add_run(run(run_id=make_new_run_id()))
    assert runs.get_run_records()[0].storage_id > last


def test_there_is_nothing_to_migrate(runs: LmdbRunStorage) -> None:
    said: list[object] = []
    runs.upgrade()
    runs.migrate(said.append)
    runs.optimize(said.append, force_rebuild_all=True)
    runs.migrate()
    assert len(said) == 2
    current, latest = runs.alembic_version()
    assert current == latest
