"""Runs a Dagster job on dagster-lmdb and on Dagster's own SQLite, and shows the history it left.

Four processes at once run the job's steps and write to the one history. What is shown is read back
through the storage, as Dagster's UI reads it.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dagster import AssetKey, DagsterEventType, DagsterInstance, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.stats import RunStepKeyStatsSnapshot, StepEventStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
DEFINITIONS = HERE / "definitions.py"
HOME = HERE.parent / ".cache" / "demo"

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
ALL_DAYS = {
    ASSET_PARTITION_RANGE_START_TAG: "2026-01-01",
    ASSET_PARTITION_RANGE_END_TAG: "2026-01-14",
}
TIMELINE = 40  # characters


class Outcome(NamedTuple):
    """What a run of the job on one storage came to; ``step_seconds`` adds up its steps' own."""

    run_id: str
    seconds: float
    step_seconds: float
    events: int
    size: int


def lmdb_event_log(home: Path) -> dict[str, Any]:
    """The part of a dagster.yaml that puts the event log on LMDB."""
    return {
        "event_log_storage": {
            "module": "dagster_lmdb",
            "class": "LmdbEventLogStorage",
            "config": {"base_dir": str(home / "event_log")},
        }
    }


@contextmanager
def instance_in(home: Path, storage: dict[str, Any]) -> Iterator[DagsterInstance]:
    """A new Dagster instance whose dagster.yaml has one block for the storage."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    settings = {**storage, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    os.environ["DAGSTER_HOME"] = str(home)
    with DagsterInstance.get() as instance:
        yield instance


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends what this process and those it starts print on standard error to a file."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)


def run(instance: DagsterInstance, job: str, tags: dict[str, str], event_log: Path) -> Outcome:
    """Runs one job of the definitions, each of its steps in a process of its own.

    Raises:
        SystemExit: If the run fails.
    """
    log = Path(instance.root_directory, "demo.log")
    repository = ReconstructableRepository.for_file(str(DEFINITIONS), "defs", str(HERE))
    began = time.perf_counter()
    with (
        output_to(log),
        execute_job(
            repository.get_reconstructable_job(job), instance, run_config=QUIET, tags=tags
        ) as result,
    ):
        seconds = time.perf_counter() - began
        if not result.success:
            raise SystemExit(f"The job {job} failed; see {log}.")
        run_id = result.run_id
        steps = instance.event_log_storage.get_step_stats_for_run(run_id)
        events = len(instance.event_log_storage.get_logs_for_run(run_id))
        return Outcome(run_id, seconds, sum(map(duration, steps)), events, size_of(event_log))


def size_of(directory: Path) -> int:
    """The bytes that a directory takes up on the disk."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())


def timeline(instance: DagsterInstance, run_id: str) -> Table:
    """Each step of a run as a bar, with what it recorded."""
    steps = instance.event_log_storage.get_step_stats_for_run(run_id)
    steps = sorted(steps, key=lambda step: step.start_time or 0)
    first = min(step.start_time or 0 for step in steps)
    last = max(step.end_time or 0 for step in steps)
    scale = TIMELINE / (last - first)
    table = Table(title=f"Timeline of the run: {last - first:.1f} seconds", title_justify="left")
    table.add_column("step")
    table.add_column("", width=TIMELINE + 1, no_wrap=True)
    table.add_column("seconds", justify="right")
    for step in steps:
        table.add_row(Text(step.step_key), bar(step, first, scale), f"{duration(step):.2f}")
    return table


def duration(step: RunStepKeyStatsSnapshot) -> float:
    """A step's seconds from its start to its end."""
    return (step.end_time or 0) - (step.start_time or 0)


def bar(step: RunStepKeyStatsSnapshot, first: float, scale: float) -> Text:
    """A step's place in its run."""
    before = int(((step.start_time or 0) - first) * scale)
    length = max(1, round(duration(step) * scale))
    done = step.status == StepEventStatus.SUCCESS
    return Text(" " * before + "━" * length, style="green" if done else "red")


def assets(instance: DagsterInstance) -> Table:
    """Each asset's latest materialization, and the partitions that it has."""
    event_log = instance.event_log_storage
    table = Table(title="Assets", title_justify="left")
    for column in ("asset", "latest", "metadata", "partitions"):
        table.add_column(column)
    keys = sorted(event_log.all_asset_keys(), key=AssetKey.to_user_string)
    latest = event_log.get_latest_materialization_events(keys)
    for key in keys:
        event = latest[key]
        if event is None or event.asset_materialization is None:
            continue
        metadata = event.asset_materialization.metadata
        partitions = sorted(event_log.get_materialized_partitions(key))
        table.add_row(
            key.to_user_string(),
            f"{datetime.fromtimestamp(event.timestamp):%H:%M:%S}",
            ", ".join(f"{label} {value.value}" for label, value in metadata.items()),
            f"{len(partitions)}: {partitions[0]} to {partitions[-1]}" if partitions else "",
        )
    return table


def checks(instance: DagsterInstance, run_id: str) -> Table:
    """What the asset checks of a run found."""
    table = Table(title="Asset checks", title_justify="left")
    for column in ("asset", "check", "result", "metadata"):
        table.add_column(column)
    for event in instance.event_log_storage.get_logs_for_run(
        run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        evaluation = event.get_dagster_event().asset_check_evaluation_data
        table.add_row(
            evaluation.asset_key.to_user_string(),
            evaluation.check_name,
            Text("passed", "green")
            if evaluation.passed
            else Text(evaluation.severity.value.lower(), "yellow"),
            ", ".join(f"{label} {value.value}" for label, value in evaluation.metadata.items()),
        )
    return table


def comparison(outcomes: dict[str, Outcome]) -> Table:
    """The same job on each storage."""
    table = Table(title="The same job on each event log", title_justify="left")
    table.add_column("event log")
    # Of words: a header that has no room is wrapped between them, and a longer word is cut.
    columns = (
        "seconds",
        "in steps",
        "events",
        "events per second",
        "KiB on disk",
        "bytes per event",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for name, outcome in outcomes.items():
        table.add_row(
            name,
            f"{outcome.seconds:.1f}",
            f"{outcome.step_seconds:.1f}",
            f"{outcome.events:,}",
            f"{outcome.events / outcome.seconds:,.0f}",
            f"{outcome.size / 1024:,.0f}",
            f"{outcome.size / outcome.events:,.0f}",
        )
    return table


def of_any_size(directory: Path) -> int:
    """The bytes on disk of what every store has, however little it holds: all but its data file."""
    files = [path for path in directory.iterdir() if path.name != "data.mdb"]
    return sum(path.stat().st_blocks * 512 for path in files)


def main() -> None:
    console = Console()
    outcomes = {}

    home = HOME / "sqlite"
    with (
        console.status("Running the job read_gauges on Dagster's SQLite storage"),
        instance_in(home, {}) as instance,
    ):
        outcomes["SQLite"] = run(instance, "read_gauges", {}, home / "history" / "runs")

    home = HOME / "lmdb"
    with instance_in(home, lmdb_event_log(home)) as instance:
        console.print(Syntax((home / "dagster.yaml").read_text(), "yaml"))
        with console.status("Running the job read_gauges on LMDB"):
            ours = run(instance, "read_gauges", {}, home / "event_log")
            outcomes["LMDB"], fixed = ours, of_any_size(home / "event_log")
        with console.status("Materializing partitioned assets on LMDB"):
            forecast = run(instance, "flood_forecast", ALL_DAYS, home / "event_log")
        console.print(timeline(instance, outcomes["LMDB"].run_id))
        console.print(assets(instance))
        console.print(checks(instance, forecast.run_id))
    console.print(comparison(outcomes))
    of_data = (ours.size - fixed) / ours.events
    console.print(
        f"Every LMDB store takes {fixed / 1024:,.0f} KiB, however little it holds. Its data file"
        f" takes {of_data:,.0f} bytes per event here, and fewer the more there are."
    )

    console.print("\nTo see this history in Dagster's UI:")
    pip = Path(sys.executable).with_name("pip")
    dagster = Path(sys.executable).with_name("dagster")
    console.print(f"  {pip} install dagster-webserver", highlight=False, soft_wrap=True)
    console.print(
        f"  DAGSTER_HOME={home} {dagster} dev -f {DEFINITIONS}", highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    main()
