"""Event log entries, as Dagster makes them."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData


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
