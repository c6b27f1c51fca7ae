"""Dagster's executors on an instance with all of its storages on one store."""

import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, ReexecutionOptions
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.errors import DagsterUserCodeExecutionError, user_code_error_boundary
from dagster._core.events import EngineEventData
from dagster._core.execution.stats import StepEventStatus
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from python.entries import event, run

JOBS = str(Path(__file__).with_name("jobs.py"))

STEPS = {"one", "spread", "record[0]", "record[1]", "total"}


def job(name: str) -> ReconstructableJob:
    return ReconstructableJob.for_file(JOBS, name)


@pytest.fixture(autouse=True)
def defensive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_RECORD_DEFENSIVE_CHECKS", "true")


def differences(instance: DagsterInstance) -> list[str]:
    return instance.event_log_storage._log.verify().differences


@pytest.mark.parametrize(
    ("name", "processes"), [("in_process_job", 1), ("multiprocess_job", 6), ("custom_job", 6)]
)
def test_a_job_leaves_its_history_whatever_executes_it(
    whole: DagsterInstance, name: str, processes: int
) -> None:
    with dg.execute_job(job(name), whole) as result:
        assert result.success
        assert result.output_for_node("total") == 3
        run_id = result.run_id
    record = whole.get_run_record_by_id(run_id)
    assert record.dagster_run.status == DagsterRunStatus.SUCCESS
    assert record.start_time
    assert record.end_time >= record.start_time
    stats = {each.step_key: each for each in whole.get_run_step_stats(run_id)}
    assert set(stats) == STEPS
    assert {each.status for each in stats.values()} == {StepEventStatus.SUCCESS}
    assert whole.get_run_stats(run_id).steps_succeeded == len(STEPS)
    partitions = whole.get_materialized_partitions(dg.AssetKey("numbers"))
    assert partitions == {"1", "2"}
    written_by = {
        entry.dagster_event.pid for entry in whole.all_logs(run_id) if entry.is_dagster_event
    }
    assert len(written_by) == processes
    assert "one logs this" in [entry.user_message for entry in whole.all_logs(run_id)]
    assert differences(whole) == []


def test_a_run_is_executed_again_from_the_history_of_its_parent(whole: DagsterInstance) -> None:
    with dg.execute_job(job("in_process_job"), whole) as first:
        parent = first.run_id
    options = ReexecutionOptions(parent, ["total"])
    with dg.execute_job(job("in_process_job"), whole, reexecution_options=options) as second:
        assert second.success
        assert second.output_for_node("total") == 3
        child = second.run_id
    assert {each.step_key for each in whole.get_run_step_stats(child)} == {"total"}
    again = whole.get_run_by_id(child)
    assert (again.root_run_id, again.parent_run_id) == (parent, parent)


def test_an_error_of_user_code_is_read_back_with_its_stack_and_its_cause(
    whole: DagsterInstance,
) -> None:
    with dg.execute_job(job("failing_job"), whole) as result:
        assert not result.success
        run_id = result.run_id
    [failure] = whole.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
    error = failure.dagster_event.step_failure_data.error
    assert error.cls_name == "DagsterExecutionStepExecutionError"
    consequence = error.cause
    assert consequence.cls_name == "RuntimeError"
    assert any("in fails" in line for line in consequence.stack)
    cause = consequence.cause
    assert (cause.cls_name, cause.message.strip()) == ("KeyError", "KeyError: 'the cause'")
    assert sum("in deep" in line for line in cause.stack) == 4
    [ended] = whole.all_logs(run_id, of_type=DagsterEventType.RUN_FAILURE)
    assert ended.dagster_event.job_failure_data.failure_reason.value == "STEP_FAILURE"
    assert whole.get_run_by_id(run_id).tags == {"dagster/failure_reason": "STEP_FAILURE"}


def test_an_error_boundary_is_stored_as_it_was_raised(whole: DagsterInstance) -> None:
    def boundary() -> SerializableErrorInfo:
        try:
            with user_code_error_boundary(DagsterUserCodeExecutionError, lambda: "it broke"):
                raise ValueError("a value with a \ud800 and a \0")
        except DagsterUserCodeExecutionError:
            return serializable_error_info_from_exc_info(sys.exc_info())

    error = boundary()
    run_id = whole.add_run(run()).run_id
    data = EngineEventData(error=error)
    stored = event(run_id, DagsterEventType.ENGINE_EVENT, data)
    whole.event_log_storage.store_event(stored)
    [read] = whole.all_logs(run_id)
    assert read == stored
    assert read.dagster_event.engine_event_data.error == error
    assert any("in boundary" in line for line in error.cause.stack)


@pytest.mark.parametrize("name", ["launched_job", "printing_job"])
def test_what_steps_print_is_read_back_by_the_keys_in_the_event_log(
    whole: DagsterInstance, name: str
) -> None:
    assert isinstance(whole.compute_log_manager, LocalComputeLogManager)
    with dg.execute_job(job(name), whole) as result:
        run_id = result.run_id
    captured = {
        tuple(data.step_keys or []): data
        for entry in whole.all_logs(run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        for data in [entry.dagster_event.logs_captured_data]
    }
    [of_one] = [data for steps, data in captured.items() if "one" in steps]
    key = whole.compute_log_manager.build_log_key_for_run(run_id, of_one.file_key)
    assert whole.compute_log_manager.is_capture_complete(key)
    read = whole.compute_log_manager.get_log_data(key)
    assert b"one says this on stdout" in read.stdout
    assert b"one says this on stderr" in read.stderr
    assert b"on stderr" not in read.stdout


def test_files_of_the_local_file_manager_are_named_in_the_history(
    whole: DagsterInstance, tmp_path: Path
) -> None:
    @dg.op(required_resource_keys={"files"})
    def write(context: dg.OpExecutionContext) -> dg.LocalFileHandle:
        handle = context.resources.files.write_data(b"some bytes", ext="bin")
        context.log_event(
            dg.AssetMaterialization("file", metadata={"path": dg.MetadataValue.path(handle.path)})
        )
        return handle

    @dg.op(required_resource_keys={"files"})
    def read(context: dg.OpExecutionContext, handle: dg.LocalFileHandle) -> bytes:
        return context.resources.files.read_data(handle)

    @dg.job(resource_defs={"files": dg.local_file_manager})
    def files() -> None:
        read(write())

    result = files.execute_in_process(instance=whole)
    assert result.output_for_node("read") == b"some bytes"
    stored = whole.get_latest_materialization_event(dg.AssetKey("file"))
    path = Path(stored.asset_materialization.metadata["path"].value)
    assert path.read_bytes() == b"some bytes"
    assert path.is_relative_to(Path(whole.storage_directory()) / "file_manager")
