"""Strategies for the classes whose constructors refuse values drawn from their annotations."""

import datetime

from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    TimeWindow,
    TimeWindowPartitionsDefinition,
)
from dagster._core.definitions.events import AssetMaterializationFailure
from dagster._core.definitions.freshness import CronFreshnessPolicy
from dagster._core.definitions.partitions.subset.time_window import TimeWindowPartitionsSubset
from dagster._core.events import DagsterEvent
from dagster._core.events.log import EventLogEntry
from hypothesis import strategies as st

from codec.instances import CLASSES, constructing, objects, parameters, text, values

tags = st.dictionaries(
    st.sampled_from(["a", "team/owner", "dagster/data_version"]),
    st.sampled_from(["", "x", "1.2-3"]),
)


def quietly(build):
    """A constructor call as `instances` makes it."""

    def construct(**given):
        with constructing():
            return build(**given)

    return construct


def asset_event(cls):
    def builder(depth: int):
        fields = {
            "asset_key": objects(AssetKey, depth - 1),
            "description": st.none() | text,
            "metadata": metadata(depth),
            "partition": st.none() | text,
            "tags": st.none() | tags,
        }
        for name, (hint, required) in parameters(cls).items():
            if required and name not in fields:
                fields[name] = values(hint, cls.__module__, depth)
        return st.builds(quietly(cls), **fields)

    return builder


def metadata(depth: int):
    """Metadata with every kind of value."""
    if depth <= 0:
        return st.just({})
    from dagster import MetadataValue

    kinds = [cls for cls in CLASSES.values() if issubclass(cls, MetadataValue)]
    return st.dictionaries(text, st.one_of([objects(cls, depth - 1) for cls in kinds]), max_size=3)


# The types of events that must come with data of a class.
EVENT_DATA = {
    "STEP_OUTPUT": "StepOutputData",
    "ASSET_MATERIALIZATION": "StepMaterializationData",
    "ASSET_OBSERVATION": "AssetObservationData",
    "ASSET_CHECK_EVALUATION": "AssetCheckEvaluation",
    "ASSET_MATERIALIZATION_PLANNED": "AssetMaterializationPlannedData",
    "STEP_FAILURE": "StepFailureData",
    "STEP_SUCCESS": "StepSuccessData",
    "STEP_UP_FOR_RETRY": "StepRetryData",
    "STEP_INPUT": "StepInputData",
    "STEP_EXPECTATION_RESULT": "StepExpectationResultData",
    "PIPELINE_FAILURE": "JobFailureData",
    "ENGINE_EVENT": "EngineEventData",
    "HANDLED_OUTPUT": "HandledOutputData",
    "LOADED_INPUT": "LoadedInputData",
    "LOGS_CAPTURED": "ComputeLogsCaptureData",
    "HOOK_ERRORED": "HookErroredData",
}


def event(depth: int):
    """Events with the data that belongs to their type, and some of those that have none."""

    def of_type(event_type: str):
        name = EVENT_DATA.get(event_type)
        data = objects(CLASSES[name], depth - 1) if name else st.none()
        return st.tuples(st.just(event_type), data)

    if depth > 0:
        types = [*EVENT_DATA, "STEP_START", "PIPELINE_SUCCESS"]
    else:
        types = ["STEP_START", "PIPELINE_SUCCESS"]
    both = st.sampled_from(types).flatmap(of_type)

    def build(type_and_data, **given):
        event_type, data = type_and_data
        with constructing():
            return DagsterEvent(event_type, event_specific_data=data, **given)

    return st.builds(
        build,
        both,
        job_name=text,
        step_handle=st.none() | objects(CLASSES["StepHandle"], depth - 1),
        node_handle=st.none() | objects(CLASSES["NodeHandle"], depth - 1),
        step_kind_value=st.none() | st.just("COMPUTE"),
        logging_tags=st.none() | st.dictionaries(text, text, max_size=2),
        message=st.none() | text,
        pid=st.none() | st.integers(1, 99999),
        step_key=st.none() | text,
    )


def entry(depth: int):
    return st.builds(
        quietly(EventLogEntry),
        error_info=st.none() | objects(CLASSES["SerializableErrorInfo"], depth - 1),
        level=st.sampled_from([10, 20, 40, "INFO"]),
        user_message=text,
        run_id=st.uuids().map(str),
        timestamp=st.floats(0, 2e9),
        step_key=st.none() | text,
        job_name=st.none() | text,
        dagster_event=st.none() | event(depth),
    )


def object_store_result(depth: int):
    return st.builds(
        quietly(CLASSES["ObjectStoreOperationResultData"]),
        op=text,
        value_name=st.none() | text,
        metadata=metadata(depth),
        address=st.none() | text,
        version=st.none() | text,
        mapping_key=st.none() | text,
    )


def time_partitions(_depth: int):
    return st.builds(
        quietly(TimeWindowPartitionsDefinition),
        start=st.sampled_from(["2024-01-01", "2020-02-29"]),
        fmt=st.just("%Y-%m-%d"),
        cron_schedule=st.sampled_from(["0 0 * * *", "0 0 * * 1"]),
        timezone=st.sampled_from([None, "Europe/Berlin"]),
        end_offset=st.integers(-1, 3),
    )


def time_subset(_depth: int):
    daily = TimeWindowPartitionsDefinition("2024-01-01", "%Y-%m-%d", cron_schedule="0 0 * * *")
    hourly = TimeWindowPartitionsDefinition(
        "2024-01-01-00:00", "%Y-%m-%d-%H:%M", timezone="Europe/Berlin", cron_schedule="0 * * * *"
    )
    start = datetime.datetime(2024, 2, 3, tzinfo=datetime.timezone.utc)
    windows = st.integers(1, 5).map(
        lambda days: [TimeWindow(start, start + datetime.timedelta(days=days))]
    )
    return st.builds(
        quietly(TimeWindowPartitionsSubset),
        partitions_def=st.sampled_from([daily, hourly]),
        num_partitions=st.none() | st.integers(0, 9),
        included_time_windows=st.just([]) | windows,
    )


def cron_freshness(_depth: int):
    return st.builds(
        quietly(CronFreshnessPolicy),
        deadline_cron=st.just("0 9 * * *"),
        lower_bound_delta=st.timedeltas(datetime.timedelta(minutes=1), datetime.timedelta(hours=5)),
        timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    )


BUILDERS = {
    "AssetMaterialization": asset_event(AssetMaterialization),
    "AssetMaterializationFailure": asset_event(AssetMaterializationFailure),
    "AssetObservation": asset_event(AssetObservation),
    "CronFreshnessPolicy": cron_freshness,
    "DagsterEvent": event,
    "EventLogEntry": entry,
    "ObjectStoreOperationResultData": object_store_result,
    "TimeWindowPartitionsDefinition": time_partitions,
    "TimeWindowPartitionsSubset": time_subset,
}
