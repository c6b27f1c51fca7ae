"""What a command does where what it prints is not read on, or cannot be written."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import Exit

#: The status that a shell reports for a program that SIGPIPE ended.
READER_GONE = 141

#: What writing to a stream that is there fails with: no room, a device's error, no right to write.
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class OutputError(click.ClickException):
    """Standard output cannot be written."""

    exit_code = 2


@contextmanager
def ends_with_its_output() -> Iterator[None]:
    """Ends a command whose output cannot go on.

    Raises:
        click.exceptions.Exit: With ``READER_GONE``, if it has no reader any more.
        OutputError: If it cannot be written for another reason, as where there is no room.
    """
    try:
        yield
        # What is still held would fail at the interpreter's end, with a status of its own.
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as end:
        # rich makes an exit of 1 of a broken pipe.
        if not any(isinstance(each, BrokenPipeError) for each in (end, end.__context__)):
            raise
        _discard_unwritten()
        raise Exit(READER_GONE) from None
    except OSError as error:
        # An error of a file names it, and whoever writes one makes a refusal of its own of it.
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        _discard_unwritten()
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


@contextmanager
def may_stay_unread() -> Iterator[None]:
    """Ends what is printed inside where its reader has gone; the command goes on after it."""
    try:
        yield
    except BrokenPipeError:
        _discard_unwritten()


@contextmanager
def may_stay_untold() -> Iterator[None]:
    """Ends an error's message where it cannot be written; its status tells of it then."""
    try:
        yield
    except OSError:
        _discard_unwritten()


def _discard_unwritten() -> None:
    """Leads the standard streams that cannot be written into nothing, with what they still hold."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            # The interpreter flushes once more at its end, and would make an error of it.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
