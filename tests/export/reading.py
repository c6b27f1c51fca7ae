"""Rows of Arrow tables as Python has them, and comparing them with what an oracle says."""

import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from export.oracle import Row

MAPS = ("tags", "partition_dimensions")


def rows(table: Any) -> list[Row]:
    return [
        {name: dict(value) if is_map(name, value) else value for name, value in row.items()}
        for row in pa.table(table).to_pylist()
    ]


def is_map(name: str, value: Any) -> bool:
    return name in MAPS and value is not None


def same(found: Any, expected: Any) -> bool:
    """Whether two values are equal, where NaN equals NaN."""
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(same, found, expected))
        )
    return type(found) is type(expected) and found == expected


def assert_same(found: Iterable[Row], expected: Iterable[Row]) -> None:
    found, expected = list(found), list(expected)
    assert [row["sequence"] for row in found] == [row["sequence"] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            assert same(row[name], value), (row["sequence"], name)
