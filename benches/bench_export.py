"""How fast history comes as Arrow and as Parquet, beside Dagster's SQLite read with SQLAlchemy."""

import pytest
from benches.conftest import Bench, Goal, faster, limit
from benches.datasets import LARGE, Datasets
from benches.export import SQLITE_ROWS, Taken, in_a_process
from benches.names import CONSOLIDATED, OURS

#: Rows, the way that each peer goes, and what is to be reached.
ROWS: dict[str, tuple[dict[str, str], list[Goal]]] = {
    "history as Arrow, every column": (
        {OURS: "every column", CONSOLIDATED: "SQLite, every column"},
        [limit(at_least=200_000), faster(CONSOLIDATED, 30)],
    ),
    "history as Arrow, facets alone": (
        {OURS: "facet columns alone", CONSOLIDATED: "SQLite, its own columns"},
        [limit(at_least=1_000_000)],
    ),
    "export to Parquet, every column": ({OURS: "Parquet (zstd), every column"}, []),
}


def taken(bench: Bench, datasets: Datasets, row: str) -> Taken | None:
    """What the way of a peer took in a process of its own; None where it has none."""
    ways, _ = ROWS[row]
    if bench.peer not in ways:
        return None
    place = datasets.places.path(bench.peer, datasets.filled(bench.peer, LARGE))
    if not bench.ours:
        (place,) = place.glob("*.db")
    return in_a_process(ways[bench.peer], str(place), str(place))


MEMORY: dict[str, list[float]] = {}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.peers(OURS, CONSOLIDATED)
@pytest.mark.turns(3)
@pytest.mark.full
def bench_history(bench: Bench, datasets: Datasets, row: str) -> None:
    """A million events, a batch after the other."""
    about = {} if bench.ours else {"mark": f"(of {SQLITE_ROWS:,})"}
    bench.note(row, *ROWS[row][1], **about)
    done = taken(bench, datasets, row)
    if done is None:
        bench.gave_up("")
        return
    bench.value(lambda: done.rows / done.seconds, "events/s")
    if bench.ours:
        MEMORY.setdefault(row, []).append(done.memory / 2**20)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.peers(OURS)
@pytest.mark.turns(1)
@pytest.mark.full
def bench_history_memory(bench: Bench, datasets: Datasets, row: str) -> None:
    """The most memory that the process had of its own, beyond what it began with."""
    bench.note(f"{row}, peak memory", limit(at_most=300))
    if row not in MEMORY:
        done = taken(bench, datasets, row)
        assert done
        MEMORY[row] = [done.memory / 2**20]
    bench.value(lambda: max(MEMORY[row]), "MiB")
