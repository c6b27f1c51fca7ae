"""Events that the tests here store."""

import time
from typing import Any

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import StepMaterializationData


def line(run_id: str, message: str) -> EventLogEntry:
    return EventLogEntry(
        error_info=None, level=10, user_message=message, run_id=run_id, timestamp=time.time()
    )


def event(run_id: str, event_type: DagsterEventType, data: Any = None) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=time.time(),
        dagster_event=dg.DagsterEvent(event_type.value, "a_job", event_specific_data=data),
    )


def materialization(run_id: str, key: str = "an_asset", **fields: Any) -> EventLogEntry:
    return event(
        run_id,
        DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(dg.AssetMaterialization(key, **fields)),
    )
