"""Events with all that is special about them, and those of a real run."""

import sys
from collections.abc import Sequence
from typing import Any

import dagster as dg
from benches.events import as_run, events_of_a_run
from dagster import DagsterEventType, EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    EngineEventData,
    HandledOutputData,
    HookErroredData,
    StepFailureData,
    StepMaterializationData,
    StepSuccessData,
)
from dagster._core.execution.plan.objects import UserFailureData
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.utils import make_new_run_id
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from python.entries import event, log_line

LONE = "lone \ud83d and \ude00 apart"
UNICODE = 'Größe \N{GRINNING FACE} \x00 \x1f \x7f \u2028 " \\ /'


def special(run_id: str) -> Sequence[EventLogEntry]:
    """Events of a run."""

    def of(
        event_type: DagsterEventType, data: object, step_key: str | None = "a_step"
    ) -> EventLogEntry:
        return event(run_id, event_type, data, step_key=step_key)

    def materialized(key: dg.AssetKey, **fields: object) -> EventLogEntry:
        data = StepMaterializationData(dg.AssetMaterialization(key, **fields))  # type: ignore[arg-type]
        return of(DagsterEventType.ASSET_MATERIALIZATION, data)

    key = dg.AssetKey(["a/b", UNICODE, "c"])
    check = {"asset_key": key, "check_name": "no_gaps"}
    days = DefaultPartitionsSubset({"2026-01-01", "2026-01-02", UNICODE})
    return [
        log_line(run_id, UNICODE),
        log_line(run_id, LONE),
        log_line(run_id, "", timestamp=0.0),
        log_line(run_id, "before 1970, and between two microseconds", timestamp=-1.0000005),
        log_line(run_id, "rounded", timestamp=1700000000.1234567),
        log_line(run_id, "failed")._replace(error_info=raised(), level=40),
        materialized(key, partition=UNICODE, tags={"unit": "cm"}, metadata=every_kind()),
        materialized(
            dg.AssetKey("plain"),
            partition=dg.MultiPartitionKey({"day": "2026-01-01", "basin": "a"}),
            tags={"dagster/partition/day": "2026-01-01", "dagster/partition/basin": "a"},
        ),
        materialized(dg.AssetKey("empty"), metadata={}, tags={}),
        of(
            DagsterEventType.ASSET_OBSERVATION,
            AssetObservationData(dg.AssetObservation(key, metadata={"nan": float("nan")})),
        ),
        of(
            DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            AssetMaterializationPlannedData(key, partitions_subset=days),
            None,
        ),
        of(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, AssetCheckEvaluationPlanned(**check)),
        of(
            DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
            AssetCheckEvaluationPlanned(**check, partitions_subset=days),
        ),
        of(
            DagsterEventType.ASSET_CHECK_EVALUATION,
            AssetCheckEvaluation(
                **check,
                passed=False,
                metadata={"gaps": 3, LONE: {"a": [None]}},
                severity=dg.AssetCheckSeverity.WARN,
                description=UNICODE,
                blocking=True,
                target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                    storage_id=7, run_id=run_id, timestamp=1.5
                ),
            ),
        ),
        of(DagsterEventType.STEP_SUCCESS, StepSuccessData(duration_ms=1234.5)),
        of(
            DagsterEventType.STEP_FAILURE,
            StepFailureData(
                raised(), UserFailureData("label", "description", metadata={"rows": 2})
            ),
        ),
        of(DagsterEventType.HOOK_ERRORED, HookErroredData(raised())),
        of(
            DagsterEventType.ENGINE_EVENT,
            EngineEventData(metadata={"pid": dg.MetadataValue.text("12")}, error=raised()),
        ),
        of(
            DagsterEventType.HANDLED_OUTPUT,
            HandledOutputData(
                "result", "io_manager", metadata={"path": dg.MetadataValue.path("/a")}
            ),
        ),
    ]


def of_a_real_run(run_id: str) -> Sequence[EventLogEntry]:
    return as_run(events_of_a_run(assets=3, lines=2), run_id)


def a_tick(status: TickStatus, **fields: Any) -> TickData:
    return TickData(
        instigator_origin_id="an_origin",
        instigator_name="a_sensor",
        instigator_type=InstigatorType.SENSOR,
        status=status,
        timestamp=1700000000.25,
        selector_id="a_selector",
        **fields,
    )


def every_kind() -> dict[str, object]:
    value = dg.MetadataValue
    schema = dg.TableSchema(columns=[dg.TableColumn("river", "string")])
    lineage = dg.TableColumnLineage({"a": [dg.TableColumnDep(dg.AssetKey(["x", "y"]), "b")]})
    return {
        "text": UNICODE,
        "lone": LONE,
        "url": value.url("http://a/b?c=d"),
        "path": value.path("/a/b"),
        "notebook": value.notebook("/a.ipynb"),
        "json": {"b": [1, None, 1e300, {"é": LONE}], "a": float("nan")},
        "json null": value.json(None),  # type: ignore[arg-type]  # as users do
        "md": value.md("# *a*"),
        "artifact": value.python_artifact(dg.AssetKey),
        "float": 1.5,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "int": -(2**63),
        "largest": 2**63 - 1,
        "beyond": 2**63,
        "far beyond": -(2**200),
        "true": True,
        "timestamp": value.timestamp(1700000000.5),
        "run": value.dagster_run(make_new_run_id()),
        "job": value.job("a_job", "a_location", repository_name="a_repository"),
        "asset": value.asset(dg.AssetKey(["a", "b/c"])),
        "table": value.table([dg.TableRecord({"river": "Ill"})], schema=schema),
        "schema": schema,
        "lineage": lineage,
        "null": None,
        "": "no label",
    }


def raised() -> SerializableErrorInfo:
    """An error with two causes, one of which has a message that is no Unicode text."""
    try:
        try:
            try:
                raise KeyError(LONE)
            except KeyError as error:
                raise ValueError(UNICODE) from error
        except ValueError as error:
            raise RuntimeError("outermost") from error
    except RuntimeError:
        return serializable_error_info_from_exc_info(sys.exc_info())
