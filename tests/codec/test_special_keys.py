"""Dicts that look like serdes' own: read back as `deserialize_value` reads that JSON."""

import collections

import pytest
from dagster import AssetKey, DagsterRunStatus
from dagster._core.definitions.metadata import JsonMetadataValue
from dagster_shared.serdes.serdes import SerializableNonScalarKeyMapping, pack_value

from codec.oracle import check_like_dagster
from dagster_lmdb._core import ShapeTable

DICTS = [
    {"__class__": "AssetKey", "path": ["a"]},
    {"__class__": "AssetKey", "path": ["a"], "from": "the future"},
    {"__class__": "AssetKey"},
    {"__class__": "AssetKey", "path": 3},
    {"__class__": "NoSuchClass", "x": [{"__class__": "AssetKey", "path": ["a"]}]},
    {"__class__": "NoSuchClass", "x": {"__class__": "NorThis", "y": 1}},
    {"__class__": None},
    {"__class__": 3},
    {"__class__": ["unhashable"]},
    {"__class__": "EventMetadataEntry", "label": "l", "description": None, "entry_data": 3},
    {"__enum__": "DagsterRunStatus.SUCCESS"},
    {"__enum__": "PipelineRunStatus.SUCCESS"},
    {"__enum__": "DagsterRunStatus.NOPE"},
    {"__enum__": "NoSuchEnum.A"},
    {"__enum__": "no dot"},
    {"__enum__": "a.b.c"},
    {"__enum__": 3},
    {"__set__": [1, 2]},
    {"__set__": [[1]]},
    {"__set__": 3},
    {"__frozenset__": ["a"]},
    {"__frozenset__": "ab"},
    {"__mapping_items__": [[1, 2], ["a", {"__set__": [1]}]]},
    {"__mapping_items__": [[[1], 2]]},
    {"__mapping_items__": 3},
    {"__mapping_items__": [{"__class__": "AssetKey", "path": ["a"]}]},
    {"__mapping_items__": {"ab": 1}},
    {"__class__": "AssetKey", "path": ["a"], "__enum__": "x"},
    {"__enum__": "DagsterRunStatus.SUCCESS", "__set__": [1], "a": 1},
    {"__serdes": "wrapper"},
]


@pytest.mark.parametrize("value", DICTS, ids=str)
def test_a_dict_with_a_special_key(value):
    table = ShapeTable()
    check_like_dagster(value, table)
    check_like_dagster({"deeper": [value]}, table)
    check_like_dagster({"first": {"__class__": "NoSuchClass"}, "then": value}, table)
    check_like_dagster(collections.OrderedDict(value), table)
    check_like_dagster(JsonMetadataValue([value]), table)
    check_like_dagster(JsonMetadataValue({"first": {"__class__": "Nope"}, "then": value}), table)
    check_like_dagster(SerializableNonScalarKeyMapping({AssetKey("k"): value}), table)
    inner = SerializableNonScalarKeyMapping(value)
    check_like_dagster(SerializableNonScalarKeyMapping({AssetKey("k"): inner, "l": [inner]}), table)


def test_packed_values_are_packed_for_good():
    table = ShapeTable()
    for value in (AssetKey(["a", "b"]), DagsterRunStatus.FAILURE, {1, 2}, [AssetKey("c")]):
        check_like_dagster(pack_value(value), table)


def test_an_unknown_class_beside_known_ones_is_refused_as_by_serdes():
    from dagster import AssetMaterialization, MetadataValue

    table = ShapeTable()
    unknown = {"__class__": "FromTheFuture", "a": {"__class__": "AlsoNew"}}
    check_like_dagster([AssetKey("a"), unknown, AssetKey("b"), [AssetKey("c")]], table)
    metadata = {"j": MetadataValue.json({"u": unknown}), "t": MetadataValue.text("t")}
    check_like_dagster(AssetMaterialization("a", metadata=metadata), table)
    check_like_dagster([unknown, AssetMaterialization("a", metadata=metadata)], table)
