"""What a process is asked to do to the storages of an instance."""

from typing import Any

from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.test_utils import freeze_time
from dagster._daemon.types import DaemonHeartbeat
from dagster._time import datetime_from_timestamp, get_current_timestamp

from dagster_lmdb import DagsterLmdbStorage
from model.drafts import EPOCH, Act
from model.instance.objects import entity_key, job_snapshot, plan_snapshot
from python.entries import job_origin
from python.test_schedules import evaluation


def perform(storage: DagsterLmdbStorage, act: Act) -> Any:
    """Does what ``act`` says, at its time."""
    with freeze_time(EPOCH + act.now):
        answer = _DO[act.name](storage, **act.arguments)
    return answer if act.name in _ANSWERED else None


def _store(storage, drafts):
    storage.event_log_storage.store_event_batch([draft.entry() for draft in drafts])


def _claim(storage, run, step):
    events = storage.event_log_storage
    events.set_concurrency_slots("pool-1", 1)
    return events.claim_concurrency_slot("pool-1", run, step, 0).is_claimed


def _add_run(storage, draft, created=None):
    if created is None:
        storage.run_storage.add_run(draft.run())
    else:
        made = datetime_from_timestamp(EPOCH + created)
        storage.run_storage.add_historical_run(draft.run(), made)


def _handle_run_event(storage, event):
    when = datetime_from_timestamp(event.timestamp)
    storage.run_storage.handle_run_event(event.run, event.entry().dagster_event, when)


def _replace_job_origin(storage, run, repository):
    for each in storage.run_storage.get_runs(RunsFilter(run_ids=[run])):
        storage.run_storage.replace_job_origin(each, job_origin(repository, each.job_name))


def _add_snapshot(storage, name, plan):
    snapshot = plan_snapshot(name) if plan else job_snapshot(name)
    storage.run_storage.add_snapshot(snapshot)


def _beat(storage, daemon):
    heartbeat = DaemonHeartbeat(get_current_timestamp(), daemon, "an_id")
    storage.run_storage.add_daemon_heartbeat(heartbeat)


def _update_tick(storage, tick_id, draft):
    storage.schedule_storage.update_tick(InstigatorTick(tick_id, draft.tick()))


def _purge_ticks(storage, origin, selector, before, statuses):
    storage.schedule_storage.purge_ticks(
        origin, selector, EPOCH + before, [TickStatus(each) for each in statuses]
    )


def _evaluate(storage, number, found):
    storage.schedule_storage.add_auto_materialize_asset_evaluations(
        number, [evaluation(entity_key(key), requested) for key, requested in found]
    )


def _delete_state(storage, draft):
    state = draft.state()
    storage.schedule_storage.delete_instigator_state(state.instigator_origin_id, state.selector_id)


def _add_telemetry(storage, run, value):
    measured = RunTelemetryData(run_id=run, datapoints={"cpu": value})
    storage.run_storage.add_run_telemetry(measured, {"host": "a"})


def _compact(storage, keep_since):
    log = storage.event_log_storage._log
    since = None if keep_since is None else EPOCH + keep_since
    log.compact(now=get_current_timestamp(), keep_since=since)


def _husk(storage, share, place):
    log = storage.event_log_storage._log
    kinds = {line[0]: line[1] for line in log.tail(limit=1_000_000)[0]}
    asked = [number for number, kind in kinds.items() if kind != "shape_defined"]
    log.husk(asked[place % share :: share])


def _ask(storage, probe):
    from model.instance.questions import ask

    return ask(storage, probe)


#: Acts that are asked for an answer.
_ANSWERED = ("claim", "create_tick", "differences", "ask")

_DO = {
    "store": _store,
    "delete_events": lambda storage, run: storage.event_log_storage.delete_events(run),
    "claim": _claim,
    "wipe_events": lambda storage: storage.event_log_storage.wipe(),
    "add_run": _add_run,
    "handle_run_event": _handle_run_event,
    "add_run_tags": lambda storage, run, tags: storage.run_storage.add_run_tags(run, dict(tags)),
    "replace_job_origin": _replace_job_origin,
    "delete_run": lambda storage, run: storage.run_storage.delete_run(run),
    "add_snapshot": _add_snapshot,
    "add_telemetry": _add_telemetry,
    "add_backfill": lambda storage, draft: storage.run_storage.add_backfill(draft.backfill()),
    "update_backfill": lambda storage, draft: storage.run_storage.update_backfill(draft.backfill()),
    "beat": _beat,
    "wipe_heartbeats": lambda storage: storage.run_storage.wipe_daemon_heartbeats(),
    "set_cursors": lambda storage, values: storage.run_storage.set_cursor_values(values),
    "wipe_runs": lambda storage: storage.run_storage.wipe(),
    "add_state": lambda storage, draft: storage.schedule_storage.add_instigator_state(
        draft.state()
    ),
    "update_state": lambda storage, draft: storage.schedule_storage.update_instigator_state(
        draft.state()
    ),
    "delete_state": _delete_state,
    "create_tick": lambda storage, draft: (
        storage.schedule_storage.create_tick(draft.tick()).tick_id
    ),
    "update_tick": _update_tick,
    "purge_ticks": _purge_ticks,
    "evaluate": _evaluate,
    "purge_evaluations": lambda storage, before: storage.schedule_storage.purge_asset_evaluations(
        EPOCH + before
    ),
    "wipe_schedules": lambda storage: storage.schedule_storage.wipe(),
    "compact": _compact,
    "rebuild": lambda storage: storage.event_log_storage._log.rebuild(),
    "husk": _husk,
    "reopen": lambda storage: storage.dispose(),
    "differences": lambda storage: storage.event_log_storage._log.verify().differences,
    "ask": _ask,
}
