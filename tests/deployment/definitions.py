"""What the code server of the deployment serves: a part for each thing that is tested.

An op that has to wait for its test waits for a gate: a file that the test makes.
"""

import os
import time
from pathlib import Path

import dagster as dg

# The fork server has Dagster loaded already, so that a step starts at once.
step_processes = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {}}}, name="step_processes"
)

GATES = Path(os.environ["DEPLOYMENT_GATES"])
GATE_SECONDS = 240.0
SIDES = dg.StaticPartitionsDefinition(["north", "east", "south", "west"])
SENSOR_RUNS = 2  # after these, the sensor's cursor advances without a run


def wait_for(gate: str) -> None:
    """Returns once the test has opened the gate."""
    deadline = time.monotonic() + GATE_SECONDS
    while not (GATES / gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {gate}")
        time.sleep(0.05)


@dg.op
def recite(context: dg.OpExecutionContext) -> None:
    for verse in range(1, 4):
        context.log.info(f"verse {verse}")


@dg.op
def recite_at_gates(context: dg.OpExecutionContext) -> None:
    for verse in range(1, 4):
        context.log.info(f"verse {verse}")
        wait_for(f"{context.run_id} {verse}")


@dg.op
def work() -> None:
    wait_for("lane")
    time.sleep(0.5)


@dg.op
def succeed_on_retry(context: dg.OpExecutionContext) -> None:
    if "dagster/retry_number" not in context.run.tags:
        raise RuntimeError("the first try fails")


@dg.op
def hang() -> None:
    """Ends with its worker alone, or with the process that started it."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.1)


@dg.op(pool="press")
def press_left() -> None:
    wait_for("press")
    time.sleep(0.5)


@dg.op(pool="press")
def press_right() -> None:
    wait_for("press")
    time.sleep(0.5)


@dg.job(tags={"kind": "poem"})
def poem() -> None:
    recite()


@dg.job(tags={"kind": "poem"})
def poem_at_gates() -> None:
    recite_at_gates()


@dg.job(tags={"lane": "narrow"})
def narrow() -> None:
    work()


@dg.job(executor_def=step_processes)
def pressed() -> None:
    press_left()
    press_right()


@dg.job
def pressed_alone() -> None:
    press_left()


@dg.job(tags={"dagster/max_retries": "1"})
def second_try() -> None:
    succeed_on_retry()


@dg.job(tags={"worker": "own"})
def hanging() -> None:
    hang()


@dg.job
def counted() -> None:
    recite()


@dg.schedule(job=poem, cron_schedule="* * * * *")
def every_minute() -> dg.RunRequest:
    return dg.RunRequest(tags={"asked_by": "every_minute"})


@dg.sensor(job=counted, minimum_interval_seconds=1)
def counting(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    count = int((context.cursor or "count 0").split()[1]) + 1
    cursor = f"count {count}"
    if count > SENSOR_RUNS:
        return dg.SensorResult(skip_reason=f"counted to {count}", cursor=cursor)
    return dg.SensorResult([dg.RunRequest(run_key=f"run {count}")], cursor=cursor)


@dg.asset(
    partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c", "d"]),
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=2),
)
def letters(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"letters {context.partition_keys}")


@dg.asset(partitions_def=SIDES, backfill_policy=dg.BackfillPolicy.single_run())
def panes(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"panes {context.partition_keys}")


@dg.asset(partitions_def=SIDES, backfill_policy=dg.BackfillPolicy.single_run())
def tiles(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"tiles {context.partition_keys}")


@dg.asset
def ledger() -> None: ...


@dg.asset
def source() -> None: ...


@dg.asset(deps=[source], automation_condition=dg.AutomationCondition.eager())
def derived() -> None: ...


automation = dg.AutomationConditionSensorDefinition(
    "automation", target=dg.AssetSelection.assets("derived"), minimum_interval_seconds=1
)

defs = dg.Definitions(
    assets=[letters, panes, tiles, ledger, source, derived],
    jobs=[poem, poem_at_gates, narrow, pressed, pressed_alone, second_try, hanging, counted],
    schedules=[every_minute],
    sensors=[counting, automation],
    executor=dg.in_process_executor,
)
