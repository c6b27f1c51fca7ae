"""Reading a page pauses Python's collector, and leaves it as it was and little to look at."""

import gc
import sys
from collections.abc import Iterator

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.events import StepMaterializationData

from dagster_lmdb._core import ShapeTable

MANY = 5000


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """What the collector does meanwhile."""
    seen: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_a_page_is_read_without_a_collection_in_between(collections: list[str]) -> None:
    table = ShapeTable()
    bodies = [table.encode(AssetKey([str(number), "b"])) for number in range(MANY)]
    table.decode_page(bodies[:1])
    collections.clear()
    page = table.decode_page(bodies)
    met = collections.count("start")
    assert len(page) == MANY
    assert met <= 1, "one may follow"
    assert gc.isenabled()


def test_a_page_that_does_not_decode_leaves_the_collector_running() -> None:
    table = ShapeTable()
    bodies = [table.encode("text")] * MANY
    with pytest.raises(ValueError, match="body"):
        table.decode_page([*bodies, b"\xc1"])
    assert gc.isenabled()


def test_a_collector_that_is_disabled_stays_so() -> None:
    table = ShapeTable()
    gc.disable()
    try:
        table.decode_page([table.encode("text")] * MANY)
        assert not gc.isenabled()
    finally:
        gc.enable()


def an_entry() -> EventLogEntry:
    """The entry of an event with data of its own."""
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="readings",
        message="starting",
        event_specific_data=StepMaterializationData(AssetMaterialization("a")),
    )
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="starting",
        run_id="a_run",
        timestamp=1.0,
        job_name="readings",
        dagster_event=event,
    )


def read_again(table: ShapeTable, value: object) -> object:
    """The value as the codec reads it once it knows the value's class."""
    body = table.encode(value)
    table.decode(body)
    return table.decode(body)


def test_the_collector_does_not_look_at_objects_that_can_be_in_no_cycle() -> None:
    table = ShapeTable()
    entry = read_again(table, an_entry())
    assert isinstance(entry, EventLogEntry)
    assert entry == an_entry()
    assert not gc.is_tracked(entry)
    assert not gc.is_tracked(entry.dagster_event)
    assert not gc.is_tracked(entry.get_dagster_event().event_specific_data)


def test_the_collector_looks_at_objects_that_keep_what_they_compute() -> None:
    assert gc.is_tracked(read_again(ShapeTable(), AssetKey("a")))


def test_what_is_read_is_freed_with_its_last_reference() -> None:
    table = ShapeTable()
    body = table.encode(an_entry())
    table.decode(body)
    classes = (EventLogEntry, DagsterEvent, StepMaterializationData, AssetMaterialization)

    def objects() -> list[int]:
        """How many there are of each class, give or take what else refers to it."""
        return [sys.getrefcount(it) for it in classes]

    before = objects()
    page = table.decode_page([body] * 100)
    assert objects() == [count + 100 for count in before]
    del page
    assert objects() == before
