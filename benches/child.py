"""Processes that do what `children.py` has, and what they take up meanwhile."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

CHILDREN = Path(__file__).parent / "children.py"


class Child:
    """A process that does one thing of ``children.py`` and prints what came of it.

    Args:
        act: The name of the function.
        arguments: What it gets.
    """

    def __init__(self, act: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", CHILDREN, act, *map(str, arguments)],
            # An installed package has its byte code beside it.
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peak_kib = 0

    def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def watch_memory(self) -> None:
        """Looks at the memory that is its own until it ends: not the pages of mapped files."""
        status = Path(f"/proc/{self._process.pid}/status")
        while self._process.poll() is None:
            text = status.read_text()
            found = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", text, re.MULTILINE)
            self.peak_kib = max(self.peak_kib, sum(map(int, found)))
            time.sleep(0.02)

    def end(self) -> str:
        """Lets it end, and gives what it printed last.

        Raises:
            RuntimeError: If it failed.
        """
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self._process.args} failed")
        return output.strip()

    @property
    def cpu_seconds(self) -> float:
        """The time on a processor that it has taken so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
