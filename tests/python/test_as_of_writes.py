"""Writes to an instance as of a moment: all are refused, but for those on a list."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.partition_status_cache import (
    AssetStatusCacheValue,
    get_and_update_asset_status_cache_value,
)
from dagster._core.test_utils import instance_for_test
from dagster._daemon import asset_daemon
from dagster._daemon.auto_run_reexecution import event_log_consumer
from dagster._daemon.types import DaemonHeartbeat

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage, LmdbScheduleStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb.errors import LmdbStoreError, ReadOnlyError, ReadOnlyInstanceError
from python.entries import job_origin, log_line, materialization, run, status_event, whole_block
from python.pasts import ASSET, SENSOR, backfill, begin, head_of, instance_as_of, state_of
from python.test_schedules import evaluation, tick

SIDES = dg.StaticPartitionsDefinition(["north", "south"])


@dg.job
def a_job() -> None: ...


JOB = a_job.get_job_snapshot()
PLAN = snapshot_from_execution_plan(create_execution_plan(a_job), JOB.snapshot_id)
OF_SENSOR = SENSOR.instigator_origin_id, SENSOR.selector_id


class Past(NamedTuple):
    """An instance as of a moment, the run in it, and its tick."""

    instance: DagsterInstance
    run: dg.DagsterRun
    tick: Any

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def storage(self, cls: type) -> Any:
        storages = (
            self.instance.event_log_storage,
            self.instance.run_storage,
            self.instance.schedule_storage,
        )
        return next(storage for storage in storages if isinstance(storage, cls))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    store = tmp_path_factory.mktemp("present")
    with instance_for_test(whole_block(store), temp_dir=str(store)) as present:
        begin(present)
        at = head_of(present)
    with instance_as_of(store, at) as instance:
        [found] = instance.get_runs()
        [started] = instance.get_ticks(*OF_SENSOR)
        yield Past(instance, found, started)


Write = Callable[[Any, Past], object]

REFUSED: dict[type, dict[str, Write]] = {
    LmdbEventLogStorage: {
        "add_dynamic_partitions": lambda to, past: to.add_dynamic_partitions("colours", ["red"]),
        "claim_concurrency_slot": lambda to, past: to.claim_concurrency_slot("a_pool", "a", "b"),
        "delete_concurrency_limit": lambda to, past: to.delete_concurrency_limit("a_pool"),
        "delete_dynamic_partition": lambda to, past: to.delete_dynamic_partition("colours", "blue"),
        "delete_events": lambda to, past: to.delete_events(past.run_id),
        "free_concurrency_slot_for_step": lambda to, past: to.free_concurrency_slot_for_step(
            past.run_id, "a_step"
        ),
        "free_concurrency_slots_for_run": lambda to, past: to.free_concurrency_slots_for_run(
            past.run_id
        ),
        "set_concurrency_slots": lambda to, past: to.set_concurrency_slots("a_pool", 5),
        "store_event": lambda to, past: to.store_event(log_line(past.run_id, "more")),
        "store_event_batch": lambda to, past: to.store_event_batch([log_line(past.run_id, "more")]),
        "wipe": lambda to, past: to.wipe(),
        "wipe_asset": lambda to, past: to.wipe_asset(ASSET),
        "wipe_asset_partitions": lambda to, past: to.wipe_asset_partitions(ASSET, ["north"]),
    },
    LmdbRunStorage: {
        "add_backfill": lambda to, past: to.add_backfill(backfill(BulkActionStatus.REQUESTED)),
        "add_execution_plan_snapshot": lambda to, past: to.add_execution_plan_snapshot(PLAN),
        "add_historical_run": lambda to, past: to.add_historical_run(
            run(), datetime.now(timezone.utc)
        ),
        "add_job_snapshot": lambda to, past: to.add_job_snapshot(JOB),
        # Also where its snapshot is not there.
        "add_run": lambda to, past: to.add_run(run(job_snapshot_id=JOB.snapshot_id)),
        "add_run_tags": lambda to, past: to.add_run_tags(past.run_id, {"mood": "new"}),
        "add_run_telemetry": lambda to, past: to.add_run_telemetry(
            RunTelemetryData(run_id=past.run_id, datapoints={"cpu": 1.0})
        ),
        "add_snapshot": lambda to, past: to.add_snapshot(JOB),
        "delete_run": lambda to, past: to.delete_run(past.run_id),
        "handle_run_event": lambda to, past: to.handle_run_event(
            past.run_id, status_event(past.run_id, DagsterEventType.RUN_SUCCESS).dagster_event
        ),
        "replace_job_origin": lambda to, past: to.replace_job_origin(past.run, job_origin()),
        "set_cursor_values": lambda to, past: to.set_cursor_values(
            {asset_daemon._PRE_SENSOR_ASSET_DAEMON_PAUSED_KEY: "true"}
        ),
        "update_backfill": lambda to, past: to.update_backfill(
            backfill(BulkActionStatus.CANCELING)
        ),
        "wipe": lambda to, past: to.wipe(),
        "wipe_daemon_heartbeats": lambda to, past: to.wipe_daemon_heartbeats(),
    },
    LmdbScheduleStorage: {
        "add_auto_materialize_asset_evaluations": lambda to, past: (
            to.add_auto_materialize_asset_evaluations(2, [evaluation(ASSET)])
        ),
        "add_instigator_state": lambda to, past: to.add_instigator_state(SENSOR),
        "create_tick": lambda to, past: to.create_tick(tick(2.0)),
        "delete_instigator_state": lambda to, past: to.delete_instigator_state(*OF_SENSOR),
        "purge_asset_evaluations": lambda to, past: to.purge_asset_evaluations(time.time() + 1),
        "purge_ticks": lambda to, past: to.purge_ticks(*OF_SENSOR, time.time()),
        "update_instigator_state": lambda to, past: to.update_instigator_state(SENSOR),
        "update_tick": lambda to, past: to.update_tick(past.tick.with_status(TickStatus.SKIPPED)),
        "wipe": lambda to, past: to.wipe(),
    },
}

#: The list of docs/debugging.md, and what each returns.
DROPPED: dict[type, dict[str, tuple[Write, object]]] = {
    LmdbEventLogStorage: {
        "initialize_concurrency_limit_to_default": (
            lambda to, past: to.initialize_concurrency_limit_to_default("a_pool"),
            False,
        ),
        "update_asset_cached_status_data": (
            lambda to, past: to.update_asset_cached_status_data(ASSET, AssetStatusCacheValue(1)),
            None,
        ),
        "wipe_asset_cached_status": (lambda to, past: to.wipe_asset_cached_status(ASSET), None),
    },
    LmdbRunStorage: {
        "add_daemon_heartbeat": (
            lambda to, past: to.add_daemon_heartbeat(DaemonHeartbeat(9.0, "SENSOR", "b", [])),
            None,
        ),
        "set_cursor_values": (
            lambda to, past: to.set_cursor_values(
                {
                    event_log_consumer._create_cursor_key(DagsterEventType.RUN_FAILURE): "1",
                    asset_daemon._MIGRATED_CURSOR_TO_SENSORS_KEY: "1",
                    asset_daemon._MIGRATED_SENSOR_NAMES_KEY: "1",
                }
            ),
            None,
        ),
    },
    LmdbScheduleStorage: {},
}

#: Members that write nothing: by how their names begin, or by their names.
READING = ("all_", "asset_records_have_", "can_", "check_", "fetch_", "get_", "has_", "is_",
           "supports_")  # fmt: skip
WRITING_NOTHING = {
    "alembic_version",
    "config_type",
    "default_run_scoped_event_tailer_offset",
    "dispose",
    "end_watch",
    "from_config_value",
    "handles_run_events_in_store_event",
    "inst_data",
    "migrate",
    "optimize",
    "optimize_for_webserver",
    "register_instance",
    "reindex_assets",
    "reindex_events",
    "upgrade",
    "watch",
}


@pytest.mark.parametrize("cls", REFUSED, ids=lambda cls: cls.__name__)
def test_every_member_reads_or_is_on_a_list(cls: type) -> None:
    writes = {
        name
        for name in dir(cls)
        if not name.startswith(("_", *READING)) and name not in WRITING_NOTHING
    }
    assert writes == REFUSED[cls].keys() | DROPPED[cls].keys()


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls, writes in REFUSED.items() for name in writes],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_a_write_is_refused_and_says_why_and_what_to_do(cls: type, name: str, past: Past) -> None:
    before = state_of(past.instance)
    with pytest.raises(ReadOnlyInstanceError) as raised:
        REFUSED[cls][name](past.storage(cls), past)
    said = str(raised.value)
    assert f"as of record {raised.value.sequence:,} (as_of: {raised.value.as_of})" in said
    assert "take as_of out of the storage's configuration" in said
    assert f"DEST --at {raised.value.sequence}" in said
    assert ".fork" not in said, "that directory is nobody's"
    assert state_of(past.instance) == before


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls, writes in DROPPED.items() for name in writes],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_what_dagster_writes_while_it_reads_or_starts_is_dropped(
    cls: type, name: str, past: Past, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dagster_lmdb")
    before = state_of(past.instance)
    write, returned = DROPPED[cls][name]
    assert write(past.storage(cls), past) == returned
    assert f"dropped: {name}" in caplog.text
    assert state_of(past.instance) == before


def test_what_is_dropped_is_dropped_alone(past: Past) -> None:
    """With a value that is not a daemon's own, all of a call is refused."""
    own = event_log_consumer._create_cursor_key(DagsterEventType.RUN_FAILURE)
    with pytest.raises(ReadOnlyInstanceError):
        past.instance.daemon_cursor_storage.set_cursor_values({own: "1", "a_key": "new"})


def test_it_is_an_error_of_the_store(past: Past) -> None:
    assert issubclass(ReadOnlyInstanceError, ReadOnlyError)
    assert issubclass(ReadOnlyError, LmdbStoreError)


def test_a_pools_default_is_told_and_not_set(tmp_path: Path) -> None:
    settings = {"concurrency": {"pools": {"default_limit": 3}}}
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as present:
        begin(present)
        at = head_of(present)
    block = whole_block(tmp_path) | settings
    block["storage"]["custom"]["config"]["as_of"] = at
    with instance_for_test(block) as past:
        assert past.event_log_storage.initialize_concurrency_limit_to_default("a_new_pool")
        assert past.event_log_storage.get_concurrency_keys() == {"a_pool"}


def test_the_storages_id_is_made_up_where_there_was_none_and_stays(tmp_path: Path) -> None:
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as present:
        begin(present)
        before = head_of(present)
        storage_id = present.run_storage.get_run_storage_id()
        after = head_of(present)
    ids = []
    for at in (before, before, after):
        with instance_as_of(tmp_path, at) as past:
            ids.append(past.run_storage.get_run_storage_id())
    assert ids[0] == ids[1] != storage_id
    assert ids[2] == storage_id


def test_the_status_of_partitions_is_found_and_not_cached(tmp_path: Path) -> None:
    key = dg.AssetKey("sides")
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as present:
        added = present.add_run(run())
        present.store_event(materialization(added.run_id, "sides", "north"))
        at = head_of(present)
        present.store_event(materialization(added.run_id, "sides", "south"))
        assert materialized(present, key) == {"north", "south"}
        [record] = present.get_asset_records([key])
        assert record.asset_entry.cached_status, "what is cached here is not of then"
    with instance_as_of(tmp_path, at) as past:
        for _ in range(2):
            assert materialized(past, key) == {"north"}
            [record] = past.get_asset_records([key])
            assert record.asset_entry.cached_status is None


def materialized(instance: DagsterInstance, key: dg.AssetKey) -> set[str]:
    status = get_and_update_asset_status_cache_value(instance, key, SIDES)
    assert status
    return set(status.deserialize_materialized_partition_subsets(SIDES).get_partition_keys())


def test_the_engine_itself_writes_nothing_to_a_fork(past: Past) -> None:
    """Whatever a storage may forget: the handle on the fork refuses too."""
    log = past.storage(LmdbEventLogStorage)._log
    fork = log._lease.content
    assert isinstance(fork, EventLog)
    with pytest.raises(ReadOnlyError):
        fork.put_documents("cursor_value", [(None, "a_key", None, [], "new")], "upsert", 1.0)


def test_dagsters_maintenance_has_nothing_to_do(past: Past) -> None:
    said: list[str] = []
    past.instance.upgrade(said.append)
    past.instance.reindex(said.append)
    past.instance.optimize_for_webserver(statement_timeout=1, pool_recycle=1, max_overflow=1)
    assert said
