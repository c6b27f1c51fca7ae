"""The directory of an export, and how an increment becomes visible in it.

An increment is written into a directory of its own, the new manifest included, and renamed once it
is whole: that is its commit. Then each of its tables is renamed into place, and the manifest last.
A call that died before the commit leaves nothing; one that died behind it is gone on with by the
next. So whoever reads ``TABLE/**/*.parquet`` sees a table's part of an increment at once or not at
all, and never twice.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster_lmdb._export import manifest
from dagster_lmdb._export.errors import ExportRunningError, NotAnExportError
from dagster_lmdb._export.manifest import Manifest
from dagster_lmdb.debug.errors import DestinationError

_LOCK = ".lock"
_DRAFT = ".increment-draft"
_INCREMENT = ".increment"
_OWN = {_LOCK, _DRAFT, _INCREMENT}


class Destination:
    """A directory that this process alone writes an export to; see ``opened``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = manifest.read(path)

    @property
    def draft(self) -> Path:
        """Where an increment is written."""
        return self.path / _DRAFT

    def commit(self, new: Manifest) -> None:
        """Makes the increment visible that has been written into the draft.

        Raises:
            DestinationError: If it cannot be; it is visible then, or will be by the next call, or
                nothing of it is.
        """
        with telling(self.path):
            (self.draft / manifest.NAME).write_text(new.dump(), encoding="utf-8")
            _flush_all(self.draft)
            self.draft.rename(self.path / _INCREMENT)
            _flush(self.path)
            self._put_into_place()
        self.manifest = new

    def _put_into_place(self) -> None:
        increment = self.path / _INCREMENT
        if not increment.exists():
            return
        for table in sorted(increment.iterdir()):
            if not table.is_dir():
                continue
            (self.path / table.name).mkdir(exist_ok=True)
            for part in sorted(table.iterdir()):
                part.rename(self.path / table.name / part.name)
            _flush(self.path / table.name)
            table.rmdir()
        new = increment / manifest.NAME
        if new.exists():
            new.rename(self.path / manifest.NAME)
            _flush(self.path)
        increment.rmdir()


@contextmanager
def opened(path: Path) -> Iterator[Destination]:
    """Takes a directory for an export, and makes it where there is none.

    Goes on with what a call that died has left. Where the caller fails, its draft is removed, and a
    directory that was made.

    Raises:
        NotAnExportError: If there is something else.
        ExportRunningError: If another process writes to it.
        DestinationError: If it cannot be written to.
    """
    check_place(path)
    is_new = not path.exists()
    with telling(path):
        path.mkdir(exist_ok=True)
        lock = _lock(path)
    try:
        check_place(path)
        with telling(path):
            shutil.rmtree(path / _DRAFT, ignore_errors=True)
            destination = Destination(path)
            destination._put_into_place()
            destination.manifest = manifest.read(path)
        yield destination
    finally:
        shutil.rmtree(path / _DRAFT, ignore_errors=True)
        if is_new and not (path / manifest.NAME).exists() and not (path / _INCREMENT).exists():
            with suppress(OSError):
                (path / _LOCK).unlink()
                path.rmdir()
        os.close(lock)


def check_place(path: Path) -> None:
    """Checks that a path is free, or an export.

    Raises:
        NotAnExportError: If it is something else.
    """
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise NotAnExportError(f"{parent} is not a directory, and cannot hold {path.name}")
            break
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise NotAnExportError(f"{path} exists and is not a directory; name another one")
    if manifest.read(path) is None:
        others = sorted(each.name for each in path.iterdir() if each.name not in _OWN)
        if others and not (path / _INCREMENT / manifest.NAME).exists():
            raise NotAnExportError(
                f"{path} exists and is not an export: it holds {others[0]}; name another directory"
            )


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Says of a failure of the disk what it was about.

    Raises:
        DestinationError: For an ``OSError`` within.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DestinationError(
            f"cannot write to {path}: {reason}; nothing of this increment is there, or all of it is"
            " by the next call"
        ) from error


def _lock(path: Path) -> int:
    while True:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A call that failed may have removed the file meanwhile.
            if os.path.samestat(os.fstat(lock), os.stat(path / _LOCK)):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise ExportRunningError(
                f"another process exports to {path}; try again when it has ended"
            ) from None
        except FileNotFoundError:
            path.mkdir(exist_ok=True)
        os.close(lock)


def _flush_all(directory: Path) -> None:
    for parent, _, names in os.walk(directory):
        for name in names:
            _flush(Path(parent, name))
        _flush(Path(parent))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
