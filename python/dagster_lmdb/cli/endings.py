"""What a command that has changed the terminal does when it is told to end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class _ToldToEndError(BaseException):
    """Raised where the process is, as ``KeyboardInterrupt`` is."""


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end the process once all contexts inside have been left.

    It then ends by that signal, as it would have at once. A signal that is ignored, as ``nohup``
    has it, stays ignored.
    """
    told: list[int] = []

    def tell(signum: int, frame: FrameType | None) -> None:
        # A second one must not cut off what the first one has begun.
        if not told:
            told.append(signum)
            raise _ToldToEndError

    before = {
        signum: signal.signal(signum, tell)
        for signum in _ENDINGS
        if signal.getsignal(signum) == signal.SIG_DFL
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if told:
            os.kill(os.getpid(), told[0])
