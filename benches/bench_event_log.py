"""What it costs to store events durably and to read a run back, on each event log."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from benches.conftest import History
from benches.events import KINDS, as_run, endless, events_of_a_run, of_kind
from dagster import EventLogEntry
from dagster._core.utils import make_new_run_id
from pytest_benchmark.fixture import BenchmarkFixture

BATCH = 100

Turn = tuple[int, str]


@pytest.fixture
def history(turn: Turn, histories: dict[str, History], benchmark: BenchmarkFixture) -> History:
    benchmark.extra_info["storage"] = turn[1]
    return histories[turn[1]]


def bytes_written() -> int:
    """The bytes that this process has given to write calls so far.

    Not ``write_bytes``: where the page cache keeps a file in large folios, that counts a folio for
    each page that is written.
    """
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def bench_store_run(benchmark: BenchmarkFixture, history: History, quick: bool) -> None:
    events = events_of_a_run(assets=5, lines=5)
    benchmark.extra_info.update(
        measure=f"store_event, {len(events)} events of a new run, one by one", goal=15
    )

    def store(run: Sequence[EventLogEntry]) -> None:
        for event in run:
            history.storage.store_event(event)

    benchmark.pedantic(
        store, setup=lambda: ((as_run(events, make_new_run_id()),), {}), rounds=2 if quick else 10
    )


@pytest.mark.parametrize("kind", KINDS)
def bench_store_event(
    benchmark: BenchmarkFixture,
    history: History,
    run_events: Sequence[EventLogEntry],
    kind: str,
    quick: bool,
) -> None:
    events = endless(of_kind(run_events, kind), make_new_run_id())
    rounds = 50 if quick else 300
    written = bytes_written()
    benchmark.pedantic(
        history.storage.store_event, setup=lambda: ((next(events),), {}), rounds=rounds
    )
    benchmark.extra_info.update(
        measure=f"store_event, {kind}",
        goal=15,
        bytes={f"written per {kind}": (bytes_written() - written) / rounds},
    )


def bench_store_event_batch(
    benchmark: BenchmarkFixture,
    history: History,
    run_events: Sequence[EventLogEntry],
    quick: bool,
) -> None:
    events = endless(run_events, make_new_run_id())
    benchmark.extra_info.update(measure=f"store_event_batch of {BATCH}", goal=100)
    benchmark.pedantic(
        history.storage.store_event_batch,
        setup=lambda: ((list(islice(events, BATCH)),), {}),
        rounds=2 if quick else 10,
        warmup_rounds=1,
    )


def bench_get_logs_for_run(benchmark: BenchmarkFixture, history: History, quick: bool) -> None:
    benchmark.extra_info.update(
        measure=f"get_logs_for_run of {history.length:,}",
        goal=5,
        bytes={"on disk per event": history.bytes_per_event},
    )
    logs = benchmark.pedantic(
        history.storage.get_logs_for_run,
        args=(history.run_id,),
        rounds=1 if quick else 5,
        warmup_rounds=1,
    )
    assert len(logs) == history.length
