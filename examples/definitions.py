"""River gauges: a job that reads them, and partitioned assets made from them, with checks."""

import math
from collections.abc import Iterator, Sequence

import dagster as dg

BASINS = {
    "aare": ["aare", "emme"],
    "inn": ["flaz", "inn"],
    "reuss": ["lorze", "reuss"],
    "rhine": ["rhine", "thur"],
}
RIVERS = sorted(river for rivers in BASINS.values() for river in rivers)
READINGS = 288  # a day, one every five minutes
ALARM = 240.0  # cm
DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-15")

# Four processes at once. The fork server has Dagster loaded already, so that a step starts at once.
four_processes = dg.multiprocess_executor.configured(
    {"max_concurrent": 4, "start_method": {"forkserver": {}}}, name="four_processes"
)


def level(river: str, day: int, reading: int) -> float:
    """The level of a river in centimetres, made up."""
    phase = RIVERS.index(river)
    return round(200 + 40 * math.sin(day / 3 + phase) + 5 * math.sin(reading / 45 + phase), 1)


@dg.op(out=dg.DynamicOut(str))
def rivers() -> Iterator[dg.DynamicOutput[str]]:
    for river in RIVERS:
        yield dg.DynamicOutput(river, mapping_key=river)


@dg.op
def read_gauge(context: dg.OpExecutionContext, river: str) -> float:
    levels = []
    for reading in range(READINGS):
        levels.append(level(river, 0, reading))
        time = f"{reading // 12:02}:{reading % 12 * 5:02}"
        context.log.info(f"{river} at {time}: {levels[-1]} cm")
    context.log_event(
        dg.AssetMaterialization(
            asset_key=["gauges", river],
            metadata={"highest": max(levels)},
            tags={"unit": "cm"},
        )
    )
    return max(levels)


@dg.op
def highest_of(context: dg.OpExecutionContext, levels: list[float]) -> float:
    context.log.info(f"The highest level was {max(levels)} cm.")
    return max(levels)


@dg.job(executor_def=four_processes)
def read_gauges() -> None:
    highest_of(rivers().map(read_gauge).collect())


def basin(name: str, rivers: Sequence[str]) -> dg.AssetsDefinition:
    """An asset that knows the highest level of a basin's rivers for each day."""

    @dg.asset(
        key=["basins", name],
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("no_alarm", asset=dg.AssetKey(["basins", name]))],
    )
    def highest(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        alarms = []
        for day in context.partition_keys:
            levels = [level(river, int(day[-2:]), at) for river in rivers for at in range(READINGS)]
            context.log.info(f"{name} on {day}: {max(levels)} cm")
            context.add_asset_metadata({"highest": max(levels)}, partition_key=day)
            alarms += [day] if max(levels) > ALARM else []
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    check_name="no_alarm",
                    passed=not alarms,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"days": len(alarms)},
                )
            ],
        )

    return highest


basins = [basin(name, rivers) for name, rivers in BASINS.items()]


@dg.asset(deps=basins, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def flood_risk(context: dg.AssetExecutionContext) -> None:
    for day in context.partition_keys:
        context.add_asset_metadata({"basins": len(BASINS)}, partition_key=day)


@dg.asset_check(asset=flood_risk)
def every_basin_counts() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"basins": len(BASINS)})


flood_forecast = dg.define_asset_job(
    "flood_forecast", dg.AssetSelection.all(), executor_def=four_processes
)

defs = dg.Definitions(
    assets=[*basins, flood_risk],
    asset_checks=[every_basin_counts],
    jobs=[read_gauges, flood_forecast],
)
