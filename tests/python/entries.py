"""Event log entries and runs, as Dagster makes them."""

import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import (
    AssetMaterializationPlannedData,
    JobFailureData,
    RunFailureReason,
    StepMaterializationData,
)
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id


def log_line(run_id: str, message: str, timestamp: float | None = None) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message=message,
        run_id=run_id,
        timestamp=time.time() if timestamp is None else timestamp,
    )


def event(
    run_id: str,
    event_type: DagsterEventType,
    data: Any = None,
    *,
    step_key: str | None = None,
    job_name: str = "a_job",
    timestamp: float | None = None,
) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=time.time() if timestamp is None else timestamp,
        step_key=step_key,
        job_name=job_name,
        dagster_event=dg.DagsterEvent(
            event_type.value, job_name, step_key=step_key, event_specific_data=data
        ),
    )


def materialization(
    run_id: str, key: str, partition: str | None = None, tags: dict[str, str] | None = None
) -> EventLogEntry:
    return event(
        run_id,
        DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(dg.AssetMaterialization(key, partition=partition, tags=tags)),
        step_key="a_step",
    )


def planned(run_id: str, key: str, partition: str | None = None) -> EventLogEntry:
    return event(
        run_id,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        AssetMaterializationPlannedData(dg.AssetKey(key), partition=partition),
    )


def whole_block(base_dir: Path) -> dict[str, Any]:
    """The block of a dagster.yaml for all storages on one store."""
    block = {
        "module": "dagster_lmdb",
        "class": "DagsterLmdbStorage",
        "config": {"base_dir": str(base_dir / "history")},
    }
    return {"storage": {"custom": block}}


def job_origin(repository: str = "a_repository", job_name: str = "a_job") -> RemoteJobOrigin:
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="nowhere", attribute="nothing"
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="a_location")
    return RemoteRepositoryOrigin(location, repository).get_job_origin(job_name)


def run(
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED, **fields: Any
) -> dg.DagsterRun:
    fields = {"job_name": "a_job", "run_id": make_new_run_id(), **fields}
    return dg.DagsterRun(status=status, **fields)


def status_event(
    run_id: str,
    event_type: DagsterEventType,
    reason: RunFailureReason | None = None,
    timestamp: float | None = None,
) -> EventLogEntry:
    data = JobFailureData(error=None, failure_reason=reason) if reason else None
    return event(run_id, event_type, data, timestamp=timestamp)
