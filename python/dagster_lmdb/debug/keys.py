"""Keys from a terminal, one by one, while something else is shown.

A context: the terminal gives keys without waiting for a line and without showing them, and is as it
was afterwards, also where the process is told to stop and to go on. What the terminal tells by a
signal (to stop, to go on, another size) comes as a key too, so that it finds the screen in order.
"""

import errno
import os
import re
import select
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOP, CONTINUE, RESIZE = "stop", "continue", "resize"

#: A key that is no character, as a terminal tells it: ``ESC [ ... F``, or ``ESC O F`` of one whose
#: cursor keys or keypad are an application's. Sources: ECMA-48, 5.4; xterm's "Control Sequences".
_ESCAPE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.)")
_ESCAPES = {
    **{begin + b"A": "up" for begin in (b"[", b"O")},
    **{begin + b"B": "down" for begin in (b"[", b"O")},
    **{begin + b"C": "right" for begin in (b"[", b"O")},
    b"Ok": "+",
    b"Om": "-",
}
_SIGNALS = {signal.SIGTSTP: STOP, signal.SIGCONT: CONTINUE, signal.SIGWINCH: RESIZE}


class Keyboard:
    """The keys of the terminal of a file descriptor, and what signals tell.

    Args:
        descriptor: The terminal; None where there is none, which has no keys.
        told: Where each signal is a byte.
    """

    def __init__(self, descriptor: int | None, told: int) -> None:
        self._descriptor = descriptor
        self._told = told
        self._before = None if descriptor is None else termios.tcgetattr(descriptor)
        self._pressed: list[str] = []

    def wait(self, seconds: float) -> str | None:
        """The next key, or None after so many seconds without one.

        Raises:
            EOFError: If the terminal is gone.
        """
        if not self._pressed:
            sources = [each for each in (self._told, self._descriptor) if each is not None]
            readable, _, _ = select.select(sources, [], [], seconds)
            if self._told in readable:
                self._hear()
            if self._descriptor in readable:
                self._pressed += _keys(_read(self._descriptor))
        return self._pressed.pop(0) if self._pressed else None

    def stop(self) -> None:
        """Stops the process as the terminal asked it to, and returns where it goes on."""
        self.give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._hear()
        self._pressed.clear()
        self.take()

    def take(self) -> None:
        """Makes the terminal give its keys one by one."""
        while self._descriptor is not None:
            try:
                # What was pressed before counts too.
                tty.setcbreak(self._descriptor, termios.TCSADRAIN)
                return
            except termios.error as error:
                # A process in the background is stopped here until it is in the foreground.
                if error.args[0] != errno.EINTR:
                    raise

    def give_back(self) -> None:
        """Makes the terminal what it was."""
        if self._descriptor is not None and self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            told = [_SIGNALS[signal.Signals(each)] for each in os.read(self._told, 64)]
            self._pressed += told
            if CONTINUE in told:
                self.take()


@contextmanager
def keyboard(descriptor: int | None) -> Iterator[Keyboard]:
    """The keys of a descriptor, for as long as the context lasts."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)

    def tell(signum: int, frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(writing, bytes([signum]))

    is_terminal = descriptor is not None and os.isatty(descriptor)
    keys = Keyboard(descriptor if is_terminal else None, reading)
    handlers = {
        signum: signal.signal(signum, tell)
        for signum in _SIGNALS
        if signal.getsignal(signum) != signal.SIG_IGN
    }
    try:
        keys.take()
        yield keys
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for end in (reading, writing):
            os.close(end)
        # A terminal that is gone needs nothing.
        with suppress(termios.error):
            keys.give_back()


def _read(descriptor: int) -> bytes:
    try:
        text = os.read(descriptor, 64)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        text = b""
    if not text:
        raise EOFError
    return text


def _keys(text: bytes) -> list[str]:
    """The keys that were pressed; an escape sequence of a key without a use here is none."""
    keys = []
    while text:
        escape = _ESCAPE.match(text)
        if escape is None:
            keys.append(chr(text[0]))
            text = text[1:]
            continue
        if escape[1] in _ESCAPES:
            keys.append(_ESCAPES[escape[1]])
        text = text[escape.end() :]
    return keys
