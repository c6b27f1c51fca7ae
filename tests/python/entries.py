"""Event log entries and runs, as Dagster makes them."""

import subprocess
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
    run_id: str,
    key: str,
    partition: str | None = None,
    tags: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> EventLogEntry:
    materialization = dg.AssetMaterialization(
        key, partition=partition, tags=tags, metadata=metadata
    )
    return event(
        run_id,
        DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(materialization),
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


STORE_A_STRANGER = """
import sys
from dagster import MetadataValue
from dagster._record import record
from dagster._serdes import whitelist_for_serdes
sys.path.append(sys.argv[3])
from dagster_lmdb import LmdbEventLogStorage
from python.entries import materialization

@whitelist_for_serdes
@record
class Stranger(MetadataValue[int]):
    value: int

storage = LmdbEventLogStorage(sys.argv[1])
for partition, metadata in (("a", 1), ("b", Stranger(value=2)), ("c", 3)):
    storage.store_event(
        materialization(sys.argv[2], "strange", partition, metadata={"label": metadata})
    )
"""


def store_a_stranger(base_dir: Path, run_id: str) -> None:
    """Stores three materializations, the second of which no other process can decode."""
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", STORE_A_STRANGER, str(base_dir), run_id, tests]
    subprocess.run(command, check=True)
