"""The codec's own knowledge of Dagster: hooks it need not call, classes it builds by itself."""

import inspect

import dagster
import pytest
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterRun,
    DagsterRunStatus,
    MetadataValue,
)
from dagster._core.definitions import metadata as metadata_module
from dagster._core.definitions.events import AssetMaterializationSerializer
from dagster._core.definitions.metadata import MetadataEntry, MetadataFieldSerializer
from dagster._core.definitions.metadata.metadata_value import JsonDataFieldSerializer
from dagster._core.events import DagsterEvent, DagsterEventSerializer, _handle_back_compat
from dagster._core.storage.dagster_run import DagsterRunSerializer
from dagster._utils import tags as tags_module
from dagster_shared.serdes import deserialize_value
from dagster_shared.utils.warnings import normalize_renamed_param

from codec.instances import CLASSES
from codec.oracle import check_like_dagster
from dagster_lmdb._core import ShapeTable

KNOWN = [
    MetadataFieldSerializer.pack,
    MetadataFieldSerializer.unpack,
    MetadataEntry,
    metadata_module.normalize_metadata_value,
    normalize_renamed_param,
    JsonDataFieldSerializer.pack,
    DagsterEventSerializer.before_unpack,
    _handle_back_compat,
    AssetMaterializationSerializer.before_unpack,
    DagsterRunSerializer.before_unpack,
    tags_module.normalize_tags,
    tags_module.is_valid_tag_key,
    tags_module.is_valid_strict_tag_value,
    *(
        CLASSES[name].__new__
        for name in (
            "AssetCheckEvaluation",
            "AssetKey",
            "AssetMaterialization",
            "AssetMaterializationPlannedData",
            "AssetObservation",
            "ComputeLogsCaptureData",
            "DagsterEvent",
            "DagsterRun",
            "EngineEventData",
            "EventLogEntry",
            "HandledOutputData",
            "LoadedInputData",
            "NodeHandle",
            "PathMetadataValue",
            "StepHandle",
            "StepMaterializationData",
            "StepOutputData",
            "StepOutputHandle",
            "StepSuccessData",
            "TableColumn",
            "TableColumnConstraints",
            "TableSchema",
            "TypeCheckData",
        )
    ),
]


@pytest.mark.parametrize("function", KNOWN, ids=lambda function: function.__qualname__)
def test_the_hooks_and_constructors_of_this_dagster_are_known(function):
    source = inspect.getsource(function)
    known = ShapeTable.recognises(function)
    assert known, f"dagster {dagster.__version__} has another {function.__qualname__}:\n{source}"


def test_events_are_built_natively():
    table = ShapeTable()
    names = {shape["name"] for shape in table.shapes()}
    assert not names
    event = DagsterEvent("STEP_START", "job", step_key="s")
    materialization = AssetMaterialization("a", metadata={"t": "x", "n": 1}, tags={"unit": "cm"})
    body = table.encode([event, materialization])
    for _ in range(2):
        table.decode(body)
    native = {shape["name"]: shape["native"] for shape in table.shapes()}
    assert set(native) == {
        "DagsterEvent",
        "AssetMaterialization",
        "AssetKey",
        "EventMetadataEntry",
        "TextMetadataEntryData",
        "IntMetadataEntryData",
    }
    assert all(native.values())


OLD_EVENTS = [
    ("PIPELINE_PROCESS_STARTED", None),
    ("STEP_MATERIALIZATION", {"__class__": "StepMaterializationData", "materialization": None}),
    ("PIPELINE_INIT_FAILURE", {"error": None}),
    ("PIPELINE_INIT_FAILURE", None),
    ("ASSET_STORE_OPERATION", {"op": "GET_ASSET", "output_name": "o", "asset_store_key": "k"}),
    ("NOT_AN_EVENT", None),
    ("STEP_START", {"unexpected": 1}),
    ("ASSET_MATERIALIZATION", None),
    (3, None),
]


@pytest.mark.parametrize(("event_type", "data"), OLD_EVENTS)
def test_an_event_that_a_hook_rewrites_is_left_to_the_hook(event_type, data):
    event = DagsterEvent("STEP_START", "job", message="m", step_key="s")
    replaced = tuple.__new__(DagsterEvent, list(event))
    old = replaced._replace(event_type_value=event_type, event_specific_data=data)
    check_like_dagster([event, old], ShapeTable(), facets=[None])


def with_fields(event, **fields):
    """An event as its constructor would not have made it."""
    return tuple.__new__(DagsterEvent, (event._asdict() | fields).values())


def test_handles_and_keys_that_an_event_fills_in():
    node = CLASSES["NodeHandle"]("n", None)
    step = CLASSES["StepHandle"](node, "k")
    event = DagsterEvent("STEP_START", "job", logging_tags={})
    table = ShapeTable()
    for node_handle in (None, node):
        for step_handle in (None, step):
            for step_key in (None, "s"):
                given = {
                    "node_handle": node_handle,
                    "step_handle": step_handle,
                    "step_key": step_key,
                }
                check_like_dagster(with_fields(event, **given), table)


def test_runs_are_built_natively():
    table = ShapeTable()
    origin = CLASSES["RemoteJobOrigin"](
        CLASSES["RemoteRepositoryOrigin"](
            CLASSES["RegisteredCodeLocationOrigin"]("here"), "a_repository"
        ),
        "readings",
    )
    runs = [
        DagsterRun("readings", "a_run", run_config={"ops": {"a": 1}}, tags={"team": "rivers"}),
        DagsterRun("readings", status=DagsterRunStatus.QUEUED, remote_job_origin=origin),
        DagsterRun("readings", root_run_id="a_run", parent_run_id="a_run"),
        DagsterRun(
            "readings",
            asset_selection={AssetKey("a"), AssetKey("b")},
            asset_check_selection=frozenset({AssetCheckKey(AssetKey("a"), "c")}),
            op_selection=["*a"],
            resolved_op_selection={"a", "b"},
            step_keys_to_execute=["a"],
            has_repository_load_data=True,
        ),
    ]
    check_like_dagster(runs, table)
    native = {shape["name"]: shape["native"] for shape in table.shapes()}
    assert native["PipelineRun"]


def test_runs_that_their_constructor_refuses():
    table = ShapeTable()
    run = DagsterRun("readings", "a_run")
    check_like_dagster(run, table)
    refused = [
        {"status": DagsterRunStatus.QUEUED},
        {"root_run_id": "a_run"},
        {"parent_run_id": "a_run"},
        {"run_config": {1: 2}},
        {"tags": {"team": 1}},
        {"tags": None},
        {"asset_selection": {"a"}},
        {"resolved_op_selection": ["a"]},
        {"op_selection": [1]},
        {"status": "SUCCESS"},
        {"has_repository_load_data": None},
        {"partitions_subset": "a"},
        {"remote_job_origin": "a"},
    ]
    for fields in refused:
        changed = tuple.__new__(DagsterRun, (run._asdict() | fields).values())
        check_like_dagster(changed, table)


def test_data_that_an_event_type_asks_for():
    table = ShapeTable()
    event = DagsterEvent("STEP_START", "job", logging_tags={}, step_key="s")
    engine = CLASSES["EngineEventData"]()
    for event_type in DagsterEventType:
        for data in (None, engine, AssetKey("a"), 3):
            changed = with_fields(
                event, event_type_value=event_type.value, event_specific_data=data
            )
            check_like_dagster(changed, table)


def test_a_materialization_without_an_asset_key():
    value = AssetMaterialization("a")._replace(asset_key=None)
    check_like_dagster([value, AssetMaterialization("a")])


def entries(*given):
    return tuple.__new__(AssetMaterialization, (AssetKey("a"), None, Pairs(given), None, None))


class Pairs(dict):
    """Metadata that may have a label twice, as Dagster's old lists of entries could."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs

    def items(self):
        return list(self.pairs)


def test_metadata_that_is_not_what_its_class_expects():
    text = MetadataValue.text
    check_like_dagster(entries(("a", text("1")), ("b", text("2"))))
    check_like_dagster(entries(("a", text("1")), ("b", text("2")), ("a", text("3"))))
    check_like_dagster(entries(("a", text("1")), ("b", 3)))  # MetadataEntry makes a value of it
    check_like_dagster(entries(("a", text("1")), ("b", object)))
    check_like_dagster(entries(("a", text("1")), ("b", AssetKey("x")), ("c", text("2"))))
    check_like_dagster(entries(("a", text("1")), (3, text("2"))))
    check_like_dagster(entries(("a", text("1")), (None, text("2"))))
    check_like_dagster(entries(("a", {"__class__": "Unknown"}), ("b", text("2"))))
    check_like_dagster(AssetMaterialization("a")._replace(metadata=None))
    check_like_dagster(AssetMaterialization("a")._replace(metadata=[1]))


def test_metadata_entries_with_descriptions_are_read():
    table = ShapeTable()
    text = (
        '{"__class__": "AssetMaterialization", '
        '"asset_key": {"__class__": "AssetKey", "path": ["a"]}, '
        '"description": null, "metadata_entries": [{"__class__": "EventMetadataEntry", '
        '"description": "d", "entry_data": {"__class__": "TextMetadataEntryData", "text": "t"}, '
        '"label": "l"}], "partition": null, "tags": null}'
    )
    import json

    from codec.oracle import check_reads_like_dagster, differs

    body = table.encode(json.loads(text))
    assert table.packed_json(body) == text
    check_reads_like_dagster(body, text, table)
    assert differs(table.decode(body), deserialize_value(text)) is None


def test_contexts_are_left_as_they_were():
    import warnings

    from dagster_shared.utils.warnings import _warnings_on

    table = ShapeTable()
    before = list(warnings.filters), _warnings_on.get()
    body = table.encode({"__class__": "Unknown"})
    with pytest.raises(Exception, match="Unknown"):
        table.decode(body)
    table.decode(table.encode(AssetKey("a")))
    with pytest.raises(ValueError, match="ends in the middle"):
        table.decode(b"\x92")
    assert (list(warnings.filters), _warnings_on.get()) == before
