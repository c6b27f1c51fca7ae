"""Dagster's launcher, run coordinators and scheduler on one store, with a real code server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultRunLauncher,
    RunsFilter,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.run_coordinator import DefaultRunCoordinator, QueuedRunCoordinator
from dagster._core.scheduler.instigation import InstigatorStatus, TickData, TickStatus
from dagster._core.test_utils import (
    create_test_daemon_workspace_context,
    freeze_time,
    instance_for_test,
    load_remote_repo,
    poll_for_finished_run,
)
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon import get_default_daemon_logger
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._time import create_datetime, get_current_datetime
from dagster._utils.error import SerializableErrorInfo

from python.entries import whole_block

#: Seconds that a run of one step may take on a busy machine.
PATIENCE = 120


@contextmanager
def deployment(
    tmp_path: Path, **blocks: Any
) -> Iterator[tuple[DagsterInstance, WorkspaceProcessContext]]:
    """An instance, and a code server with the definitions of ``jobs.py``."""
    target = PythonFileTarget(
        python_file=str(Path(__file__).with_name("jobs.py")),
        attribute="a_repository",
        working_directory=None,
        location_name="a_location",
    )
    with (
        instance_for_test({**whole_block(tmp_path), **blocks}, str(tmp_path)) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        yield instance, workspace


def repository(workspace: WorkspaceProcessContext) -> RemoteRepository:
    return load_remote_repo(workspace, "a_repository")


def submit(
    instance: DagsterInstance, workspace: WorkspaceProcessContext, **tags: str
) -> DagsterRun:
    """Creates a run of ``launched_job`` as the webserver does, and submits it."""
    context = workspace.create_request_context()
    job = repository(workspace).get_full_job("launched_job")
    plan = context.get_code_location("a_location").get_execution_plan(
        job, {}, step_keys_to_execute=None, known_state=None, instance=instance
    )
    run = instance.create_run(
        job_name=job.name,
        run_id=None,
        run_config={},
        resolved_op_selection=None,
        step_keys_to_execute=None,
        status=DagsterRunStatus.NOT_STARTED,
        tags=tags,
        root_run_id=None,
        parent_run_id=None,
        job_snapshot=job.job_snapshot,
        execution_plan_snapshot=plan.execution_plan_snapshot,
        parent_job_snapshot=job.parent_job_snapshot,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_selection=None,
        asset_check_selection=None,
        op_selection=None,
        asset_graph=context.asset_graph,
    )
    return instance.submit_run(run.run_id, context)


def statuses_of(instance: DagsterInstance) -> dict[DagsterRunStatus, int]:
    counts = {
        status: instance.get_runs_count(RunsFilter(statuses=[status]))
        for status in DagsterRunStatus
    }
    return {status: count for status, count in counts.items() if count}


def differences(instance: DagsterInstance) -> list[str]:
    return instance.run_storage._log.verify().differences


def test_the_default_coordinator_launches_a_run_in_a_process_of_its_own(tmp_path: Path) -> None:
    with deployment(
        tmp_path,
        run_coordinator={
            "module": "dagster._core.run_coordinator",
            "class": "DefaultRunCoordinator",
        },
    ) as (instance, workspace):
        assert isinstance(instance.run_coordinator, DefaultRunCoordinator)
        assert isinstance(instance.run_launcher, DefaultRunLauncher)
        run = submit(instance, workspace, team="a")
        # Its process may be on its way by now.
        assert run.status not in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED)
        ended = poll_for_finished_run(instance, run.run_id, timeout=PATIENCE)
        assert ended.status == DagsterRunStatus.SUCCESS
        assert ended.tags["team"] == "a"
        assert ".dagster/grpc_info" in ended.tags
        types = [each.dagster_event_type for each in instance.all_logs(run.run_id)]
        wanted = [
            DagsterEventType.RUN_STARTING,
            DagsterEventType.RUN_START,
            DagsterEventType.STEP_SUCCESS,
            DagsterEventType.RUN_SUCCESS,
        ]
        assert [each for each in types if each in wanted] == wanted
        label = {".dagster/repository": "a_repository@a_location"}
        assert instance.get_run_ids(RunsFilter(tags=label)) == [run.run_id]
        assert instance.get_job_snapshot(ended.job_snapshot_id).name == "launched_job"
        assert differences(instance) == []


def test_the_queue_is_emptied_within_its_limits(tmp_path: Path) -> None:
    """The daemon launches two of three runs that share a tag, and the third when there is room."""
    limits = [{"key": "team", "value": "a", "limit": 2}]
    with deployment(
        tmp_path,
        concurrency={"runs": {"max_concurrent_runs": 5, "tag_concurrency_limits": limits}},
        run_launcher={"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
    ) as (instance, workspace):
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        queued = [submit(instance, workspace, team="a") for _ in range(3)]
        assert statuses_of(instance) == {DagsterRunStatus.QUEUED: 3}
        for run in queued:
            [event] = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_ENQUEUED)
            assert event.run_id == run.run_id
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1, page_size=1)
        for _ in range(2):
            assert not [error for error in daemon.run_iteration(workspace) if error]
            launched = [run.run_id for run in instance.run_launcher.queue()]
            assert launched == [run.run_id for run in queued[:2]]
            assert statuses_of(instance) == {
                DagsterRunStatus.STARTING: 2,
                DagsterRunStatus.QUEUED: 1,
            }
        instance.report_run_canceled(instance.get_run_by_id(queued[0].run_id))
        assert not [error for error in daemon.run_iteration(workspace) if error]
        assert statuses_of(instance) == {
            DagsterRunStatus.STARTING: 2,
            DagsterRunStatus.CANCELED: 1,
        }
        assert differences(instance) == []


def test_a_queued_run_is_launched_and_ends(tmp_path: Path) -> None:
    with deployment(tmp_path) as (instance, workspace):
        run = submit(instance, workspace)
        assert run.status == DagsterRunStatus.QUEUED
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        assert not [error for error in daemon.run_iteration(workspace) if error]
        ended = poll_for_finished_run(instance, run.run_id, timeout=PATIENCE)
        assert ended.status == DagsterRunStatus.SUCCESS
        record = instance.get_run_record_by_id(run.run_id)
        assert record.create_timestamp.timestamp() <= record.start_time <= record.end_time
        assert differences(instance) == []


def turn(workspace: WorkspaceProcessContext) -> list[SerializableErrorInfo]:
    """The errors of one turn of the scheduler's daemon, at the time that it is."""
    logger = get_default_daemon_logger("SchedulerDaemon")
    errors = launch_scheduled_runs(workspace, logger, get_current_datetime(), iteration_times={})
    return [error for error in errors if error]


def test_a_schedule_asks_for_its_runs_once_a_tick(tmp_path: Path) -> None:
    with deployment(
        tmp_path,
        run_coordinator={
            "module": "dagster._core.test_utils",
            "class": "MockedRunCoordinator",
        },
    ) as (instance, workspace):
        schedule = repository(workspace).get_schedule("hourly")
        origin, selector = schedule.get_remote_origin_id(), schedule.selector_id
        with freeze_time(create_datetime(2024, 5, 6, 11, 30)):
            instance.start_schedule(schedule)
            assert turn(workspace) == []
            assert instance.get_ticks(origin, selector) == []
        for hour in (12, 13):
            with freeze_time(create_datetime(2024, 5, 6, hour, 0, 1)):
                assert turn(workspace) == []
                assert turn(workspace) == []
        ticks = instance.get_ticks(origin, selector)
        noon, one = create_datetime(2024, 5, 6, 12), create_datetime(2024, 5, 6, 13)
        assert [tick.timestamp for tick in ticks] == [one.timestamp(), noon.timestamp()]
        assert {tick.status for tick in ticks} == {TickStatus.SUCCESS}
        runs = instance.get_runs(ascending=True)
        assert [run.tags["at"] for run in runs] == [noon.isoformat(), one.isoformat()]
        assert [list(tick.run_ids) for tick in ticks] == [[runs[1].run_id], [runs[0].run_id]]
        assert [run.run_id for run in instance.run_coordinator.queue()] == [
            run.run_id for run in runs
        ]
        [state] = instance.all_instigator_state()
        assert state.status == InstigatorStatus.RUNNING
        assert differences(instance) == []


def test_a_schedule_that_raises_leaves_its_stack_in_the_tick(tmp_path: Path) -> None:
    with deployment(tmp_path) as (instance, workspace):
        schedule = repository(workspace).get_schedule("broken")
        with freeze_time(create_datetime(2024, 5, 6, 11, 59, 59)):
            instance.start_schedule(schedule)
        with freeze_time(create_datetime(2024, 5, 6, 12, 0, 1)):
            [raised] = turn(workspace)
            assert "the cause" in raised.cause.message
        [tick] = instance.get_ticks(schedule.get_remote_origin_id(), schedule.selector_id)
        assert tick.status == TickStatus.FAILURE
        cause = tick.error.cause
        assert "the cause" in cause.message
        assert sum("in deep" in line for line in cause.stack) == 3
        assert instance.get_runs_count() == 0
        [summary] = instance.schedule_storage.get_tick_summaries(
            schedule.get_remote_origin_id(), schedule.selector_id
        )
        assert (summary.tick_id, summary.status) == (tick.tick_id, TickStatus.FAILURE)


def test_a_tick_that_was_begun_is_taken_up_again(tmp_path: Path) -> None:
    """A daemon that died in a tick has left it as started, and the next one goes on with it."""
    with deployment(
        tmp_path,
        run_coordinator={
            "module": "dagster._core.test_utils",
            "class": "MockedRunCoordinator",
        },
    ) as (instance, workspace):
        schedule = repository(workspace).get_schedule("hourly")
        origin, selector = schedule.get_remote_origin_id(), schedule.selector_id
        noon = create_datetime(2024, 5, 6, 12)
        with freeze_time(create_datetime(2024, 5, 6, 11, 59, 59)):
            instance.start_schedule(schedule)
        begun = instance.create_tick(
            TickData(
                instigator_origin_id=origin,
                instigator_name=schedule.name,
                instigator_type=InstigatorType.SCHEDULE,
                status=TickStatus.STARTED,
                timestamp=noon.timestamp(),
                selector_id=selector,
            )
        )
        with freeze_time(create_datetime(2024, 5, 6, 12, 0, 1)):
            assert turn(workspace) == []
        [tick] = instance.get_ticks(origin, selector)
        assert (tick.tick_id, tick.status) == (begun.tick_id, TickStatus.SUCCESS)
        assert tick.run_ids == instance.get_run_ids()
        assert len(tick.run_ids) == 1
        assert differences(instance) == []
