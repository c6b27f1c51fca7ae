"""Runs that leave a store in a capsule, and what tests do with the file."""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.storage.dagster_run import DagsterRunStatus

from dagster_lmdb.debug.capsule import CapsuleWriter, events_name, read_capsule
from debug.history import DEFINITIONS, Store, call
from python.entries import run

TICK = TickData(
    instigator_origin_id="an_origin",
    instigator_name="a_sensor",
    instigator_type=InstigatorType.SENSOR,
    status=TickStatus.SUCCESS,
    timestamp=1_700_000_000.25,
    end_timestamp=1_700_000_001.0,
    selector_id="a_selector",
    run_ids=["elsewhere"],
    cursor="17",
)


def backfill(status: BulkActionStatus, **fields: Any) -> PartitionBackfill:
    return PartitionBackfill(
        "a_backfill",
        status,
        from_failure=False,
        tags={"of": "letters"},
        backfill_timestamp=1_700_000_000.0,
        asset_selection=[dg.AssetKey("letters")],
        **fields,
    )


def again(instance: DagsterInstance, parent: str) -> str:
    """A run that executes the failed steps of another one."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    repository = ReconstructableRepository.for_file(str(DEFINITIONS), "defs")
    options = dg.ReexecutionOptions.from_failure(parent, instance)
    with dg.execute_job(
        repository.get_reconstructable_job("failing_job"), instance, reexecution_options=options
    ) as result:
        return result.run_id


def extracted(origin: Store, path: Path, *names: str, options: Sequence[str] = ()) -> Path:
    run_ids = [origin.runs[name] for name in names]
    result = call("extract", origin.directory, *run_ids, "-o", path, *options)
    assert result.exit_code == 0, result.output
    return path


def absorbed(capsule: Path, directory: Path, *options: str) -> str:
    result = call("absorb", capsule, directory, *options)
    assert result.exit_code == 0, result.output
    return result.stdout


def head(directory: Path) -> int:
    return json.loads(call("stat", directory, "--json").stdout)["head"]


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Makes another archive of the members, whose own checksums are right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = comment


def changed(path: Path, change: Callable[[str], str]) -> None:
    """Changes each event of a capsule, which is whole all the same."""
    read = read_capsule(path)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("capsule.json"))
        others = {
            name: archive.read(name).decode().splitlines()
            for name in manifest["members"]
            if not name.startswith("events/")
        }
    with path.open("wb") as file, CapsuleWriter(file) as writer:
        for name, lines in others.items():
            writer.add(name, lines)
        for each in read.runs:
            writer.add(events_name(each.run.run_id), map(change, each.texts or ()))
        writer.finish(manifest["runs"], {})


def of_a_backfill_that_goes_on(instance: DagsterInstance, store: Path, path: Path) -> Path:
    """A file with a run that a backfill caused which has not ended."""
    instance.add_backfill(backfill(BulkActionStatus.REQUESTED))
    made = run(DagsterRunStatus.SUCCESS, tags={"dagster/backfill": "a_backfill"})
    instance.add_run(made)
    assert call("extract", store, made.run_id, "-o", path).exit_code == 0
    return path
