"""Keys from a terminal, one by one, while something else is shown.

A context: the terminal gives keys without waiting for a line and without showing them, and is as it
was afterwards, also where the process is told to stop and to go on.
"""

import os
import select
import signal
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ESCAPES = {b"\x1b[C": "right", b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOC": "right"}


class Keyboard:
    """The keys of the terminal of a file descriptor; None where it is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pressed: list[str] = []

    def wait(self, seconds: float) -> str | None:
        """The next key, or None after so many seconds without one.

        Raises:
            EOFError: If the terminal is gone.
        """
        if self._pressed:
            return self._pressed.pop(0)
        if self._descriptor is None:
            time.sleep(seconds)
            return None
        readable, _, _ = select.select([self._descriptor], [], [], seconds)
        if not readable:
            return None
        text = os.read(self._descriptor, 64)
        if not text:
            raise EOFError
        self._pressed += _keys(text)
        return self._pressed.pop(0) if self._pressed else None


@contextmanager
def keyboard(descriptor: int) -> Iterator[Keyboard]:
    """The keys of a descriptor, for as long as the context lasts."""
    if not os.isatty(descriptor):
        yield Keyboard(None)
        return
    before = termios.tcgetattr(descriptor)

    def go_on(signum: int, frame: FrameType | None) -> None:
        tty.setcbreak(descriptor)

    tty.setcbreak(descriptor)
    continued = signal.signal(signal.SIGCONT, go_on)
    try:
        yield Keyboard(descriptor)
    finally:
        signal.signal(signal.SIGCONT, continued)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _keys(text: bytes) -> list[str]:
    keys = []
    while text:
        for escape, name in _ESCAPES.items():
            if text.startswith(escape):
                keys.append(name)
                text = text[len(escape) :]
                break
        else:
            if text.startswith(b"\x1b[") and len(text) > 2:
                text = text[3:]
                continue
            keys.append(chr(text[0]))
            text = text[1:]
    return keys
