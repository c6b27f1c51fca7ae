"""What an event says about its run, apart from when and where it was: its traits.

Two runs that did the same have the same traits in each lane (the run's, and each step's), in the
same order; how lanes interleave is the scheduler's. What a run's id stands in (paths of files) is
the same in both. Of a failure's error counts what its first cause says. Log messages, and events
about processes and resources, have no traits.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from dagster import EventLogEntry, MetadataValue
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.events import (
    AssetFailedToMaterializeData,
    AssetObservationData,
    DagsterEventType,
    HandledOutputData,
    LoadedInputData,
    StepExpectationResultData,
    StepMaterializationData,
)
from dagster._core.execution.plan.inputs import StepInputData
from dagster._core.execution.plan.objects import StepFailureData, TypeCheckData
from dagster._core.execution.plan.outputs import StepOutputData
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX, SYSTEM_TAG_PREFIX
from dagster._serdes import serialize_value
from dagster_shared.error import SerializableErrorInfo
from dagster_shared.serdes.serdes import PackableValue

from dagster_lmdb.debug.lines import own_error
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
        DagsterEventType.STEP_EXPECTATION_RESULT,
        DagsterEventType.HOOK_COMPLETED,
        DagsterEventType.HOOK_SKIPPED,
        DagsterEventType.HOOK_ERRORED,
    )
)


class Facts(NamedTuple):
    """What an event says of a subject: an asset, an output, an input, a check, a failure.

    What is no metadata of the user's stands among it in parentheses, as ``(passed)``.
    """

    #: ``asset totals``, ``output source.result``, ``check totals:no_alarm``, ...; an asset's key
    #: with slashes within its parts escaped, since Dagster shows ["a", "b"] and ["a/b"] alike.
    subject: str
    partition: str | None
    metadata: Mapping[str, MetadataValue[Any]]
    tags: Mapping[str, str]


class Trait(NamedTuple):
    """An event in its lane, and what is compared of it, by what it is called."""

    moment: Moment
    content: Mapping[str, str | None]
    #: What it speaks of, if of anything.
    subject: str | None

    def differing(self, other: "Trait") -> Sequence[str]:
        """What the other says otherwise, or only one of the two says."""
        names = {**self.content, **other.content}
        return [name for name in names if self.content.get(name) != other.content.get(name)]


def facts_of(entry: EventLogEntry) -> Facts | None:
    """What an event says of a subject, if it does."""
    event = entry.dagster_event
    data = event.event_specific_data if event else None
    if isinstance(data, StepMaterializationData):
        made = data.materialization
        subject = f"asset {made.asset_key.to_escaped_user_string()}"
        metadata = _described(made.metadata, made.description)
        return Facts(subject, made.partition, metadata, made.tags or {})
    if isinstance(data, AssetObservationData):
        seen = data.asset_observation
        subject = f"observation {seen.asset_key.to_escaped_user_string()}"
        metadata = _described(seen.metadata, seen.description)
        return Facts(subject, seen.partition, metadata, seen.tags)
    if isinstance(data, AssetFailedToMaterializeData):
        lost = data.asset_materialization_failure
        subject = f"failed asset {lost.asset_key.to_escaped_user_string()}"
        reason = MetadataValue.text(lost.reason.value)
        metadata = {**_described(lost.metadata, lost.description), "(reason)": reason}
        return Facts(subject, lost.partition, metadata, lost.tags)
    if isinstance(data, AssetCheckEvaluation):
        subject = f"check {data.asset_key.to_escaped_user_string()}:{data.check_name}"
        metadata = {
            **_described(data.metadata, data.description),
            "(passed)": MetadataValue.bool(data.passed),
            "(severity)": MetadataValue.text(data.severity.value),
        }
        return Facts(subject, data.partition, metadata, {})
    if isinstance(data, StepExpectationResultData):
        result = data.expectation_result
        metadata = {
            **_described(result.metadata, result.description),
            "(success)": MetadataValue.bool(result.success),
        }
        return Facts(f"expectation {entry.step_key}.{result.label}", None, metadata, {})
    if isinstance(data, StepOutputData):
        handle = data.step_output_handle
        key = f"[{handle.mapping_key}]" if handle.mapping_key else ""
        subject = f"output {handle.step_key}.{handle.output_name}{key}"
        metadata = {**(data.metadata or {}), **_type_checked(data.type_check_data)}
        return Facts(subject, None, metadata, {})
    if isinstance(data, HandledOutputData):
        return Facts(f"handled {entry.step_key}.{data.output_name}", None, data.metadata or {}, {})
    if isinstance(data, LoadedInputData):
        return Facts(f"input {entry.step_key}.{data.input_name}", None, data.metadata or {}, {})
    if isinstance(data, StepInputData):
        subject = f"type of input {entry.step_key}.{data.input_name}"
        return Facts(subject, None, _type_checked(data.type_check_data), {})
    if isinstance(data, StepFailureData) and data.user_failure_data is not None:
        return Facts(f"failure {entry.step_key}", None, data.user_failure_data.metadata, {})
    return None


def _described(
    metadata: Mapping[str, MetadataValue[Any]], description: str | None
) -> dict[str, MetadataValue[Any]]:
    if description is None:
        return dict(metadata)
    return {**metadata, "(description)": MetadataValue.text(description)}


def _type_checked(check: TypeCheckData | None) -> dict[str, MetadataValue[Any]]:
    """What a type check says; nothing of one that passed without a word."""
    if check is None:
        return {}
    said = {f"(type) {label}": each for label, each in check.metadata.items()}
    if check.description is not None:
        said["(type description)"] = MetadataValue.text(check.description)
    if not check.success:
        said["(type checked)"] = MetadataValue.bool(False)
    return said


def cause_of(error: SerializableErrorInfo | None) -> str | None:
    """What the first cause of an error says."""
    while error is not None and error.cause is not None:
        error = error.cause
    return None if error is None else error.message.strip()


def lanes(
    history: RunHistory,
    blind: Callable[[str], str],
    versions: Callable[[Facts], Mapping[str, str]],
) -> Mapping[str | None, Sequence[Trait]]:
    """The traits of each lane of a run, in the order of the log.

    Args:
        history (RunHistory): The run.
        blind (Callable[[str], str]): Takes out of a text what is no difference.
        versions (Callable[[Facts], Mapping[str, str]]): What is compared of the versions that an
            event tells of.
    """
    found: dict[str | None, list[Trait]] = defaultdict(list)
    for moment in moments(history):
        event = moment.entry.dagster_event
        if event is None:
            continue
        if event.event_type_value in (_STEP_TYPES if event.step_key else _RUN_TYPES):
            facts = facts_of(moment.entry)
            content = {
                name: said if said is None else blind(said)
                for name, said in _content(moment.entry, facts).items()
            }
            for key, version in versions(facts).items() if facts else ():
                content[f"(version) {key}"] = blind(version)
            subject = facts.subject if facts else None
            found[event.step_key].append(Trait(moment, content, subject))
    return found


def _content(entry: EventLogEntry, facts: Facts | None) -> dict[str, str | None]:
    event = entry.dagster_event
    said: dict[str, str | None] = {}
    if facts is not None:
        said |= {label: packed(value) for label, value in facts.metadata.items()}
        said |= {f"(tag) {key}": tag for key, tag in own_tags(facts.tags).items()}
        said |= {"(subject)": facts.subject, "(partition)": facts.partition}
    said["(type)"] = event.event_type_value if event else None
    said["(error)"] = cause_of(own_error(entry))
    return said


def own_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tags that the user gave; Dagster's are versions, pointers to events, ids, partitions."""
    dagsters = (SYSTEM_TAG_PREFIX, HIDDEN_TAG_PREFIX)
    return {key: tag for key, tag in tags.items() if not key.startswith(dagsters)}


def packed(value: MetadataValue[Any]) -> str:
    """A metadata value as Dagster serializes it."""
    return serialize_value(cast(PackableValue, value))
