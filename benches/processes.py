"""Measures processes that store log lines at once, each durably and one by one.

Usage: python -m benches.processes [--processes N] [--seconds S] [--rounds R] [--directory DIR]

Prints the rate of one process and the sum of N, their ratio, how long calls took, and what they
cost in processor time, which other work on the machine disturbs less. One and N take turns, and
the ratio is the median of the rounds'.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import yaml
from benches.peers import use_pool
from dagster import EventLogEntry
from dagster._core.storage.event_log import EventLogStorage
from dagster._serdes import ConfigurableClassData


@dataclass
class Spell:
    """What processes did for a while, all of them together."""

    #: Calls a second.
    rate: float
    #: Seconds of each call, ascending.
    latencies: list[float]
    #: Processor seconds, in user and in kernel mode.
    user: float
    system: float


def line(run_id: str) -> EventLogEntry:
    """A line as a step logs it."""
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message="gauge 17: reading 5 of 12, 205 cm",
        run_id=run_id,
        timestamp=time.time(),
        step_key="gauges__gauge_17",
        job_name="readings",
    )


def store_lines(storage: ConfigurableClassData, run_id: str, pipe: Connection) -> None:
    """Stores lines for as long as it is told, whenever it is told."""
    event_log = storage.rehydrate(as_type=EventLogStorage)
    use_pool(event_log)
    event = line(run_id)
    event_log.store_event(event)
    pipe.send(None)
    while seconds := pipe.recv():
        latencies = []
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = now = time.perf_counter()
        while now - began < seconds:
            event_log.store_event(event)
            after = time.perf_counter()
            latencies.append(after - now)
            now = after
        used = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(
            Spell(
                rate=len(latencies) / (now - began),
                latencies=latencies,
                user=used.ru_utime - before.ru_utime,
                system=used.ru_stime - before.ru_stime,
            )
        )


def on_lmdb(directory: Path) -> ConfigurableClassData:
    """Our event log in a directory, as a dagster.yaml names it."""
    config = yaml.safe_dump({"base_dir": str(directory)})
    return ConfigurableClassData("dagster_lmdb", "LmdbEventLogStorage", config)


class Writers:
    """Processes that are ready to store lines, each of a run of its own.

    Args:
        storage: The event log.
        number: How many processes.
    """

    def __init__(self, storage: ConfigurableClassData, number: int) -> None:
        # One process imports Dagster, and the others are forked from it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benches.peers"])
        self._pipes: list[Connection] = []
        self._processes = []
        for writer in range(number):
            pipe, theirs = context.Pipe()
            process = context.Process(
                target=store_lines, args=(storage, f"run-{writer}", theirs), daemon=True
            )
            process.start()
            theirs.close()  # so that a process that dies is noticed
            self._pipes.append(pipe)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def store(self, writers: int, seconds: float) -> Spell:
        """Has so many of them store at once.

        Args:
            writers: How many.
            seconds: For how long.

        Raises:
            EOFError: If one of them has died.
        """
        for pipe in self._pipes[:writers]:
            pipe.send(seconds)
        spells = [pipe.recv() for pipe in self._pipes[:writers]]
        return Spell(
            rate=sum(spell.rate for spell in spells),
            latencies=sorted(latency for spell in spells for latency in spell.latencies),
            user=sum(spell.user for spell in spells),
            system=sum(spell.system for spell in spells),
        )

    def close(self) -> None:
        """Ends them."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            with suppress(OSError):
                pipe.send(None)
            process.join()


def row(name: str, spells: list[Spell]) -> str:
    """A row of the table: the median of the rates, and percentiles and costs of all calls."""
    latencies = sorted(latency for spell in spells for latency in spell.latencies)
    calls = len(latencies)

    def at(part: float) -> str:
        return f"{latencies[int((calls - 1) * part)] * 1e6:,.0f} us"

    user, system = (
        sum(seconds) / calls * 1e6
        for seconds in zip(*((spell.user, spell.system) for spell in spells), strict=True)
    )
    rate = statistics.median(spell.rate for spell in spells)
    cells = [
        name,
        f"{rate:,.0f}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1),
        f"{user:.0f} + {system:.0f} us",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Processes that store log lines at once.")
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the store is made for the while")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        writers = Writers(on_lmdb(Path(directory, "history")), arguments.processes)
        print(f"{arguments.processes} processes are ready", file=sys.stderr)
        one, all_of_them = [], []
        for _ in range(arguments.rounds):
            one.append(writers.store(1, arguments.seconds))
            all_of_them.append(writers.store(arguments.processes, arguments.seconds))
        writers.close()
    ratios = [many.rate / single.rate for single, many in zip(one, all_of_them, strict=True)]
    print("| processes | store_event/s | median | 90 % | 99 % | longest | user + system |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(row("1", one))
    print(row(str(arguments.processes), all_of_them))
    print(f"\nsum of {arguments.processes} to one: {statistics.median(ratios):.1f}", end=" ")
    print(f"(rounds: {', '.join(f'{ratio:.1f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
