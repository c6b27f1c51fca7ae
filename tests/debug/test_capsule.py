"""What leaves a store in a capsule comes up in another one as it was."""

import fcntl
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.events import EngineEventData
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id
from dagster._serdes import deserialize_value
from dagster_shared.record import copy

from dagster_lmdb.debug import absorb as absorbing
from dagster_lmdb.debug.capsule import read_capsule
from dagster_lmdb.debug.errors import CapsuleVersionError
from debug.capsules import (
    TICK,
    absorbed,
    backfill,
    changed,
    extracted,
    head,
    of_a_backfill_that_goes_on,
)
from debug.history import Store, call, refused
from python.entries import event, job_origin, log_line, run, whole_block

# There and back


def said(instance: DagsterInstance, run_ids: Sequence[str]) -> dict[str, Any]:
    """What the storages say of runs, apart from storage ids, which are each store's own."""
    events, runs = instance.event_log_storage, instance.run_storage
    records = {
        record.dagster_run.run_id: record
        for record in runs.get_run_records(RunsFilter(run_ids=list(run_ids)))
    }
    keys = sorted(events.all_asset_keys(), key=dg.AssetKey.to_user_string)
    assets = events.get_asset_records(keys)
    statuses = (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE)
    return {
        "runs": {run_id: without_tick(each.dagster_run) for run_id, each in records.items()},
        "times": {
            run_id: (each.create_timestamp, each.update_timestamp, each.start_time, each.end_time)
            for run_id, each in records.items()
        },
        "order": [run.run_id for run in runs.get_runs()],
        "logs": {run_id: events.get_logs_for_run(run_id) for run_id in run_ids},
        "stats": [events.get_stats_for_run(run_id) for run_id in run_ids],
        "steps": [events.get_step_stats_for_run(run_id) for run_id in run_ids],
        "groups": [
            [without_tick(each) for each in runs.get_run_group(run_id)[1]] for run_id in run_ids
        ],
        "counts": {
            status: runs.get_runs_count(RunsFilter(statuses=[status]))
            for status in DagsterRunStatus
        },
        "tagged": runs.get_run_ids(RunsFilter(tags={"team": "blue"})),
        "tags": dict(runs.get_run_tags(["team", "dagster/partition"])),
        "by_job": runs.get_run_ids(RunsFilter(job_name="failing_job")),
        "snapshots": [
            (
                runs.get_job_snapshot(each.dagster_run.job_snapshot_id),
                runs.get_execution_plan_snapshot(each.dagster_run.execution_plan_snapshot_id),
            )
            for each in records.values()
        ],
        "assets": [
            (
                record.asset_entry.asset_key,
                record.asset_entry.last_materialization,
                record.asset_entry.last_run_id,
            )
            for record in sorted(assets, key=lambda each: each.asset_entry.asset_key)
        ],
        "latest": events.get_latest_materialization_events(keys),
        "partitions": {key: events.get_materialized_partitions(key) for key in keys},
        "planned": {run_id: events.get_asset_partitions_for_run(run_id) for run_id in run_ids},
        "event_tags": {key: events.get_event_tags_for_asset(key) for key in keys},
        "ends": [
            [
                record.event_log_entry
                for record in events.get_event_records(
                    dg.EventRecordsFilter(of_type), ascending=True
                )
            ]
            for of_type in statuses
        ],
        "backfills": runs.get_backfills(),
        "ticks": [
            tick.tick_data
            for tick in instance.schedule_storage.get_ticks("an_origin", "a_selector")
        ],
    }


def without_tick(run: dg.DagsterRun) -> dg.DagsterRun:
    return run.with_tags({key: tag for key, tag in run.tags.items() if key != "dagster/tick"})


def test_every_read_gives_what_it_gave(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    absorbed(capsule, target)
    run_ids = list(origin.runs.values())
    before, after = said(origin.instance, run_ids), said(instance, run_ids)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value, name
        assert after[name] == value, name
    result = call("verify", target)
    assert result.exit_code == 0, result.output


def test_a_run_names_its_tick_by_the_id_that_it_has_here(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    instance.create_tick(TICK._replace(timestamp=5.0))
    absorbed(capsule, target)
    there = origin.instance.get_run_by_id(origin.runs["letters"]).tags["dagster/tick"]
    here = instance.get_run_by_id(origin.runs["letters"]).tags["dagster/tick"]
    assert here != there
    assert instance.schedule_storage.get_tick(int(here)).tick_data == TICK
    [found] = instance.get_run_ids(RunsFilter(tags={"dagster/tick": here}))
    assert found == origin.runs["letters"]


def test_a_run_names_no_tick_that_did_not_come_along(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    contents = read_capsule(capsule)
    assert contents.ticks
    absorbing.absorb(replace(contents, ticks={}), target)
    assert "dagster/tick" not in instance.get_run_by_id(origin.runs["letters"]).tags


def test_a_re_execution_brings_its_parent(origin: Store, tmp_path: Path) -> None:
    whole = extracted(origin, tmp_path / "whole", "again")
    assert {each.run.run_id for each in read_capsule(whole).runs} == {
        origin.runs["again"],
        origin.runs["failing"],
    }
    alone = extracted(origin, tmp_path / "alone", "again", options=["--without-parents"])
    assert [each.run.run_id for each in read_capsule(alone).runs] == [origin.runs["again"]]


def test_the_snapshot_that_a_snapshot_was_made_from_comes_along(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    @dg.asset
    def one() -> None: ...

    @dg.asset
    def two() -> None: ...

    job = dg.Definitions(
        assets=[one, two], jobs=[dg.define_asset_job("both", executor_def=dg.in_process_executor)]
    ).resolve_job_def("both")
    run_id = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("one")]).run_id
    snapshot = instance.get_job_snapshot(instance.get_run_by_id(run_id).job_snapshot_id)
    parent = snapshot.lineage_snapshot.parent_snapshot_id
    assert instance.run_storage.has_snapshot(parent)
    path = tmp_path / "run.capsule"
    assert call("extract", target, run_id, "-o", path).exit_code == 0
    assert list(read_capsule(path).snapshots)[:2] == [parent, snapshot.snapshot_id]


def test_absorbing_twice_adds_nothing(capsule: Path, target: Path, origin: Store) -> None:
    assert "Added 4 runs" in absorbed(capsule, target)
    before = head(target)
    text = absorbed(capsule, target)
    assert "Added 0 runs with 0 events" in text
    assert "There already: 4 runs, 1 tick and 1 backfill." in text
    assert head(target) == before
    # Nor where they came from.
    before = head(origin.directory)
    absorbed(capsule, origin.directory)
    assert head(origin.directory) == before


def test_events_that_are_there_with_the_same_texts_are_not_read(
    origin: Store, capsule: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them takes most of the time."""

    def refuses(text: str, kind: Any) -> Any:
        assert kind is not dg.EventLogEntry
        return deserialize_value(text, kind)

    absorbed(capsule, target)
    monkeypatch.setattr("dagster_lmdb.debug.capsule.deserialize_value", refuses)
    assert "There already: 4 runs, 1 tick and 1 backfill." in absorbed(capsule, target)
    with pytest.raises(CapsuleVersionError):
        _ = read_capsule(capsule).runs[0].events


def test_the_same_events_in_other_texts_are_there_already(
    origin: Store, capsule: Path, target: Path
) -> None:
    absorbed(capsule, target)
    changed(capsule, lambda text: json.dumps(json.loads(text), separators=(",", ":")))
    assert "There already: 4 runs, 1 tick and 1 backfill." in absorbed(capsule, target)


def test_what_is_new_is_added_to_what_is_there(
    origin: Store, instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    absorbed(extracted(origin, tmp_path / "one", "letters"), target)
    text = absorbed(extracted(origin, tmp_path / "two", "letters", "everything"), target)
    assert "Added 1 run " in text
    assert "There already: 1 run, 1 tick and 1 backfill." in text
    assert instance.get_runs_count() == 2
    assert len(instance.get_ticks("an_origin", "a_selector")) == 1
    assert instance.run_storage.get_backfills_count() == 1


def test_a_run_with_other_content_is_refused(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    run_id = origin.runs["failing"]
    instance.add_run(run(run_id=run_id, job_name="another"))
    before = head(target)
    line = refused(call("absorb", capsule, target))
    assert f"run {run_id} is here already" in line
    assert "its job name differs" in line
    assert head(target) == before


def changed_job(made: dg.DagsterRun) -> dg.DagsterRun:
    return copy(made, job_name="another")


def changed_status(made: dg.DagsterRun) -> dg.DagsterRun:
    return made.with_status(DagsterRunStatus.CANCELED)


def changed_config(made: dg.DagsterRun) -> dg.DagsterRun:
    return copy(made, run_config={"ops": {}})


def changed_tags(made: dg.DagsterRun) -> dg.DagsterRun:
    return made.with_tags({**made.tags, "team": "red"})


def changed_selection(made: dg.DagsterRun) -> dg.DagsterRun:
    return copy(made, op_selection=["another"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (changed_job, "its job name differs;"),
        (changed_status, "its status differs;"),
        (changed_config, "its run config differs;"),
        (changed_tags, "its tags differ;"),
        (changed_selection, "its origin or its snapshots differ;"),
    ],
)
def test_a_refusal_says_in_what_the_runs_differ(
    instance: DagsterInstance,
    target: Path,
    tmp_path: Path,
    change: Callable[[dg.DagsterRun], dg.DagsterRun],
    says: str,
) -> None:
    made = run(DagsterRunStatus.SUCCESS)
    instance.add_run(made)
    path = tmp_path / "run.capsule"
    assert call("extract", target, made.run_id, "-o", path).exit_code == 0
    home = tmp_path / "elsewhere"
    home.mkdir()
    with instance_for_test(whole_block(home), temp_dir=str(home)) as other:
        other.add_run(change(made))
        line = refused(call("absorb", path, home / "history"))
    assert f"run {made.run_id} is here already, and is not the capsule's: {says}" in line


def test_lone_surrogates_are_as_the_store_has_them(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    made = run(DagsterRunStatus.SUCCESS, run_config={"half": "a \udc00 pair"})
    instance.add_run(made)
    instance.event_log_storage.store_event(log_line(made.run_id, "said \ud800"))
    data = EngineEventData(metadata={"label \ud801": "value \udfff"})
    instance.report_engine_event("an event of \ud800", made, data)
    path = tmp_path / "run.capsule"
    assert call("extract", target, made.run_id, "-o", path).exit_code == 0
    [carried] = read_capsule(path).runs
    assert carried.run == made
    assert list(carried.events) == instance.all_logs(made.run_id)
    home = tmp_path / "elsewhere"
    home.mkdir()
    absorbed(path, home / "history")
    with instance_for_test(whole_block(home), temp_dir=str(home)) as other:
        assert other.get_run_by_id(made.run_id) == made
        assert other.all_logs(made.run_id) == instance.all_logs(made.run_id)


def test_a_run_with_other_events_is_refused(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    absorbed(capsule, target)
    run_id = origin.runs["failing"]
    instance.event_log_storage.store_event(log_line(run_id, "another"))
    before = head(target)
    assert "with other events" in refused(call("absorb", capsule, target))
    assert head(target) == before


def test_events_of_another_run_of_the_same_id_are_refused(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    instance.event_log_storage.store_event(log_line(origin.runs["failing"], "another"))
    before = head(target)
    assert "not the capsule's" in refused(call("absorb", capsule, target))
    assert head(target) == before


@pytest.mark.parametrize("dies_in", ["_store_events", "_put_runs"])
def test_what_died_is_gone_on_with_and_was_not_seen(
    origin: Store,
    capsule: Path,
    instance: DagsterInstance,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_in: str,
) -> None:
    def dies(source: Any, plans: Any, _: Any) -> None:
        if dies_in == "_store_events":
            some = [entry for plan in plans for entry in plan.missing][:7]
            source.events.store_event_batch(some)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(absorbing, dies_in, dies)
        assert call("absorb", capsule, target).exit_code == 130
    assert instance.get_runs() == []
    assert instance.get_runs_count() == 0
    absorbed(capsule, target)
    run_ids = list(origin.runs.values())
    assert said(instance, run_ids) == said(origin.instance, run_ids)


def test_many_events_are_stored_in_several_commits(
    origin: Store,
    capsule: Path,
    instance: DagsterInstance,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(absorbing, "BATCH", 10)
    absorbed(capsule, target)
    for run_id in origin.runs.values():
        assert instance.all_logs(run_id) == origin.instance.all_logs(run_id)


def test_two_do_not_absorb_at_once(capsule: Path, target: Path, instance: DagsterInstance) -> None:
    instance.get_runs()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "another process absorbs" in refused(call("absorb", capsule, target))
    finally:
        os.close(descriptor)
    assert instance.get_runs_count() == 0
    absorbed(capsule, target)


# What daemons would take for their own


def test_a_run_that_has_not_ended_does_not_leave_by_itself(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    run_id = instance.add_run(run(DagsterRunStatus.QUEUED, remote_job_origin=job_origin())).run_id
    path = tmp_path / "run.capsule"
    assert "has not ended (QUEUED)" in refused(call("extract", target, run_id, "-o", path))
    assert not path.exists()
    assert call("extract", target, run_id, "-o", path, "--unfinished").exit_code == 0
    elsewhere = tmp_path / "elsewhere"
    line = refused(call("absorb", path, elsewhere))
    assert "a daemon on this store would take it for its own" in line
    assert not elsewhere.exists()
    absorbed(path, elsewhere, "--unfinished")


def test_a_backfill_that_has_not_ended_is_canceled(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    path = of_a_backfill_that_goes_on(instance, target, tmp_path / "run.capsule")
    home = tmp_path / "elsewhere"
    home.mkdir()
    text = absorbed(path, home / "history")
    assert "Backfill a_backfill had not ended; here it is canceled" in text
    with instance_for_test(whole_block(home), temp_dir=str(home)) as other:
        assert other.get_backfill("a_backfill").status == BulkActionStatus.CANCELED
    assert "Added 0 runs" in absorbed(path, home / "history")


def test_a_backfill_that_went_on_is_left(
    origin: Store, instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    here = backfill(BulkActionStatus.COMPLETED_FAILED, title="as it was here")
    instance.add_backfill(here)
    text = absorbed(extracted(origin, tmp_path / "one", "letters"), target)
    assert "Backfill a_backfill is there with other content" in text
    assert instance.get_backfill("a_backfill") == here


def test_a_daemon_never_sees_an_absorbed_run_unfinished(
    origin: Store, capsule: Path, instance: DagsterInstance, target: Path
) -> None:
    """Every record of the log is looked at: the runs come last, as they ended."""
    absorbed(capsule, target)
    result = call("tail", target, "--limit", 100_000, "--json")
    kinds = [json.loads(line)["kind"] for line in result.stdout.splitlines()]
    last_event = max(place for place, kind in enumerate(kinds) if kind == "event")
    after = [kind for kind in kinds[last_event + 1 :] if kind != "shape_defined"]
    assert after == ["document"] * len(origin.runs)


# Files of `dagster debug export`


def test_a_file_of_dagster_debug_export_is_absorbed(
    origin: Store, instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    run_id = origin.runs["failing"]
    path = tmp_path / "debug.gz"
    home = origin.directory.parent
    subprocess.run(
        [sys.executable, "-m", "dagster", "debug", "export", run_id, str(path)],
        check=True,
        capture_output=True,
        env={**os.environ, "DAGSTER_HOME": str(home)},
    )
    assert "Added 1 run " in absorbed(path, target)
    assert "Added 0 runs" in absorbed(path, target)
    before, after = (each.get_run_record_by_id(run_id) for each in (origin.instance, instance))
    assert after.dagster_run == before.dagster_run
    assert (after.start_time, after.end_time) == (before.start_time, before.end_time)
    assert instance.all_logs(run_id) == origin.instance.all_logs(run_id)
    snapshot_id = before.dagster_run.job_snapshot_id
    assert instance.get_job_snapshot(snapshot_id) == origin.instance.get_job_snapshot(snapshot_id)


def test_an_unknown_run_does_not_leave(origin: Store, tmp_path: Path) -> None:
    unknown = make_new_run_id()
    path = tmp_path / "run.capsule"
    runs = [origin.runs["failing"], unknown]
    assert f"no run {unknown}" in refused(call("extract", origin.directory, *runs, "-o", path))
    assert list(tmp_path.iterdir()) == []


def test_events_without_a_run_do_not_leave(
    instance: DagsterInstance, target: Path, tmp_path: Path
) -> None:
    run_id = make_new_run_id()
    instance.event_log_storage.store_event(event(run_id, DagsterEventType.RUN_SUCCESS))
    assert f"no run {run_id}" in refused(call("extract", target, run_id, "-o", tmp_path / "run"))


def test_a_file_that_is_there_is_not_written_over(
    origin: Store, capsule: Path, tmp_path: Path
) -> None:
    before = capsule.read_bytes()
    run_id = origin.runs["letters"]
    assert "exists" in refused(call("extract", origin.directory, run_id, "-o", capsule))
    assert capsule.read_bytes() == before
    assert call("extract", origin.directory, run_id, "-o", capsule, "--force").exit_code == 0
    assert [each.run.run_id for each in read_capsule(capsule).runs] == [run_id]


def test_no_room_leaves_nothing(origin: Store, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    path = tmp_path / "run.capsule"
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from dagster_lmdb.debug.extract import Extraction, extract\n"
        "from dagster_lmdb.debug.errors import DestinationError\n"
        "from dagster_lmdb.debug.runs import Source\n"
        "from pathlib import Path\n"
        "made = Extraction(Source(Path(sys.argv[1])), sys.argv[3:])\n"
        "list(made.events(sys.argv[3]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n"
        "    extract(made, Path(sys.argv[2]))\n"
        "except DestinationError as error:\n"
        "    print(error)\n"
    )
    arguments = [str(origin.directory), str(path), *origin.runs.values()]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_capsule_says_what_is_in_it_and_what_is_not(origin: Store, capsule: Path) -> None:
    with zipfile.ZipFile(capsule) as archive:
        manifest: Mapping[str, Any] = json.loads(archive.read("capsule.json"))
        assert manifest["version"] == 1
        assert manifest["runs"] == list(origin.runs.values())
        assert any("compute logs" in each for each in manifest["absent"])
        assert set(archive.namelist()) == {*manifest["members"], "capsule.json"}
        for name, facts in manifest["members"].items():
            lines = archive.read(name).splitlines()
            assert len(lines) == facts["lines"]
            assert all(isinstance(json.loads(line), dict) for line in lines)
    assert manifest["members"]["ticks.jsonl"]["lines"] == 1
    assert manifest["members"]["backfills.jsonl"]["lines"] == 1


def test_the_help_has_an_example() -> None:
    result = call("absorb", "--help")
    assert result.exit_code == 0
    assert "  dagster-lmdb absorb run.capsule /tmp/look" in result.stdout
