"""A watch gives each new event of its run once, in order, whatever callbacks do."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import EventLogEntry
from dagster._core.event_api import EventLogCursor
from dagster._core.utils import make_new_run_id

from dagster_lmdb import LmdbEventLogStorage, watch
from dagster_lmdb.watch import Watcher
from engine.tamper import flip_bit
from python.entries import log_line, store_a_stranger

PATIENCE = 5.0


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


def follower_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "dagster-lmdb-event-watch"]


class Seen:
    """A callback that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.cursors: list[str] = []

    def __call__(self, entry: EventLogEntry, cursor: str) -> None:
        self.messages.append(entry.user_message)
        self.cursors.append(cursor)

    def await_messages(self, *messages: str) -> None:
        until(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)


@pytest.fixture
def run_id() -> str:
    return make_new_run_id()


@pytest.fixture(autouse=True)
def no_follower_remains(storage: LmdbEventLogStorage) -> Iterator[None]:
    yield
    storage.dispose()
    until(lambda: not follower_threads())


def store(storage: LmdbEventLogStorage, run_id: str, *messages: str) -> None:
    for message in messages:
        storage.store_event(log_line(run_id, message))


def test_it_begins_after_its_cursor(storage: LmdbEventLogStorage, run_id: str) -> None:
    store(storage, run_id, "a", "b", "c")
    behind_a = storage.get_records_for_run(run_id, limit=1).cursor
    places = {
        None: ["a", "b", "c", "d"],
        behind_a: ["b", "c", "d"],
        EventLogCursor.from_offset(2).to_string(): ["c", "d"],
        EventLogCursor.from_storage_id(-1).to_string(): ["a", "b", "c", "d"],
        EventLogCursor.from_storage_id(2**70).to_string(): [],
        EventLogCursor.from_offset(4).to_string(): [],
    }
    watches = {cursor: Seen() for cursor in places}
    for cursor, seen in watches.items():
        storage.watch(run_id, cursor, seen)
    store(storage, run_id, "d")
    for cursor, messages in places.items():
        watches[cursor].await_messages(*messages)


def test_each_event_comes_with_the_cursor_behind_it(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    seen = Seen()
    storage.watch(run_id, None, seen)
    store(storage, run_id, "a", "b")
    seen.await_messages("a", "b")
    rest = storage.get_records_for_run(run_id, cursor=seen.cursors[0]).records
    assert [record.event_log_entry.user_message for record in rest] == ["b"]
    assert storage.get_records_for_run(run_id).cursor == seen.cursors[1]


def test_more_events_than_a_page_come_in_order(
    storage: LmdbEventLogStorage, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PAGE", 7)
    messages = [str(number) for number in range(50)]
    storage.store_event_batch([log_line(run_id, message) for message in messages])
    seen = Seen()
    storage.watch(run_id, None, seen)
    seen.await_messages(*messages)


def test_it_ignores_other_runs(storage: LmdbEventLogStorage, run_id: str) -> None:
    seen = Seen()
    storage.watch(run_id, None, seen)
    store(storage, make_new_run_id(), "elsewhere")
    store(storage, run_id, "here")
    seen.await_messages("here")


def test_one_thread_serves_every_watch_on_a_store(
    storage: LmdbEventLogStorage, base_dir: Path
) -> None:
    other = LmdbEventLogStorage(str(base_dir))
    run_ids = [make_new_run_id() for _ in range(5)]
    watches = [Seen() for _ in run_ids]
    for number, (run_id, seen) in enumerate(zip(run_ids, watches, strict=True)):
        (storage, other)[number % 2].watch(run_id, None, seen)
    for run_id in run_ids:
        store(storage, run_id, run_id)
    for run_id, seen in zip(run_ids, watches, strict=True):
        seen.await_messages(run_id)
    assert len(follower_threads()) == 1
    other.dispose()


def test_the_thread_ends_with_the_last_watch_and_starts_again(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    for message in ("a", "b"):
        seen = Seen()
        storage.watch(run_id, storage.get_records_for_run(run_id).cursor, seen)
        store(storage, run_id, message)
        seen.await_messages(message)
        storage.end_watch(run_id, seen)
        until(lambda: not follower_threads())


def test_a_callback_that_raises_is_logged_and_goes_on(
    storage: LmdbEventLogStorage, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, after, tried = Seen(), Seen(), Seen()

    def fail(entry: EventLogEntry, cursor: str) -> None:
        tried(entry, cursor)
        raise SystemExit if entry.user_message == "b" else ValueError(entry.user_message)

    for callback in (before, fail, after):
        storage.watch(run_id, None, callback)
    store(storage, run_id, "a", "b", "c")
    for seen in (before, after, tried):
        seen.await_messages("a", "b", "c")
    until(lambda: len(caplog.records) == 3)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert all(run_id in record.getMessage() for record in caplog.records)


def test_a_callback_may_end_another_watch_and_begin_one(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    other_run = make_new_run_id()
    store(storage, other_run, "x", "y")
    victim, begun = Seen(), Seen()

    def meddle(entry: EventLogEntry, cursor: str) -> None:
        storage.end_watch(run_id, victim)
        storage.end_watch(run_id, meddle)
        storage.watch(other_run, None, begun)

    storage.watch(run_id, None, meddle)
    storage.watch(run_id, None, victim)
    storage.store_event_batch([log_line(run_id, "a"), log_line(run_id, "b")])
    began = time.monotonic()
    begun.await_messages("x", "y")
    assert time.monotonic() - began < 0.5
    store(storage, run_id, "c")
    assert victim.messages == []


def test_a_callback_may_store_events_and_dispose(storage: LmdbEventLogStorage, run_id: str) -> None:
    seen = Seen()

    def answer(entry: EventLogEntry, cursor: str) -> None:
        seen(entry, cursor)
        if entry.user_message == "a":
            store(storage, run_id, "b")
        else:
            storage.dispose()

    storage.watch(run_id, None, answer)
    store(storage, run_id, "a")
    seen.await_messages("a", "b")
    until(lambda: not follower_threads())
    assert len(storage.get_logs_for_run(run_id)) == 2


def test_ending_a_watch_ends_that_function_and_run_alone(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    other_run = make_new_run_id()
    kept, ended, elsewhere = Seen(), Seen(), Seen()
    storage.watch(run_id, None, kept)
    storage.watch(run_id, None, ended)
    storage.watch(other_run, None, elsewhere)
    storage.end_watch(run_id, ended)
    storage.end_watch(run_id, elsewhere)
    storage.end_watch(run_id, Seen())
    store(storage, run_id, "a")
    store(storage, other_run, "b")
    kept.await_messages("a")
    elsewhere.await_messages("b")
    assert ended.messages == []


def test_disposing_ends_the_watches_of_that_object_alone(
    storage: LmdbEventLogStorage, base_dir: Path, run_id: str
) -> None:
    other = LmdbEventLogStorage(str(base_dir))
    ours, theirs = Seen(), Seen()
    storage.watch(run_id, None, ours)
    other.watch(run_id, None, theirs)
    other.dispose()
    other.dispose()
    store(storage, run_id, "a")
    ours.await_messages("a")
    assert theirs.messages == []
    other.watch(run_id, None, theirs)
    theirs.await_messages("a")
    other.dispose()


def test_watches_begin_and_end_from_many_threads(storage: LmdbEventLogStorage) -> None:
    faults: list[BaseException] = []

    def churn() -> None:
        try:
            for _ in range(20):
                run_id, seen = make_new_run_id(), Seen()
                storage.watch(run_id, None, seen)
                store(storage, run_id, "a", "b")
                seen.await_messages("a", "b")
                storage.end_watch(run_id, seen)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(follower_threads()) <= 1


STORE_ELSEWHERE = """
import sys, time
sys.path.append(sys.argv[3])
from dagster_lmdb import LmdbEventLogStorage
from engine.tamper import flip_bit
from python.entries import log_line, store_a_stranger
storage = LmdbEventLogStorage(sys.argv[1])
storage.get_maximum_record_id()
for number in range(20):
    time.sleep(0.02)
    storage.store_event(log_line(sys.argv[2], repr(time.time())))
"""


def test_the_events_of_another_process_come_within_50_ms(
    storage: LmdbEventLogStorage, base_dir: Path, run_id: str
) -> None:
    delays: list[float] = []
    storage.watch(
        run_id, None, lambda entry, _: delays.append(time.time() - float(entry.user_message))
    )
    here = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", STORE_ELSEWHERE, str(base_dir), run_id, here], check=True)
    until(lambda: len(delays) == 20)
    # The median: what this machine does besides may delay some of them.
    assert sorted(delays)[10] < 0.05


def test_an_event_that_cannot_be_decoded_is_passed_over_with_a_warning(
    storage: LmdbEventLogStorage,
    base_dir: Path,
    run_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    partitions: list[str | None] = []

    def keep(entry: EventLogEntry, cursor: str) -> None:
        partitions.append(entry.get_dagster_event().partition)

    store_a_stranger(base_dir, run_id)
    storage.watch(run_id, None, keep)
    until(lambda: len(partitions) == 2)
    assert partitions == ["a", "c"]
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1


def test_a_run_that_cannot_be_read_keeps_no_other_from_being_watched(
    storage: LmdbEventLogStorage,
    base_dir: Path,
    run_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store(storage, run_id, "q" * 64)
    storage.dispose()
    flip_bit(base_dir, b"q" * 64)
    damaged, seen = Seen(), Seen()
    storage.watch(run_id, None, damaged)
    sound = make_new_run_id()
    storage.watch(sound, None, seen)
    store(storage, sound, "one")
    seen.await_messages("one")
    store(storage, sound, "two")
    seen.await_messages("one", "two")
    assert damaged.messages == []
    told = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 1, "not in each round"
    assert run_id in told[0].getMessage()


def in_child(act: Callable[[], None]) -> None:
    """Runs a function in a forked child, and asserts that it ends well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_forked_child_watches_anew_and_the_parent_goes_on(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    ours = Seen()
    storage.watch(run_id, None, ours)
    store(storage, run_id, "before")
    ours.await_messages("before")

    def child() -> None:
        assert not follower_threads()
        store(storage, run_id, "child")
        assert ours.messages == ["before"]
        storage.end_watch(run_id, ours)
        seen = Seen()
        storage.watch(run_id, None, seen)
        seen.await_messages("before", "child")
        assert len(follower_threads()) == 1

    in_child(child)
    store(storage, run_id, "after")
    ours.await_messages("before", "child", "after")


def test_a_fork_while_a_watch_is_begun_leaves_no_lock_held(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            seen = Seen()
            storage.watch(run_id, None, seen)
            storage.end_watch(run_id, seen)

    churner = threading.Thread(target=churn)
    churner.start()

    def child() -> None:
        seen = Seen()
        other_run = make_new_run_id()
        storage.watch(other_run, None, seen)
        store(storage, other_run, "a")
        seen.await_messages("a")

    try:
        for _ in range(10):
            in_child(child)
    finally:
        stop.set()
        churner.join()


EXIT_WHILE_WATCHING = """
import sys
from dagster_lmdb import LmdbEventLogStorage
storage = LmdbEventLogStorage(sys.argv[1])
storage.watch("a-run", None, print)
"""


def test_a_process_ends_well_while_it_watches(base_dir: Path) -> None:
    subprocess.run([sys.executable, "-c", EXIT_WHILE_WATCHING, str(base_dir)], check=True)


def test_a_watcher_without_watches_has_nothing_to_end() -> None:
    watcher = Watcher()
    watcher.end("a-run", print)
    watcher.end_all()
