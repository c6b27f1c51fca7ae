"""What a history takes up on the disk."""

import pytest
from benches.conftest import Bench
from benches.datasets import LARGE, SMALL, Datasets
from benches.names import CONSOLIDATED, OURS, POSTGRES, SQLITE


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.full)])
@pytest.mark.peers(OURS, SQLITE, CONSOLIDATED, POSTGRES)
@pytest.mark.turns(1)
def bench_bytes_on_disk(bench: Bench, datasets: Datasets, size: str) -> None:
    """The bytes on disk of a history, all indexes in, for each event."""
    place = datasets.filled(bench.peer, size)
    events = sum(map(len, datasets.runs(size)))
    bench.note(f"on disk per event, {size}", {"than": SQLITE, "at_least": 5})
    bench.value(lambda: datasets.places.size(bench.peer, place) / events, "B")
