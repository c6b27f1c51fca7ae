"""The log folds to what Dagster reads: after every kind of command, and with records husked."""

import random
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterInvariantViolationError, DagsterRunAlreadyExists
from dagster._core.events import RunFailureReason
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._daemon.types import DaemonHeartbeat

from dagster_lmdb import LmdbRunStorage, LmdbScheduleStorage
from python.entries import job_origin, log_line, materialization, run, status_event
from python.test_runs import backfill
from python.test_schedules import evaluation, sensor, tick

RUNS = [f"run-{n}" for n in range(3)]
STATUS_EVENTS = [
    DagsterEventType.RUN_ENQUEUED,
    DagsterEventType.RUN_STARTING,
    DagsterEventType.RUN_START,
    DagsterEventType.RUN_SUCCESS,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELING,
    DagsterEventType.RUN_CANCELED,
]


class Commands:
    """Every kind of command on an instance, on few names, so that commands meet."""

    def __init__(self, instance: DagsterInstance, choose: random.Random) -> None:
        self.instance = instance
        self.choose = choose
        assert isinstance(instance.run_storage, LmdbRunStorage)
        assert isinstance(instance.schedule_storage, LmdbScheduleStorage)
        self.runs = instance.run_storage
        self.schedules = instance.schedule_storage
        self.log = self.runs._log
        self.ticks: list[int] = []

    def a_run(self) -> str:
        return self.choose.choice(RUNS)

    def add_run(self) -> None:
        origin = self.choose.choice([job_origin(), None])
        status = self.choose.choice([DagsterRunStatus.NOT_STARTED, DagsterRunStatus.SUCCESS])
        tags = {"team": self.choose.choice("ab")}
        added = run(status, run_id=self.a_run(), remote_job_origin=origin, tags=tags)
        try:
            self.runs.add_run(added)
        except DagsterRunAlreadyExists:
            assert self.runs.has_run(added.run_id)

    def a_status_event(self) -> dg.EventLogEntry:
        reason = self.choose.choice([RunFailureReason.RUN_EXCEPTION, None])
        event_type = self.choose.choice(STATUS_EVENTS)
        if event_type != DagsterEventType.RUN_FAILURE:
            reason = None
        return status_event(self.a_run(), event_type, reason)

    def handle_new_event(self) -> None:
        self.instance.handle_new_event(self.a_status_event())

    def store_status_event(self) -> None:
        self.instance.store_event(self.a_status_event())

    def handle_run_event(self) -> None:
        entry = self.a_status_event()
        self.instance.handle_run_event(entry.run_id, entry.get_dagster_event())

    def store_events(self) -> None:
        self.instance.event_log_storage.store_event_batch(
            [log_line(self.a_run(), "a"), materialization(self.a_run(), "an_asset", "a")]
        )

    def add_run_tags(self) -> None:
        run_id = self.a_run()
        if self.runs.has_run(run_id):
            self.runs.add_run_tags(run_id, {self.choose.choice(["team", "size"]): "c"})

    def replace_job_origin(self) -> None:
        for each in self.runs.get_runs(limit=1):
            self.runs.replace_job_origin(each, job_origin(self.choose.choice("ab")))

    def delete_run(self) -> None:
        self.instance.delete_run(self.a_run())

    def delete_run_of_storage(self) -> None:
        self.runs.delete_run(self.a_run())

    def delete_events(self) -> None:
        self.instance.event_log_storage.delete_events(self.a_run())

    def wipe_asset(self) -> None:
        self.instance.wipe_assets([dg.AssetKey("an_asset")])

    def add_telemetry(self) -> None:
        measured = {"cpu": self.choose.random()}
        self.runs.add_run_telemetry(RunTelemetryData(run_id=self.a_run(), datapoints=measured))

    def add_snapshot(self) -> None:
        @dg.job(name=self.choose.choice("ab"))
        def a_job() -> None: ...

        self.runs.add_snapshot(a_job.get_job_snapshot())

    def put_backfill(self) -> None:
        status = self.choose.choice([BulkActionStatus.REQUESTED, BulkActionStatus.COMPLETED])
        put = backfill(self.choose.choice("ab"), status=status)
        known = self.runs.get_backfill(put.backfill_id)
        (self.runs.update_backfill if known else self.runs.add_backfill)(put)

    def add_heartbeat(self) -> None:
        at = float(self.choose.randrange(3))
        self.runs.add_daemon_heartbeat(DaemonHeartbeat(at, "SENSOR", None, None))

    def wipe_heartbeats(self) -> None:
        self.runs.wipe_daemon_heartbeats()

    def set_cursor_values(self) -> None:
        self.runs.set_cursor_values({self.choose.choice("ab"): self.choose.choice("12")})

    def get_run_storage_id(self) -> None:
        self.runs.get_run_storage_id()

    def put_instigator(self) -> None:
        status = self.choose.choice([InstigatorStatus.RUNNING, InstigatorStatus.STOPPED])
        state = sensor(self.choose.choice("ab")).with_status(status)
        try:
            self.schedules.add_instigator_state(state)
        except DagsterInvariantViolationError:
            self.schedules.update_instigator_state(state)

    def delete_instigator(self) -> None:
        for state in self.schedules.all_instigator_state()[:1]:
            self.schedules.delete_instigator_state(state.instigator_origin_id, state.selector_id)

    def create_tick(self) -> None:
        data = tick(float(self.choose.randrange(9)), TickStatus.STARTED)
        self.ticks.append(self.schedules.create_tick(data).tick_id)

    def update_tick(self) -> None:
        if self.ticks:
            data = tick(float(self.choose.randrange(9)), TickStatus.SUCCESS)
            tick_id = self.choose.choice(self.ticks)
            self.schedules.update_tick(dg._core.scheduler.instigation.InstigatorTick(tick_id, data))

    def purge_ticks(self) -> None:
        before = float(self.choose.randrange(9))
        statuses = self.choose.choice([None, [TickStatus.STARTED]])
        self.schedules.purge_ticks("an_origin", "a_selector", before, statuses)

    def add_evaluations(self) -> None:
        requested = self.choose.choice([True, False])
        self.schedules.add_auto_materialize_asset_evaluations(
            self.choose.randrange(2), [evaluation(dg.AssetKey(key), requested) for key in "ab"]
        )

    def purge_evaluations(self) -> None:
        self.schedules.purge_asset_evaluations(self.choose.choice([0.0, 1e12]))

    def claim_slot(self) -> None:
        self.instance.event_log_storage.set_concurrency_slots("pool", 1)
        self.instance.event_log_storage.claim_concurrency_slot("pool", self.a_run(), "a_step")

    def wipe_runs(self) -> None:
        self.runs.wipe()

    def wipe_events(self) -> None:
        self.instance.event_log_storage.wipe()

    def wipe_schedules(self) -> None:
        self.schedules.wipe()

    def everything(self) -> list[Callable[[], None]]:
        own = [name for name in vars(Commands) if not name.startswith(("_", "a_", "everything"))]
        return [getattr(self, name) for name in own if name not in ("what_is_read", "husk_some")]

    def husk_some(self) -> None:
        head = int(self.log.stat()["head"])
        wanted = range(1, head + 1)
        self.log.husk(self.choose.sample(wanted, self.choose.randrange(head + 1)))

    def what_is_read(self) -> list[Any]:
        return [
            self.runs.get_run_records(),
            self.runs.get_run_tags(["team", "size"]),
            [
                self.runs.get_run_ids(dg.RunsFilter(statuses=[status]))
                for status in DagsterRunStatus
            ],
            self.runs.get_backfills(),
            self.runs.get_daemon_heartbeats(),
            self.runs.get_cursor_values({"a", "b"}),
            self.schedules.all_instigator_state(),
            self.schedules.get_ticks("an_origin", "a_selector"),
            self.schedules.get_tick_summaries("an_origin", "a_selector"),
            self.schedules.get_auto_materialize_asset_evaluations(dg.AssetKey("a"), 9),
            [self.instance.all_logs(run_id) for run_id in RUNS],
        ]


def differences(commands: Commands) -> list[str]:
    return commands.log.verify().differences


def test_after_every_kind_of_command(whole: DagsterInstance) -> None:
    commands = Commands(whole, random.Random(0))
    for _ in range(2):
        for command in commands.everything():
            command()
            assert differences(commands) == [], command.__name__


@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_with_any_records_husked(whole: DagsterInstance, seed: int) -> None:
    commands = Commands(whole, random.Random(seed))
    wipes = (commands.wipe_runs, commands.wipe_events, commands.wipe_schedules)
    ordinary = [command for command in commands.everything() if command not in wipes]
    for _ in range(6):
        for command in commands.choose.choices(ordinary, k=40):
            command()
        assert differences(commands) == []
        before = commands.what_is_read()
        commands.husk_some()
        assert differences(commands) == []
        assert commands.what_is_read() == before
        commands.choose.choice(wipes)()
        commands.husk_some()
        assert differences(commands) == []


def test_a_rebuild_changes_nothing(whole: DagsterInstance) -> None:
    commands = Commands(whole, random.Random(1))
    for _ in range(3):
        for command in commands.choose.sample(commands.everything(), 20):
            command()
    before = commands.what_is_read()
    commands.husk_some()
    commands.log.rebuild()
    assert commands.what_is_read() == before
    assert differences(commands) == []
