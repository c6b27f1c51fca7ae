"""Runs, backfills, ticks and states as plain values, from which any process builds the same."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import dagster as dg
from dagster import AssetCheckKey, AssetKey, DagsterRun, DagsterRunStatus
from dagster._core.definitions.asset_key import EntityKey
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import RemotePartitionSetOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    TickData,
    TickStatus,
)
from dagster._core.snap import (
    ExecutionPlanSnapshot,
    JobSnap,
    create_execution_plan_snapshot_id,
    snapshot_from_execution_plan,
)
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    REPOSITORY_LABEL_TAG,
    ROOT_RUN_ID_TAG,
)
from dagster._utils.error import SerializableErrorInfo

from model.drafts import EPOCH
from python.entries import job_origin
from python.test_schedules import moved, sensor

RUNS = ["run-1", "run-2", "run-3", "run-4"]
JOBS = ["job-1", "job-2"]
REPOSITORIES = ["one", "two"]
RUN_TAGS = [
    ("team", "a"),
    ("team", "b"),
    ("size", "1"),
    (PARTITION_NAME_TAG, "p"),
    (PARTITION_NAME_TAG, "q"),
    (BACKFILL_ID_TAG, "backfill-1"),
    (REPOSITORY_LABEL_TAG, "one@a_location"),
]
SNAPSHOTS = ["snapshot-1", "snapshot-2"]
BACKFILLS = ["backfill-1", "backfill-2", "backfill-3"]
DAEMONS = ["SCHEDULER", "SENSOR"]
CURSORS = ["cursor-1", "cursor-2"]
ORIGINS = ["origin-1", "origin-2"]
SELECTORS = ["selector-1", "selector-2"]
#: Of a sensor each: its name, its repository, and whether its code has moved to another origin.
SENSORS = [("a", "one", False), ("a", "one", True), ("b", "one", False), ("c", "two", False)]
KEYS = ["a", "b", "a:check"]

Tags = tuple[tuple[str, str], ...]


def label(repository: str) -> str:
    """The label that runs have of their repository."""
    return f"{repository}@a_location"


@lru_cache
def job_snapshot(name: str) -> JobSnap:
    @dg.job(name=name.replace("-", "_"))
    def a_job() -> None: ...

    return a_job.get_job_snapshot()


@lru_cache
def plan_snapshot(name: str) -> ExecutionPlanSnapshot:
    @dg.job(name=name.replace("-", "_"))
    def a_job() -> None: ...

    return snapshot_from_execution_plan(
        create_execution_plan(a_job), job_snapshot(name).snapshot_id
    )


@lru_cache
def job_snapshot_id(name: str) -> str:
    return job_snapshot(name).snapshot_id


@lru_cache
def plan_snapshot_id(name: str) -> str:
    return create_execution_plan_snapshot_id(plan_snapshot(name))


@dataclass(frozen=True)
class RunDraft:
    """A run as it is added."""

    id: str
    job: str = JOBS[0]
    status: str = "NOT_STARTED"
    tags: Tags = ()
    snapshot: str | None = None
    root: str | None = None
    repository: str | None = None

    def __post_init__(self) -> None:
        # Dagster has no queued run without an origin.
        if self.status == "QUEUED" and self.repository is None:
            object.__setattr__(self, "status", "NOT_STARTED")
        if self.root is not None:
            group = {ROOT_RUN_ID_TAG: self.root, PARENT_RUN_ID_TAG: self.root}
            tags = tuple({**dict(self.tags), **group}.items())
            object.__setattr__(self, "tags", tags)

    def run(self) -> DagsterRun:
        return DagsterRun(
            job_name=self.job,
            run_id=self.id,
            status=DagsterRunStatus(self.status),
            tags=dict(self.tags),
            root_run_id=self.root,
            parent_run_id=self.root,
            job_snapshot_id=self.snapshot and job_snapshot_id(self.snapshot),
            remote_job_origin=self.repository and job_origin(self.repository, self.job),
        )


@dataclass(frozen=True)
class BackfillDraft:
    id: str
    status: str = "REQUESTED"
    tags: Tags = ()
    time: int = 0
    #: The job of the set of partitions; None for a backfill of assets.
    job: str | None = None
    failures: int = 0

    def backfill(self) -> PartitionBackfill:
        return PartitionBackfill(
            backfill_id=self.id,
            status=BulkActionStatus[self.status],
            from_failure=False,
            tags=dict(self.tags),
            backfill_timestamp=EPOCH + self.time,
            failure_count=self.failures,
            partition_set_origin=self.partition_set,
            serialized_asset_backfill_data=None if self.job else "{}",
        )

    @property
    def partition_set(self) -> RemotePartitionSetOrigin | None:
        if self.job is None:
            return None
        repository = job_origin().repository_origin
        return RemotePartitionSetOrigin(
            repository_origin=repository, partition_set_name=f"{self.job}_partition_set"
        )


@dataclass(frozen=True)
class TickDraft:
    time: int
    status: str = "STARTED"
    origin: str = ORIGINS[0]
    selector: str | None = SELECTORS[0]
    cursor: str | None = None

    def tick(self) -> TickData:
        failed = self.status == "FAILURE"
        return TickData(
            instigator_origin_id=self.origin,
            instigator_name="a_sensor",
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus(self.status),
            timestamp=EPOCH + self.time,
            selector_id=self.selector,
            cursor=self.cursor,
            run_ids=[],
            error=SerializableErrorInfo("no", [], None) if failed else None,
        )


@dataclass(frozen=True)
class StateDraft:
    #: Of ``SENSORS``.
    sensor: tuple[str, str, bool]
    status: str = "RUNNING"

    def state(self) -> InstigatorState:
        name, repository, has_moved = self.sensor
        state = sensor(name, repository).with_status(InstigatorStatus(self.status))
        return moved(state) if has_moved else state

    def with_status(self, status: str) -> "StateDraft":
        return dataclasses.replace(self, status=status)


def entity_key(text: str) -> EntityKey:
    """The asset or, behind a colon, its check."""
    asset, _, check = text.partition(":")
    return AssetCheckKey(AssetKey(asset), check) if check else AssetKey(asset)
