"""What it costs to make bytes of an event and an event of bytes, on its own."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from benches.conftest import Bench, faster
from benches.events import KINDS, LARGE, as_run, of_kind
from benches.names import OURS
from dagster import EventLogEntry
from dagster._core.utils import make_new_run_id
from dagster._serdes import deserialize_value, serialize_value

from dagster_lmdb._core import ShapeTable

SERDES = "Dagster's serdes"
MIX = "the events of a run"

pytestmark = pytest.mark.peers(OURS, SERDES)


def events_of_kind(run_events: Sequence[EventLogEntry], kind: str) -> Sequence[EventLogEntry]:
    """A hundred events of a run: of a kind, or as it has them."""
    events = run_events if kind == MIX else of_kind(run_events, kind)
    step = max(len(events) // 100, 1)
    return [events[number * step % len(events)] for number in range(100)]


def of_many_runs(events: Sequence[EventLogEntry]) -> Sequence[EventLogEntry]:
    """These events of each of five runs, so that ids and times are not always the same."""
    return [event for _ in range(5) for event in as_run(events, make_new_run_id())]


def each_once(bench: Bench, act: Callable[[Any], Any], inputs: Sequence[Any]) -> None:
    """Times an act on one input after the other, all of them a round; the figure is one's mean."""
    numbers = count()
    size = len(inputs)
    bench.each(lambda: act(inputs[next(numbers) % size]), size)


@pytest.mark.parametrize("kind", [*KINDS, LARGE, MIX])
def bench_encode(bench: Bench, run_events: Sequence[EventLogEntry], kind: str) -> None:
    """Encoding one event."""
    bench.note(f"encode, {kind}", faster(SERDES, 25))
    act = ShapeTable().encode if bench.ours else serialize_value
    each_once(bench, act, of_many_runs(events_of_kind(run_events, kind)))


@pytest.mark.parametrize("kind", [*KINDS, LARGE, MIX])
def bench_decode(bench: Bench, run_events: Sequence[EventLogEntry], kind: str) -> None:
    """Decoding one event."""
    bench.note(f"decode, {kind}", faster(SERDES, 15))
    events = of_many_runs(events_of_kind(run_events, kind))
    if bench.ours:
        shapes = ShapeTable()
        each_once(bench, shapes.decode, [shapes.encode(event) for event in events])
    else:
        texts = [serialize_value(event) for event in events]
        each_once(bench, lambda text: deserialize_value(text, EventLogEntry), texts)


@pytest.mark.parametrize("kind", [*KINDS, MIX])
def bench_decode_page(bench: Bench, run_events: Sequence[EventLogEntry], kind: str) -> None:
    """Decoding a page of a hundred events, as a query does."""
    bench.note(f"decode a page of 100, {kind}", faster(SERDES, 15))
    events = events_of_kind(run_events, kind)
    if bench.ours:
        shapes = ShapeTable()
        bodies = [shapes.encode(event) for event in events]
        bench.repeat(lambda: shapes.decode_page(bodies))
    else:
        texts = [serialize_value(event) for event in events]
        bench.repeat(lambda: [deserialize_value(text, EventLogEntry) for text in texts])
