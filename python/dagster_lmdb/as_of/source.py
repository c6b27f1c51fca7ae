"""The store whose past is shown, where it cannot be opened itself: on a read-only file system.

Opening a store writes to its directory, if only locks. So what is opened is a copy of its files,
which is as a copy of any quiet store is, and is kept in the cache until the files change.
"""

import os
import shutil
from pathlib import Path

from dagster_lmdb.as_of.errors import ForkCacheError

# The history, and what of it may not have reached the data file at a power cut.
_FILES = ("data.mdb", "journal")


def is_read_only(directory: Path) -> bool:
    """Whether a directory is on a file system that is mounted read-only."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def state_of(directory: Path) -> str:
    """Names the state that a store's files are in; another one once they are written to."""
    state = ["copy"]
    for name in _FILES:
        if (directory / name).exists():
            found = os.stat(directory / name)
            state.append(f"{found.st_dev}.{found.st_ino}.{found.st_size}.{found.st_mtime_ns}")
    return "-".join(state)


def copy_store(directory: Path, destination: Path) -> None:
    """Copies a store's files.

    Raises:
        ForkCacheError: If they are written to meanwhile, so that the copy is of two moments.
    """
    before = state_of(directory)
    destination.mkdir(mode=0o700)
    for name in _FILES:
        if (directory / name).exists():
            shutil.copyfile(directory / name, destination / name)
            os.chmod(destination / name, 0o600)
    if state_of(directory) != before:
        raise ForkCacheError(
            f"{directory} is on a read-only file system here and is written to from elsewhere, so"
            " it cannot be copied; use as_of where the store may be written to"
        )
