"""How soon a watched run's events arrive from another process, and what watching costs at rest."""

import time

import pytest
from benches.child import Child
from benches.conftest import Bench, limit
from benches.datasets import EMPTY, Datasets
from benches.names import OURS


@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
def bench_watch(bench: Bench, datasets: Datasets) -> None:
    """From another process's commit of an event to the callback: 99 of 100 took no longer."""
    bench.note("watch, callback after another process's commit, p99", limit(at_most=0.020))
    place = datasets.copied(OURS, EMPTY, "watch")
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
    place = datasets.copied(OURS, EMPTY, "idle")
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
