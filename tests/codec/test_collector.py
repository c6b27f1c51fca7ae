"""Reading a page pauses Python's collector, and leaves it as it was."""

import gc
from collections.abc import Iterator

import pytest
from dagster import AssetKey

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
