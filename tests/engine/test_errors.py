"""Every error type: when it is raised, that nothing was stored then, and how to go on.

``of`` names the types that a test is about; the last test here sees to it that none is left out.
"""

import fcntl
import logging
import os
import resource
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from dagster import AssetKey, DagsterEventType, EventLogEntry, EventRecordsFilter
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
)
from dagster._core.errors import DagsterEventLogInvalidForRun, DagsterInvariantViolationError
from dagster_shared.serdes.errors import SerializationError

import dagster_lmdb.errors
from dagster_lmdb import LmdbEventLogStorage, _core
from dagster_lmdb._core import FOLD_VERSION, FORMAT_VERSION, EventLog
from dagster_lmdb._rows import Put
from dagster_lmdb.errors import (
    AlreadyThereError,
    DamagedRecordError,
    DamagedStoreError,
    DiskFailedError,
    DiskFullError,
    DuplicatePlannedCheckError,
    FoldVersionError,
    FormatTooNewError,
    IncompatibleHostError,
    LmdbStoreError,
    MaintenanceRunningError,
    MapFullError,
    NetworkFileSystemError,
    NotAStoreError,
    NotThereError,
    OtherPidNamespaceError,
    ReadersFullError,
    RebuildRunningError,
    StorePermissionError,
    UndecodableEventError,
)
from engine.children import Script, fork, join, said
from engine.events import event, line, materialization
from engine.tamper import BODY, change_event, change_meta, flip_bit, tree

Test = TypeVar("Test", bound=Callable[..., Any])

_TESTED: set[type] = set()


def of(*types: type[LmdbStoreError]) -> Callable[[Test], Test]:
    """Says which errors a test is about."""
    _TESTED.update(types)
    return lambda test: test


def messages(storage: LmdbEventLogStorage, run_id: str = "run") -> list[str]:
    return [entry.user_message for entry in storage.get_logs_for_run(run_id)]


def allowed(*command: str) -> bool:
    """Whether this machine lets us run a command."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


# The directory


@of(NotAStoreError)
@pytest.mark.parametrize("create", [True, False])
def test_a_file_is_not_a_store(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(NotAStoreError, match="it is a file"):
        EventLog(path, create=create)
    assert path.read_text() == "text"


@of(NotAStoreError)
@pytest.mark.parametrize("name", ["notes.txt", "data.mdb", "queue"])
def test_a_directory_with_other_files_is_not_a_store(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text" * 5000)
    with pytest.raises(NotAStoreError, match="is not a dagster-lmdb store"):
        EventLog(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "text" * 5000


@of(NotAStoreError)
def test_what_is_not_there_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="no such directory"):
        EventLog(tmp_path / "none", create=False)
    with pytest.raises(NotAStoreError, match="it is empty"):
        EventLog(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


_STATFS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/vfs.h>
int statfs(const char *path, struct statfs *result) {
    int (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
    int code = real(path, result);
    result->f_type = strtol(getenv("ENGINE_STATFS"), 0, 16);
    return code;
}
int statfs64(const char *path, struct statfs64 *result) {
    return statfs(path, (struct statfs *)result);
}
"""

_OPENS = """
try:
    log = EventLog(directory, **{name: True for name in arguments})
    tell("opened")
except LmdbStoreError as error:
    tell(f"{type(error).__name__}: {error}")
listen()
"""


def shim(folder: Path, source: str) -> str:
    """A library that stands before the system's calls."""
    path = folder / "shim.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(path), "-", "-ldl"],
        input=source.encode(),
        check=True,
    )
    return str(path)


@of(NetworkFileSystemError)
def test_a_network_file_system_is_refused_unless_allowed(tmp_path: Path, directory: Path) -> None:
    environment = {"LD_PRELOAD": shim(tmp_path, _STATFS), "ENGINE_STATFS": "6969"}
    with Script(directory, _OPENS, environment=environment) as refused:
        told = refused.hear()
    assert told.startswith("NetworkFileSystemError")
    assert "NFS" in told
    assert "allow_network_file_system" in told
    with Script(directory, _OPENS, "allow_network_file_system", environment=environment) as opening:
        assert opening.hear() == "opened"


_UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc"]


def foreign_mark(directory: Path) -> Iterator[None]:
    """What an opener in another PID namespace leaves while it lives: a lock on a named file."""
    with (directory / "pidns" / "4026530000").open("w+") as file:
        shared = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, shared)
        yield


def foreign_process(directory: Path) -> Iterator[None]:
    with Script(directory, _OPENS, wrapper=_UNSHARE) as holder:
        assert holder.hear() == "opened"
        yield


_FOREIGN = [foreign_mark, *([foreign_process] if allowed(*_UNSHARE, "true") else [])]


@of(OtherPidNamespaceError)
@pytest.mark.parametrize("holding", _FOREIGN)
def test_a_store_that_another_pid_namespace_holds_open_is_refused_unless_allowed(
    storage: LmdbEventLogStorage, directory: Path, holding: Callable[[Path], Iterator[None]]
) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    held = holding(directory)
    next(held)
    with pytest.raises(OtherPidNamespaceError, match="shareProcessNamespace"):
        storage.store_event(line("run", "refused"))
    beside = LmdbEventLogStorage(str(directory), allow_other_pid_namespaces=True)
    assert messages(beside) == ["before"]
    beside.dispose()
    held.close()
    assert messages(storage) == ["before"]


@of(IncompatibleHostError)
def test_a_store_that_another_release_holds_open_is_refused(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    with Script(directory, _OPENS) as holder:
        assert holder.hear() == "opened"
        with (directory / "queue").open("r+b") as queue:
            queue.seek(8)
            queue.write(struct.pack("<I", 99))
        with pytest.raises(IncompatibleHostError, match="version 99"):
            storage.store_event(line("run", "refused"))
    assert messages(storage) == ["before"], "once it is gone the file is made anew"


def as_nobody(work: Callable[[], None]) -> int:
    """Does ``work`` in a child without privileges; how it ended."""

    def drop() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work()

    return join(fork(drop))


@of(StorePermissionError)
def test_a_user_without_permission_is_refused() -> None:
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        directory = Path(parent) / "store"
        storage = LmdbEventLogStorage(str(directory))
        storage.store_event(line("run", "before"))
        storage.dispose()
        assert directory.stat().st_mode & 0o777 == 0o700

        def refused() -> None:
            with pytest.raises(StorePermissionError, match="no permission"):
                EventLog(directory)

        def refused_within() -> None:
            with pytest.raises(StorePermissionError, match="no permission"):
                EventLog(directory)
            with pytest.raises(StorePermissionError, match="no permission"):
                EventLog(Path(parent) / "new")

        mode = 0o000 if os.geteuid() else 0o700
        directory.chmod(mode)
        assert as_nobody(refused) == 0
        if os.geteuid() == 0:
            directory.chmod(0o755)
            assert as_nobody(refused_within) == 0
        directory.chmod(0o700)
        assert messages(storage) == ["before"]
        storage.dispose()


# The versions


@of(FormatTooNewError)
def test_a_newer_format_is_refused(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    change_meta(directory, format=FORMAT_VERSION + 1)
    for call in (
        lambda: storage.store_event(line("run", "refused")),
        lambda: storage.get_logs_for_run("run"),
        lambda: EventLog(directory),
    ):
        with pytest.raises(FormatTooNewError, match="upgrade dagster-lmdb"):
            call()
    change_meta(directory, format=FORMAT_VERSION)
    assert messages(storage) == ["before"]


@of(FoldVersionError)
@pytest.mark.parametrize(
    ("version", "advice"), [(FOLD_VERSION + 1, "restart it"), (FOLD_VERSION - 1, "rebuild")]
)
def test_another_fold_version_is_refused(
    storage: LmdbEventLogStorage, directory: Path, version: int, advice: str
) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    change_meta(directory, fold_version=version)
    for call in (
        lambda: storage.store_event(line("run", "refused")),
        lambda: storage.get_logs_for_run("run"),
        lambda: EventLog(directory),
    ):
        with pytest.raises(FoldVersionError, match=advice):
            call()
    change_meta(directory, fold_version=FOLD_VERSION)
    assert messages(storage) == ["before"]


@of(FoldVersionError)
def test_projections_of_an_older_fold_version_are_rebuilt(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event_batch([line("run", "before"), materialization("run")])
    storage.dispose()
    change_meta(directory, fold_version=FOLD_VERSION - 1)
    log = EventLog(directory, for_rebuild=True)
    log.rebuild()
    log.close()
    assert messages(storage) == ["before", ""]
    assert storage._log.verify().differences == []


# The room


def fill(
    storage: LmdbEventLogStorage, text: str = "x" * 20_000
) -> tuple[list[int], LmdbStoreError]:
    """Stores batches until that fails: how many events each of those stored had."""
    stored: list[int] = []
    while True:
        count = 1 + len(stored) % 4
        batch = [line("fill", f"{len(stored)} {place} {text}") for place in range(count)]
        try:
            storage.store_event_batch(batch)
        except LmdbStoreError as error:
            return stored, error
        stored.append(count)


def check_filled(storage: LmdbEventLogStorage, stored: list[int]) -> None:
    """What was stored is there, of what was refused nothing is, and reading goes on."""
    expected = [f"{batch} {n}" for batch, count in enumerate(stored) for n in range(count)]
    assert [text.rsplit(" ", 1)[0] for text in messages(storage, "fill")] == expected
    assert storage._log.verify().differences == []


@of(MapFullError)
def test_a_full_map_stores_nothing_and_a_larger_one_goes_on(directory: Path) -> None:
    storage = LmdbEventLogStorage(str(directory), map_size=2 << 20)
    storage.store_event(line("run", "before"))
    elsewhere = Script(
        directory,
        """
        storage = LmdbEventLogStorage(directory)
        tell(len(storage.get_logs_for_run("fill")))
        listen()
        storage.store_event(line("run", "elsewhere"))
        """,
    )
    assert elsewhere.hear() == "0"
    stored, error = fill(storage)
    assert type(error) is MapFullError
    assert "dagster-lmdb resize" in str(error)
    assert len(stored) > 3
    check_filled(storage, stored)
    with pytest.raises(MapFullError):
        storage.store_event(line("run", "x" * 100_000))
    storage._log.resize(8 << 20)
    storage.store_event(line("run", "x" * 100_000))
    elsewhere.say("go on")
    elsewhere.end()
    assert messages(storage)[-1] == "elsewhere"
    check_filled(storage, stored)
    storage.dispose()


@of(DiskFullError)
def test_a_file_size_limit_stores_whole_or_nothing_and_writing_goes_on_after_it(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(line("run", "before"))

    def limit(size: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def work() -> None:
        storage.store_event(line("run", "child"))
        limit((directory / "data.mdb").stat().st_size + 200_000)
        stored, error = fill(storage)
        assert type(error) is DiskFullError, error
        assert "nothing was stored" in str(error)
        assert stored
        for _ in range(3):
            with pytest.raises(DiskFullError):
                storage.store_event(line("run", "x" * 900_000))
        assert messages(storage) == ["before", "child"]
        limit(resource.RLIM_INFINITY)
        storage.store_event(line("run", "x" * 900_000))
        check_filled(storage, stored)

    assert join(fork(work)) == 0
    assert len(messages(storage)) == 3


_SMALL_DISK = ["unshare", "--mount", "--propagation", "private"]

_FILLS = """
import os, subprocess
from pathlib import Path
from engine.test_errors import check_filled, fill, messages
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", directory], check=True)
filler = Path(directory) / "filler"
storage = LmdbEventLogStorage(directory + "/store")
storage.store_event(line("run", "before"))
with filler.open("wb", buffering=0) as file:
    try:
        while file.write(b"1" * 4096) == 4096:
            pass
    except OSError:
        pass
stored, error = fill(storage)
assert type(error).__name__ == "DiskFullError", repr(error)
check_filled_without_room = messages(storage, "fill")
assert len(check_filled_without_room) == sum(stored)
filler.unlink()
storage.store_event(line("run", "x" * 100_000))
check_filled(storage, stored)
storage.dispose()
assert len(messages(storage)) == 2
tell("done")
"""


@of(DiskFullError)
def test_a_full_disk_stores_whole_or_nothing_and_writing_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    # Where nobody may mount a small disk, the limit above is all that there is to be had.
    for wrapper in [_SMALL_DISK] if allowed(*_SMALL_DISK, "true") else []:
        assert said(tmp_path, _FILLS, wrapper=wrapper) == ["done"]


_FLUSH = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <stdio.h>
#include <string.h>
/* Fails for the files whose path ends as ENGINE_FAILS_AT says: all, by default. */
static int concerned(int fd) {
    const char *end = getenv("ENGINE_FAILS_AT");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!end || length < (ssize_t)strlen(end)) return !end;
    path[length] = 0;
    return strcmp(path + length - strlen(end), end) == 0;
}
static int flush(const char *name, int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (access(getenv("ENGINE_FAILS"), F_OK) == 0 && concerned(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
int fdatasync(int fd) { return flush("fdatasync", fd); }
int fsync(int fd) { return flush("fsync", fd); }
"""


@of(DiskFailedError)
def test_a_disk_that_fails_to_flush_stores_nothing_and_writing_goes_on_after_it(
    tmp_path: Path, directory: Path
) -> None:
    fails = tmp_path / "fails"
    with Script(
        directory,
        """
        from engine.test_errors import messages
        storage = LmdbEventLogStorage(directory)
        storage.store_event(line("run", "before"))
        tell("stored")
        listen()
        for _ in range(2):
            try:
                storage.store_event_batch([line("run", "lost"), line("run", "lost")])
            except LmdbStoreError as error:
                tell(f"{type(error).__name__}: {error}")
            tell(messages(storage))
        listen()
        storage.store_event(line("run", "after"))
        tell(messages(storage))
        tell(storage._log.verify().differences)
        """,
        environment={"LD_PRELOAD": shim(tmp_path, _FLUSH), "ENGINE_FAILS": str(fails)},
    ) as writer:
        assert writer.hear() == "stored"
        fails.touch()
        writer.say("go on")
        for _ in range(2):
            assert writer.hear().startswith("DiskFailedError")
            assert writer.hear() == "['before']"
        fails.unlink()
        writer.say("go on")
        assert writer.end() == ["['before', 'after']", "[]"]


@of(DiskFailedError)
def test_a_disk_that_loses_what_it_took_is_written_to_no_more_until_all_is_restored(
    tmp_path: Path, directory: Path
) -> None:
    fails = tmp_path / "fails"
    with Script(
        directory,
        """
        storage = LmdbEventLogStorage(directory)
        storage.store_event(line("run", "before"))
        tell("stored")
        listen()
        stored = 1
        while True:
            try:
                storage.store_event(line("run", "x" * 20_000))
                stored += 1
            except LmdbStoreError as error:
                tell(f"{type(error).__name__}: {error}")
                break
        tell(stored)
        listen()
        try:
            storage.store_event(line("run", "after"))
        except LmdbStoreError as error:
            tell(f"{type(error).__name__}: {error}")
        tell(len(storage.get_logs_for_run("run")))
        """,
        environment={
            "LD_PRELOAD": shim(tmp_path, _FLUSH),
            "ENGINE_FAILS": str(fails),
            "ENGINE_FAILS_AT": "/data.mdb",
        },
    ) as writer:
        assert writer.hear() == "stored"
        fails.touch()
        writer.say("go on")
        # Once the journal is full, the data file is flushed.
        assert writer.hear().startswith("DiskFailedError")
        stored = int(writer.hear())
        assert stored > 5
        fails.unlink()
        writer.say("go on")
        refused, seen = writer.end()
        assert refused.startswith("DiskFailedError")
        assert "end every process" in refused
        assert int(seen) == stored
    storage = LmdbEventLogStorage(str(directory))
    assert len(storage.get_logs_for_run("run")) == stored
    storage.store_event(line("run", "after"))
    assert storage._log.verify().differences == []


@of(ReadersFullError)
def test_readers_beyond_the_slots_are_refused(directory: Path) -> None:
    storage = LmdbEventLogStorage(str(directory), max_readers=1)
    storage.store_event(line("run", "before"))
    refused = []

    def progress(phase: str, *_: int) -> None:
        # The comparison is the one read that lasts, and has the one slot.
        if phase == "compare":
            with pytest.raises(ReadersFullError, match="max_readers"):
                storage.get_logs_for_run("run")
            refused.append(phase)

    assert storage._log.verify(progress).differences == []
    assert refused
    assert messages(storage) == ["before"]
    storage.dispose()


@of(LmdbStoreError)
def test_what_has_no_type_of_its_own_is_a_store_error(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "before"))
    with pytest.raises(LmdbStoreError, match="cannot be made smaller") as caught:
        storage._log.resize(1 << 20)
    assert type(caught.value) is LmdbStoreError

    storage.dispose()

    def beyond_the_address_space() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
        with pytest.raises(LmdbStoreError, match="ulimit -v"):
            storage.get_logs_for_run("run")

    assert join(fork(beyond_the_address_space)) == 0


# The content


@of(DamagedStoreError)
@pytest.mark.parametrize("part", [0.5, 0.1, 0.0])
def test_a_truncated_data_file_is_damage(
    storage: LmdbEventLogStorage, directory: Path, part: float
) -> None:
    storage.store_event_batch([line("run", "x" * 10_000) for _ in range(50)])
    storage.dispose()
    data = directory / "data.mdb"
    # Room that is kept ahead of the last page is no loss.
    used = EventLog(directory).stat()["used_bytes"]
    os.truncate(data, int(used * part) // 4096 * 4096)
    before = data.read_bytes()
    for _ in range(2):
        with pytest.raises(DamagedStoreError, match="is damaged"):
            storage.get_logs_for_run("run")
    assert data.read_bytes() == before


@of(DamagedStoreError)
def test_a_data_file_that_is_gone_is_damage(storage: LmdbEventLogStorage, directory: Path) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    (directory / "data.mdb").unlink()
    with pytest.raises(DamagedStoreError, match="gone"):
        storage.store_event(line("run", "refused"))
    assert not (directory / "data.mdb").exists()


@of(DamagedStoreError)
def test_a_row_that_does_not_decode_is_damage_that_a_rebuild_mends(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(materialization("run"))
    storage.dispose()
    with tree(directory, "a.assets") as transaction:
        ((key, _),) = transaction.cursor()
        transaction.put(key, b"\xc1")
    with pytest.raises(DamagedStoreError, match="dagster-lmdb rebuild"):
        storage.get_asset_records()
    (difference,) = storage._log.verify().differences
    assert difference.startswith(f"assets {key.hex()}")
    storage._log.rebuild()
    assert len(storage.get_asset_records()) == 1
    assert storage._log.verify().differences == []


@of(DamagedRecordError)
def test_a_flipped_bit_in_a_record_is_found_by_reading_and_by_verify(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event_batch([line("run", "before"), line("run", "q" * 64), line("run", "after")])
    (before, damaged, after) = storage.get_records_for_run("run").records
    storage.dispose()
    flip_bit(directory, b"q" * 64)
    with pytest.raises(DamagedRecordError, match=f"record {damaged.storage_id} "):
        storage.get_logs_for_run("run")
    with pytest.raises(DamagedRecordError, match=f"record {damaged.storage_id} "):
        storage.get_logs_for_all_runs_by_log_id(before.storage_id)
    assert storage.get_records_for_run("run", limit=1).records == [before]
    assert storage.get_records_for_run("run", limit=1, ascending=False).records == [after]
    first, *_ = storage._log.verify().differences
    assert first.startswith(f"record {damaged.storage_id}:")
    assert "checksum" in first
    storage.store_event(line("other", "goes on"))
    assert messages(storage, "other") == ["goes on"]


@of(UndecodableEventError)
def test_an_event_that_does_not_decode_is_named(
    storage: LmdbEventLogStorage, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage.store_event_batch([materialization("run", "an_asset") for _ in range(3)])
    first, undecodable, last = storage.get_records_for_run("run").records
    storage.dispose()

    def spoil(fields: list[Any]) -> None:
        fields[BODY] = b"\xc1"

    change_event(directory, undecodable.storage_id, spoil)
    with pytest.raises(UndecodableEventError) as caught:
        storage._log.run_events("run")
    assert caught.value.sequence == undecodable.storage_id
    with pytest.raises(DagsterEventLogInvalidForRun):
        storage.get_records_for_run("run")
    with caplog.at_level(logging.WARNING):
        records = storage.get_event_records(
            EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION), ascending=True
        )
        assert records == [first, last]
        assert list(storage.get_logs_for_all_runs_by_log_id()) == [first.storage_id]
    assert str(undecodable.storage_id) in caplog.text
    assert storage._log.verify().differences == [], "bodies are none of the fold's"


# The command


@of(AlreadyThereError, NotThereError)
def test_documents_that_are_there_or_are_not(storage: LmdbEventLogStorage) -> None:
    log = storage._log

    def put(how: Put | list[Put], *keys: str) -> list[int]:
        return log.put_documents(
            "cursor_value", [(None, key, None, [], "a") for key in keys], how, 1
        )

    [there] = put("insert", "there")
    before = log.stat()["head"]
    with pytest.raises(AlreadyThereError, match="there"):
        put("insert", "new", "there")
    with pytest.raises(NotThereError, match="new"):
        put("update", "there", "new")
    with pytest.raises(NotThereError, match="a run"):
        log.add_run_tags("a run", [("a", "b")], 1)
    assert log.stat()["head"] == before
    assert put("update_if_present", "new", "there") == [there]
    assert put(["insert_if_absent", "upsert"], "there", "there") == [there, there]
    assert log.stat()["head"] == before
    with pytest.raises(ValueError, match="ways to put"):
        put(["insert"], "one", "two")
    with pytest.raises(ValueError, match="nothing"):
        log.put_documents("nothing", [], "insert", 1)
    with pytest.raises(ValueError, match="nothing"):
        log.put_documents("run", [], "nothing", 1)  # type: ignore[arg-type]
    assert log.verify().differences == []


def unserializable() -> EventLogEntry:
    return line("run", "unserializable")._replace(error_info=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_a_batch_with_an_event_that_cannot_be_serialized_nothing_is_stored(
    storage: LmdbEventLogStorage, place: int
) -> None:
    batch = [line("run", "one"), materialization("run", "an_asset")]
    batch.insert(place, unserializable())
    with pytest.raises(SerializationError):
        storage.store_event_batch(batch)
    with pytest.raises(SerializationError):
        storage.store_event(unserializable())
    assert storage.get_maximum_record_id() is None
    assert storage.all_asset_keys() == []
    del batch[place]
    storage.store_event_batch(batch)
    assert len(messages(storage)) == 2


@of(DuplicatePlannedCheckError)
def test_an_evaluation_that_was_planned_twice_is_refused_with_its_batch(
    storage: LmdbEventLogStorage,
) -> None:
    key = AssetKey("an_asset")
    planned = event(
        "run",
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(asset_key=key, check_name="a_check"),
    )
    evaluated = event(
        "run",
        DagsterEventType.ASSET_CHECK_EVALUATION,
        AssetCheckEvaluation(asset_key=key, check_name="a_check", passed=True),
    )
    storage.store_event_batch([planned, planned])
    with pytest.raises(DuplicatePlannedCheckError) as caught:
        storage._log.store_events([line("run", "a"), evaluated], storage.get_asset_tags_to_index)
    error = caught.value
    assert (error.asset_key, error.check, error.rows) == (key.to_string(), "a_check", 2)
    with pytest.raises(DagsterInvariantViolationError, match="Updated 2 rows"):
        storage.store_event_batch([line("run", "a"), evaluated])
    assert len(storage.get_logs_for_run("run")) == 2


@of(RebuildRunningError)
def test_a_second_rebuild_is_refused(storage: LmdbEventLogStorage) -> None:
    storage.store_event(line("run", "before"))
    refused = []

    def elsewhere() -> None:
        with pytest.raises(RebuildRunningError, match="already running"):
            storage._log.rebuild()

    def progress(phase: str, *_: int) -> None:
        if not refused:
            elsewhere()
            assert join(fork(elsewhere)) == 0
            refused.append(phase)

    storage._log.rebuild(progress)
    assert refused
    storage._log.rebuild()
    assert messages(storage) == ["before"]


@of(MaintenanceRunningError)
def test_compaction_and_what_reads_the_log_in_steps_exclude_each_other(
    storage: LmdbEventLogStorage,
) -> None:
    storage.store_event(line("run", "before"))
    storage.delete_events("run")
    log = storage._log

    def compact(progress: Callable[[str, int, int], None] | None = None) -> int:
        return log.compact(now=time.time(), progress=progress).records

    works = {"compact": compact, "verify": log.verify, "rebuild": log.rebuild}
    excluded = [("compact", other) for other in works] + [("verify", "compact")]
    excluded.append(("rebuild", "compact"))
    for running, other in excluded:
        refused = []

        def progress(*_: object, other: str = other, refused: list[str] = refused) -> None:
            with pytest.raises(MaintenanceRunningError, match="try again when that has ended"):
                works[other]()
            refused.append(other)

        works[running](progress)
        assert refused
        works[other]()
    assert log.verify().differences == []


@of(RebuildRunningError)
def test_a_rebuild_that_was_killed_is_taken_up_again(storage: LmdbEventLogStorage) -> None:
    storage.store_event_batch([materialization("run", partition=str(n)) for n in range(50)])

    def work() -> None:
        storage._log.rebuild(lambda phase, *_: os.kill(os.getpid(), signal.SIGKILL))

    assert join(fork(work)) == -signal.SIGKILL
    storage.store_event(line("run", "meanwhile"))
    storage._log.rebuild()
    assert len(messages(storage)) == 51
    assert storage._log.verify().differences == []


def test_errors_of_one_thread_leave_the_others_alone(storage: LmdbEventLogStorage) -> None:
    def refused() -> None:
        for _ in range(50):
            with pytest.raises(SerializationError):
                storage.store_event_batch([line("other", "a"), unserializable()])

    thread = threading.Thread(target=refused)
    thread.start()
    for number in range(50):
        storage.store_event(line("run", str(number)))
    thread.join()
    assert messages(storage) == [str(number) for number in range(50)]


def test_every_error_type_has_a_test() -> None:
    types = {
        value
        for value in vars(_core).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert types
    assert all(issubclass(each, LmdbStoreError) for each in types)
    assert types == _TESTED
    public = {getattr(dagster_lmdb.errors, name) for name in dagster_lmdb.errors.__all__}
    assert types == public
