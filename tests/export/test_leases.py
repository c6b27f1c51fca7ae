"""A reader of history holds what it has yet to read against a compaction, while it lives."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb._core import EventLog
from dagster_lmdb.cli import main
from dagster_lmdb.errors import LeaseLostError
from export.reading import rows
from export.samples import a_tick
from python.entries import log_line

#: As long as a lease lives that nobody renews, and then some.
EXPIRED = 100.0

READER = """
import sys
import dagster_lmdb
batches = dagster_lmdb.history(sys.argv[1], "ticks").batches()
print("reads", flush=True)
sys.stdin.read()
"""


class Ticks:
    """A tick that changes and changes."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance
        self.tick: InstigatorTick = instance.create_tick(a_tick(TickStatus.STARTED))

    def change(self, times: int) -> None:
        for number in range(times):
            self.tick = self.tick.with_cursor(f"{time.time()} {number}")
            self.instance.update_tick(self.tick)


@pytest.fixture
def ticks(instance: DagsterInstance) -> Ticks:
    ticks = Ticks(instance)
    ticks.change(30)
    return ticks


@pytest.fixture
def log(instance: DagsterInstance) -> EventLog:
    return instance.event_log_storage._log  # type: ignore[attr-defined,no-any-return]


def compact(log: EventLog, later: float = 0.0, progress: Callable[..., None] | None = None) -> int:
    return log.compact(now=time.time() + later, progress=progress).records


def leases(log: EventLog) -> int:
    return int(log.stat().get("leases", 0))


def test_a_compaction_leaves_what_is_being_read(ticks: Ticks, log: EventLog, store: Path) -> None:
    history = dagster_lmdb.history(store, "ticks")
    before = rows(history)
    batches = history.batches()
    ticks.change(10)
    assert compact(log) == 0
    assert log.stat()["whole_from"] == 1
    assert rows(history) == before
    assert sum(len(batch) for batch in batches) == len(before) == 31
    assert log.verify().differences == []
    log.rebuild()
    assert leases(log) == 1
    assert rows(history) == before
    del history, batches
    gc.collect()
    assert leases(log) == 0
    assert compact(log) == 40
    assert log.verify().differences == []


def compacted(store: Path, *options: str) -> list[str]:
    """What the command says beyond what it freed."""
    result = CliRunner().invoke(main, ["compact", str(store), *options])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[2:]


def test_a_compaction_says_what_it_leaves_and_until_when(
    ticks: Ticks, log: EventLog, store: Path
) -> None:
    since = log.head() + 1
    ticks.change(5)
    history = dagster_lmdb.history(store, "ticks", since=since)
    assert [first for first, _ in log.leases()] == [since]
    [(_, until)] = log.leases()
    assert 0 < until - time.time() <= 60
    shown = datetime.fromtimestamp(until).isoformat(" ", "seconds")
    assert compacted(store) == [
        f"A reader holds history from record {since:,} on until {shown}, and longer while it reads."
        " From there on only heartbeats and cursors were freed; a later compaction frees the rest."
    ]
    assert compacted(store, "--keep", "1h") == []
    del history
    gc.collect()
    assert log.leases() == []
    assert compacted(store) == []


def test_a_lease_behind_all_that_is_to_go_is_not_told(
    ticks: Ticks, log: EventLog, store: Path
) -> None:
    history = dagster_lmdb.history(store, "ticks", since=log.head() + 1)
    assert len(log.leases()) == 1
    assert compacted(store) == []
    del history


def test_a_lease_that_ended_beside_a_compaction_is_told(
    ticks: Ticks, log: EventLog, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = log.hold(1)

    class Ending:
        """The store, in which the reader ends with the compaction."""

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def compact(self, **options: Any) -> Any:
            done = log.compact(**options)
            hold.close()
            return done

    command = sys.modules["dagster_lmdb.cli.compact"]
    monkeypatch.setattr(command, "open_store", lambda *_: Ending())
    [said] = compacted(store)
    assert said.startswith("A reader held history from record 1 on meanwhile. ")
    assert compacted(store) == []


def test_a_lease_ends_with_the_last_row(ticks: Ticks, log: EventLog, store: Path) -> None:
    history = dagster_lmdb.history(store, "ticks")
    batches = history.batches()
    assert leases(log) == 2
    assert sum(len(batch) for batch in batches) == 31
    # The threads that read end by themselves.
    deadline = time.monotonic() + 10
    while leases(log) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert leases(log) == 1


def test_what_was_before_a_lease_goes(ticks: Ticks, log: EventLog, store: Path) -> None:
    since = log.head() + 1
    ticks.change(10)
    history = dagster_lmdb.history(store, "ticks", since=since)
    ticks.change(10)
    assert compact(log) == 30
    assert log.stat()["whole_from"] == log.stat()["leased_from"] == since
    assert len(rows(history)) == 10
    assert log.verify().differences == []


def test_a_compaction_on_its_way_meets_a_lease(ticks: Ticks, log: EventLog, store: Path) -> None:
    ticks.change(1500)
    taken: list[Any] = []

    def progress(phase: str, done: int, total: int) -> None:
        if phase == "compact" and done < total and not taken:
            taken.append(dagster_lmdb.history(store, "ticks"))
            taken.append(rows(taken[0]))

    gone = compact(log, progress=progress)
    history, before = taken
    assert 0 < gone < 1530
    assert len(before) == 1531 - gone
    assert rows(history) == before
    assert log.verify().differences == []
    taken.clear()
    del history
    assert compact(log) == 1530 - gone


def test_a_lease_that_nobody_renews_counts_for_nothing(
    ticks: Ticks, log: EventLog, store: Path
) -> None:
    history = dagster_lmdb.history(store, "ticks")
    assert compact(log, EXPIRED) == 30
    with pytest.raises(LeaseLostError, match=r"from record 1 on .* had not renewed its lease"):
        pa.table(history)
    assert leases(log) == 0
    assert log.verify().differences == []


def test_an_expired_lease_that_nobody_went_past_still_holds(
    ticks: Ticks, log: EventLog, store: Path
) -> None:
    since = log.head() + 1
    ticks.change(5)
    history = dagster_lmdb.history(store, "ticks", since=since)
    keep = time.time() - 3600
    assert log.compact(keep_since=keep, now=time.time() + EXPIRED).records == 0
    assert len(rows(history)) == 5


def test_rows_that_were_taken_are_not_passed_over(
    ticks: Ticks, log: EventLog, instance: DagsterInstance, store: Path
) -> None:
    run_id = make_new_run_id()
    for _ in range(60):
        entries = [log_line(run_id, "x" * 1000) for _ in range(1000)]
        instance.event_log_storage.store_event_batch(entries)
    batches = dagster_lmdb.history(store).batches()
    assert len(next(batches)) > 0
    assert compact(log, EXPIRED) > 0
    with pytest.raises(LeaseLostError):
        for _ in batches:
            pass


def test_the_lease_of_a_killed_reader_expires(ticks: Ticks, log: EventLog, store: Path) -> None:
    command = [sys.executable, "-c", READER, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reads\n"
        os.kill(reader.pid, signal.SIGKILL)
        reader.wait()
    assert leases(log) >= 1
    assert compact(log) == 0
    assert compact(log, EXPIRED) == 30
    assert leases(log) == 0


def test_a_handle_for_reading_takes_no_lease(ticks: Ticks, log: EventLog, store: Path) -> None:
    history = EventLog(store, create=False, read_only=True).history("ticks")
    assert leases(log) == 0
    assert len(rows(history)) == 31
    assert compact(log) == 30
    with pytest.raises(LeaseLostError):
        rows(history)
