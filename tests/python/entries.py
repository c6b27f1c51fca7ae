"""Event log entries, as Dagster makes them."""

import time
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
