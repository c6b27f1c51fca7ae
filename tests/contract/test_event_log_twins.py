"""The rules behind the tests of Dagster's suite that ask for a SQL storage; see skips.toml."""

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.execution.stats import StepEventStatus
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.utils import make_new_run_id
from dagster_shared.serdes.errors import SerializationError

from contract.storages import OURS, UNDER_CONTRACT

ours_alone = pytest.mark.skipif(
    UNDER_CONTRACT != OURS, reason="No storage of Dagster's keeps the whole of this rule."
)


@pytest.fixture
def storage(instance: DagsterInstance) -> EventLogStorage:
    return instance.event_log_storage


def log_line(run_id: str, message: str) -> EventLogEntry:
    return EventLogEntry(
        error_info=None, level=10, user_message=message, run_id=run_id, timestamp=time.time()
    )


def step_event(
    run_id: str, step_key: str, event_type: DagsterEventType, data: Any = None
) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=time.time(),
        step_key=step_key,
        job_name="a_job",
        dagster_event=dg.DagsterEvent(
            event_type.value, "a_job", step_key=step_key, event_specific_data=data
        ),
    )


def materialize_some() -> Sequence[EventLogEntry]:
    """The events of a real run that logs, materializes, observes and checks."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
    def letters(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        context.log.info("a line with\na break, a \0 and an é")
        context.log_event(dg.AssetObservation("numbers", metadata={"one": 1}))
        return dg.MaterializeResult(
            metadata={"rows": 3, "share": float("inf"), "table": {"deep": [1, {"two": None}]}},
            tags={"team": "letters"},
        )

    @dg.asset_check(asset=letters)
    def are_letters() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    with DagsterInstance.ephemeral() as elsewhere:
        result = dg.materialize([letters, are_letters], instance=elsewhere, partition_key="b")
        return elsewhere.all_logs(result.run_id)


def warnings(caplog: pytest.LogCaptureFixture) -> Sequence[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def await_length(items: Sequence[Any], length: int, seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while len(items) < length and time.monotonic() < until:
        time.sleep(0.005)
    assert len(items) == length


def test_every_stored_event_comes_back_whole_and_in_order(storage: EventLogStorage) -> None:
    events = materialize_some()
    assert {event.dagster_event_type for event in events} >= {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.RUN_SUCCESS,
        None,
    }
    for event in events:
        storage.store_event(event)
    assert storage.get_logs_for_run(events[0].run_id) == events


# Stores one event whose metadata no other process can read, between two that all can.
STORE_A_STRANGER = """
import sys, time
from dagster import AssetMaterialization, DagsterEvent, DagsterInstance, EventLogEntry
from dagster import MetadataValue
from dagster._core.events import StepMaterializationData
from dagster._record import record
from dagster._serdes import whitelist_for_serdes

@whitelist_for_serdes
@record
class Stranger(MetadataValue[int]):
    value: int

def materialization(metadata):
    data = StepMaterializationData(AssetMaterialization("strange", metadata=metadata))
    return EventLogEntry(
        error_info=None, level=10, user_message="", run_id=sys.argv[1], timestamp=time.time(),
        step_key="a_step", dagster_event=DagsterEvent(
            "ASSET_MATERIALIZATION", "a_job", step_key="a_step", event_specific_data=data
        ),
    )

with DagsterInstance.get() as instance:
    for metadata in ({"first": 1}, {"second": Stranger(value=2)}, {"third": 3}):
        instance.event_log_storage.store_event(materialization(metadata))
"""


@ours_alone
def test_an_event_that_cannot_be_decoded_fails_its_run_and_is_left_out_elsewhere(
    storage: EventLogStorage, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = make_new_run_id()
    subprocess.run([sys.executable, "-c", STORE_A_STRANGER, run_id], check=True)

    with pytest.raises(dg.DagsterEventLogInvalidForRun):
        storage.get_records_for_run(run_id)
    with pytest.raises(dg.DagsterEventLogInvalidForRun):
        storage.get_step_stats_for_run(run_id)

    def labels(events: Sequence[EventLogEntry]) -> list[str]:
        return [label for e in events for label in e.asset_materialization.metadata]

    materializations = dg.EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION)
    caplog.clear()
    records = storage.get_event_records(materializations, ascending=True)
    assert labels([record.event_log_entry for record in records]) == ["first", "third"]
    assert len(warnings(caplog)) == 1

    caplog.clear()
    by_id = storage.get_logs_for_all_runs_by_log_id(
        dagster_event_type=DagsterEventType.ASSET_MATERIALIZATION
    )
    assert labels(list(by_id.values())) == ["first"]
    assert len(warnings(caplog)) == 1


@ours_alone
def test_a_batch_with_an_event_that_cannot_be_stored_stores_none(storage: EventLogStorage) -> None:
    run_id = make_new_run_id()
    stored = log_line(run_id, "before")
    storage.store_event(stored)
    unserializable = step_event(run_id, "a_step", DagsterEventType.STEP_START, data=object())
    with pytest.raises(SerializationError):
        storage.store_event_batch(
            [log_line(run_id, "one"), unserializable, log_line(run_id, "three")]
        )
    assert storage.get_logs_for_run(run_id) == [stored]


def test_a_watch_can_end_itself_in_its_own_callback(storage: EventLogStorage) -> None:
    once, other = make_new_run_id(), make_new_run_id()
    seen_once: list[EventLogEntry] = []
    seen_other: list[EventLogEntry] = []

    def end_itself(event: EventLogEntry, _cursor: str) -> None:
        seen_once.append(event)
        storage.end_watch(once, end_itself)

    def keep(event: EventLogEntry, _cursor: str) -> None:
        seen_other.append(event)

    storage.watch(once, None, end_itself)
    storage.watch(other, None, keep)
    for number in range(5):
        storage.store_event(log_line(once, str(number)))
    await_length(seen_once, 1)
    for number in range(5):
        storage.store_event(log_line(other, str(number)))
    await_length(seen_other, 5)
    assert [event.user_message for event in seen_other] == list("01234")
    assert len(seen_once) == 1
    storage.end_watch(other, keep)


def test_a_step_without_an_end_is_in_progress(storage: EventLogStorage) -> None:
    run_id = make_new_run_id()
    for step_key, event_type, data in [
        ("started", DagsterEventType.STEP_START, None),
        ("waits", DagsterEventType.STEP_START, None),
        ("waits", DagsterEventType.STEP_UP_FOR_RETRY, None),
        ("tries_again", DagsterEventType.STEP_START, None),
        ("tries_again", DagsterEventType.STEP_UP_FOR_RETRY, None),
        ("tries_again", DagsterEventType.STEP_RESTARTED, None),
        ("done", DagsterEventType.STEP_START, None),
        ("done", DagsterEventType.STEP_SUCCESS, StepSuccessData(duration_ms=1.0)),
    ]:
        storage.store_event(step_event(run_id, step_key, event_type, data))
    stats = {step.step_key: step for step in storage.get_step_stats_for_run(run_id)}
    assert {key: (step.status, step.attempts) for key, step in stats.items()} == {
        "started": (StepEventStatus.IN_PROGRESS, 1),
        "waits": (StepEventStatus.IN_PROGRESS, 1),
        "tries_again": (StepEventStatus.IN_PROGRESS, 2),
        "done": (StepEventStatus.SUCCESS, 1),
    }
    assert [key for key, step in stats.items() if step.end_time] == ["done"]
