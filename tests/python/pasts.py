"""An instance with one of everything in it, and instances that show it as it was."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import SensorInstigatorData, TickStatus
from dagster._core.test_utils import instance_for_test
from dagster._daemon.types import DaemonHeartbeat

from dagster_lmdb import LmdbEventLogStorage
from python.entries import log_line, materialization, run, status_event, whole_block
from python.test_schedules import evaluation, sensor, tick

ASSET = dg.AssetKey("an_asset")
SENSOR = sensor()


def head_of(instance: DagsterInstance) -> int:
    storage = instance.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    return storage._log.head()


@contextlib.contextmanager
def instance_as_of(store: Path, moment: object, **settings: Any) -> Iterator[DagsterInstance]:
    """An instance on the store ``history`` of a directory."""
    block = whole_block(store)
    block["storage"]["custom"]["config"] |= {"as_of": moment, **settings}
    with instance_for_test(block) as instance:
        yield instance


def backfill(status: BulkActionStatus) -> PartitionBackfill:
    return PartitionBackfill(
        "a_backfill", status, from_failure=False, tags={}, backfill_timestamp=1.0
    )


def begin(instance: DagsterInstance) -> str:
    """A run in progress, and one of everything else; returns the run's id."""
    added = instance.add_run(run(tags={"mood": "early"}))
    instance.store_event(status_event(added.run_id, DagsterEventType.RUN_START))
    instance.store_event(materialization(added.run_id, "another_asset"))
    instance.add_instigator_state(SENSOR.with_data(SensorInstigatorData(cursor="then")))
    instance.create_tick(
        tick(1.0, TickStatus.STARTED, SENSOR.selector_id, SENSOR.instigator_origin_id)
    )
    instance.schedule_storage.add_auto_materialize_asset_evaluations(1, [evaluation(ASSET)])
    instance.add_backfill(backfill(BulkActionStatus.REQUESTED))
    instance.add_dynamic_partitions("colours", ["blue"])
    instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", "a daemon", []))
    instance.daemon_cursor_storage.set_cursor_values({"a_key": "then"})
    instance.event_log_storage.set_concurrency_slots("a_pool", 2)
    return added.run_id


def go_on(instance: DagsterInstance, run_id: str) -> None:
    """Changes all of it."""
    instance.store_event(materialization(run_id, ASSET.to_user_string()))
    instance.store_event(log_line(run_id, "nearly done"))
    instance.store_event(status_event(run_id, DagsterEventType.RUN_SUCCESS))
    instance.add_run_tags(run_id, {"mood": "late"})
    instance.add_run(run())
    instance.update_instigator_state(SENSOR.with_data(SensorInstigatorData(cursor="now")))
    [started] = instance.get_ticks(SENSOR.instigator_origin_id, SENSOR.selector_id)
    instance.update_tick(started.with_status(TickStatus.SKIPPED))
    instance.schedule_storage.add_auto_materialize_asset_evaluations(2, [evaluation(ASSET, True)])
    instance.update_backfill(backfill(BulkActionStatus.COMPLETED_SUCCESS))
    instance.add_dynamic_partitions("colours", ["red"])
    instance.add_daemon_heartbeat(DaemonHeartbeat(2.0, "SENSOR", "a daemon", []))
    instance.daemon_cursor_storage.set_cursor_values({"a_key": "now"})
    instance.event_log_storage.set_concurrency_slots("a_pool", 1)


def state_of(instance: DagsterInstance) -> dict[str, Any]:
    """What there is to see of it."""
    records = instance.get_run_records()
    events, schedules = instance.event_log_storage, instance.schedule_storage
    assert schedules is not None
    return {
        "runs": records,
        "tags": instance.get_run_tags(["mood"]),
        "logs": [instance.all_logs(record.dagster_run.run_id) for record in records],
        "assets": instance.get_asset_records(),
        "partitions": instance.get_dynamic_partitions("colours"),
        "sensors": instance.all_instigator_state(),
        "ticks": instance.get_ticks(SENSOR.instigator_origin_id, SENSOR.selector_id),
        "evaluations": schedules.get_auto_materialize_asset_evaluations(ASSET, limit=10),
        "backfills": instance.get_backfills(),
        "heartbeats": instance.get_daemon_heartbeats(),
        "cursors": instance.daemon_cursor_storage.get_cursor_values({"a_key"}),
        "pools": events.get_concurrency_infos(events.get_concurrency_keys()),
    }
