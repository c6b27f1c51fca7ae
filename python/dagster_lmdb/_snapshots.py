"""Snapshots of jobs and of execution plans, under the hash of their content; each is kept once."""

import dagster._check as check
from dagster._core.snap import ExecutionPlanSnapshot, JobSnap, create_execution_plan_snapshot_id
from dagster._time import get_current_datetime

from dagster_lmdb._arguments import seconds
from dagster_lmdb._run_base import ReadsRuns


class KeepsSnapshots(ReadsRuns):
    """The part of ``RunStorage`` that is about snapshots."""

    def add_snapshot(self, snapshot: JobSnap | ExecutionPlanSnapshot) -> None:
        if isinstance(snapshot, JobSnap):
            self.add_job_snapshot(snapshot)
        else:
            self.add_execution_plan_snapshot(snapshot)

    def has_snapshot(self, snapshot_id: str) -> bool:
        check.str_param(snapshot_id, "snapshot_id")
        return self._log.document_id("snapshot", snapshot_id) is not None

    def has_job_snapshot(self, job_snapshot_id: str) -> bool:
        return self.has_snapshot(job_snapshot_id)

    def add_job_snapshot(self, job_snapshot: JobSnap) -> str:
        check.inst_param(job_snapshot, "job_snapshot", JobSnap)
        return self._add_snapshot(job_snapshot.snapshot_id, job_snapshot)

    def get_job_snapshot(self, job_snapshot_id: str) -> JobSnap:
        """Get a job's snapshot; None where it is not in storage, as Dagster's SQL storages do."""
        return self._snapshot(job_snapshot_id)  # type: ignore[return-value]

    def has_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> bool:
        return self.has_snapshot(execution_plan_snapshot_id)

    def add_execution_plan_snapshot(self, execution_plan_snapshot: ExecutionPlanSnapshot) -> str:
        check.inst_param(execution_plan_snapshot, "execution_plan_snapshot", ExecutionPlanSnapshot)
        return self._add_snapshot(
            create_execution_plan_snapshot_id(execution_plan_snapshot), execution_plan_snapshot
        )

    def get_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> ExecutionPlanSnapshot:
        """Get a plan's snapshot; None where it is not in storage, as Dagster's SQL storages do."""
        return self._snapshot(execution_plan_snapshot_id)  # type: ignore[return-value]

    def _add_snapshot(self, snapshot_id: str, snapshot: JobSnap | ExecutionPlanSnapshot) -> str:
        if not self.has_snapshot(snapshot_id):
            self._log.put_documents(
                "snapshot",
                [(None, snapshot_id, None, [], snapshot)],
                "insert_if_absent",
                seconds(get_current_datetime()),
            )
        return snapshot_id

    def _snapshot(self, snapshot_id: str) -> JobSnap | ExecutionPlanSnapshot | None:
        check.str_param(snapshot_id, "snapshot_id")
        found = self._log.find_documents("snapshot", keys=[snapshot_id])
        if not found:
            return None
        snapshot: JobSnap | ExecutionPlanSnapshot = check.inst_param(
            found[0].value, "snapshot", (JobSnap, ExecutionPlanSnapshot)
        )
        return snapshot
