"""Reading a page pauses Python's collector, and leaves it as it was and little to look at."""

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import cast

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


def test_the_collector_does_not_look_at_objects_of_which_nothing_refers_to_others() -> None:
    table = ShapeTable()
    line = read_again(table, an_entry()._replace(dagster_event=None))
    assert isinstance(line, EventLogEntry)
    assert line.dagster_event is None
    assert not gc.is_tracked(line)
    entry = read_again(table, an_entry())
    assert isinstance(entry, EventLogEntry)
    assert gc.is_tracked(entry), "its metadata can be given the entry"


def cycle_by_metadata(entry: EventLogEntry) -> dict[str, object]:
    materialization = entry.get_dagster_event().step_materialization_data.materialization
    return cast(dict[str, object], materialization.metadata)


def cycle_by_logging_tags(entry: EventLogEntry) -> dict[str, object]:
    return cast(dict[str, object], entry.get_dagster_event().logging_tags)


@pytest.mark.parametrize("place", [cycle_by_metadata, cycle_by_logging_tags])
def test_an_entry_that_was_put_into_itself_is_freed(
    place: Callable[[EventLogEntry], dict[str, object]],
) -> None:
    class Witness:
        pass

    entry, witness = read_again(ShapeTable(), an_entry()), Witness()
    assert isinstance(entry, EventLogEntry)
    place(entry)["itself"] = (entry, witness)
    is_freed = weakref.ref(witness)
    del entry, witness
    gc.collect()
    assert is_freed() is None


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
