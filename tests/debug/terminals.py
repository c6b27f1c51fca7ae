"""A terminal to run the command in."""

import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence
from fcntl import ioctl

import pyte

COLUMNS, ROWS = 120, 40
SIZES = ("COLUMNS", "LINES")


class Terminal:
    """The command in a terminal of its own, whose screen is read."""

    def __init__(self, *arguments: object, by: Sequence[str] = ()) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            words = [*by, sys.executable, "-m", "dagster_lmdb", *map(str, arguments)]
            # Not what C libraries have set since: readline makes the terminal's size a constant.
            named = {name: os.environ[name] for name in os.environ if name not in SIZES}
            os.execvpe(words[0], words, {**named, "TERM": "xterm-256color"})
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._status: int | None = None
        #: All that was written.
        self.written = b""
        self.resize(COLUMNS, ROWS)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def modes(self) -> int:
        """The terminal's local modes."""
        return termios.tcgetattr(self._descriptor)[3]

    @property
    def is_in_order(self) -> bool:
        """Whether the screen is the shell's again, and has its cursor."""
        shown, cursor = (
            re.findall(rb"\x1b\[\?%d([hl])" % mode, self.written) for mode in (1049, 25)
        )
        assert shown[0] == b"h"
        assert cursor[0] == b"l"
        return shown[-1] == b"l" and cursor[-1] == b"h"

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    def hang_up(self) -> None:
        """Takes the terminal away."""
        os.close(self._descriptor)
        self._descriptor = -1

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def until(self, *wanted: str, seconds: float = 60) -> list[str]:
        """The screen, once it shows all of these."""
        deadline = time.monotonic() + seconds
        while not all(text in "\n".join(self.lines) for text in wanted):
            assert time.monotonic() < deadline, "\n".join([f"not shown: {wanted}", *self.lines])
            self._read(0.2)
        return self.lines

    def ended(self, seconds: float = 60) -> int:
        """The command's exit status."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            assert time.monotonic() < deadline, "\n".join(["not ended", *self.lines])
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        while self._read(0.1):
            pass
        return self._status

    def wrote(self, wanted: bytes, after: int = 0, seconds: float = 60) -> int:
        """Waits until something is written; returns the place after it."""
        deadline = time.monotonic() + seconds
        while wanted not in self.written[after:]:
            assert time.monotonic() < deadline, "\n".join([f"not written: {wanted!r}", *self.lines])
            self._read(0.2)
        return self.written.index(wanted, after) + len(wanted)

    def _read(self, seconds: float) -> bool:
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        readable, _, _ = select.select([self._descriptor], [], [], seconds)
        if not readable:
            return False
        try:
            text = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.written += text
        self._stream.feed(text)
        return True

    def close(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._descriptor >= 0:
            os.close(self._descriptor)
