"""The model of runs and of what Dagster keeps with them, in lists and dictionaries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagster import DagsterRun, DagsterRunStatus
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    REPOSITORY_LABEL_TAG,
    ROOT_RUN_ID_TAG,
    RUN_FAILURE_REASON_TAG,
)
from dagster._record import copy

from model.drafts import Draft, T
from model.instance.objects import BackfillDraft, RunDraft, Tags, label

STATUS_AFTER = {
    T.RUN_ENQUEUED: "QUEUED",
    T.RUN_STARTING: "STARTING",
    T.RUN_START: "STARTED",
    T.RUN_SUCCESS: "SUCCESS",
    T.RUN_FAILURE: "FAILURE",
    T.RUN_CANCELING: "CANCELING",
    T.RUN_CANCELED: "CANCELED",
}
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True)
class Refused:
    """A command that raised an error of this type."""

    error: str


@dataclass
class Run:
    draft: RunDraft
    status: str
    #: What it is read back with.
    tags: dict[str, str]
    #: What it is found by.
    indexed: dict[str, str]
    created: int
    updated: int
    started: int | None = None
    ended: int | None = None
    #: Set once the storage has said it.
    id: int | None = None

    @property
    def run_id(self) -> str:
        return self.draft.id

    @property
    def run(self) -> DagsterRun:
        """What Dagster has to read."""
        status = DagsterRunStatus(self.status)
        return copy(self.draft.run(), status=status, tags=dict(self.tags))

    def time(self, order_by: str | None) -> float:
        """What it is ordered by; without a time it is as if that were the earliest."""
        times: dict[str | None, int | None] = {
            "create_timestamp": self.created,
            "update_timestamp": self.updated,
            "start_time": self.started,
            "end_time": self.ended,
        }
        time = times.get(order_by, 0)
        return float("-inf") if time is None else time

    def happens(self, event: Draft) -> None:
        """Becomes what an event says."""
        self.status = STATUS_AFTER[event.type]  # type: ignore[index]
        self.updated = event.time
        if event.type is T.RUN_START:
            self.started = event.time
        if self.status in FINISHED:
            self.ended = event.time
        if event.reason not in (None, "UNKNOWN"):
            self.tag({RUN_FAILURE_REASON_TAG: event.reason})

    def can_be(self, status: str) -> bool:
        """A run without an origin is never queued."""
        return status != "QUEUED" or self.draft.repository is not None

    def tag(self, tags: dict[str, str]) -> None:
        self.tags.update(tags)
        self.indexed.update(tags)


@dataclass
class Backfill:
    draft: BackfillDraft
    #: By which it is bounded: when it was added.
    created: int


class Runs:
    def __init__(self) -> None:
        #: In the order in which they were added.
        self.runs: list[Run] = []
        self.backfills: list[Backfill] = []
        self.snapshots: set[str] = set()
        self.plans: set[str] = set()
        self.heartbeats: dict[str, int] = {}
        self.cursors: dict[str, str] = {}
        self.telemetry: dict[str, float] = {}

    def get(self, run_id: str) -> Run | None:
        return next((run for run in self.runs if run.run_id == run_id), None)

    # Commands

    def add_run(self, now: int, draft: RunDraft, created: int | None = None) -> Refused | None:
        if draft.snapshot is not None and draft.snapshot not in self.snapshots:
            return Refused("DagsterSnapshotDoesNotExist")
        if self.get(draft.id):
            return Refused("DagsterRunAlreadyExists")
        tags = dict(draft.tags)
        labels = {} if draft.repository is None else {REPOSITORY_LABEL_TAG: label(draft.repository)}
        created = now if created is None else created
        self.runs.append(Run(draft, draft.status, tags, {**labels, **tags}, created, now))
        return None

    def stored(self, events: Sequence[Draft]) -> None:
        """Events that were stored advance runs that are here and not finished, and older."""
        for event in events:
            run = self.get(event.run)
            status = STATUS_AFTER.get(event.type)  # type: ignore[arg-type]
            if (
                run
                and status
                and run.status not in FINISHED
                and event.time >= run.created
                and run.can_be(status)
            ):
                run.happens(event)

    def handle_run_event(self, event: Draft, logged: bool) -> None:
        """Is told of an event; ``logged`` if the run's log holds one of its type and time."""
        run = self.get(event.run)
        status = STATUS_AFTER[event.type]  # type: ignore[index]
        if run is None or not run.can_be(status):
            return
        if logged:
            if run.status not in FINISHED:
                done = event.time >= run.created
            elif status not in FINISHED:
                done = True
            else:
                done = run.ended is not None and event.time < run.ended
            if done:
                return
        run.happens(event)

    def add_run_tags(self, now: int, run: str, tags: Tags) -> Refused | None:
        found = self.get(run)
        if found is None:
            return Refused("DagsterRunNotFoundError")
        if not set(tags) <= set(found.tags.items()):
            found.tag(dict(tags))
            found.updated = now
        return None

    def replace_job_origin(self, run: str, repository: str) -> None:
        found = self.get(run)
        if found is not None:
            found.draft = replace(found.draft, repository=repository, tags=())
            found.tag({REPOSITORY_LABEL_TAG: label(repository)})

    def delete_run(self, run: str) -> None:
        self.runs = [each for each in self.runs if each.run_id != run]
        self.telemetry.pop(run, None)

    def add_backfill(self, draft: BackfillDraft) -> Refused | None:
        if self.backfill(draft.id):
            return Refused("DagsterInvariantViolationError")
        self.backfills.append(Backfill(draft, draft.time))
        return None

    def update_backfill(self, draft: BackfillDraft) -> Refused | None:
        found = self.backfill(draft.id)
        if found is None:
            return Refused("DagsterInvariantViolationError")
        found.draft = draft
        return None

    def wipe(self) -> None:
        cursors = self.cursors
        self.__init__()  # type: ignore[misc]
        self.cursors = cursors

    # What questions are made of

    def backfill(self, backfill_id: str) -> Backfill | None:
        return next((each for each in self.backfills if each.draft.id == backfill_id), None)

    def group(self, run_id: str) -> Any:
        run = self.get(run_id)
        root = run and self.get(run.draft.root or run_id)
        if run is None or root is None:
            return Refused("DagsterRunNotFoundError")
        members = [
            each
            for each in self.runs
            if each is not root and each.indexed.get(ROOT_RUN_ID_TAG) == root.run_id
        ]
        return root.run_id, [each.run for each in (root, *members)]

    def tag_values(self, keys: Sequence[str], prefix: str | None, limit: int | None) -> Any:
        values = sorted(
            {
                (key, value)
                for run in self.runs
                for key, value in run.indexed.items()
                if key in keys and value.startswith(prefix or "")
            }
        )
        found: dict[str, set[str]] = {}
        for key, value in values[: limit or None]:
            found.setdefault(key, set()).add(value)
        return list(found.items())

    def tag_keys(self) -> list[str]:
        return sorted({key for run in self.runs for key in run.indexed})

    def partitions(self, matches: Callable[[Run], bool]) -> list[Any]:
        """The newest run of each partition."""
        newest: dict[str, Run] = {}
        for run in reversed(self.runs):
            partition = run.indexed.get(PARTITION_NAME_TAG)
            if partition and matches(run):
                newest.setdefault(partition, run)
        return [
            (run.run_id, partition, run.status, run.started, run.ended)
            for partition, run in newest.items()
        ]

    @staticmethod
    def of_backfill(run: Run) -> bool:
        return BACKFILL_ID_TAG in run.indexed
