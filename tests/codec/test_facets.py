"""Facets: values the record holds anyway, which a body refers to instead of repeating them."""

import pytest
from dagster import AssetKey

from codec.oracle import check_like_dagster
from dagster_lmdb._core import ShapeTable

RUN = "0f3b6f04-9f4c-4a5f-8d24-8e1b6f6d5f3a"
FACETS = [None, RUN, 1763841234.123456, "abc", "step.é", AssetKey("x"), "\ud800abc", -0.0, RUN]
PLAIN = [None if not isinstance(f, (str, float)) or f == "\ud800abc" else f for f in FACETS]


def test_equal_strings_and_floats_become_references():
    table = ShapeTable()
    value = {
        "run": RUN,
        "copy": RUN[:10] + RUN[10:],
        "step": ["step.é"],
        "at": 1763841234.123456,
        "minus": -0.0,
        "zero": 0.0,
        RUN: "a key is never a reference",
        "short": "abc",
        "surrogate": "\ud800abc",
        "other": RUN[:-1] + "b",
    }
    body = table.encode(value, FACETS)
    assert body.count(RUN.encode()) == 1
    assert body.count(b"\xd4\x09\x01") == 2
    assert body.count(b"\xd4\x09\x02") == 1
    assert body.count(b"\xd4\x09\x07") == 1
    assert b"abc" in body
    assert table.decode(body, PLAIN) == value
    assert str(table.decode(body, PLAIN)["minus"]) == "-0.0"
    check_like_dagster(value, table, PLAIN)


def test_a_string_is_made_once_for_all_its_references():
    table = ShapeTable()
    body = table.encode([RUN, [RUN]], [RUN])
    first, [second] = table.decode(body, [RUN])
    assert first is second
    [[a, _], [b, _]] = table.decode_page([body, body], [RUN])
    assert a is b
    assert table.decode(body, ["another run"]) == ["another run", ["another run"]]


def test_a_reference_to_a_facet_that_is_not_there():
    table = ShapeTable()
    body = table.encode([RUN], [None, RUN])
    for facets in (None, [], [RUN], [RUN, None]):
        with pytest.raises(ValueError, match="facet 1"):
            table.decode(body, facets)
        with pytest.raises(ValueError, match="facet 1"):
            table.packed_json(body, facets)


def test_more_facets_than_a_reference_can_name():
    table = ShapeTable()
    facets = [f"facet number {index}" for index in range(300)]
    body = table.encode(facets, facets)
    assert table.decode(body, facets) == facets
    assert b"facet number 255" not in body
    assert b"facet number 256" in body
