"""A store as of a moment: a cached fork of it, read through a handle that refuses every write.

``AsOf`` is the moment. It becomes a record once, at its first use, so that the end of a run that
goes on is one record for all who share the object, for as long as it lives. ``AsOfLog`` is what
storages hold in the place of an ``EventLog``.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from dagster_lmdb._core import (
    FOLD_VERSION,
    FORMAT_VERSION,
    DamagedRecordError,
    DamagedStoreError,
    EventLog,
    MaintenanceRunningError,
    NotAStoreError,
    ReadOnlyError,
)
from dagster_lmdb._moments import OUTSIDE, moment_of, what_is_missing
from dagster_lmdb.as_of.cache import Cache, Lease
from dagster_lmdb.as_of.errors import ReadOnlyInstanceError
from dagster_lmdb.as_of.source import copy_store, is_read_only, state_of

_LOG = logging.getLogger(__name__)

# Seconds from one look whether a compaction has ended to the next.
_PATIENCE = 0.5
# Seconds from one word about how far a fork is to the next.
_PACE = 10.0

_told: set[tuple[str, int]] = set()


class Opening(TypedDict):
    """How a store and its forks are opened: keyword arguments of ``EventLog``."""

    max_readers: int | None
    allow_network_file_system: bool
    allow_other_pid_namespaces: bool


class AsOf:
    """A moment of a store's history, and the cached fork that shows it.

    Args:
        base_dir (str): The store's directory.
        moment (str): The moment, as ``dagster-lmdb fork --at`` takes it.
        cache_dir (Optional[str]): Where forks are kept; None for a folder in the store's directory,
            or of the user's cache where that is on a read-only file system.
        cache_size (int): The most bytes that they take on disk.
        opening (Opening): How the store is opened.

    Raises:
        ValueError: If the text is no moment.
    """

    def __init__(
        self, base_dir: str, moment: str, cache_dir: str | None, cache_size: int, opening: Opening
    ) -> None:
        self.base_dir = base_dir
        self.text = moment
        self._moment = moment_of(moment)
        self._cache_dir = _cache_of(Path(base_dir)) if cache_dir is None else Path(cache_dir)
        self._cache_size = cache_size
        self._opening = opening

    def __str__(self) -> str:
        return f"{self.base_dir} as of {self.text}"

    def log(self) -> EventLog:
        """A handle of its own on the fork, which is made if need be.

        Raises:
            NoSuchMomentError: If the store was never there, or is not yet.
            ForkCacheError: If forks cannot be kept where they are to be.
            LmdbStoreError: If the store cannot be opened or read.
        """
        log: Any = AsOfLog(self, self.lease())
        # It has the methods of one, by delegation.
        handle: EventLog = log
        return handle

    def lease(self) -> Lease[EventLog]:
        """Opens the fork, which stays in the cache until it is released."""
        with self._source() as source:
            sequence = self._sequence_in(source)
            cache = Cache(
                self._cache_dir,
                self._cache_size,
                lambda path: self._open_fork(path, source, sequence),
            )
            lease = cache.lease(
                f"{source.store_id}-{sequence}-{FORMAT_VERSION}.{FOLD_VERSION}",
                lambda path: self._make_fork(path, source, sequence),
            )
        self._tell(lease.content, sequence)
        return lease

    @contextmanager
    def _source(self) -> Iterator[EventLog]:
        """The store, or a copy of it where its own directory cannot be written to."""
        directory = Path(self.base_dir)
        with ExitStack() as stack:
            if is_read_only(directory):
                copies: Cache[Path] = Cache(self._cache_dir, self._cache_size, lambda path: path)
                copied = copies.lease(
                    state_of(directory), lambda path: copy_store(Path(self.base_dir), path)
                )
                stack.callback(copied.release)
                directory = copied.content
            source = EventLog(directory, create=False, read_only=True, **self._opening)
            stack.callback(source.close)
            yield source

    def refusal(self) -> ReadOnlyInstanceError:
        """What a write raises."""
        return ReadOnlyInstanceError(self.base_dir, self.text, vars(self)["_sequence"])

    def _sequence_in(self, source: EventLog) -> int:
        """The record that the moment is: the first one that was found."""
        sequence: int | None = vars(self).get("_sequence")
        if sequence is None:
            progress = _Progress(f"Looking for {self.text} in {self.base_dir}")
            found = self._moment.resolve(source, time.time(), progress)
            # Of threads that race, one counts for all.
            sequence = vars(self).setdefault("_sequence", found)
        return sequence

    def _open_fork(self, path: Path, source: EventLog, sequence: int) -> EventLog | None:
        """Opens a fork of the cache.

        None where it is damaged, or of a history that a power cut took back.
        """
        try:
            # Nobody writes to it, so no page is used again while somebody reads it, wherever he is.
            opening: Opening = {**self._opening, "allow_other_pid_namespaces": True}
            fork = EventLog(path, create=False, read_only=True, **opening)
        except (DamagedStoreError, NotAStoreError) as error:
            _LOG.warning("Making a fork anew: %s", error)
            return None
        forked = fork.forked_from()
        if (
            forked is not None
            and forked[:2] == (source.store_id, sequence)
            and fork.head() == sequence
            and _is_of(source, sequence, forked[2])
        ):
            return fork
        _LOG.warning("Making the fork %s anew: it is not of this history.", path)
        fork.close()
        return None

    def _make_fork(self, path: Path, source: EventLog, sequence: int) -> None:
        progress = _Progress(f"Making the fork of {self.base_dir} up to record {sequence:,}")
        waits = False
        while True:
            try:
                source.fork(
                    path,
                    sequence,
                    incomplete=True,
                    allow_network_file_system=self._opening["allow_network_file_system"],
                    progress=progress,
                )
                return
            except MaintenanceRunningError as error:
                if not waits:
                    _LOG.warning("Waiting: %s", error)
                waits = True
                time.sleep(_PATIENCE)

    def _tell(self, fork: EventLog, sequence: int) -> None:
        """Says once in a process what this instance shows and what it cannot."""
        if (self.base_dir, sequence) in _told:
            return
        _told.add((self.base_dir, sequence))
        whole_from, registers_from = fork.horizons()
        lines = [f"This instance shows {self.base_dir} as of record {sequence:,}"
                 f" (as_of: {self.text}), read-only."]  # fmt: skip
        lines += [
            f"Missing, since a compaction took them: {missing}."
            for missing in what_is_missing(sequence, whole_from, registers_from)
        ]
        lines.append(f"Not in a store, and so not as they were: {OUTSIDE}.")
        _LOG.warning("%s", " ".join(lines))


class AsOfLog:
    """The handle on a fork: what ``EventLog`` has, and a refusal for what would write.

    Good after ``close``, as an ``EventLog`` is: the next call opens the fork again, or makes it
    again. A fork that a read finds damaged is made anew, once, and read again.
    """

    def __init__(self, as_of: AsOf, lease: Lease[EventLog]) -> None:
        self._as_of = as_of
        self._lease: Lease[EventLog] | None = lease
        self._may_mend = True

    @property
    def store_id(self) -> str:
        return self._opened().content.store_id

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # What a log does not have is missing here too.
        getattr(EventLog, name)
        return partial(self._call, name)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        lease = self._opened()
        try:
            return getattr(lease.content, name)(*arguments, **options)
        except ReadOnlyError:
            # That names the fork, which nobody knows.
            raise self._as_of.refusal() from None
        except (DamagedRecordError, DamagedStoreError) as error:
            if not self._may_mend:
                raise
            _LOG.warning("Making a fork anew: %s", error)
            self._may_mend = False
            lease.mark_damaged()
            self.close()
        return getattr(self._opened().content, name)(*arguments, **options)

    def close(self) -> None:
        """Closes the fork, which may be evicted from now on. Idempotent."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.content.close()
            lease.release()

    def _opened(self) -> Lease[EventLog]:
        lease = self._lease
        if lease is None:
            lease = self._lease = self._as_of.lease()
        return lease


def _cache_of(base_dir: Path) -> Path:
    """Where forks are kept if nothing else is said."""
    if not is_read_only(base_dir):
        return base_dir / "as_of"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dagster-lmdb"


def _is_of(source: EventLog, sequence: int, checksum: int) -> bool:
    """Whether the source's record is the one with this checksum; a husk may be."""
    found = source.record_checksum(sequence)
    if found is None or found == checksum:
        return True
    [line], _ = source.tail(after=sequence - 1, limit=1)
    return line[1] == "husk"


class _Progress:
    """Says in the log how far long work is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _PACE

    def __call__(self, phase: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PACE
            part = f", {done / total:.0%}" if total else ""
            _LOG.warning("%s: %s%s.", self._what, phase, part)
