"""A deployment where nothing happens: what its daemons store, and what compaction leaves of it.

Usage: python benches/idle.py [--sensors 50] [--days 2]

Plays whole days of daemons and sensors against a store, with the calls that Dagster's daemons make
and their order (dagster/_daemon/sensor.py, daemon.py), one after the other instead of every 30
seconds. Skipped ticks are purged after a day, so that from the second day on as many go as come.
Prints what each day left after a compaction.
"""

import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import click
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import freeze_time, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from rich.progress import track

PERIOD = timedelta(seconds=30)
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAEMONS = [
    "SENSOR",
    "SCHEDULER",
    "BACKFILL",
    "QUEUED_RUN_COORDINATOR",
    "ASSET",
    "MONITORING",
    "FRESHNESS_DAEMON",
]
SKIP_MESSAGE = "Nothing new since the last evaluation of this sensor."


def sensors(count: int) -> Iterator[InstigatorState]:
    """States of running sensors."""
    target = LoadableTargetOrigin(module_name="a_module", attribute="defs")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, "a_location")
    repository = RemoteRepositoryOrigin(location, "__repository__")
    for number in range(count):
        origin = RemoteInstigatorOrigin(repository, f"sensor_{number}")
        yield InstigatorState(
            origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData()
        )


def evaluate(
    instance: DagsterInstance, sensor: InstigatorState, now: datetime, retention: timedelta
) -> None:
    """What the sensor daemon stores of an evaluation that asks for nothing."""
    origin, selector, time = sensor.instigator_origin_id, sensor.selector_id, now.timestamp()
    tick = instance.create_tick(
        TickData(
            origin, sensor.instigator_name, sensor.instigator_type, TickStatus.STARTED, time,
            selector_id=selector,
        )
    )  # fmt: skip
    tick = tick.with_status(TickStatus.SKIPPED, end_timestamp=time + 0.1)
    instance.update_tick(tick.with_reason(SKIP_MESSAGE).with_cursor(str(int(time))))
    state = instance.get_instigator_state(origin, selector)
    assert state
    seen = SensorInstigatorData(
        last_tick_timestamp=time,
        cursor=str(int(time)),
        last_tick_start_timestamp=time,
        last_tick_success_timestamp=time + 0.1,
    )
    instance.update_instigator_state(state.with_data(seen))
    before = (now - retention).timestamp()
    instance.purge_ticks(origin, selector, before=before, tick_statuses=[TickStatus.SKIPPED])


def idle(
    instance: DagsterInstance,
    states: list[InstigatorState],
    begin: datetime,
    length: timedelta,
    retention: timedelta,
) -> None:
    """Plays a length of time, in steps of 30 seconds."""
    for now in (begin + PERIOD * step for step in range(length // PERIOD)):
        with freeze_time(now):
            for daemon in DAEMONS:
                heartbeat = DaemonHeartbeat(now.timestamp(), daemon, daemon.lower(), [])
                instance.add_daemon_heartbeat(heartbeat)
            for state in states:
                evaluate(instance, state, now, retention)


class Left(NamedTuple):
    """What a store takes, in bytes."""

    pages: int
    file: int


def left(log: Any) -> Left:
    """Pages in use, and the size of the file."""
    stat = log.stat()
    return Left(stat["used_bytes"] - stat["free_bytes"], stat["file_bytes"])


@click.command()
@click.option("--sensors", "count", default=50, show_default=True)
@click.option("--days", default=2, show_default=True)
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Where; a temporary one if none."
)
def main(count: int, days: int, directory: Path | None) -> None:
    """Play idle days, and print what each left after a compaction."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        base_dir = str(Path(scratch, "history"))
        block = {"module": "dagster_lmdb", "class": "DagsterLmdbStorage"}
        config = {"base_dir": base_dir, "durability": "relaxed"}
        overrides = {"storage": {"custom": {**block, "config": config}}}
        with instance_for_test(overrides, temp_dir=scratch) as instance:
            log = instance.event_log_storage._log
            states = [instance.add_instigator_state(state) for state in sensors(count)]
            print("| day | s | records | compacted in s | freed | MB in use | grown by | file MB |")
            print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            before = left(log)
            for day in range(days):
                began, head = time.monotonic(), log.stat()["head"]
                for hour in track(range(24), f"day {day + 1}"):
                    begin = BEGIN + timedelta(days=day, hours=hour)
                    idle(instance, states, begin, timedelta(hours=1), timedelta(days=1))
                played = time.monotonic()
                freed = log.compact(now=time.time()).records
                now = left(log)
                cells = [
                    f"{day + 1}",
                    f"{played - began:.0f}",
                    f"{log.stat()['head'] - head:,}",
                    f"{time.monotonic() - played:.1f}",
                    f"{freed:,}",
                    f"{now.pages / 1e6:.2f}",
                    f"{(now.pages - before.pages) / 1e6:.2f}",
                    f"{now.file / 1e6:.1f}",
                ]
                print("|", " | ".join(cells), "|")
                before = now
            assert log.verify().differences == []


if __name__ == "__main__":
    main()
