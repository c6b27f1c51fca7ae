"""Where something is written: a file that is there whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dagster_lmdb.debug.errors import DestinationError, destination_exists


@contextmanager
def whole_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when the context ends well, and else leaves nothing.

    Args:
        path (Path): Its name.
        force (bool): Whether it takes the place of a file that is there.

    Raises:
        DestinationExistsError: If there is a file of this name, before or after the writing.
        DestinationError: If it cannot be written, or is in the directory of a store.
    """
    check_outside_stores(path)
    if path.is_dir() or (not force and os.path.lexists(path)):
        raise destination_exists(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise DestinationError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        if force or not _linked(name, path):
            os.replace(name, path)
    except FileExistsError as error:
        raise destination_exists(path) from error
    except OSError as error:
        raise DestinationError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def check_outside_stores(path: Path) -> None:
    """Checks that what is to be written is not within a store, which has its own files there.

    Raises:
        DestinationError: If it is, whatever links lead there.
    """
    # A file takes the place of a link, and what is put into a directory goes where a link leads.
    place, target = path.parent.resolve(), path.resolve()
    for directory in (place, *place.parents, target, *target.parents):
        if (directory / "data.mdb").is_file():
            raise DestinationError(
                f"{path} is in the directory of the store {directory}; name one elsewhere"
            )


def _linked(name: str, path: Path) -> bool:
    """Whether the file took the name; unlike a renaming, a link refuses one that is taken."""
    try:
        os.link(name, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without links.
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
