"""The payloads: the events of real runs of assets, given new runs, times and partitions."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster import DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.events import AssetMaterializationPlannedData

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
TABLE = dg.TableSchema(
    columns=[dg.TableColumn("river", "string"), dg.TableColumn("level", "float")]
)
DAYS = dg.StaticPartitionsDefinition([f"part-{number:04}" for number in range(1000)])


def asset(
    key: dg.AssetKey,
    lines: int,
    partitions: dg.PartitionsDefinition | None = None,
    checked: bool = True,
) -> dg.AssetsDefinition:
    """An asset that logs some lines and has metadata and tags, and a check if so wanted."""
    check = [dg.AssetCheckSpec("no_gaps", asset=key)] if checked else []

    @dg.asset(key=key, partitions_def=partitions, check_specs=check)
    def readings(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        for line in range(lines):
            context.log.info(f"{key.path[-1]}: reading {line} of {lines}, {200 + line} cm")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": 288,
                "highest": 241.5,
                "source": dg.MetadataValue.path(f"/data/{'/'.join(key.path)}.parquet"),
                "dagster/column_schema": TABLE,
            },
            tags={"unit": "cm", "basin": f"basin_{len(key.path[-1]) % 7}"},
            check_results=[dg.AssetCheckResult(passed=True, metadata={"gaps": 0})] * checked,
        )

    return readings


@contextmanager
def logging_on() -> Iterator[None]:
    """Has runs log, also where a bench has turned logging off: their lines are events."""
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    try:
        yield
    finally:
        logging.disable(disabled)


def events_of(
    assets: Sequence[dg.AssetsDefinition], job: str, partition: str | None = None
) -> Sequence[EventLogEntry]:
    """Runs a job over assets in process, and gives the events of its run in order."""
    definitions = dg.Definitions(
        assets=assets,
        jobs=[dg.define_asset_job(job, selection="*", config=QUIET)],
        resources={"io_manager": dg.mem_io_manager},
    )
    with dg.DagsterInstance.ephemeral() as instance, logging_on():
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=partition
        )
        return instance.all_logs(result.run_id)


def events_of_a_run(assets: int = 40, lines: int = 12) -> Sequence[EventLogEntry]:
    """The events of a run of partitioned assets with checks.

    Args:
        assets: How many assets the job has; each is a step.
        lines: How many lines each step logs.
    """
    keys = [dg.AssetKey(["gauges", f"gauge_{number:02}"]) for number in range(assets)]
    return events_of([asset(key, lines, DAYS) for key in keys], "gauges", "part-0000")


def endless(events: Sequence[EventLogEntry], run_id: str) -> Iterator[EventLogEntry]:
    """The same events over and over, all of one run and each at its own time.

    What a run does only once, such as planning its assets and checks, comes only the first time.
    """
    of_steps = [event for event in events if event.step_key and "PLANNED" not in event_type(event)]
    first = time.time()
    for number, event in enumerate(itertools.chain(events, itertools.cycle(of_steps))):
        yield event._replace(run_id=run_id, timestamp=first + number / 1000)


def as_run(
    events: Sequence[EventLogEntry], run_id: str, first: float | None = None
) -> list[EventLogEntry]:
    """The events of a run as those of another one, at times of its own."""
    first = first or time.time()
    return [
        event._replace(run_id=run_id, timestamp=first + number / 1000)
        for number, event in enumerate(events)
    ]


def in_partition(entry: EventLogEntry, partition: str) -> EventLogEntry:
    """The same event, but of another partition where it names one."""
    event = entry.dagster_event
    if event is None or event.partition is None:
        return entry
    return entry._replace(dagster_event=of_partition(event, partition))


def of_partition(event: DagsterEvent, partition: str) -> DagsterEvent:
    """A materialization, or the plan for one, of another partition."""
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        data = event.step_materialization_data
        materialization = data.materialization._replace(partition=partition)
        return event._replace(event_specific_data=data._replace(materialization=materialization))
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
        planned = AssetMaterializationPlannedData(event.asset_key, partition=partition)
        return event._replace(event_specific_data=planned)
    return event


def event_type(event: EventLogEntry) -> str:
    """The name of an event's type; empty for a log line."""
    return event.dagster_event.event_type_value if event.dagster_event else ""


KINDS = {
    "log line": None,
    "step event": DagsterEventType.STEP_START,
    "materialization": DagsterEventType.ASSET_MATERIALIZATION,
}
LARGE = "100 KB metadata event"


def of_kind(events: Sequence[EventLogEntry], kind: str) -> Sequence[EventLogEntry]:
    """Those events that are of one of the kinds above; ``LARGE`` are materializations too."""
    if kind == LARGE:
        return [large(event) for event in of_kind(events, "materialization")[:1]]
    return [event for event in events if event.dagster_event_type == KINDS[kind]]


def large(entry: EventLogEntry) -> EventLogEntry:
    """A materialization whose metadata holds a report of 100 KB: a table of readings as text."""
    lines = (f"| gauge_{line % 40:02} | {line * 7919 % 100_000} | {line % 300} cm |\n"
             for line in itertools.count())  # fmt: skip
    report = "".join(itertools.islice(lines, 3700))[:100_000]
    event = entry.get_dagster_event()
    data = event.step_materialization_data
    materialization = data.materialization
    metadata = {**materialization.metadata, "report": dg.MetadataValue.md(report)}
    data = data._replace(materialization=materialization._replace(metadata=metadata))
    return entry._replace(dagster_event=event._replace(event_specific_data=data))
