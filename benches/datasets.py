"""The histories on each peer: made once, kept outside the repository, copied to be written to."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benches import runs
from benches.filling import Run, fill
from benches.filling_runs import fill_runs
from benches.history import (
    FORMAT,
    GROUPS,
    SEED,
    Runs,
    materializations_of_many_partitions,
    template,
    template_of_partitions,
)
from benches.names import CONSOLIDATED, OURS, POSTGRES, SQLITE
from benches.peers import Places
from benches.postgres import Postgres, server
from rich.console import Console
from rich.progress import track

from dagster_lmdb._core import FOLD_VERSION, FORMAT_VERSION

#: The sizes of histories, and the peers that keep each on the disk. What is in memory is filled
#: anew for each run of the benches, a million in twelve minutes and 7 GB, so it has smaller ones.
EMPTY = "empty"
SMALL = "10 thousand"
LARGE = "1 million"
PARTITIONS = "100 thousand partitions"
FILLED = {
    EMPTY: [OURS, SQLITE, CONSOLIDATED, POSTGRES],
    SMALL: [OURS, SQLITE, CONSOLIDATED, POSTGRES],
    LARGE: [OURS, SQLITE, CONSOLIDATED, POSTGRES],
    PARTITIONS: [OURS, SQLITE, CONSOLIDATED, POSTGRES],
}
WITH_RUNS = [OURS, SQLITE, POSTGRES]
MANY_PARTITIONS = 100_000


def cache_directory() -> Path:
    """Where histories are kept: ``dagster-lmdb/benches`` in the cache directory.

    That of a user is ``$XDG_CACHE_HOME``, or ``~/.cache``. Root's is ``/var/cache``, where the user
    that runs root's Postgres can reach it.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    if not home:
        home = "/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache")
    return Path(home, "dagster-lmdb", "benches", f"seed-{SEED}-format-{FORMAT}")


class Datasets:
    """The places that are filled, and copies of them to write to.

    Args:
        places: Where they are.
        templates: Where the events of the histories' runs are kept.
    """

    def __init__(self, places: Places, templates: Path) -> None:
        self.places = places
        self._templates = templates
        self._written: list[tuple[str, str]] = []

    def runs(self, size: str) -> Iterable[Run]:
        """The history of a size, run by run."""
        if size == PARTITIONS:
            events = template_of_partitions(self._templates)
            entries = list(materializations_of_many_partitions(events, MANY_PARTITIONS))
            return [entries[begin : begin + 100] for begin in range(0, len(entries), 100)]
        return [] if size == EMPTY else Runs(size, self._templates)

    def filled(self, name: str, size: str) -> str:
        """The place of a peer with the history of a size in it; to be read only."""
        place = f"events_{size.replace(' ', '_')}"
        if name == OURS:
            place += f"_{FORMAT_VERSION}_{FOLD_VERSION}"
        if not self.places.exists(name, place):
            began = time.monotonic()
            title = f"filling {name} with {size}"
            console = Console(stderr=True)
            history = track(
                self.runs(size), title, console=console, transient=True,
                disable=not console.is_terminal,
            )  # fmt: skip
            fill(self.places, name, place, history, furnished=size != EMPTY)
            taken = time.monotonic() - began
            console.print(f"filled {name} with {size} in {taken:.0f} s")
        return place

    def filled_runs(self, name: str, size: str) -> str:
        """The place of a peer with the history of runs of a size in it; to be read only."""
        place = f"runs_{runs.FORMAT}_{size.replace(' ', '_')}"
        if name == OURS:
            place += f"_{FORMAT_VERSION}_{FOLD_VERSION}"
        if not self.places.exists(name, place):
            began = time.monotonic()
            fill_runs(self.places, name, place, runs.SIZES[size])
            Console(stderr=True).print(
                f"filled {name} with {size} runs in {time.monotonic() - began:.0f} s"
            )
        return place

    def copied(self, name: str, size: str, purpose: str) -> str:
        """A place of a peer with the history of a size, which ``close`` removes."""
        filled = self.filled(name, size)
        place = f"written_{os.getpid()}_{purpose}_{filled}"
        self.places.create(name, place, like=filled)
        self._written.append((name, place))
        return place

    def scratch(self) -> Path:
        """A directory on the same disk, which ``close`` removes."""
        return self.places.path(OURS, f"scratch_{os.getpid()}")

    def discard(self, name: str, place: str) -> None:
        """Removes a copy before the end."""
        self.places.remove(name, place)
        self._written.remove((name, place))

    def close(self) -> None:
        """Removes the copies."""
        for name, place in self._written:
            self.places.remove(name, place)
        shutil.rmtree(self.scratch().parent, ignore_errors=True)


@contextmanager
def open_datasets() -> Iterator[Datasets]:
    """The datasets of this machine, with a Postgres server for the length of the block."""
    directory = cache_directory()
    with server(directory / "postgres") as postgres:
        datasets = Datasets(Places(directory / "places", postgres), directory / "templates")
        try:
            yield datasets
        finally:
            datasets.close()


class Task(NamedTuple):
    """A place to fill, by a process of its own."""

    directory: Path
    url: str
    what: str
    size: str
    name: str

    def fill(self) -> None:
        """Fills it, if it is not there."""
        postgres = Postgres(self.url)
        places = Places(self.directory / "places", postgres)
        datasets = Datasets(places, self.directory / "templates")
        (datasets.filled if self.what == "events" else datasets.filled_runs)(self.name, self.size)
        postgres.close()


def main() -> None:
    """Fills every peer with every history, as many at once as there are processors."""
    directory = cache_directory()
    tasks = [("events", size, name) for size, names in FILLED.items() for name in names]
    tasks += [("runs", size, name) for size in (SMALL, LARGE) for name in WITH_RUNS]
    tasks.sort(key=lambda task: task[1] != LARGE)  # what takes longest comes first
    with (
        server(directory / "postgres") as postgres,
        get_context("spawn").Pool(maxtasksperchild=1) as pool,
    ):
        pool.apply(template_of_partitions, [directory / "templates"])
        pool.starmap(template, [(group, directory / "templates") for group in range(GROUPS)])
        for _ in pool.imap_unordered(
            Task.fill, [Task(directory, postgres.url, *task) for task in tasks]
        ):
            pass


if __name__ == "__main__":
    main()
