"""Jobs whose runs have something to look into: retries, causes, pools, dynamic steps, assets.

Processes load this file by its path, so it imports nothing of the tests.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

LETTERS = dg.StaticPartitionsDefinition(["a", "b"])

# The fork server has Dagster loaded already, so that a step starts at once.
processes = dg.multiprocess_executor.configured(
    {"max_concurrent": 3, "start_method": {"forkserver": {}}}, name="processes"
)


class Numbers(dg.ConfigurableResource[int]):
    base: int = 1


@dg.op(config_schema={"count": dg.Field(int, default_value=2), "token": dg.Field(str, "")})
def source(context: dg.OpExecutionContext) -> int:
    context.log.info("source begins")
    time.sleep(context.op_config.get("seconds", 0.0))
    return context.op_config["count"]


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=0.3))
def flaky(context: dg.OpExecutionContext, number: int) -> int:
    if context.retry_number == 0:
        raise ValueError("not the first time")
    return number


@dg.op(out=dg.DynamicOut(int))
def spread(number: int) -> Iterator[dg.DynamicOutput[int]]:
    for place in range(number):
        yield dg.DynamicOutput(place, str(place))


@dg.op(pool="lane")
def drive(context: dg.OpExecutionContext, number: int) -> int:
    time.sleep(0.4)
    context.log.warning(f"drove {number}")
    return number


@dg.op
def record(context: dg.OpExecutionContext, numbers: list[int]) -> int:
    context.log_event(
        dg.AssetMaterialization(
            "totals",
            partition="a",
            metadata={"rows": len(numbers), "path": dg.MetadataValue.path("/srv/totals")},
            tags={"dagster/data_version": f"v{len(numbers)}"},
        )
    )
    context.log_event(dg.AssetObservation("totals", metadata={"seen": sum(numbers)}))
    return sum(numbers)


@dg.graph
def everything() -> None:
    record(spread(flaky(source())).map(drive).collect())


everything_job = everything.to_job("everything_job", executor_def=processes)


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise KeyError("the cause")


@dg.op
def fails(number: int) -> int:
    try:
        deep(3)
    except KeyError as error:
        raise RuntimeError("the consequence") from error
    return number


@dg.op
def after(number: int) -> None: ...


@dg.job(executor_def=dg.in_process_executor)
def failing_job() -> None:
    after(fails(source()))


@dg.op
def dies(number: int) -> None:
    os._exit(7)


@dg.job(executor_def=processes)
def dying_job() -> None:
    dies(source())


@dg.op(config_schema={"value": dg.Field(int, 1), "rows": dg.Field(int, 1)})
def measure(context: dg.OpExecutionContext) -> int:
    """Behaves as files of the directory that the environment names tell it to."""
    told = Path(os.environ.get("DEBUG_TOLD", "."))
    if (told / "slow").exists():
        time.sleep(0.5)
    if (told / "fail").exists():
        raise RuntimeError("told to fail")
    if (told / "retry").exists() and context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1)
    context.log_event(
        dg.AssetMaterialization(
            "measured",
            metadata={"rows": context.op_config["rows"]},
            tags={"dagster/data_version": f"v{context.op_config['value']}"},
        )
    )
    return context.op_config["value"]


@dg.op
def report(number: int) -> None: ...


@dg.job(executor_def=dg.in_process_executor)
def measuring_job() -> None:
    report(measure())


@dg.asset(partitions_def=LETTERS)
def letters(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"letter": context.partition_key})


@dg.asset(deps=[letters], partitions_def=LETTERS)
def words() -> None: ...


letters_job = dg.define_asset_job(
    "letters_job", dg.AssetSelection.assets("letters", "words"), executor_def=dg.in_process_executor
)


@dg.op
def greet(context: dg.OpExecutionContext) -> None:
    context.log.info("greetings")


@dg.job(executor_def=dg.in_process_executor)
def greeting_job() -> None:
    greet()


@dg.schedule(cron_schedule="0 * * * *", job=greeting_job, execution_timezone="UTC")
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    at = context.scheduled_execution_time.isoformat()
    return dg.RunRequest(run_key=at, tags={"at": at, "secret": "tick-s3cr3t"})


@dg.sensor(job=greeting_job, minimum_interval_seconds=1)
def counting(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if context.cursor:
        return dg.SkipReason("counted already")
    context.update_cursor("1")
    return dg.RunRequest(run_key="one")


defs = dg.Definitions(
    assets=[letters, words],
    jobs=[everything_job, failing_job, dying_job, measuring_job, letters_job, greeting_job],
    schedules=[hourly],
    sensors=[counting],
)
