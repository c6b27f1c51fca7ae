"""Other processes: forked from this one, or started afresh with a script.

A script's process has ``tell``, which says a line, and ``listen``, which waits for one; the test
has ``hear`` and ``say`` for the other ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

_PRELUDE = """
import sys
def tell(line):
    print(line, flush=True)
def listen():
    return sys.stdin.readline().strip()
from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog, LmdbStoreError
from engine.events import event, line, materialization
directory, arguments = sys.argv[1], sys.argv[2:]
"""

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x20080522
#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_OVERRIDES = (1, 2)

#: Seconds that a process may take; far more than it does.
PATIENCE = 60.0


class Script:
    """A process that runs a script on a directory."""

    def __init__(
        self,
        directory: Path,
        script: str,
        *arguments: str,
        wrapper: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
    ) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self.process = subprocess.Popen(
            [
                *wrapper,
                sys.executable,
                "-c",
                _PRELUDE + textwrap.dedent(script),
                str(directory),
                *arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            preexec_fn=preexec,
        )

    def say(self, text: str) -> None:
        assert self.process.stdin
        print(text, file=self.process.stdin, flush=True)

    def hear(self) -> str:
        assert self.process.stdout
        heard = self.process.stdout.readline()
        if not heard:
            _, errors = self.process.communicate(timeout=PATIENCE)
            raise AssertionError(f"ended with {self.process.returncode}:\n{errors}")
        return heard.strip()

    def end(self) -> list[str]:
        """What it says from here to its end, which has to be a good one."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, f"{self.process.returncode}:\n{output}\n{errors}"
        return output.splitlines()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.kill()


def said(directory: Path, script: str, *arguments: str, **options: Any) -> list[str]:
    """What a script says."""
    return Script(directory, script, *arguments, **options).end()


def fork(work: Callable[[], None]) -> int:
    """Does ``work`` in a child, which does not outlive this process; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def join(pid: int, patience: float = PATIENCE) -> int:
    """Waits for a child; how it ended, 0 for well. One that hangs is killed, which fails."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"child {pid} hangs")


def without_privileges(work: Callable[[], None]) -> int:
    """Does ``work`` in a child that modes of files bind, also root's; how it ended, 0 for well."""

    def drop() -> None:
        if os.geteuid() == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            for capability in _OVERRIDES:
                # What the child starts has no more than this set.
                assert libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
            none = (ctypes.c_uint32 * 6)()
            assert libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), none) == 0
        work()

    return join(fork(drop))


def without_a_reader(
    *arguments: object, stream: str = "stdout"
) -> "subprocess.CompletedProcess[str]":
    """Calls the command with an output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return _printing_to(writing, arguments, [stream])


def without_room(
    *arguments: object, streams: Iterable[str] = ("stdout",)
) -> "subprocess.CompletedProcess[str]":
    """Calls the command with an output that has no room."""
    return _printing_to(os.open("/dev/full", os.O_WRONLY), arguments, streams)


def _printing_to(
    descriptor: int, arguments: Iterable[object], streams: Iterable[str]
) -> "subprocess.CompletedProcess[str]":
    outputs = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **dict.fromkeys(streams, descriptor),
    }
    try:
        return subprocess.run(
            [sys.executable, "-m", "dagster_lmdb", *map(str, arguments)],
            check=False,
            text=True,
            **outputs,
        )
    finally:
        os.close(descriptor)
