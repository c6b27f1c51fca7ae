"""Any number of threads and processes on one store: point by point what each may rely on."""

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue

from dagster_lmdb import LmdbEventLogStorage
from engine.children import PATIENCE, Script, fork, join, said
from engine.events import line, materialization


def messages(storage: LmdbEventLogStorage, run_id: str) -> list[str]:
    return [entry.user_message for entry in storage.get_logs_for_run(run_id)]


@contextmanager
def busy(*works: Callable[[], Any]) -> Iterator[None]:
    """Threads that do each of these over and over meanwhile."""
    over = threading.Event()
    failures: list[BaseException] = []

    def repeat(work: Callable[[], Any]) -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads)


def mapped(directory: Path) -> int:
    """How many times this process maps the store's data file."""
    data = os.stat(directory / "data.mdb").st_ino
    with open("/proc/self/maps") as maps:
        return sum(int(text.split()[4]) == data for text in maps if text.split()[4] != "0")


def test_threads_store_and_read_through_one_storage(storage: LmdbEventLogStorage) -> None:
    def work(run_id: str) -> None:
        for number in range(40):
            storage.store_event(line(run_id, str(number)))
            assert len(storage.get_logs_for_run(run_id)) == number + 1

    threads = [threading.Thread(target=work, args=(f"run-{place}",)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for place in range(8):
        assert messages(storage, f"run-{place}") == [str(number) for number in range(40)]


def test_a_forked_child_works_at_once(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "parent"))

    def work() -> None:
        assert messages(storage, "run") == ["parent"]
        storage.store_event(line("run", "child"))

    assert join(fork(work)) == 0
    assert messages(storage, "run") == ["parent", "child"]


def test_a_child_forked_amid_commits_and_reads_works_at_once(
    storage: LmdbEventLogStorage,
) -> None:
    storage.store_event(line("run", "first"))
    many = [materialization("busy", partition=str(number)) for number in range(50)]
    numbers = itertools.count()

    def child(number: int) -> None:
        begun = time.monotonic()
        storage.store_event(line("run", str(number)))
        assert str(number) in messages(storage, "run")
        assert len(storage.get_asset_records()) == 1
        storage.dispose()
        storage.store_event(line("run", f"{number} again"))
        assert time.monotonic() - begun < 20

    with busy(
        lambda: storage.store_event_batch(many),
        lambda: storage.store_event(line("other", str(next(numbers)))),
        lambda: storage.get_asset_records(),
        lambda: storage.get_logs_for_run("run"),
    ):
        while not storage.get_asset_records():
            time.sleep(0.001)
        for number in range(60):
            assert join(fork(lambda number=number: child(number))) == 0  # type: ignore[misc]
    stored = messages(storage, "run")
    for number in range(60):
        assert stored.count(str(number)) == stored.count(f"{number} again") == 1
    assert storage._log.verify().differences == []


def test_a_child_of_a_child_works(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "0"))

    def generation(number: int) -> None:
        storage.store_event(line("run", str(number)))
        if number < 4:
            assert join(fork(lambda: generation(number + 1))) == 0
        assert str(4) in messages(storage, "run")

    assert join(fork(lambda: generation(1))) == 0
    assert messages(storage, "run") == list("01234")


def test_a_child_that_ends_leaves_its_parents_store_as_it_is(storage: LmdbEventLogStorage) -> None:
    """Closing the lock file's descriptor in the child would take the parent's reader locks."""
    storage.store_event(line("run", "0"))
    for number in range(20):
        assert join(fork(storage.dispose)) == 0
        assert join(fork(lambda: None)) == 0
        storage.store_event(line("run", str(number)))
    assert len(messages(storage, "run")) == 21


def test_a_spawned_process_works(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "parent"))
    heard = said(
        directory,
        """
        storage = LmdbEventLogStorage(directory)
        storage.store_event(line("run", "child"))
        for entry in storage.get_logs_for_run("run"):
            tell(entry.user_message)
        """,
    )
    assert heard == ["parent", "child"]
    assert messages(storage, "run") == heard


def test_storages_on_one_directory_share_one_environment(
    storage: LmdbEventLogStorage, directory: Path, tmp_path: Path
) -> None:
    storage.store_event(line("run", "first"))
    assert mapped(directory) == 1
    (tmp_path / "link").symlink_to(directory)
    others = [LmdbEventLogStorage(str(directory)), LmdbEventLogStorage(str(tmp_path / "link"))]
    for number, other in enumerate(others):
        other.store_event(line("run", str(number)))
        assert other._log.store_id == storage._log.store_id
    assert mapped(directory) == 1
    storage.dispose()
    assert mapped(directory) == 1, "the last to dispose closes"
    assert messages(others[0], "run") == ["first", "0", "1"]
    for other in others:
        other.dispose()
    assert mapped(directory) == 0
    assert len(messages(storage, "run")) == 3


def test_disposing_while_threads_use_the_storage_disturbs_none_of_them(
    storage: LmdbEventLogStorage,
) -> None:
    storage.store_event(line("run", "first"))
    numbers = itertools.count()
    with busy(
        lambda: storage.store_event(line("run", str(next(numbers)))),
        lambda: storage.get_logs_for_run("run", limit=5),
    ):
        for _ in range(100):
            storage.dispose()
            storage.dispose()
            time.sleep(0.001)
    assert messages(storage, "run") == ["first", *map(str, range(next(numbers)))]


def churn(storage: LmdbEventLogStorage, rounds: int) -> int:
    """Overwrites one row again and again; the bytes that the file's used pages grew by.

    Pages that nobody reads any more are used again, so a store without readers stays as it is.
    """
    before = storage._log.stat()["used_bytes"]
    for number in range(rounds):
        storage.update_asset_cached_status_data(AssetKey("an_asset"), AssetStatusCacheValue(number))
    return storage._log.stat()["used_bytes"] - before


def test_a_reader_that_lives_long_does_not_make_the_file_grow(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(materialization("run-1", partition="p"))
    churn(storage, 20)
    alone = churn(storage, 300)
    with Script(
        directory,
        """
        from model.questions import Probe, ask
        storage = LmdbEventLogStorage(directory)
        kept = []
        while listen() == "read":
            kept.append(ask(storage, Probe()))
            kept.append(storage._log.tail())
            kept.append(storage._log.stat())
            tell("kept")
        """,
    ) as reader:
        for _ in range(3):
            reader.say("read")
            assert reader.hear() == "kept"
            # Each of 300 commits would leave some pages behind, at 4 KiB.
            assert churn(storage, 300) <= alone + 100 * 4096
        reader.say("end")
        reader.end()


def test_readers_that_die_make_room_for_others(directory: Path) -> None:
    storage = LmdbEventLogStorage(str(directory), max_readers=8)
    storage.store_event(line("run", "first"))
    for _ in range(5):
        threads = [
            fork(lambda: (messages(storage, "run"), os.kill(os.getpid(), signal.SIGKILL)))  # type: ignore[arg-type, return-value]
            for _ in range(3)
        ]
        for pid in threads:
            assert join(pid) == -signal.SIGKILL
    assert messages(storage, "run") == ["first"]
    storage.dispose()


def test_a_log_record_emitted_while_an_event_is_stored_is_stored_too(directory: Path) -> None:
    """A handler that stores what is logged on the thread that is storing: dagster issue 32217."""
    logger = logging.getLogger("engine.reentry")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False

    class Chatty(LmdbEventLogStorage):
        def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
            logger.info("indexing")
            return super().get_asset_tags_to_index(tag_keys)

    storage = Chatty(str(directory))

    class Storing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            storage.store_event(line("run", record.getMessage()))
            assert storage.get_logs_for_run("run")

    handler = Storing()
    logger.addHandler(handler)
    try:
        done = threading.Event()

        def work() -> None:
            storage.store_event(materialization("run", tags={"dagster/data_version": "1"}))
            storage.store_event_batch(
                [materialization("run", tags={"dagster/data_version": "1"}), line("run", "last")]
            )
            done.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert done.is_set(), "it waits for itself"
    finally:
        logger.removeHandler(handler)
    assert messages(storage, "run") == ["indexing", "", "indexing", "", "last"]
    storage.dispose()


def commits_without_end(storage: LmdbEventLogStorage) -> None:
    while True:
        storage.store_event_batch([line("long", str(number)) for number in range(3000)])


class Alarm(BaseException):
    """A signal came."""


def alarm(*_: Any) -> None:
    raise Alarm


@contextmanager
def in_time(seconds: float, handler: Callable[..., Any] = alarm) -> Iterator[None]:
    """A signal after some time."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def stopped_writer(storage: LmdbEventLogStorage) -> Iterator[int]:
    """A process that is stopped in the middle of a commit, with the writer lock; its pid."""
    storage.store_event(line("run", "first"))
    pid = fork(lambda: commits_without_end(storage))
    held = False
    try:
        for attempt in range(100):
            time.sleep(0.02 + attempt * 0.003)
            os.kill(pid, signal.SIGSTOP)
            try:
                with in_time(0.3):
                    storage.store_event(line("probe", "the lock is free"))
            except Alarm:
                held = True
                break
            os.kill(pid, signal.SIGCONT)
        assert held, "it was never stopped inside a commit"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        join(pid)


@pytest.mark.usefixtures("stopped_writer")
def test_a_signal_is_answered_while_another_process_has_the_lock(
    storage: LmdbEventLogStorage,
) -> None:
    delays = []
    commands: list[Callable[[], Any]] = [
        lambda: storage.store_event(line("run", "too late")),
        lambda: storage.wipe_asset(AssetKey("an_asset")),
        lambda: storage.set_concurrency_slots("pool", 1),
        lambda: storage.add_dynamic_partitions("definition", ["key"]),
        lambda: storage.delete_events("run"),
        lambda: storage.wipe(),
    ]
    for command in commands:
        rung: list[float] = []

        def ring(*_: Any) -> None:
            rung.append(time.monotonic())  # noqa: B023
            raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), in_time(0.12, ring):
            command()
        # The signal wakes Python at its time, and the engine asks every 50 ms.
        delays.append(time.monotonic() - (begun + 0.12))
    assert sorted(delays)[len(delays) // 2] < 0.1
    assert messages(storage, "run") == ["first"], "reads go on, and nothing was stored"


def test_what_waited_goes_on_when_the_lock_is_free(
    storage: LmdbEventLogStorage, stopped_writer: int
) -> None:
    waiting = [
        threading.Thread(target=storage.store_event, args=(line("run", str(number)),))
        for number in range(3)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in waiting)
    assert messages(storage, "run") == ["first"], "reads do not wait"
    os.kill(stopped_writer, signal.SIGKILL)
    for thread in waiting:
        thread.join(PATIENCE)
    assert sorted(messages(storage, "run")) == ["0", "1", "2", "first"]
    counted = len(storage.get_logs_for_run("long"))
    assert counted % 3000 == 0, "the commit in which the writer died is absent"
    assert storage._log.verify().differences == []


def test_a_signal_handler_stores_while_its_thread_waits_for_the_lock(
    storage: LmdbEventLogStorage, stopped_writer: int
) -> None:
    def handler(*_: Any) -> None:
        os.kill(stopped_writer, signal.SIGKILL)
        storage.store_event(line("run", "in the handler"))

    with in_time(0.1, handler):
        storage.store_event(line("run", "outside"))
    assert sorted(messages(storage, "run")) == ["first", "in the handler", "outside"]


@pytest.mark.usefixtures("stopped_writer")
def test_a_child_is_forked_while_threads_wait_for_the_lock(storage: LmdbEventLogStorage) -> None:
    over = threading.Event()

    def wait() -> None:
        storage.store_event(line("run", "waited"))
        over.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    time.sleep(0.1)
    assert join(fork(lambda: messages(storage, "run") == ["first"] or os._exit(1))) == 0  # type: ignore[arg-type, return-value]
    assert not over.is_set()
