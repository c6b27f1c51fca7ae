"""No room: a full map, a full disk, a disk that fails, no reader's slot."""

import resource
from pathlib import Path

import pytest

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb.errors import (
    DiskFailedError,
    DiskFullError,
    LmdbStoreError,
    MapFullError,
    ReadersFullError,
)
from engine.children import Script, fork, join, said
from engine.errors.covering import allowed, messages, of, shim
from engine.events import line


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
from engine.errors.covering import messages
from engine.errors.test_room import check_filled, fill
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
        from engine.errors.covering import messages
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


# In a process of its own: this one may have many stores mapped.
_BEYOND_THE_ADDRESS_SPACE = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
try:
    LmdbEventLogStorage(directory).get_logs_for_run("run")
    tell("read")
except LmdbStoreError as error:
    tell(f"{type(error).__name__}: {error}")
"""


@of(LmdbStoreError)
def test_what_has_no_type_of_its_own_is_a_store_error(
    storage: LmdbEventLogStorage, directory: Path
) -> None:
    storage.store_event(line("run", "before"))
    with pytest.raises(LmdbStoreError, match="cannot be made smaller") as caught:
        storage._log.resize(1 << 20)
    assert type(caught.value) is LmdbStoreError

    storage.dispose()
    (told,) = said(directory, _BEYOND_THE_ADDRESS_SPACE)
    assert told.startswith("LmdbStoreError")
    assert "ulimit -v" in told
