"""What an event says about its run, apart from when and where it was: its traits.

Two runs that did the same have the same traits in each lane (the run's, and each step's), in the
same order; how lanes interleave is the scheduler's. What a run's id stands in (paths of files) is
the same in both. Log messages, and events about processes and resources, have no traits.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from dagster import EventLogEntry, MetadataValue
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
)
from dagster._core.events import (
    AssetObservationData,
    DagsterEventType,
    HandledOutputData,
    LoadedInputData,
    StepMaterializationData,
)
from dagster._core.execution.plan.outputs import StepOutputData
from dagster._serdes import serialize_value
from dagster_shared.serdes.serdes import PackableValue

from dagster_lmdb.debug.player import Moment, moments
from dagster_lmdb.debug.runs import RunHistory

_RUN_TYPES = frozenset(
    event_type.value
    for event_type in (
        DagsterEventType.RUN_START,
        DagsterEventType.RUN_SUCCESS,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELED,
    )
)
_STEP_TYPES = frozenset(
    event_type.value
    for event_type in (
        DagsterEventType.STEP_START,
        DagsterEventType.STEP_RESTARTED,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.STEP_SKIPPED,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.STEP_INPUT,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
        DagsterEventType.HOOK_ERRORED,
    )
)


class Facts(NamedTuple):
    """What an event says of a subject: an asset, an output, an input, a check."""

    #: ``asset totals``, ``output source.result``, ``check totals:no_alarm``, ...
    subject: str
    partition: str | None
    metadata: Mapping[str, MetadataValue[Any]]
    tags: Mapping[str, str]


class Trait(NamedTuple):
    """An event in its lane, and what is compared of it."""

    moment: Moment
    content: str


def facts_of(entry: EventLogEntry) -> Facts | None:
    """What an event says of a subject, if it does."""
    event = entry.dagster_event
    data = event.event_specific_data if event else None
    if isinstance(data, StepMaterializationData):
        made = data.materialization
        subject = f"asset {made.asset_key.to_user_string()}"
        return Facts(subject, made.partition, made.metadata, made.tags or {})
    if isinstance(data, AssetObservationData):
        seen = data.asset_observation
        subject = f"observation {seen.asset_key.to_user_string()}"
        return Facts(subject, seen.partition, seen.metadata, seen.tags)
    if isinstance(data, AssetCheckEvaluation):
        subject = f"check {data.asset_key.to_user_string()}:{data.check_name}"
        passed = MetadataValue.bool(data.passed)
        return Facts(subject, data.partition, {**data.metadata, "(passed)": passed}, {})
    if isinstance(data, StepOutputData):
        handle = data.step_output_handle
        key = f"[{handle.mapping_key}]" if handle.mapping_key else ""
        return Facts(
            f"output {handle.step_key}.{handle.output_name}{key}", None, data.metadata or {}, {}
        )
    if isinstance(data, HandledOutputData):
        return Facts(f"handled {entry.step_key}.{data.output_name}", None, data.metadata or {}, {})
    if isinstance(data, LoadedInputData):
        return Facts(f"input {entry.step_key}.{data.input_name}", None, data.metadata or {}, {})
    return None


def lanes(history: RunHistory) -> Mapping[str | None, Sequence[Trait]]:
    """The traits of each lane of a run, in the order of the log."""
    found: dict[str | None, list[Trait]] = defaultdict(list)
    for moment in moments(history):
        event = moment.entry.dagster_event
        if event is None:
            continue
        if event.event_type_value in (_STEP_TYPES if event.step_key else _RUN_TYPES):
            content = _content(moment.entry, event.event_type_value).replace(
                history.run_id, "(run)"
            )
            found[event.step_key].append(Trait(moment, content))
    return found


def _content(entry: EventLogEntry, event_type: str) -> str:
    facts = facts_of(entry)
    if facts is None:
        return event_type
    said = [facts.subject, facts.partition, _own_version(facts.tags)]
    metadata = {label: packed(value) for label, value in facts.metadata.items()}
    return f"{event_type} {json.dumps([*said, metadata], sort_keys=True)}"


def _own_version(tags: Mapping[str, str]) -> str | None:
    """A data version that the user gave; those that Dagster makes follow from code and inputs.

    Where code has no version Dagster takes the run's id for it, so that every run makes a new one.
    """
    is_made = CODE_VERSION_TAG in tags and tags.get(DATA_VERSION_IS_USER_PROVIDED_TAG) != "true"
    return None if is_made else tags.get(DATA_VERSION_TAG)


def packed(value: MetadataValue[Any]) -> str:
    """A metadata value as Dagster serializes it."""
    return serialize_value(cast(PackableValue, value))
