"""A command that changes nothing appends nothing and does not commit."""

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance
from dagster._core.errors import DagsterInvariantViolationError, DagsterRunAlreadyExists
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._core.storage.tags import POOL_TAG_PREFIX
from dagster._daemon.types import DaemonHeartbeat
from dagster._time import datetime_from_timestamp

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage, LmdbScheduleStorage
from python.entries import event, job_origin, materialization, run, status_event
from python.test_schedules import evaluation, sensor, tick

Act = Callable[[DagsterInstance], Any]

AT = 1_700_000_000.0

A_RUN = run(
    remote_job_origin=job_origin(),
    tags={
        "team": "a",
        ".dagster/scheduled_execution_time": "now",
        f"{POOL_TAG_PREFIX}a_pool": "true",
    },
)
RUN = A_RUN.run_id
ASSET = AssetKey("an_asset")
SENSOR = sensor()
BACKFILL = PartitionBackfill(
    "a_backfill",
    BulkActionStatus.REQUESTED,
    from_failure=False,
    tags={"team": "a"},
    backfill_timestamp=AT,
)
TELEMETRY = RunTelemetryData(run_id=RUN, datapoints={"cpu": 1.0})
HEARTBEAT = DaemonHeartbeat(AT, "SENSOR", "an_id", [])
STARTED = status_event(RUN, DagsterEventType.RUN_START, timestamp=4e9)
ENDED = status_event(RUN, DagsterEventType.RUN_SUCCESS, timestamp=4e9)


@dg.job
def a_job() -> None: ...


JOB = a_job.get_job_snapshot()
PLAN = snapshot_from_execution_plan(create_execution_plan(a_job), JOB.snapshot_id)


def events(act: Callable[[LmdbEventLogStorage], Any]) -> Act:
    return lambda instance: act(instance.event_log_storage)


def runs(act: Callable[[LmdbRunStorage], Any]) -> Act:
    return lambda instance: act(instance.run_storage)


def schedules(act: Callable[[LmdbScheduleStorage], Any]) -> Act:
    return lambda instance: act(instance.schedule_storage)


def told(entry: dg.EventLogEntry) -> Act:
    """Dagster telling the run storage of an event."""
    when = datetime_from_timestamp(entry.timestamp)
    return runs(lambda s: s.handle_run_event(RUN, entry.dagster_event, when))


def update_the_tick(storage: LmdbScheduleStorage) -> None:
    for each in storage.get_ticks("an_origin", "a_selector"):
        storage.update_tick(each)


FURNISH: list[Act] = [
    runs(lambda s: s.add_run(A_RUN)),
    runs(lambda s: s.add_run_tags(RUN, {"size": "1"})),
    runs(lambda s: s.add_backfill(BACKFILL)),
    schedules(lambda s: s.add_instigator_state(SENSOR)),
    schedules(lambda s: s.create_tick(tick(1.0))),
    events(lambda s: s.store_event(materialization(RUN, "an_asset", "p"))),
    events(lambda s: s.set_concurrency_slots("full", 1)),
    events(lambda s: s.claim_concurrency_slot("full", RUN, "a_step", 3)),
    events(lambda s: s.claim_concurrency_slot("full", RUN, "blocked")),
]

#: Commands that change something once, and nothing when they come again.
AGAIN: dict[str, Act] = {
    "delete_events": events(lambda s: s.delete_events(RUN)),
    "wipe of events": events(lambda s: s.wipe()),
    "wipe_asset_partitions": events(lambda s: s.wipe_asset_partitions(ASSET, ["p", "q"])),
    "add_dynamic_partitions": events(lambda s: s.add_dynamic_partitions("d", ["a", "b", "a"])),
    "set_concurrency_slots": events(lambda s: s.set_concurrency_slots("pool", 2)),
    "delete_concurrency_limit": events(lambda s: s.delete_concurrency_limit("full")),
    "claim_concurrency_slot": events(lambda s: s.claim_concurrency_slot("pool", RUN, "a_step")),
    "free_concurrency_slots_for_run": events(lambda s: s.free_concurrency_slots_for_run(RUN)),
    "free_concurrency_slot_for_step": events(
        lambda s: s.free_concurrency_slot_for_step(RUN, "a_step")
    ),
    "handle_run_event": told(STARTED),
    "handle_run_event of an end": told(ENDED),
    "add_run_tags": runs(lambda s: s.add_run_tags(RUN, {"team": "b", "new": "1"})),
    "replace_job_origin": runs(lambda s: s.replace_job_origin(A_RUN, job_origin("other"))),
    "delete_run": runs(lambda s: s.delete_run(RUN)),
    "add_run_telemetry": runs(lambda s: s.add_run_telemetry(TELEMETRY, {"of": "a_run"})),
    "wipe of runs": runs(lambda s: s.wipe()),
    "add_snapshot of a job": runs(lambda s: s.add_snapshot(JOB)),
    "add_snapshot of a plan": runs(lambda s: s.add_snapshot(PLAN)),
    "add_job_snapshot": runs(lambda s: s.add_job_snapshot(JOB)),
    "add_execution_plan_snapshot": runs(lambda s: s.add_execution_plan_snapshot(PLAN)),
    "update_backfill": runs(
        lambda s: s.update_backfill(BACKFILL.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    ),
    "add_daemon_heartbeat": runs(lambda s: s.add_daemon_heartbeat(HEARTBEAT)),
    "set_cursor_values": runs(lambda s: s.set_cursor_values({"one": "1", "two": "2"})),
    "get_run_storage_id": runs(lambda s: s.get_run_storage_id()),
    "update_instigator_state": schedules(lambda s: s.update_instigator_state(SENSOR)),
    "purge_ticks": schedules(lambda s: s.purge_ticks("an_origin", "a_selector", 5.0)),
    "add_auto_materialize_asset_evaluations": schedules(
        lambda s: s.add_auto_materialize_asset_evaluations(7, [evaluation(ASSET)])
    ),
    "wipe of schedules": schedules(lambda s: s.wipe()),
}

#: Commands that have nothing to change.
AT_ONCE: dict[str, Act] = {
    "update_asset_cached_status_data beside the log": events(
        lambda s: s.update_asset_cached_status_data(ASSET, AssetStatusCacheValue(1))
    ),
    "store_event_batch of none": events(lambda s: s.store_event_batch([])),
    "delete_events of no run": events(lambda s: s.delete_events("nobody")),
    "wipe_asset of none": events(lambda s: s.wipe_asset(AssetKey("nothing"))),
    "wipe_asset_partitions of no asset": events(
        lambda s: s.wipe_asset_partitions(AssetKey("nothing"), ["p"])
    ),
    "wipe_asset_partitions of none": events(lambda s: s.wipe_asset_partitions(ASSET, ["q"])),
    "wipe_asset_cached_status of none": events(lambda s: s.wipe_asset_cached_status(ASSET)),
    "add_dynamic_partitions of none": events(lambda s: s.add_dynamic_partitions("d", [])),
    "delete_dynamic_partition of none": events(lambda s: s.delete_dynamic_partition("d", "a")),
    "set_concurrency_slots to what they are": events(lambda s: s.set_concurrency_slots("full", 1)),
    "initialize_concurrency_limit_to_default without one": events(
        lambda s: s.initialize_concurrency_limit_to_default("pool")
    ),
    "delete_concurrency_limit of none": events(lambda s: s.delete_concurrency_limit("pool")),
    "claim_concurrency_slot of its holder": events(
        lambda s: s.claim_concurrency_slot("full", RUN, "a_step", 5)
    ),
    "claim_concurrency_slot of one that waits": events(
        lambda s: s.claim_concurrency_slot("full", RUN, "blocked")
    ),
    "check_concurrency_claim": events(lambda s: s.check_concurrency_claim("full", "other", "x")),
    "free_concurrency_slots_for_run of none": events(
        lambda s: s.free_concurrency_slots_for_run("nobody")
    ),
    "free_concurrency_slot_for_step of none": events(
        lambda s: s.free_concurrency_slot_for_step(RUN, "other")
    ),
    "handle_run_event of no run": runs(
        lambda s: s.handle_run_event("nobody", STARTED.dagster_event)
    ),
    "handle_run_event without a status": runs(
        lambda s: s.handle_run_event(RUN, event(RUN, DagsterEventType.RUN_DEQUEUED).dagster_event)
    ),
    "add_run_tags that it was made with": runs(lambda s: s.add_run_tags(RUN, {"team": "a"})),
    "add_run_tags that were added": runs(lambda s: s.add_run_tags(RUN, {"size": "1"})),
    "add_run_tags hidden that it was made with": runs(
        lambda s: s.add_run_tags(RUN, {".dagster/scheduled_execution_time": "now"})
    ),
    "add_run_tags hidden that Dagster indexes as well": runs(
        lambda s: s.add_run_tags(RUN, {f"{POOL_TAG_PREFIX}a_pool": "true"})
    ),
    "add_run_tags of none": runs(lambda s: s.add_run_tags(RUN, {})),
    "replace_job_origin of no run": runs(lambda s: s.replace_job_origin(run(), job_origin())),
    "delete_run of none": runs(lambda s: s.delete_run("nobody")),
    "update_backfill to what it is": runs(lambda s: s.update_backfill(BACKFILL)),
    "wipe_daemon_heartbeats of none": runs(lambda s: s.wipe_daemon_heartbeats()),
    "set_cursor_values of none": runs(lambda s: s.set_cursor_values({})),
    "update_tick to what it is": schedules(update_the_tick),
    "update_tick of none": schedules(lambda s: s.update_tick(InstigatorTick(10**6, tick(1.0)))),
    "purge_ticks before any": schedules(lambda s: s.purge_ticks("an_origin", "a_selector", 0.5)),
    "purge_ticks of none": schedules(lambda s: s.purge_ticks("nobody", "nobody", 5.0)),
    "add_auto_materialize_asset_evaluations of none": schedules(
        lambda s: s.add_auto_materialize_asset_evaluations(7, [])
    ),
    "purge_asset_evaluations of none": schedules(lambda s: s.purge_asset_evaluations(4e9)),
}

#: Commands that are refused, with what they raise.
REFUSED: dict[str, tuple[Act, type[Exception]]] = {
    "add_run": (runs(lambda s: s.add_run(A_RUN)), DagsterRunAlreadyExists),
    "add_historical_run": (
        runs(lambda s: s.add_historical_run(A_RUN, datetime.fromtimestamp(AT, timezone.utc))),
        DagsterRunAlreadyExists,
    ),
    "add_run_tags of no run": (
        runs(lambda s: s.add_run_tags("nobody", {"a": "b"})),
        dg.DagsterRunNotFoundError,
    ),
    "add_backfill": (runs(lambda s: s.add_backfill(BACKFILL)), DagsterInvariantViolationError),
    "update_backfill of none": (
        runs(lambda s: s.update_backfill(BACKFILL._replace(backfill_id="other"))),
        DagsterInvariantViolationError,
    ),
    "add_instigator_state": (
        schedules(lambda s: s.add_instigator_state(SENSOR)),
        DagsterInvariantViolationError,
    ),
    "update_instigator_state of none": (
        schedules(lambda s: s.update_instigator_state(sensor("other"))),
        DagsterInvariantViolationError,
    ),
    "delete_instigator_state of none": (
        schedules(lambda s: s.delete_instigator_state("nobody", "nobody")),
        DagsterInvariantViolationError,
    ),
}

#: Commands each call of which is a fact of its own.
ALWAYS_NEW = {"store_event", "create_tick", "wipe_asset"}

COMMAND_VERBS = (
    "add_",
    "claim_",
    "create_",
    "delete_",
    "free_",
    "handle_run_event",
    "initialize_",
    "purge_",
    "replace_",
    "set_",
    "store_",
    "update_",
    "wipe",
)


@pytest.fixture
def furnished(whole: DagsterInstance) -> DagsterInstance:
    for act in FURNISH:
        act(whole)
    return whole


def place(instance: DagsterInstance) -> tuple[int, int]:
    """The head, and the word that each commit changes."""
    log = instance.run_storage._log
    return log.stat()["head"], log.commit_word()


@pytest.mark.parametrize("command", AGAIN)
def test_a_command_that_comes_again_appends_nothing(
    furnished: DagsterInstance, command: str
) -> None:
    before = place(furnished)
    AGAIN[command](furnished)
    after = place(furnished)
    assert after != before
    AGAIN[command](furnished)
    assert place(furnished) == after
    assert furnished.run_storage._log.verify().differences == []


@pytest.mark.parametrize("command", AT_ONCE)
def test_a_command_with_nothing_to_change_appends_nothing(
    furnished: DagsterInstance, command: str
) -> None:
    before = place(furnished)
    AT_ONCE[command](furnished)
    assert place(furnished) == before


@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_is_refused_appends_nothing(
    furnished: DagsterInstance, command: str
) -> None:
    act, refusal = REFUSED[command]
    before = place(furnished)
    with pytest.raises(refusal):
        act(furnished)
    assert place(furnished) == before


def test_telling_a_run_of_a_stored_event_appends_nothing(furnished: DagsterInstance) -> None:
    for entry in (STARTED, ENDED):
        furnished.event_log_storage.store_event(entry)
        before = place(furnished)
        told(entry)(furnished)
        assert place(furnished) == before


def test_a_pool_that_has_its_default_limit_is_not_given_it_again(
    furnished: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**furnished._settings, "concurrency": {"pools": {"default_limit": 2}}}
    monkeypatch.setattr(furnished, "_settings", settings)
    before = place(furnished)
    assert furnished.event_log_storage.initialize_concurrency_limit_to_default("pool")
    after = place(furnished)
    assert after != before
    assert furnished.event_log_storage.initialize_concurrency_limit_to_default("pool")
    assert place(furnished) == after


def test_an_asset_that_is_wiped_again_stays_wiped_from_the_later_time(
    furnished: DagsterInstance,
) -> None:
    """Not a command that changes nothing: events up to the second time are hidden too."""
    storage = furnished.event_log_storage
    storage.wipe_asset(ASSET)
    between = time.time()
    storage.wipe_asset(ASSET)
    late = materialization(RUN, "an_asset", "p")._replace(timestamp=between)
    storage.store_event(late)
    assert not storage.get_materialized_partitions(ASSET)


def test_every_command_is_here() -> None:
    tested = {name.split(" ")[0] for name in (*AGAIN, *AT_ONCE, *REFUSED)}
    for storage in (LmdbEventLogStorage, LmdbRunStorage, LmdbScheduleStorage):
        commands = {name for name in dir(storage) if name.startswith(COMMAND_VERBS)}
        assert commands - ALWAYS_NEW <= tested, storage
