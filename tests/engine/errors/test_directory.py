"""A directory that is no store, or that may not be opened here."""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb.errors import (
    IncompatibleHostError,
    NetworkFileSystemError,
    NotAStoreError,
    OtherPidNamespaceError,
    StorePermissionError,
)
from engine.children import Script, without_privileges
from engine.errors.covering import allowed, messages, of, shim
from engine.events import line


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
    with pytest.raises(NotAStoreError, match="it is empty; name the directory"):
        EventLog(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


@of(NotAStoreError)
@pytest.mark.parametrize(
    ("create", "advice"), [(True, "name an empty directory"), (False, "has as base_dir")]
)
def test_other_files_call_for_an_empty_directory_or_for_the_stores(
    tmp_path: Path, create: bool, advice: str
) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(NotAStoreError, match=f"notes.txt.*{advice}$"):
        EventLog(tmp_path, create=create)


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


@of(StorePermissionError)
def test_a_user_without_permission_is_refused(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(line("run", "before"))
    storage.dispose()
    assert directory.stat().st_mode & 0o777 == 0o700

    def refused() -> None:
        for path in (directory, directory / "new"):
            with pytest.raises(StorePermissionError, match="no permission"):
                EventLog(path)

    for mode in (0o000, 0o500):
        directory.chmod(mode)
        if mode:
            (directory / "queue").chmod(0o400)
        try:
            assert without_privileges(refused) == 0
        finally:
            directory.chmod(0o700)
            (directory / "queue").chmod(0o600)
    assert messages(storage) == ["before"]
