"""Bodies by docs/format.md alone, with msgpack from PyPI; and bytes that are no bodies."""

import json
import random

import msgpack
import pytest
from dagster import AssetKey, DagsterRunStatus
from dagster_shared.serdes import serialize_value
from dagster_shared.serdes.serdes import SerializableNonScalarKeyMapping
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.instances import CLASSES, constructing, objects
from codec.oracle import outcome
from dagster_lmdb._core import ShapeTable


def read(body: bytes, facets, shapes):
    """The packed value of a body: a reader written from the format's description."""

    def extension(code: int, content: bytes):
        if code == 7:
            return int(content)
        if code == 8:
            return content.decode("utf-8", "surrogatepass")
        if code == 9:
            return facets[content[0]]
        if code == 3:
            return {"__enum__": shapes[int.from_bytes(content, "big")]["name"]}
        return msgpack.ExtType(code, content)

    absent = msgpack.ExtType(2, b"\0")
    marks = {4: "__set__", 5: "__frozenset__"}

    def value(item):
        if isinstance(item, dict):
            return {key: value(inner) for key, inner in item.items()}
        if not isinstance(item, list):
            return item
        head, rest = (item[0], item[1:]) if item else (None, [])
        if not isinstance(head, msgpack.ExtType) or head == absent:
            return [value(inner) for inner in item]
        if head.code == 1:
            shape = shapes[int.from_bytes(head.data, "big")]
            fields = zip(shape["fields"], rest, strict=True)
            found = {name: value(inner) for name, inner in fields if inner != absent}
            constants = json.loads(shape["constants"] or "{}")
            return {"__class__": shape["name"], **found, **constants}
        if head.code == 6:
            pairs = zip(rest[::2], rest[1::2], strict=True)
            return {"__mapping_items__": [[value(key), value(inner)] for key, inner in pairs]}
        return {marks[head.code]: [value(inner) for inner in rest]}

    unpacked = msgpack.unpackb(body, ext_hook=extension, strict_map_key=False)
    return value(unpacked)


EVENTS = [CLASSES[name] for name in ("EventLogEntry", "DagsterRun", "JobSnap", "AssetNodeSnap")]


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.one_of([objects(cls) for cls in EVENTS]))
def test_a_body_is_readable_with_msgpack_and_the_format_page(value):
    table = ShapeTable()
    facets = ["a run", "orders", getattr(value, "timestamp", None), "2024-01-01"]
    with constructing():
        body, error = outcome(lambda: table.encode(value, facets))
        text, dagsters = outcome(lambda: serialize_value(value))
    assert error == dagsters
    if error is None:
        found = read(body, facets, table.shapes())
        assert json.dumps(found, sort_keys=True) == text


def test_marked_values_are_readable_with_msgpack():
    value = {
        "set": {1, 2},
        "frozen": frozenset(["a"]),
        "items": SerializableNonScalarKeyMapping({AssetKey("a"): DagsterRunStatus.FAILURE}),
        "big": [2**64, -(2**63) - 1, 2**64 - 1],
        "lone": "\ud800",
        "floats": [float("nan"), float("-inf"), -0.0],
    }
    table = ShapeTable()
    found = read(table.encode(value), [], table.shapes())
    assert json.dumps(found, sort_keys=True) == serialize_value(value)


def test_a_shape_stands_once_and_its_fields_are_sorted():
    table = ShapeTable()
    table.encode([AssetKey("a"), AssetKey("b"), DagsterRunStatus.FAILURE])
    table.encode(AssetKey("c"))
    first, second = table.shapes()
    assert (first["kind"], first["name"], first["fields"]) == ("object", "AssetKey", ["path"])
    assert (second["kind"], second["name"]) == ("enum", "PipelineRunStatus.FAILURE")
    assert isinstance(first["plan"], int)
    again = ShapeTable()
    again.encode(AssetKey("a"))
    assert again.shapes() == [first]  # the fingerprint is no matter of the process or the table


def test_mutated_bodies_end_in_values_or_exceptions():
    from dagster import AssetMaterialization, MetadataValue

    table = ShapeTable()
    value = [
        AssetMaterialization("a", metadata={"t": "x", "j": MetadataValue.json([1, {"a": None}])}),
        SerializableNonScalarKeyMapping({AssetKey("a"): DagsterRunStatus.FAILURE}),
        {"s": {1, "\ud800"}, "f": 0.5, "big": 2**70},
    ]
    facets = ["facet", 1.5]
    body = table.encode(value, facets)
    chance = random.Random(7)
    read_well = 0
    for _ in range(20_000):
        mutated = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(mutated))
            match chance.randrange(4):
                case 0:
                    mutated[at] = chance.randrange(256)
                case 1:
                    mutated[at] ^= 1 << chance.randrange(8)
                case 2:
                    del mutated[max(at, 1) :]
                case _:
                    mutated.insert(at, chance.randrange(256))
        _, error = outcome(lambda: table.decode(bytes(mutated), facets))  # noqa: B023
        read_well += error is None
    assert 100 < read_well < 15_000
    assert table.decode(body, facets)[0] == value[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends in the middle"),
        (b"\xc0\xc0", "1 bytes follow"),
        (b"\xd4\x03\x05", "shape 5 is not defined"),
        (b"\x91\xd4\x01\x05", "shape 5 is not defined"),
        (b"\x91\xd4\x02\x00", "absent"),
        (b"\xd4\x09\x00", "facet 0"),
        (b"\xc1", "0xc1"),
        (b"\xd4\x08\xff", "UTF-8"),
        (b"\x81\x01\x02", "key"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body, message):
    table = ShapeTable()
    with pytest.raises(ValueError, match=message):
        table.decode(body)
    with pytest.raises(ValueError, match=message):
        table.packed_json(body)
