"""Events as plain data: what a test decides on, from which any process builds the same entry."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import AssetKey, DagsterEventType, EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.events import (
    AssetMaterializationFailure,
    AssetMaterializationFailureReason,
    AssetMaterializationFailureType,
)
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.events import (
    AssetFailedToMaterializeData,
    AssetMaterializationPlannedData,
    AssetObservationData,
    AssetWipedData,
    EngineEventData,
    JobFailureData,
    RunFailureReason,
    StepMaterializationData,
)
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData, StepSuccessData
from dagster._utils.error import SerializableErrorInfo

#: The time that timestamps here count from.
EPOCH = 1_700_000_000.0

RUNS = ["run-1", "run-2", "run-3"]
ASSETS = ['["a"]', '["a", "b"]', '["c"]']
PARTITIONS = ["p", "q", "x", "y"]
CHECKS = [(asset, name) for asset in ASSETS[:2] for name in ("fresh", "whole")]
STEPS = ["step-1", "step-2", "step-3"]
JOBS = ["job-1", "job-2"]
DIMENSION = "dagster/partition/country"

T = DagsterEventType
STEP_TYPES = [T.STEP_START, T.STEP_SUCCESS, T.STEP_FAILURE, T.STEP_UP_FOR_RETRY, T.STEP_RESTARTED]
STATUS_TYPES = [
    T.RUN_ENQUEUED,
    T.RUN_STARTING,
    T.RUN_START,
    T.RUN_SUCCESS,
    T.RUN_FAILURE,
    T.RUN_CANCELING,
    T.RUN_CANCELED,
]
#: Types whose events make an asset known.
KNOWING_TYPES = [T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION, T.ASSET_MATERIALIZATION_PLANNED]
#: Types whose events stand under their partitions.
PARTITIONED_TYPES = [*KNOWING_TYPES, T.ASSET_FAILED_TO_MATERIALIZE]
ASSET_TYPES = [*PARTITIONED_TYPES, T.FRESHNESS_STATE_CHANGE, T.ASSET_WIPED]
CHECK_TYPES = [T.ASSET_CHECK_EVALUATION_PLANNED, T.ASSET_CHECK_EVALUATION]
TYPES = [T.ENGINE_EVENT, *STEP_TYPES, *STATUS_TYPES, *ASSET_TYPES, *CHECK_TYPES]

#: Tags that the storage indexes.
INDEXED = (DATA_VERSION_TAG, DIMENSION)


def asset_key(text: str) -> AssetKey:
    key = AssetKey.from_db_string(text)
    assert key is not None
    return key


@dataclass(frozen=True)
class Draft:
    """One event. ``type`` is None for a log line; what the type has no use for is idle."""

    number: int
    type: DagsterEventType | None
    run: str
    #: Seconds after ``EPOCH``.
    time: int = 0
    step: str | None = None
    job: str | None = None
    asset: str = ASSETS[0]
    partition: str | None = None
    #: A planned event's partitions; empty for none.
    subset: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    skipped: bool = False
    check: str = "fresh"
    passed: bool = True
    target: int | None = None
    state: str = "PASS"
    #: Why a run failed.
    reason: str | None = None

    def __post_init__(self) -> None:
        # Dagster makes a materialization's partition anew from the tags of its dimensions.
        dimension = dict(self.tags).get(DIMENSION)
        if self.type is T.ASSET_MATERIALIZATION and dimension:
            object.__setattr__(self, "partition", dimension)
        if self.type is not T.RUN_FAILURE:
            object.__setattr__(self, "reason", None)

    @property
    def timestamp(self) -> float:
        return EPOCH + self.time

    @property
    def partitions(self) -> list[str]:
        """The partitions that the event is about."""
        return [self.partition] if self.partition else self.check_keys

    @property
    def check_keys(self) -> list[str]:
        """A subset's keys, in the order in which ``acts`` has them given."""
        return sorted(self.subset)

    @property
    def keys_subset(self) -> DefaultPartitionsSubset:
        return DefaultPartitionsSubset(set(self.subset))

    @property
    def indexed_tags(self) -> dict[str, str]:
        if self.type not in (T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION):
            return {}
        return {key: value for key, value in self.tags if key in INDEXED}

    def data(self) -> Any:
        """The event-specific data."""
        key = asset_key(self.asset)
        match self.type:
            case T.ENGINE_EVENT:
                return EngineEventData()
            case T.STEP_SUCCESS:
                return StepSuccessData(duration_ms=1.5)
            case T.STEP_FAILURE:
                return StepFailureData(error=None, user_failure_data=None)
            case T.STEP_UP_FOR_RETRY:
                return StepRetryData(SerializableErrorInfo("no", [], None), seconds_to_wait=2)
            case T.RUN_FAILURE if self.reason:
                reason = RunFailureReason(self.reason)
                return JobFailureData(error=None, failure_reason=reason)
            case T.ASSET_MATERIALIZATION:
                return StepMaterializationData(
                    dg.AssetMaterialization(key, partition=self.partition, tags=dict(self.tags))
                )
            case T.ASSET_OBSERVATION:
                return AssetObservationData(
                    dg.AssetObservation(key, partition=self.partition, tags=dict(self.tags))
                )
            case T.ASSET_MATERIALIZATION_PLANNED:
                return AssetMaterializationPlannedData(
                    key,
                    partition=self.partition,
                    partitions_subset=self.keys_subset if self.subset else None,
                )
            case T.ASSET_FAILED_TO_MATERIALIZE:
                kind = AssetMaterializationFailureType
                return AssetFailedToMaterializeData(
                    AssetMaterializationFailure(
                        key,
                        kind.SKIPPED if self.skipped else kind.FAILED,
                        AssetMaterializationFailureReason.UNKNOWN,
                        partition=self.partition,
                    )
                )
            case T.FRESHNESS_STATE_CHANGE:
                return FreshnessStateChange(
                    key=key,
                    new_state=FreshnessState[self.state],
                    previous_state=FreshnessState.UNKNOWN,
                    state_change_timestamp=self.timestamp,
                )
            case T.ASSET_WIPED:
                return AssetWipedData(asset_key=key, partition_keys=None)
            case T.ASSET_CHECK_EVALUATION_PLANNED:
                return AssetCheckEvaluationPlanned(
                    asset_key=key,
                    check_name=self.check,
                    partitions_subset=self.keys_subset if self.subset else None,
                )
            case T.ASSET_CHECK_EVALUATION:
                return AssetCheckEvaluation(
                    asset_key=key,
                    check_name=self.check,
                    passed=self.passed,
                    partition=self.partition,
                    target_materialization_data=None
                    if self.target is None
                    else AssetCheckEvaluationTargetMaterializationData(
                        storage_id=self.target, run_id=self.run, timestamp=self.timestamp
                    ),
                )
            case _:
                return None

    def entry(self) -> EventLogEntry:
        event = None
        if self.type is not None:
            event = dg.DagsterEvent(
                self.type.value,
                self.job or "job",
                step_key=self.step,
                event_specific_data=self.data(),
            )
        return EventLogEntry(
            error_info=None,
            level=10,
            user_message=f"message {self.number}",
            run_id=self.run,
            timestamp=self.timestamp,
            step_key=self.step,
            job_name=self.job,
            dagster_event=event,
        )


@dataclass
class Act:
    """A command for some process: a name of ``acts.perform`` and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    #: Seconds after ``EPOCH`` that the process's clock says.
    now: int = 0
