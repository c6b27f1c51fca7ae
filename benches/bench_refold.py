"""How fast a log is folded again, and in how much memory."""

import pytest
from benches.child import Child
from benches.conftest import Bench, limit
from benches.datasets import LARGE, SMALL, Datasets
from benches.names import OURS


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
