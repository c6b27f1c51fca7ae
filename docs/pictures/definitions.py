"""The job of the documentation's pictures: it reads gauges, one of them twice, and then fails."""

import time
from collections.abc import Iterator

import dagster as dg

RIVERS = ("aare", "emme", "inn", "reuss")


@dg.op(out=dg.DynamicOut(str))
def rivers() -> Iterator[dg.DynamicOutput[str]]:
    for river in RIVERS:
        yield dg.DynamicOutput(river, mapping_key=river)


@dg.op(pool="gauges", retry_policy=dg.RetryPolicy(max_retries=1, delay=0.8))
def read_gauge(context: dg.OpExecutionContext, river: str) -> float:
    time.sleep(0.8 * (1 + RIVERS.index(river)))
    if river == "inn" and context.retry_number == 0:
        raise ConnectionError(f"the gauge of the {river} does not answer")
    context.log_event(dg.AssetMaterialization(["gauges", river], metadata={"highest": 214.5}))
    return 214.5


@dg.op
def weigh(context: dg.OpExecutionContext, levels: list[float]) -> float:
    context.log.info(f"{len(levels)} gauges")
    return sum(levels) / len(levels)


@dg.op
def predict(level: float) -> float:
    try:
        return 1 / (level - level)
    except ZeroDivisionError as error:
        raise ValueError("the levels say nothing about tomorrow") from error


# The fork server has Dagster loaded already, so that a step starts at once.
processes = dg.multiprocess_executor.configured(
    {"max_concurrent": 4, "start_method": {"forkserver": {}}}, name="processes"
)


@dg.job(executor_def=processes)
def forecast() -> None:
    predict(weigh(rivers().map(read_gauge).collect()))


@dg.op(config_schema={"levels": [float]})
def weigh_only(context: dg.OpExecutionContext) -> float:
    levels = context.op_config["levels"]
    context.log_event(
        dg.AssetMaterialization(
            "forecast",
            metadata={"highest": max(levels), "gauges": len(levels)},
            tags={"dagster/data_version": f"of-{len(levels)}-gauges"},
        )
    )
    return 1 / min(levels)


@dg.job(executor_def=dg.in_process_executor)
def weigh_levels() -> None:
    weigh_only()


defs = dg.Definitions(jobs=[forecast, weigh_levels])
