"""The events that are stored: those of a real run, given new runs and times."""

import itertools
import random
import time
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster import DagsterEventType, EventLogEntry

TABLE = dg.TableSchema(
    columns=[dg.TableColumn("river", "string"), dg.TableColumn("level", "float")]
)


def events_of_a_run(assets: int = 40, lines: int = 12) -> Sequence[EventLogEntry]:
    """Runs a job over partitioned assets with checks, and gives its events in order.

    Args:
        assets: How many assets the job has; each is a step.
        lines: How many lines each step logs.
    """

    def gauge(number: int) -> dg.AssetsDefinition:
        key = dg.AssetKey(["gauges", f"gauge_{number:02}"])

        @dg.asset(
            key=key,
            partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
            check_specs=[dg.AssetCheckSpec("no_gaps", asset=key)],
        )
        def readings(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            for line in range(lines):
                context.log.info(f"gauge {number}: reading {line} of {lines}, {200 + line} cm")
            return dg.MaterializeResult(
                metadata={
                    "dagster/row_count": 288,
                    "highest": 241.5,
                    "source": dg.MetadataValue.path(f"/data/gauges/{number:02}.parquet"),
                    "dagster/column_schema": TABLE,
                },
                tags={"unit": "cm", "basin": f"basin_{number % 7}"},
                check_results=[dg.AssetCheckResult(passed=True, metadata={"gaps": 0})],
            )

        return readings

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [gauge(number) for number in range(assets)],
            instance=instance,
            partition_key="2026-01-02",
            resources={"io_manager": dg.mem_io_manager},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        return instance.all_logs(result.run_id)


def endless(events: Sequence[EventLogEntry], run_id: str) -> Iterator[EventLogEntry]:
    """The same events over and over, all of one run and each at its own time.

    What a run does only once, such as planning its assets and checks, comes only the first time.
    """
    of_steps = [event for event in events if event.step_key and "PLANNED" not in event_type(event)]
    first = time.time()
    for number, event in enumerate(itertools.chain(events, itertools.cycle(of_steps))):
        yield event._replace(run_id=run_id, timestamp=first + number / 1000)


def event_type(event: EventLogEntry) -> str:
    """The name of an event's type; empty for a log line."""
    return event.dagster_event.event_type_value if event.dagster_event else ""


MIXED = "event as a run mixes them"

KINDS = {
    MIXED: None,
    "log line": None,
    "step event": DagsterEventType.STEP_START,
    "materialization": DagsterEventType.ASSET_MATERIALIZATION,
}


def of_kind(events: Sequence[EventLogEntry], kind: str) -> Sequence[EventLogEntry]:
    """Those events that are of one of the kinds above; all of them, shuffled, for the mixed one."""
    if kind == MIXED:
        # A check is planned before it is evaluated, or Dagster takes them for two.
        unplanned = [event for event in events if "PLANNED" not in event_type(event)]
        return random.Random(2026).sample(unplanned, len(unplanned))
    return [event for event in events if event.dagster_event_type == KINDS[kind]]
