"""What a store takes up, how fast it is folded again, and what the package costs at rest."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benches.conftest import Bench, limit
from benches.datasets import LARGE, SMALL, Datasets
from benches.names import CONSOLIDATED, OURS, POSTGRES, SQLITE

CHILDREN = Path(__file__).parent / "children.py"


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.full)])
@pytest.mark.peers(OURS, SQLITE, CONSOLIDATED, POSTGRES)
@pytest.mark.turns(1)
def bench_bytes_on_disk(bench: Bench, datasets: Datasets, size: str) -> None:
    """The bytes on disk of a history, all indexes in, for each event."""
    place = datasets.filled(bench.peer, size)
    events = sum(map(len, datasets.runs(size)))
    bench.note(f"on disk per event, {size}", {"than": SQLITE, "at_least": 5})
    bench.value(lambda: datasets.places.size(bench.peer, place) / events, "B")


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


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.full)])
@pytest.mark.parametrize("what", ["speed", "memory"])
@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
def bench_refold(bench: Bench, datasets: Datasets, size: str, what: str) -> None:
    """Folding the log into the second set of projections, as ``dagster-lmdb rebuild`` does.

    How many records a second, and the most memory of its own that its process had.
    """
    place = datasets.copied(OURS, size, "refold")
    child = Child("refold", datasets.places.path(OURS, place))
    child.watch_memory()
    records, seconds = map(float, child.end().split())
    datasets.discard(OURS, place)
    if what == "speed":
        goals = [limit(at_least=250_000)] if size == LARGE else []
        bench.note(f"refold, {size}", *goals)
        bench.value(lambda: records / seconds, "records/s")
    else:
        bench.note(f"refold, {size}, peak memory", limit(at_most=200))
        bench.value(lambda: child.peak_kib / 1024, "MiB")


@pytest.mark.peers(OURS)
def bench_import(bench: Bench) -> None:
    """Importing the package in a process that has imported Dagster; the least of several."""
    bench.note("import of dagster_lmdb beyond dagster's", limit(at_most=0.030))
    times = 2 if bench.quick else 5
    modules = Child("needed").end().split()
    bench.value(
        lambda: min(float(Child("imported", "dagster", *modules).end()) for _ in range(times)), "s"
    )


@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
def bench_watch(bench: Bench, datasets: Datasets) -> None:
    """From another process's commit of an event to the callback: 99 of 100 took no longer."""
    bench.note("watch, callback after another process's commit, p99", limit(at_most=0.020))
    place = datasets.copied(OURS, "empty", "watch")
    base_dir = datasets.places.path(OURS, place)
    count = 100 if bench.quick else 1000
    watcher = Child("watch", base_dir, count)
    assert watcher.line() == "watching"
    Child("store", base_dir, count).end()
    delays = sorted(map(float, watcher.end().split()))
    datasets.discard(OURS, place)
    assert len(delays) == count
    bench.value(lambda: delays[count * 99 // 100 - 1], "s")


@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
def bench_idle(bench: Bench, datasets: Datasets) -> None:
    """The processor's time of a process that watches a run of a store where nothing happens."""
    bench.note("watch, CPU while nothing happens", limit(at_most=0.5))
    place = datasets.copied(OURS, "empty", "idle")
    watcher = Child("watch", datasets.places.path(OURS, place), 0)
    assert watcher.line() == "watching"
    seconds = 5 if bench.quick else 30

    def share() -> float:
        before = watcher.cpu_seconds
        time.sleep(seconds)
        return (watcher.cpu_seconds - before) / seconds * 100

    bench.value(share, "%")
    watcher.end()
    datasets.discard(OURS, place)
