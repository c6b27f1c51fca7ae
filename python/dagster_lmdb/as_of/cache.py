"""A cache of directories: each is made once, shared by processes, and evicted by size.

An entry is ``DIRECTORY/NAME.fork``, on whose file ``in_use`` everyone who has it open holds a
shared lock (``flock``: the kernel drops it with the process). An entry is made under another
name, by who holds the lock ``NAME.fork.building``, and comes to be by one rename while its maker
holds its lock too; so it is absent or whole, and no evictor comes between its making and its use.
It goes by a rename as well: under the exclusive lock where it is evicted, and beside those who
still have it open where it is damaged. What has a name with a dot in front is nobody's once it is
not locked. Whatever else the directory has is left alone.

Waiting for a lock releases the GIL and answers signals.
"""

import errno
import fcntl
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from dagster_lmdb._core import DiskFullError
from dagster_lmdb.as_of.errors import ForkCacheError

_LOG = logging.getLogger(__name__)

_SUFFIX = ".fork"
_OURS = re.compile(rf"\.?.+{re.escape(_SUFFIX)}(\.[0-9a-f]{{32}})?")
_IN_USE = "in_use"
_DAMAGED = "damaged"
_CONTENT = "store"
_BUILDING = ".building"

T = TypeVar("T")


class Lease(Generic[T]):
    """An entry that is open, and is not evicted meanwhile."""

    def __init__(self, entry: Path, lock: BinaryIO, content: T) -> None:
        self.content = content
        self._entry = entry
        self._lock = lock

    def mark_damaged(self) -> None:
        """Has the next one who opens the entry make it anew."""
        with suppress(OSError):
            if _is_at(self._lock, self._entry / _IN_USE):
                (self._entry / _DAMAGED).touch()

    def release(self) -> None:
        """Lets go of the entry. Idempotent."""
        self._lock.close()


class Cache(Generic[T]):
    """Entries in a directory.

    Args:
        directory (Path): Where they are; made, private to its owner, at first use.
        most_bytes (int): What they may take on disk together, those in use among them. An entry in
            use is never evicted, so they may take more.
        open_content (Callable[[Path], Optional[T]]): Opens what an entry has; None where it is
            damaged.
    """

    def __init__(
        self, directory: Path, most_bytes: int, open_content: Callable[[Path], T | None]
    ) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._open_content = open_content

    def lease(self, name: str, build: Callable[[Path], None]) -> Lease[T]:
        """Opens an entry, which is made if it is absent or damaged.

        Where another process makes it, this one waits.

        Args:
            name (str): The entry's name, which has no dot in front.
            build (Callable[[Path], None]): Makes the content at a path where nothing is.

        Raises:
            ForkCacheError: If the directory cannot be used.
        """
        entry = self._directory / f"{name}{_SUFFIX}"
        with self._usable():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if lease := self._open(entry):
                return lease
            with self._building(entry):
                # Another may have been faster.
                if lease := self._open(entry):
                    return lease
                lock = self._make(entry, build)
                lease = self._open(entry)
                lock.close()
            if lease is None:
                raise ForkCacheError(f"{entry} is damaged as soon as it is made; check the disk")
            self._evict(self._most_bytes)
            return lease

    def _open(self, entry: Path) -> Lease[T] | None:
        lock = _locked(entry / _IN_USE, fcntl.LOCK_SH, create=False)
        if lock is None:
            return None
        content = None
        if not (entry / _DAMAGED).exists():
            content = self._open_content(entry / _CONTENT)
        if content is None:
            lock.close()
            return None
        # When it was last used, for the eviction.
        os.utime(lock.fileno())
        return Lease(entry, lock, content)

    @contextmanager
    def _building(self, entry: Path) -> Iterator[None]:
        path = entry.with_name(entry.name + _BUILDING)
        lock = _locked(path, fcntl.LOCK_EX, create=True, waits_for="it is being made")
        assert lock is not None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.close()

    def _make(self, entry: Path, build: Callable[[Path], None]) -> BinaryIO:
        """Makes an entry in the place of what is there; returns the shared lock on it."""
        self._evict(self._most_bytes)
        try:
            return self._make_once(entry, build)
        except DiskFullError:
            if not self._evict(0):
                raise
            return self._make_once(entry, build)

    def _make_once(self, entry: Path, build: Callable[[Path], None]) -> BinaryIO:
        draft, lock = _draft(entry)
        try:
            build(draft / _CONTENT)
            # What is there is damaged; an evictor may be faster.
            with suppress(FileNotFoundError):
                _remove(entry)
            draft.rename(entry)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            lock.close()
            raise
        return lock

    def _evict(self, most_bytes: int) -> bool:
        """Removes what makers that died have left, and entries until the rest takes no more.

        The least recently used goes first, and none that somebody has open. Tells whether any was
        removed.
        """
        paths = [path for path in self._directory.iterdir() if _OURS.fullmatch(path.name)]
        entries = [_Entry.at(path) for path in paths]
        entries.sort(key=lambda entry: (not entry.is_hidden, entry.used))
        total = sum(entry.size for entry in entries)
        removed = False
        for entry in entries:
            if not entry.is_hidden and total <= most_bytes:
                break
            if _evict_idle(entry.path):
                total -= entry.size
                removed = True
                _LOG.debug("evicted %s, %s bytes", entry.path, entry.size)
        return removed

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ForkCacheError(
                f"forks cannot be kept in {self._directory}: {error.strerror or error}; name"
                " another directory with as_of_cache_dir"
            ) from error


class _Entry(NamedTuple):
    path: Path
    is_hidden: bool
    used: float
    size: int

    @classmethod
    def at(cls, path: Path) -> "_Entry":
        used, size = 0.0, 0
        for parent, _, names in os.walk(path):
            for name in names:
                # It may go meanwhile.
                with suppress(FileNotFoundError):
                    found = os.stat(os.path.join(parent, name))
                    size += found.st_blocks * 512
                    if name == _IN_USE:
                        used = found.st_mtime
        return cls(path, path.name.startswith("."), used, size)


def _draft(entry: Path) -> tuple[Path, BinaryIO]:
    """A directory to make an entry in, and the shared lock on it."""
    while True:
        draft = _hidden(entry)
        draft.mkdir(mode=0o700)
        # An evictor may take it for one whose maker has died until it is locked.
        with suppress(FileNotFoundError):
            lock = _locked(draft / _IN_USE, fcntl.LOCK_SH, create=True)
            assert lock is not None
            return draft, lock


def _hidden(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.{uuid.uuid4().hex}")


def _remove(entry: Path) -> None:
    """Removes an entry, out of sight at once; who has it open goes on with what it has."""
    hidden = _hidden(entry)
    entry.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _evict_idle(entry: Path) -> bool:
    """Removes an entry that nobody has open; whether it did."""
    try:
        lock = _locked(entry / _IN_USE, fcntl.LOCK_EX | fcntl.LOCK_NB, create=False)
    except BlockingIOError:
        return False
    if lock is None:
        # Its maker has died, or is about to lock it.
        with suppress(OSError):
            entry.rmdir()
        return False
    try:
        _remove(entry)
    finally:
        lock.close()
    return True


def _locked(path: Path, how: int, *, create: bool, waits_for: str = "") -> BinaryIO | None:
    """The file at a path, locked; None where there is none.

    Raises:
        BlockingIOError: If it is locked, and ``how`` says not to wait.
    """
    while True:
        try:
            file = open(path, "ab" if create else "r+b", buffering=0, opener=_private)  # noqa: SIM115
        except FileNotFoundError:
            if create:
                raise
            return None
        try:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except OSError as error:
                if how & fcntl.LOCK_NB or error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if waits_for:
                    _LOG.warning("Waiting for %s, since %s.", path.with_suffix(""), waits_for)
                fcntl.flock(file, how)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        # It was removed while this process waited.
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
