"""The definitions that other processes load: jobs by executor, a schedule, assets.

Processes load this file by its path, so it imports nothing of the tests.
"""

import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)


class Processes(StepHandler):
    """Runs each step as Dagster's executors for containers do: ``dagster api execute_step``."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def name(self) -> str:
        return "Processes"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        arguments = step_handler_context.execute_step_args
        for key in arguments.step_keys_to_execute or []:
            command = [sys.executable, "-m", *arguments.get_command_args()]
            self._started[key] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        return iter(())

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        for key in step_handler_context.execute_step_args.step_keys_to_execute or []:
            if self._started[key].poll():
                return CheckStepHealthResult.unhealthy(f"{key} ended by itself")
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        for key in step_handler_context.execute_step_args.step_keys_to_execute or []:
            self._started[key].terminate()
        return iter(())


@dg.executor(name="processes", requirements=dg.multiple_process_executor_requirements())
def processes(context: dg.InitExecutorContext) -> StepDelegatingExecutor:
    return StepDelegatingExecutor(Processes(), RetryMode.DISABLED, sleep_seconds=0.05)


@dg.op
def one(context: dg.OpExecutionContext) -> int:
    print("one says this on stdout")
    print("one says this on stderr", file=sys.stderr)
    context.log.info("one logs this")
    return 1


@dg.op(out=dg.DynamicOut(int))
def spread(number: int) -> Iterator[dg.DynamicOutput[int]]:
    for place in range(2):
        yield dg.DynamicOutput(number + place, str(place))


@dg.op
def record(context: dg.OpExecutionContext, number: int) -> int:
    context.log_event(dg.AssetMaterialization("numbers", partition=str(number)))
    return number


@dg.op
def total(numbers: list[int]) -> int:
    return sum(numbers)


@dg.graph
def sums() -> None:
    total(spread(one()).map(record).collect())


in_process_job = sums.to_job("in_process_job", executor_def=dg.in_process_executor)
multiprocess_job = sums.to_job("multiprocess_job", executor_def=dg.multiprocess_executor)
custom_job = sums.to_job("custom_job", executor_def=processes)


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise KeyError("the cause")


@dg.op
def fails() -> None:
    try:
        deep(3)
    except KeyError as error:
        raise RuntimeError("the consequence") from error


@dg.job(executor_def=dg.multiprocess_executor)
def failing_job() -> None:
    fails()


@dg.graph
def printed() -> None:
    one()


launched_job = printed.to_job("launched_job", executor_def=dg.in_process_executor)
printing_job = printed.to_job("printing_job", executor_def=dg.multiprocess_executor)


@dg.schedule(cron_schedule="0 * * * *", job=launched_job, execution_timezone="UTC")
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    at = context.scheduled_execution_time.isoformat()
    return dg.RunRequest(run_key=at, tags={"at": at})


@dg.schedule(cron_schedule="0 * * * *", job=launched_job, execution_timezone="UTC")
def broken() -> None:
    deep(2)


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def letters() -> None: ...


@dg.repository
def a_repository() -> list[object]:
    return [
        in_process_job,
        multiprocess_job,
        custom_job,
        failing_job,
        launched_job,
        printing_job,
        hourly,
        broken,
        letters,
    ]
