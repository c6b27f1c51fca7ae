"""What the host can do at best: a write with a flush, and LMDB with nothing around it."""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import lmdb

FLUSH = "4 KiB flush"
BARE = "bare LMDB"


class Flush:
    """Writes 4 KiB over what a file holds and flushes it.

    Args:
        directory: Where the file is made.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / "flush").open("wb", buffering=0)
        self._file.write(bytes(4096))
        os.fsync(self._file.fileno())

    def __call__(self) -> None:
        os.pwrite(self._file.fileno(), bytes(4096), 0)
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class BareLmdb:
    """Puts one value behind the last one and commits, with the ``lmdb`` package as it comes.

    Args:
        directory: Where the environment is made.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(str(directory), map_size=1 << 34)
        self._next = self._environment.stat()["entries"]

    def store(self, value: bytes) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.put(struct.pack(">Q", self._next), value, append=True)
        self._next += 1

    def close(self) -> None:
        self._environment.close()


def flush_seconds(directory: Path, times: int = 200) -> float:
    """The median time of a flush on the disk of a directory."""
    flush = Flush(directory)
    taken = sorted(timed(flush) for _ in range(times))
    flush.close()
    return taken[times // 2]


def timed(act: Callable[[], object]) -> float:
    """The seconds that an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
