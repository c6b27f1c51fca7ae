"""What each query of an event log takes, at ten thousand events and at a million."""

import logging
from collections.abc import Iterator

import pytest
from benches.asking import answered, ask
from benches.conftest import Bench, Goal, Storages, faster, flat
from benches.datasets import EMPTY, LARGE, PARTITIONS, SMALL
from benches.events import endless, events_of_a_run
from benches.names import CONSOLIDATED, MEMORY, OURS, POSTGRES, SQLITE
from benches.queries import PARTITION_QUERIES, QUERIES

ON_DISK = [SQLITE, CONSOLIDATED, POSTGRES]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.together
@pytest.mark.turns(3)
def bench_query_at_ten_thousand(bench: Bench, storages: Storages, name: str) -> None:
    """One call of a query on the history of ten thousand events."""
    bench.note(f"{name}, at {SMALL}", faster(MEMORY, 1))
    ask(bench, storages.to_read(bench.peer, SMALL), QUERIES[name], name)


@pytest.mark.full
@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.peers(OURS, *ON_DISK)
@pytest.mark.together
@pytest.mark.turns(3)
def bench_query_at_a_million(bench: Bench, storages: Storages, name: str) -> None:
    """The same on the history of a million."""
    goals: list[Goal] = [faster(peer, 1) for peer in ON_DISK]
    bench.note(f"{name}, at {LARGE}", flat(f"{name}, at {SMALL}"), *goals)
    ask(bench, storages.to_read(bench.peer, LARGE), QUERIES[name], name)
    if bench.ours:
        answered(name, QUERIES[name](storages.to_read(OURS, SMALL)))


@pytest.mark.full
@pytest.mark.parametrize("name", PARTITION_QUERIES)
@pytest.mark.peers(OURS, *ON_DISK, MEMORY)
def bench_many_partitions(bench: Bench, storages: Storages, name: str) -> None:
    """A query about an asset with 100,000 partitions."""
    bench.note(f"{name} of 100,000 partitions", faster(POSTGRES, 30))
    storage = storages.to_read(bench.peer, PARTITIONS)
    ask(bench, storage, PARTITION_QUERIES[name], name)


@pytest.mark.turns(2)
def bench_get_logs_for_run(bench: Bench, storages: Storages) -> None:
    """A run of 10,000 events, all of them."""
    storage = storages.to_write(bench.peer, EMPTY)
    run_id = "a-run-of-10-thousand"
    bench.note("get_logs_for_run, 10,000 events", faster(SQLITE, 12))
    if not storage.get_logs_for_run(run_id, limit=1):
        events = endless(events_of_a_run(), run_id)
        storages.fill(bench.peer, storage, [[next(events) for _ in range(10_000)]])
    logs = bench.repeat(lambda: storage.get_logs_for_run(run_id))
    assert len(logs) == 10_000
