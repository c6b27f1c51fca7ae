"""How a run's status follows its events: in one commit with them, and in every order.

Dagster stores an event and then tells the run storage of it, in two calls; two processes do so at
once; and `dagster debug import` stores the events of a run that has long ended.
"""

import time
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    RunsFilter,
)
from dagster._cli.debug import export_command, import_command
from dagster._core.events import DagsterEvent, RunFailureReason
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp

from dagster_lmdb import LmdbRunStorage
from python.entries import job_origin, run, status_event, whole_block

QUEUED = DagsterEventType.RUN_ENQUEUED
STARTING = DagsterEventType.RUN_STARTING
STARTED = DagsterEventType.RUN_START
SUCCESS = DagsterEventType.RUN_SUCCESS
FAILURE = DagsterEventType.RUN_FAILURE
CANCELING = DagsterEventType.RUN_CANCELING
CANCELED = DagsterEventType.RUN_CANCELED


def record_of(instance: DagsterInstance, run_id: str) -> RunRecord:
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return record


def status_of(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    """The run's status, which the run, its record and the index of statuses agree on."""
    record = record_of(instance, run_id)
    found = [
        status
        for status in DagsterRunStatus
        if run_id in instance.get_run_ids(RunsFilter(statuses=[status]))
    ]
    assert found == [record.dagster_run.status]
    return record.dagster_run.status


def records_of(instance: DagsterInstance) -> int:
    """How many records there are, but for the shapes that come before their first use."""
    assert isinstance(instance.run_storage, LmdbRunStorage)
    records = instance.run_storage._log.stat()["records"]
    return sum(count for kind, (count, _) in records.items() if kind != "shape_defined")


def handle(instance: DagsterInstance, entry: EventLogEntry) -> None:
    """Tells the run storage of an event, as Dagster does after storing it."""
    instance.handle_run_event(
        entry.run_id, entry.dagster_event, datetime_from_timestamp(entry.timestamp)
    )


def test_an_event_changes_its_runs_status_in_its_own_commit(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run(remote_job_origin=job_origin())).run_id
    for event_type, status in [
        (QUEUED, DagsterRunStatus.QUEUED),
        (STARTING, DagsterRunStatus.STARTING),
        (STARTED, DagsterRunStatus.STARTED),
        (CANCELING, DagsterRunStatus.CANCELING),
        (CANCELED, DagsterRunStatus.CANCELED),
    ]:
        before = records_of(whole)
        whole.event_log_storage.store_event(status_event(run_id, event_type))
        assert records_of(whole) == before + 1
        assert status_of(whole, run_id) == status


def test_a_batch_of_events_leaves_the_last_status(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    whole.event_log_storage.store_event_batch(
        [status_event(run_id, each) for each in (STARTING, STARTED, SUCCESS)]
    )
    record = record_of(whole, run_id)
    assert status_of(whole, run_id) == DagsterRunStatus.SUCCESS
    assert record.start_time
    assert record.end_time
    assert record.end_time >= record.start_time


def test_telling_of_a_stored_event_writes_nothing(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    for event_type in (STARTING, STARTED, FAILURE):
        entry = status_event(run_id, event_type, RunFailureReason.RUN_EXCEPTION)
        whole.event_log_storage.store_event(entry)
        before, record = records_of(whole), record_of(whole, run_id)
        handle(whole, entry)
        assert records_of(whole) == before
        assert record_of(whole, run_id) == record


def test_telling_of_an_event_that_is_not_stored_applies_it(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    entry = status_event(run_id, STARTED)
    handle(whole, entry)
    assert status_of(whole, run_id) == DagsterRunStatus.STARTED
    record = record_of(whole, run_id)
    whole.event_log_storage.store_event(entry)
    assert record_of(whole, run_id) == record


@pytest.mark.parametrize("first", ["store", "tell"])
def test_both_orders_come_to_the_same(whole: DagsterInstance, first: str) -> None:
    run_id = whole.add_run(run()).run_id
    at = time.time()
    entries = [
        status_event(run_id, STARTED, timestamp=at + 1),
        status_event(run_id, FAILURE, RunFailureReason.STEP_FAILURE, at + 2),
    ]
    for entry in entries:
        steps = [whole.event_log_storage.store_event, lambda entry: handle(whole, entry)]
        for step in steps if first == "store" else reversed(steps):
            step(entry)
    record = record_of(whole, run_id)
    assert status_of(whole, run_id) == DagsterRunStatus.FAILURE
    assert record.start_time == datetime_from_timestamp(at + 1).timestamp()
    assert record.end_time == datetime_from_timestamp(at + 2).timestamp()
    assert record.update_timestamp == datetime_from_timestamp(at + 2)
    assert record.dagster_run.tags == {RUN_FAILURE_REASON_TAG: "STEP_FAILURE"}


def test_a_canceled_run_does_not_go_back_to_canceling(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run(DagsterRunStatus.STARTED)).run_id
    canceling, canceled = status_event(run_id, CANCELING), status_event(run_id, CANCELED)
    whole.event_log_storage.store_event(canceling)
    whole.event_log_storage.store_event(canceled)
    before = records_of(whole)
    handle(whole, canceling)
    assert status_of(whole, run_id) == DagsterRunStatus.CANCELED
    handle(whole, canceled)
    handle(whole, canceling)
    assert status_of(whole, run_id) == DagsterRunStatus.CANCELED
    assert records_of(whole) == before


def test_a_canceling_that_is_stored_late_does_not_undo_the_end(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run(DagsterRunStatus.STARTED)).run_id
    canceling = status_event(run_id, CANCELING)
    canceled = status_event(run_id, CANCELED)
    for entry in (canceled, canceling):
        whole.event_log_storage.store_event(entry)
    for entry in (canceled, canceling):
        handle(whole, entry)
    assert status_of(whole, run_id) == DagsterRunStatus.CANCELED


def test_a_finished_run_changes_only_when_the_run_storage_is_told(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run(DagsterRunStatus.STARTED)).run_id
    failed, succeeded = status_event(run_id, FAILURE), status_event(run_id, SUCCESS)
    whole.handle_new_event(failed)
    whole.event_log_storage.store_event(succeeded)
    assert status_of(whole, run_id) == DagsterRunStatus.FAILURE
    handle(whole, succeeded)
    assert status_of(whole, run_id) == DagsterRunStatus.SUCCESS
    before = records_of(whole)
    for entry in (failed, succeeded, failed):
        handle(whole, entry)
    assert status_of(whole, run_id) == DagsterRunStatus.SUCCESS
    assert records_of(whole) == before


def test_unknown_runs_and_events_without_a_status_are_passed_over(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    before = records_of(whole)
    whole.run_storage.handle_run_event(
        make_new_run_id(), status_event(run_id, STARTED).get_dagster_event()
    )
    whole.run_storage.handle_run_event(
        run_id, DagsterEvent(DagsterEventType.RUN_DEQUEUED.value, "a_job")
    )
    assert records_of(whole) == before
    assert status_of(whole, run_id) == DagsterRunStatus.NOT_STARTED


def test_a_time_that_is_read_back_is_a_strict_bound(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    for fraction in (0.1234565, 0.1234567, 0.9999999, 0.5):
        at = float(int(time.time())) + 100 + fraction
        whole.handle_new_event(status_event(run_id, STARTED, timestamp=at))
        updated = record_of(whole, run_id).update_timestamp
        assert updated == datetime_from_timestamp(at)
        for bound in ("updated_after", "updated_before"):
            assert whole.get_run_ids(RunsFilter(**{bound: updated})) == []


def test_a_reason_lands_in_the_run_and_in_the_index_at_once(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run(tags={"team": "a"})).run_id
    before = records_of(whole)
    whole.event_log_storage.store_event(
        status_event(run_id, FAILURE, RunFailureReason.RUN_EXCEPTION)
    )
    assert records_of(whole) == before + 1
    tags = {RUN_FAILURE_REASON_TAG: RunFailureReason.RUN_EXCEPTION.value}
    assert whole.get_run_ids(RunsFilter(tags=tags)) == [run_id]
    assert record_of(whole, run_id).dagster_run.tags == {"team": "a", **tags}
    unknown = whole.add_run(run()).run_id
    whole.handle_new_event(status_event(unknown, FAILURE, RunFailureReason.UNKNOWN))
    assert record_of(whole, unknown).dagster_run.tags == {}


def test_tags_are_added_now_and_events_happen_when_they_did(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    whole.handle_new_event(status_event(run_id, STARTED, timestamp=4e9))
    assert record_of(whole, run_id).update_timestamp == datetime.fromtimestamp(4e9, timezone.utc)
    whole.add_run_tags(run_id, {"team": "a"})
    record = record_of(whole, run_id)
    assert abs(record.update_timestamp.timestamp() - time.time()) < 60
    assert record.start_time == 4e9


@pytest.mark.parametrize("will_retry", [True, False])
def test_failed_runs_are_tagged_for_their_retry(tmp_path: Path, will_retry: bool) -> None:
    retries = {"run_retries": {"enabled": True, "max_retries": int(will_retry)}}
    with instance_for_test({**whole_block(tmp_path), **retries}, str(tmp_path)) as instance:
        assert not instance.event_log_storage.handles_run_events_in_store_event
        run_id = instance.add_run(run()).run_id
        instance.handle_new_event(status_event(run_id, FAILURE, RunFailureReason.RUN_EXCEPTION))
        assert record_of(instance, run_id).dagster_run.tags == {
            RUN_FAILURE_REASON_TAG: RunFailureReason.RUN_EXCEPTION.value,
            WILL_RETRY_TAG: str(will_retry).lower(),
        }


def history(instance: DagsterInstance, until: DagsterEventType | None = None) -> DagsterRun:
    """A run with its events, up to its end or to one of them."""
    queued = instance.add_run(run(remote_job_origin=job_origin(), tags={"team": "a"}))
    for event_type in (QUEUED, STARTING, STARTED, SUCCESS):
        instance.handle_new_event(status_event(queued.run_id, event_type))
        if event_type == until:
            break
    return record_of(instance, queued.run_id).dagster_run


@pytest.mark.parametrize("until", [None, QUEUED, STARTED])
def test_an_imported_run_never_shows_an_old_status(
    whole: DagsterInstance, until: DagsterEventType | None
) -> None:
    with DagsterInstance.ephemeral() as elsewhere:
        imported = history(elsewhere, until)
        events = elsewhere.all_logs(imported.run_id)
    time.sleep(0.01)
    whole.add_run(imported)
    added = record_of(whole, imported.run_id)
    for entry in events:
        before = records_of(whole)
        whole.store_event(entry)
        assert records_of(whole) == before + 1
        assert status_of(whole, imported.run_id) == imported.status
        assert record_of(whole, imported.run_id) == added
    assert whole.all_logs(imported.run_id) == events


def test_dagster_debug_export_and_import(tmp_path: Path) -> None:
    @dg.op
    def one() -> int:
        return 1

    @dg.job
    def a_job() -> None:
        one()

    file = str(tmp_path / "run.gz")
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    with instance_for_test(whole_block(tmp_path / "there"), str(tmp_path / "there")) as there:
        run_id = a_job.execute_in_process(instance=there).run_id
        events = there.all_logs(run_id)
        result = CliRunner().invoke(export_command, [run_id, file])
        assert result.exit_code == 0, result.output
    with instance_for_test(whole_block(tmp_path / "here"), str(tmp_path / "here")) as here:
        result = CliRunner().invoke(import_command, [file])
        assert result.exit_code == 0, result.output
        assert here.all_logs(run_id) == events
        assert status_of(here, run_id) == DagsterRunStatus.SUCCESS
