"""The cache of forks: each is made once, shared, evicted by size, and made anew where damaged."""

import fcntl
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb.as_of import view
from dagster_lmdb.as_of.cache import Cache, Lease
from dagster_lmdb.errors import DamagedRecordError, DiskFullError, ForkCacheError
from python.entries import log_line, run, whole_block
from python.pasts import begin, go_on, head_of, instance_as_of, state_of

SPAWN = multiprocessing.get_context("spawn")
SIZE = 40_960


def opened(path: Path) -> str | None:
    """The content of an entry; one that begins with "damaged" is."""
    text = path.read_text()
    return None if text.startswith("damaged") else text


def cache_in(directory: Path, most_bytes: int = 1 << 30) -> Cache[str]:
    return Cache(directory, most_bytes, opened)


def building(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text.ljust(SIZE)) and None


def not_needed(path: Path) -> None:
    raise AssertionError(f"{path} is there")


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_an_entry_is_made_once_and_is_private(directory: Path) -> None:
    cache = cache_in(directory)
    first = cache.lease("a", building("one"))
    again = cache_in(directory).lease("a", not_needed)
    assert first.content.strip() == again.content.strip() == "one"
    assert names(directory) == {"a.fork"}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "a.fork").stat().st_mode & 0o777 == 0o700


def test_the_least_recently_used_goes_first_and_none_that_is_open(directory: Path) -> None:
    cache = cache_in(directory, 3 * SIZE + SIZE // 2)
    for name in ("a", "b", "c"):
        cache.lease(name, building(name)).release()
        wait_a_tick(directory)
    open_one = cache.lease("a", not_needed)
    cache.lease("b", not_needed).release()
    cache.lease("d", building("d")).release()
    assert names(directory) == {"a.fork", "b.fork", "d.fork"}
    alone = cache_in(directory, 0)
    alone.lease("e", building("e")).release()
    assert names(directory) == {"a.fork", "e.fork"}
    open_one.release()
    alone.lease("f", building("f")).release()
    assert names(directory) == {"f.fork"}


def wait_a_tick(directory: Path) -> None:
    """Until the clock of the file system shows another time."""
    probe = directory / "probe"
    probe.touch()
    began = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == began:
        probe.touch()
    probe.unlink()


def test_what_a_child_has_open_is_not_evicted(directory: Path) -> None:
    lease = cache_in(directory).lease("a", building("one"))
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    try:
        lease.release()
        cache_in(directory, 0).lease("b", building("two"))
        assert "a.fork" in names(directory)
    finally:
        os.close(theirs)
        os.waitpid(child, 0)
    cache_in(directory, 0).lease("c", building("three"))
    assert "a.fork" not in names(directory)


def test_what_else_is_there_is_left_alone(directory: Path) -> None:
    (directory / "photographs" / "in_use").mkdir(parents=True)
    (directory / ".hidden").mkdir()
    (directory / "notes.txt").write_text("x" * SIZE)
    cache = cache_in(directory, 0)
    cache.lease("a", building("one")).release()
    cache.lease("b", building("two")).release()
    assert names(directory) == {"photographs", ".hidden", "notes.txt", "b.fork"}


def test_a_damaged_entry_is_made_anew_beside_those_who_have_it(directory: Path) -> None:
    cache = cache_in(directory)
    old = cache.lease("a", building("one"))
    (directory / "a.fork" / "store").write_text("damaged")
    new = cache.lease("a", building("two"))
    assert (old.content.strip(), new.content.strip()) == ("one", "two")
    # Who had the old one says nothing of the new one.
    old.mark_damaged()
    assert cache.lease("a", not_needed).content.strip() == "two"
    new.mark_damaged()
    assert cache.lease("a", building("three")).content.strip() == "three"
    old.release()
    new.release()
    assert names(directory) == {"a.fork"}


def test_one_that_is_damaged_as_soon_as_it_is_made_is_an_error(directory: Path) -> None:
    with pytest.raises(ForkCacheError, match="as soon as it is made"):
        cache_in(directory).lease("a", building("damaged"))


def test_an_entry_that_cannot_be_made_leaves_nothing(directory: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_in(directory).lease("a", fails)
    assert names(directory) == set()


def test_a_full_disk_takes_what_nobody_has_open(directory: Path) -> None:
    cache = cache_in(directory)
    kept = cache.lease("kept", building("kept"))
    cache.lease("idle", building("idle")).release()

    def without_room(path: Path) -> None:
        if "idle.fork" in names(directory):
            raise DiskFullError
        building("a")(path)

    assert cache.lease("a", without_room).content.strip() == "a"
    assert names(directory) == {"kept.fork", "a.fork"}
    kept.release()

    def never_room(path: Path) -> None:
        raise DiskFullError

    with pytest.raises(DiskFullError):
        cache.lease("b", never_room)


# Processes


def build_at_gate(directory: Path, pipe: Connection) -> None:
    """Takes the lease of "a"; a build says so, and goes on once it is told to."""

    def build(path: Path) -> None:
        path.write_text("half")
        pipe.send("building")
        pipe.recv()
        path.write_text("whole")

    try:
        lease = cache_in(directory).lease("a", build)
    except KeyboardInterrupt:
        pipe.send("interrupted")
        return
    pipe.send(lease.content)
    pipe.recv()


class Process:
    """A process that takes the lease; a context, which ends it."""

    def __init__(self, directory: Path) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=build_at_gate, args=(directory, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def said(self) -> str:
        assert self.pipe.poll(60), "it says nothing"
        return self.pipe.recv()

    def wait_until_blocked(self) -> None:
        """Until it waits for a file's lock, as the kernel says."""
        deadline = time.monotonic() + 60
        while not self._is_blocked():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _is_blocked(self) -> bool:
        locks = Path("/proc/locks").read_text().splitlines()
        return any("->" in line and f" {self._process.pid} " in line for line in locks)

    def interrupt(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def test_of_two_that_come_at_once_one_makes_it_and_the_other_waits(directory: Path) -> None:
    with Process(directory) as first:
        assert first.said() == "building"
        with Process(directory) as second:
            second.wait_until_blocked()
            first.pipe.send("go on")
            assert first.said() == "whole"
            assert second.said() == "whole", "and does not build"
    assert names(directory) == {"a.fork"}


def test_who_waits_answers_signals(directory: Path) -> None:
    with Process(directory) as first:
        assert first.said() == "building"
        with Process(directory) as second:
            second.wait_until_blocked()
            second.interrupt()
            assert second.said() == "interrupted"


def test_what_a_killed_maker_left_is_made_anew_and_cleared(directory: Path) -> None:
    with Process(directory) as first:
        assert first.said() == "building"
        with Process(directory) as second:
            second.wait_until_blocked()
            first.kill()
            assert second.said() == "building"
            second.pipe.send("go on")
            assert second.said() == "whole"
    assert names(directory) == {"a.fork"}


# Forks


@pytest.fixture
def store(tmp_path: Path) -> Path:
    directory = tmp_path / "present"
    directory.mkdir()
    return directory


@pytest.fixture
def present(store: Path) -> Iterator[DagsterInstance]:
    with instance_for_test(whole_block(store), temp_dir=str(store)) as instance:
        yield instance


def fork_of(store: Path) -> Path:
    [fork] = (store / "history" / "as_of").iterdir()
    return fork


def test_instances_share_a_fork_and_it_is_as_it_was_made(
    present: DagsterInstance, store: Path
) -> None:
    begin(present)
    at = head_of(present)
    with instance_as_of(store, at) as past:
        then = state_of(past)
    data = fork_of(store) / "store" / "data.mdb"
    made = data.stat()
    with instance_as_of(store, at) as first, instance_as_of(store, str(at)) as second:
        assert state_of(first) == state_of(second) == then
    assert (data.stat().st_ino, data.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_the_cache_may_be_elsewhere_and_small(
    present: DagsterInstance, store: Path, tmp_path: Path
) -> None:
    begin(present)
    elsewhere = tmp_path / "elsewhere"
    settings: dict[str, Any] = {"as_of_cache_dir": str(elsewhere), "as_of_cache_size": 0}
    for at in (3, 4, 5):
        with instance_as_of(store, at, **settings) as past:
            past.get_runs()
    [fork] = elsewhere.iterdir()
    assert fork.name.split("-")[1] == "5"
    assert not (store / "history" / "as_of").exists()


def test_a_fork_that_is_open_stays_and_one_that_was_closed_is_opened_again(
    present: DagsterInstance, store: Path
) -> None:
    begin(present)
    with instance_as_of(store, 3, as_of_cache_size=0) as early:
        then = state_of(early)
        with instance_as_of(store, 4, as_of_cache_size=0) as later:
            later.get_runs()
            assert state_of(early) == then
            for storage in (early.run_storage, early.event_log_storage, early.schedule_storage):
                storage.dispose()
            with instance_as_of(store, 5, as_of_cache_size=0) as last:
                last.get_runs()
                assert not list((store / "history" / "as_of").glob("*-3-*"))
                assert state_of(early) == then


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_a_fork_that_was_cut_off_is_made_anew(
    present: DagsterInstance, store: Path, size: int
) -> None:
    begin(present)
    at = head_of(present)
    with instance_as_of(store, at) as past:
        then = state_of(past)
    os.truncate(fork_of(store) / "store" / "data.mdb", size)
    with instance_as_of(store, at) as past:
        assert state_of(past) == then


def test_one_with_a_damaged_record_is_made_anew_once_that_is_read(
    present: DagsterInstance, store: Path
) -> None:
    run_id = begin(present)
    present.store_event(log_line(run_id, "a line with a word"))
    at = head_of(present)
    with instance_as_of(store, at) as past:
        then = state_of(past)
    data = fork_of(store) / "store" / "data.mdb"
    damage(data)
    with pytest.raises(DamagedRecordError):
        EventLog(data.parent, create=False, read_only=True).run_events(run_id)
    with instance_as_of(store, at) as past:
        assert state_of(past) == then
        # What is damaged again is the disk's fault, and is told.
        damage(fork_of(store) / "store" / "data.mdb")
        with pytest.raises(DamagedRecordError):
            past.all_logs(run_id)
    with instance_as_of(store, at) as past:
        assert state_of(past) == then


def damage(data: Path) -> None:
    whole = data.read_bytes()
    assert b"with a word" in whole
    with data.open("r+b") as file:
        file.seek(whole.index(b"with a word"))
        file.write(b"with a lord")


def test_a_fork_of_a_history_that_a_power_cut_took_back_is_made_anew(
    present: DagsterInstance, store: Path
) -> None:
    """The store is put back to an earlier state, and goes on otherwise from there."""
    begin(present)
    storage = present.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    head = head_of(present)
    present.dispose()
    for name in ("data.mdb", "journal"):
        (store / f"{name} then").write_bytes((store / "history" / name).read_bytes())
    one, other = run(), run()
    present.add_run(one)
    assert head_of(present) == head + 1
    with instance_as_of(store, head + 1) as past:
        assert past.has_run(one.run_id)
    close(present)
    for name in ("data.mdb", "journal"):
        (store / "history" / name).write_bytes((store / f"{name} then").read_bytes())
    present.add_run(other)
    assert head_of(present) == head + 1
    with instance_as_of(store, head + 1) as past:
        assert past.has_run(other.run_id)
        assert not past.has_run(one.run_id)


def test_a_fork_outlives_the_record_that_it_ends_with(
    present: DagsterInstance, store: Path
) -> None:
    run_id = begin(present)
    at = head_of(present)
    with instance_as_of(store, at) as past:
        then = state_of(past)
    made = fork_of(store).stat().st_ino
    go_on(present, run_id)
    storage = present.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    assert storage._log.husk([at]) == [at], "the pool's limit, which was set again"
    with instance_as_of(store, at) as past:
        assert state_of(past) == then
    assert fork_of(store).stat().st_ino == made


def test_it_waits_for_a_compaction_to_end(
    present: DagsterInstance, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(present)
    with (store / "history" / "compaction").open("a") as file, instance_as_of(store, 3) as past:
        fcntl.flock(file, fcntl.LOCK_EX)
        looking = threading.Thread(target=past.get_runs, daemon=True)
        looking.start()
        deadline = time.monotonic() + 60
        while "Waiting: " not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert looking.is_alive()
        fcntl.flock(file, fcntl.LOCK_UN)
        looking.join(60)
        assert not looking.is_alive()
        assert len(past.get_runs()) == 1


# A store on a read-only file system


def files_of(store: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (store / "history").iterdir()}


@pytest.fixture
def read_only(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's file system says so of itself; what is written to is seen by looking."""

    def is_read_only(directory: Path) -> bool:
        return directory == store / "history"

    monkeypatch.setattr(view, "is_read_only", is_read_only)


@pytest.mark.usefixtures("read_only")
def test_a_store_that_cannot_be_written_to_is_copied_once_and_left_as_it_is(
    present: DagsterInstance, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of the user"))
    run_id = begin(present)
    at, then = head_of(present), state_of(present)
    go_on(present, run_id)
    now = head_of(present)
    close(present)
    before = files_of(store)
    for moment in (at, now, at):
        with instance_as_of(store, moment) as past:
            assert head_of(past) == moment
            assert (state_of(past) == then) == (moment == at)
    assert files_of(store) == before
    kept = names(tmp_path / "cache of the user" / "dagster-lmdb")
    assert len(kept) == 3
    assert len([name for name in kept if name.startswith("copy-")]) == 1


@pytest.mark.usefixtures("read_only")
def test_what_is_written_to_meanwhile_from_elsewhere_is_refused(
    present: DagsterInstance, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(present)
    close(present)
    copy = shutil.copyfile

    def written_to_meanwhile(source: Path, destination: Path) -> None:
        copy(source, destination)
        os.utime(source)

    monkeypatch.setattr(shutil, "copyfile", written_to_meanwhile)
    cache = tmp_path / "cache"
    with (
        instance_as_of(store, 3, as_of_cache_dir=str(cache)) as past,
        pytest.raises(ForkCacheError, match="written to from elsewhere"),
    ):
        past.get_runs()
    assert names(cache) == set()


def close(instance: DagsterInstance) -> None:
    assert instance.schedule_storage is not None
    for storage in (instance.event_log_storage, instance.run_storage, instance.schedule_storage):
        storage.dispose()


def test_a_lease_may_be_released_twice(directory: Path) -> None:
    lease: Lease[str] = cache_in(directory).lease("a", building("one"))
    lease.release()
    lease.release()
