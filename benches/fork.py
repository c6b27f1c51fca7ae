"""How fast history is taken elsewhere: a fork, beside a rebuild and a copy of the file.

Usage: python -m benches.fork [--records 500000] [--turns 3]

Fills a store with the events of a real run, each run's at times of its own, then takes turns at
the three. A fork reads, checks, appends and folds every record and flushes once; a rebuild folds
them beside writers, in commits as large that are flushed; the copy is what the disk allows. CPU
seconds are those of all threads, and count where others keep the processors busy.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from benches.events import as_run, events_of_a_run
from dagster._core.utils import make_new_run_id
from rich.progress import track

from dagster_lmdb._core import EventLog

BATCH = 1000


def fill(log: EventLog, records: int) -> None:
    """Stores events of one run after the other."""
    events = events_of_a_run()
    for _ in track(range(max(1, records // len(events))), "filling the store"):
        run = as_run(events, make_new_run_id())
        for begin in range(0, len(run), BATCH):
            log.store_events(run[begin : begin + BATCH], lambda tags: tags)


def copy_file(source: Path, destination: Path) -> None:
    """Copies a store's data file and flushes it."""
    destination.mkdir()
    with (source / "data.mdb").open("rb") as read, (destination / "data.mdb").open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        os.fsync(write.fileno())


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes, by the wall clock and of the processors."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


@click.command()
@click.option("--records", default=500_000, show_default=True)
@click.option("--turns", default=3, show_default=True)
def main(records: int, turns: int) -> None:
    """Measure how fast history is taken elsewhere."""
    with tempfile.TemporaryDirectory(prefix="dagster-lmdb-bench-", dir=Path.cwd()) as scratch:
        source, copy = Path(scratch, "source"), Path(scratch, "copy")
        log = EventLog(source)
        fill(log, records)
        head = log.resolve(time=time.time(), now=time.time())
        ways: dict[str, Callable[[], object]] = {
            "fork": lambda: log.fork(copy, head),
            "rebuild": log.rebuild,
            "copy of the file": lambda: copy_file(source, copy),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, way in ways.items():
                taken[name].append(seconds(way))
                shutil.rmtree(copy, ignore_errors=True)
        size = (source / "data.mdb").stat().st_size
        click.echo(f"{head:,} records, a data file of {size / 2**20:.0f} MiB")
        for name, times in taken.items():
            wall, used = (statistics.median(each) for each in zip(*times, strict=True))
            rates = f"{head / wall:12,.0f} records/s {head / used:12,.0f} records/CPU second"
            click.echo(f"{name:<18}{wall:8.2f} s {rates}")
        log.close()


if __name__ == "__main__":
    main()
