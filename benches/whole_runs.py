"""Instances on each storage, and the jobs whose whole runs are measured."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from benches.events import QUIET
from dagster import DagsterEvent, DagsterInstance, DagsterRun, EventLogEntry, RunsFilter
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.instance.types import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from dagster._core.test_utils import instance_for_test
from dagster._time import get_current_datetime

NOTHING = "stores nothing"
LINES = 5


def metadata(number: int) -> dict[str, Any]:
    """What an op or an asset says of its output."""
    return {
        "rows": 288 + number,
        "highest": 241.5,
        "source": dg.MetadataValue.path(f"/data/gauges/{number:03}.parquet"),
        "report": dg.MetadataValue.md(f"**gauge {number}**: 288 readings, none missing"),
    }


def op_of(number: int) -> dg.OpDefinition:
    """An op that logs lines and gives an output with metadata."""

    @dg.op(name=f"gauge_{number:03}")
    def gauge(context: dg.OpExecutionContext) -> dg.Output[int]:
        for line in range(LINES):
            context.log.info(f"gauge {number}: reading {line} of {LINES}, {200 + line} cm")
        return dg.Output(number, metadata=metadata(number))

    return gauge


def asset_of(number: int) -> dg.AssetsDefinition:
    """An asset with metadata and tags."""

    @dg.asset(key=["gauges", f"gauge_{number:03}"])
    def gauge(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=metadata(number), tags={"unit": "cm"})

    return gauge


@dg.job(config=QUIET, resource_defs={"io_manager": dg.mem_io_manager})
def hundred_ops() -> None:
    for number in range(100):
        op_of(number)()


defs = dg.Definitions(
    assets=[asset_of(number) for number in range(100)],
    jobs=[
        hundred_ops,
        dg.define_asset_job("hundred_assets", config=QUIET),
        dg.define_asset_job(
            "few_assets",
            selection=[f"gauges/gauge_{number:03}" for number in range(4)],
            config={**QUIET, "execution": {"config": {"multiprocess": {"max_concurrent": 2}}}},
        ),
        dg.define_asset_job(
            "thirty_assets",
            selection=[f"gauges/gauge_{number:03}" for number in range(30)],
            config={**QUIET, "execution": {"config": {"multiprocess": {"max_concurrent": 2}}}},
        ),
    ],
)


class StoresNoEvents(InMemoryEventLogStorage):
    """An event log that forgets everything."""

    def store_event(self, event: EventLogEntry) -> None:
        pass

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        pass


class StoresRunsInADict(InMemoryRunStorage):
    """A run storage that only holds on to the runs and snapshots that a run in process asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, DagsterRun] = {}
        self._snapshots: dict[str, Any] = {}

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        self._runs[dagster_run.run_id] = dagster_run
        return dagster_run

    def handle_run_event(self, run_id: str, event: DagsterEvent, *args: Any) -> None:
        status = EVENT_TYPE_TO_PIPELINE_RUN_STATUS.get(event.event_type)
        if status:
            self._runs[run_id] = self._runs[run_id].with_status(status)

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        return self._runs.get(run_id)

    def get_runs(self, filters: RunsFilter | None = None, *args: Any, **more: Any) -> Any:
        ids = filters.run_ids if filters and filters.run_ids else list(self._runs)
        return [self._runs[run_id] for run_id in ids if run_id in self._runs]

    def get_run_records(
        self, filters: RunsFilter | None = None, *args: Any, **more: Any
    ) -> Sequence[RunRecord]:
        now = get_current_datetime()
        return [
            RunRecord(number, run, create_timestamp=now, update_timestamp=now)
            for number, run in enumerate(self.get_runs(filters), 1)
        ]

    def has_run(self, run_id: str) -> bool:
        return run_id in self._runs

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        run = self._runs[run_id]
        self._runs[run_id] = run.with_tags({**run.tags, **new_tags})

    def _add_snapshot(self, snapshot_id: str, snapshot_obj: Any, snapshot_type: Any) -> str:
        self._snapshots[snapshot_id] = snapshot_obj
        return snapshot_id

    def _has_snapshot_id(self, snapshot_id: str) -> bool:
        return snapshot_id in self._snapshots

    def _get_snapshot(self, snapshot_id: str) -> Any:
        return self._snapshots.get(snapshot_id)


def stores_nothing(directory: Path) -> DagsterInstance:
    """An ephemeral instance whose storages keep next to nothing."""
    compute_logs: ComputeLogManager[Any] = NoOpComputeLogManager()
    return DagsterInstance(
        instance_type=InstanceType.EPHEMERAL,
        local_artifact_storage=LocalArtifactStorage(str(directory)),
        run_storage=StoresRunsInADict(),
        event_storage=StoresNoEvents(),
        compute_log_manager=compute_logs,
        run_coordinator=DefaultRunCoordinator(),
        run_launcher=SyncInMemoryRunLauncher(),
    )


@contextmanager
def instance_on(storage: dict[str, Any] | None, directory: Path) -> Iterator[DagsterInstance]:
    """A new instance whose dagster.yaml has a block for the storage; None is SQLite.

    It captures no compute logs, as an ephemeral instance does not: that takes four processes a run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    overrides: dict[str, Any] = {
        "compute_logs": {
            "module": NoOpComputeLogManager.__module__,
            "class": NoOpComputeLogManager.__name__,
        },
        "telemetry": {"enabled": False},
    }
    if storage:
        overrides["storage"] = storage
    with instance_for_test(overrides, temp_dir=str(directory)) as instance:
        yield instance
