"""What each query of a run storage takes, at ten thousand runs and at a million."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from benches.asking import answered, ask
from benches.conftest import Bench, faster, flat
from benches.datasets import LARGE, SMALL, WITH_RUNS, Datasets
from benches.filling_runs import fill_run_storage
from benches.names import MEMORY, OURS
from benches.peers import close
from benches.run_questions import questions
from benches.runs import SIZES
from dagster._core.storage.runs import RunStorage

SMALL_QUESTIONS, LARGE_QUESTIONS = questions(SIZES[SMALL]), questions(SIZES[LARGE])


class RunStorages:
    """Run storages with histories, each opened once.

    Args:
        datasets: The histories.
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._opened: list[RunStorage[Any]] = []
        self.on = cache(self._open)

    def _open(self, peer: str, size: str) -> RunStorage[Any]:
        place = "" if peer == MEMORY else self._datasets.filled_runs(peer, size)
        storage = self._datasets.places.open_runs(peer, place)
        if peer == MEMORY:
            fill_run_storage(peer, storage, SIZES[size])
        self._opened.append(storage)
        return storage

    def close(self) -> None:
        """Closes them all."""
        for storage in self._opened:
            close(storage)


@pytest.fixture(scope="module")
def run_storages(datasets: Datasets) -> Iterator[RunStorages]:
    storages = RunStorages(datasets)
    yield storages
    storages.close()


@pytest.mark.parametrize("name", SMALL_QUESTIONS)
@pytest.mark.peers(*WITH_RUNS, MEMORY)
@pytest.mark.together
@pytest.mark.turns(3)
def bench_runs_at_ten_thousand(bench: Bench, run_storages: RunStorages, name: str) -> None:
    """One question about ten thousand runs."""
    bench.note(f"runs: {name}, at {SMALL}", faster(MEMORY, 1))
    ask(bench, run_storages.on(bench.peer, SMALL), SMALL_QUESTIONS[name], name)


@pytest.mark.full
@pytest.mark.parametrize("name", LARGE_QUESTIONS)
@pytest.mark.peers(*WITH_RUNS)
@pytest.mark.together
@pytest.mark.turns(3)
def bench_runs_at_a_million(bench: Bench, run_storages: RunStorages, name: str) -> None:
    """The same about a million."""
    goals = [faster(peer, 1) for peer in WITH_RUNS if peer != OURS]
    bench.note(f"runs: {name}, at {LARGE}", flat(f"runs: {name}, at {SMALL}"), *goals)
    ask(bench, run_storages.on(bench.peer, LARGE), LARGE_QUESTIONS[name], name)
    if bench.ours:
        answered(name, SMALL_QUESTIONS[name](run_storages.on(OURS, SMALL)))
