"""What a command does where nobody reads on what it prints."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from click.exceptions import Exit

#: The status that a shell reports for a program that SIGPIPE ended.
READER_GONE = 141


@contextmanager
def ends_with_its_reader() -> Iterator[None]:
    """Ends a command whose output has no reader any more, quietly and with ``READER_GONE``.

    Raises:
        click.exceptions.Exit: Then.
    """
    try:
        yield
    except (BrokenPipeError, SystemExit) as end:
        # rich makes an exit of 1 of a broken pipe.
        if not any(isinstance(each, BrokenPipeError) for each in (end, end.__context__)):
            raise
        _discard_unread()
        raise Exit(READER_GONE) from None


@contextmanager
def may_stay_unread() -> Iterator[None]:
    """Ends what is printed inside where its reader has gone; the command goes on after it."""
    try:
        yield
    except BrokenPipeError:
        _discard_unread()


def _discard_unread() -> None:
    """Leads the standard streams that nobody reads into nothing, with what they still hold."""
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
