"""What it costs to store events durably: one, a hundred, twenty thousand a call."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from time import perf_counter

import pytest
from benches.conftest import Bench, Storages, faster, limit
from benches.datasets import EMPTY, LARGE, SMALL, Datasets
from benches.events import LARGE as LARGE_EVENT
from benches.events import as_run, endless, events_of_a_run, of_kind
from benches.floors import BARE, FLUSH, BareLmdb, Flush
from benches.history import Runs
from benches.names import CONSOLIDATED, EVENT_LOGS, OURS, POSTGRES, SQLITE
from dagster import EventLogEntry
from dagster._core.utils import make_new_run_id

from dagster_lmdb._core import ShapeTable

pytestmark = pytest.mark.usefixtures("settled")

GOALS = {
    "log line": [faster(BARE, 0.8), faster(SQLITE, 10), faster(POSTGRES, 4)],
    "step event": [],
    "materialization": [faster(BARE, 0.55), faster(SQLITE, 25), faster(POSTGRES, 25)],
    LARGE_EVENT: [],
}
KIB = {"log line": 48, "step event": 48, "materialization": 80}


@pytest.fixture(scope="module")
def floors(datasets: Datasets) -> Iterator[tuple[BareLmdb, Flush]]:
    bare, flush = BareLmdb(datasets.scratch() / "bare"), Flush(datasets.scratch())
    yield bare, flush
    bare.close()
    flush.close()


def of_new_run(events: Sequence[EventLogEntry], kind: str) -> Iterator[EventLogEntry]:
    """Events of a kind, for ever, of one new run."""
    return endless(of_kind(events, kind), make_new_run_id())


@cache
def of_history(datasets: Datasets, size: str, kind: str) -> Sequence[EventLogEntry]:
    """Events of a kind of ten runs of a history, so about assets and partitions that it has."""
    runs = datasets.runs(size)
    assert isinstance(runs, Runs)
    places = range(1, len(runs), len(runs) // 10 + 3)
    return [event for place in places for event in of_kind(runs.run(place * runs.step), kind)]


@pytest.mark.parametrize("kind", GOALS)
@pytest.mark.peers(BARE, FLUSH, *EVENT_LOGS)
def bench_store_event(
    bench: Bench,
    storages: Storages,
    floors: tuple[BareLmdb, Flush],
    run_events: Sequence[EventLogEntry],
    kind: str,
) -> None:
    """One call of ``store_event``, into an event log that was empty at first."""
    events = of_new_run(run_events, kind)
    bench.note(f"store_event, {kind}", *GOALS[kind])
    rounds = 30 if bench.quick else 300
    if bench.peer == FLUSH:
        bench.rounds(lambda _: floors[1](), lambda: None, rounds)
    elif bench.peer == BARE:
        body = ShapeTable().encode(next(events))
        bench.rounds(floors[0].store, lambda: body, rounds)
    else:
        storage = storages.to_write(bench.peer, EMPTY)
        bench.rounds(storage.store_event, lambda: next(events), rounds)


@pytest.mark.full
@pytest.mark.parametrize("kind", KIB)
@pytest.mark.peers(OURS, SQLITE, CONSOLIDATED, POSTGRES)
def bench_store_event_at_a_million(bench: Bench, storages: Storages, kind: str) -> None:
    """One call of ``store_event``, into an event log of a million events."""
    bench.note(
        f"store_event, {kind}, at 1 million", {"row": f"store_event, {kind}", "at_most": 1.5}
    )
    storage = storages.to_write(bench.peer, LARGE)
    events = of_new_run(of_history(storages.datasets, LARGE, kind), kind)
    bench.rounds(storage.store_event, lambda: next(events), 300)


def bytes_written() -> int:
    """The bytes that this process has given to write calls so far.

    Not ``write_bytes``: where the page cache keeps a file in large folios, that counts a folio for
    each page that is written.
    """
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


@pytest.mark.parametrize("kind", KIB)
@pytest.mark.peers(OURS, SQLITE, CONSOLIDATED)
@pytest.mark.turns(1)
def bench_written_per_commit(bench: Bench, storages: Storages, kind: str) -> None:
    """The KiB given to write calls for one event, at a million events; quick: at 10 thousand."""
    size = SMALL if bench.quick else LARGE
    goals = [] if bench.quick else [limit(at_most=KIB[kind])]
    bench.note(f"written per {kind}, at {size}", *goals)
    storage = storages.to_write(bench.peer, size)
    rounds = 100 if bench.quick else 500
    events = list(islice(of_new_run(of_history(storages.datasets, size, kind), kind), rounds))

    def written() -> float:
        before = bytes_written()
        for event in events:
            storage.store_event(event)
        return (bytes_written() - before) / rounds / 1024

    bench.value(written, "KiB")


@pytest.mark.turns(3)
def bench_store_run(bench: Bench, storages: Storages) -> None:
    """The events of a new run, one by one; SQLite makes a file for the run."""
    events = events_of_a_run(assets=5, lines=5)
    bench.note(f"store_event, {len(events)} events of a new run, one by one")
    storage = storages.to_write(bench.peer, EMPTY)

    def store(run: Sequence[EventLogEntry]) -> None:
        for event in run:
            storage.store_event(event)

    bench.rounds(store, lambda: as_run(events, make_new_run_id()), 2 if bench.quick else 5)


BATCHES = {
    "materializations": "materialization",
    "a run's events": None,
}


@pytest.mark.parametrize("of", BATCHES)
@pytest.mark.turns(3)
def bench_store_event_batch(
    bench: Bench, storages: Storages, run_events: Sequence[EventLogEntry], of: str
) -> None:
    """A batch of a hundred; what Postgres does not take at once, Dagster gives it one by one."""
    kind = BATCHES[of]
    events = endless(of_kind(run_events, kind) if kind else run_events, make_new_run_id())
    bench.note(f"store_event_batch, 100 {of}", faster(SQLITE, 500), faster(POSTGRES, 60))
    storage = storages.to_write(bench.peer, EMPTY)

    def store(batch: Sequence[EventLogEntry]) -> None:
        if kind or bench.ours:
            storage.store_event_batch(batch)
        else:
            for event in batch:
                storage.store_event(event)

    rounds = 1 if bench.quick else 10
    bench.rounds(store, lambda: list(islice(events, 100)), rounds * 10 if bench.ours else rounds)


BULKS = {
    "events of runs": ([OURS], [limit(at_least=150_000)]),
    "materializations": ([OURS, POSTGRES], []),
}


@pytest.mark.parametrize("of", BULKS)
@pytest.mark.peers(OURS, POSTGRES)
def bench_bulk_append(
    bench: Bench, storages: Storages, run_events: Sequence[EventLogEntry], of: str
) -> None:
    """20,000 events a call; Postgres takes events of one type at once, and no others."""
    peers, goals = BULKS[of]
    count = 2_000 if bench.quick and not bench.ours else 20_000
    about = {} if count == 20_000 else {"mark": f"(of {count:,})"}
    bench.note(f"store_event_batch, 20,000 {of}", *goals, **about)
    if bench.peer not in peers:
        bench.gave_up("")
        return
    source = of_kind(run_events, "materialization") if POSTGRES in peers else run_events
    events = list(islice(endless(source, make_new_run_id()), count))
    storage = storages.to_write(bench.peer, EMPTY)

    def rate() -> float:
        began = perf_counter()
        storage.store_event_batch(events)
        return count / (perf_counter() - began)

    bench.value(rate, "events/s")
