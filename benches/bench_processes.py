"""Processes that store at once, each durably and one event after the other."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from benches.conftest import Bench
from benches.datasets import EMPTY, Datasets
from benches.names import CONSOLIDATED, OURS, POSTGRES, SQLITE
from benches.processes import Writers
from dagster._serdes import ConfigurableClassData

pytestmark = pytest.mark.usefixtures("settled")

PROCESSES = 16
CLASSES = {
    OURS: ("dagster_lmdb", "LmdbEventLogStorage"),
    SQLITE: ("dagster._core.storage.event_log", "SqliteEventLogStorage"),
    CONSOLIDATED: ("dagster._core.storage.event_log", "ConsolidatedSqliteEventLogStorage"),
    POSTGRES: ("dagster_postgres.event_log", "PostgresEventLogStorage"),
}


class WritersOn:
    """Processes on each peer, started once.

    Args:
        datasets: Where there is a disk and a Postgres server.
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._started: list[Writers] = []
        self.on = cache(self._start)

    def _start(self, peer: str) -> Writers:
        places = self._datasets.places
        place = self._datasets.copied(peer, EMPTY, "processes")
        config: dict[str, Any] = {"base_dir": str(places.path(peer, place))}
        if peer == POSTGRES:
            config = {"postgres_url": places.postgres.database(place)}
        storage = ConfigurableClassData(*CLASSES[peer], yaml.safe_dump(config))
        self._started.append(Writers(storage, PROCESSES))
        return self._started[-1]

    def close(self) -> None:
        """Ends them all."""
        for writers in self._started:
            writers.close()


@pytest.fixture(scope="module")
def writers(datasets: Datasets) -> Iterator[WritersOn]:
    writers = WritersOn(datasets)
    yield writers
    writers.close()


def row(number: int) -> str:
    """The name of the row of so many processes."""
    return f"store_event, log lines of {number} process{'es' if number > 1 else ''} at once"


@pytest.mark.parametrize("number", [1, PROCESSES])
@pytest.mark.peers(*CLASSES)
@pytest.mark.together("number")
@pytest.mark.turns(5)
def bench_processes(bench: Bench, writers: WritersOn, number: int) -> None:
    """The sum of what processes store in a second."""
    goals = [{"row": row(1), "at_least": 6}] if number > 1 else []
    bench.note(row(number), *goals)
    ready = writers.on(bench.peer)
    bench.value(lambda: ready.store(number, 1 if bench.quick else 2).rate, "events/s")
