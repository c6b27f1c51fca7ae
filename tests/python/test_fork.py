"""``dagster-lmdb fork``: what a copy shows, and what is refused."""

import json
import os
import pty
import resource
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
from benches.idle import sensors
from click.testing import CliRunner, Result
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id
from dagster._daemon.types import DaemonHeartbeat

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb._core import EventLog
from dagster_lmdb._moments import Moment, moment_of
from dagster_lmdb.cli import main
from python.entries import log_line, materialization, run, status_event, whole_block


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def store_of(instance: DagsterInstance) -> EventLog:
    storage = instance.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    return storage._log


def head_of(instance: DagsterInstance) -> int:
    head = store_of(instance).stat()["head"]
    assert isinstance(head, int)
    return head


def directory_of(instance: DagsterInstance) -> Path:
    return Path(store_of(instance).stat()["directory"])


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "forks" / "then"


@pytest.fixture
def started(whole: DagsterInstance) -> dg.DagsterRun:
    """A run that has started, and no more; later it ends and materializes an asset."""
    added = whole.add_run(run())
    whole.store_event(status_event(added.run_id, DagsterEventType.RUN_START))
    return added


def fork(instance: DagsterInstance, destination: Path, at: object, *options: object) -> str:
    """Forks, and returns what it said; the copy is sound."""
    result = call("fork", directory_of(instance), destination, "--at", at, *options)
    assert result.exit_code == 0, result.output
    assert result.stderr == "", "quiet where there is no terminal"
    assert call("verify", destination).exit_code == 0
    return result.stdout


def test_an_instance_on_a_fork_shows_the_one_of_that_moment(
    whole: DagsterInstance, started: dg.DagsterRun, destination: Path, tmp_path: Path
) -> None:
    [sensor] = sensors(1)
    whole.add_instigator_state(sensor.with_data(SensorInstigatorData(cursor="then")))
    then = head_of(whole)
    run_then = whole.get_run_records()
    logs_then = whole.all_logs(started.run_id)
    whole.store_event(materialization(started.run_id, "an_asset"))
    whole.store_event(status_event(started.run_id, DagsterEventType.RUN_SUCCESS))
    whole.update_instigator_state(sensor.with_data(SensorInstigatorData(cursor="now")))
    said = fork(whole, destination, then)
    assert f"up to record {then:,} to {destination}" in said
    assert "compute logs" in said
    assert "defs_state_storage" in said
    assert "Missing" not in said
    block = whole_block(tmp_path)
    block["storage"]["custom"]["config"]["base_dir"] = str(destination)
    with instance_for_test(block) as copy:
        assert copy.get_run_records() == run_then
        assert copy.get_run_by_id(started.run_id).status == DagsterRunStatus.STARTED
        assert copy.all_logs(started.run_id) == logs_then
        assert copy.get_latest_materialization_event(dg.AssetKey("an_asset")) is None
        assert not copy.has_asset_key(dg.AssetKey("an_asset"))
        [state] = copy.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        assert state.instigator_data.cursor == "then"
        # It goes its own way.
        copy.store_event(status_event(started.run_id, DagsterEventType.RUN_FAILURE))
        assert copy.get_run_by_id(started.run_id).status == DagsterRunStatus.FAILURE
    assert whole.get_run_by_id(started.run_id).status == DagsterRunStatus.SUCCESS
    source, copied = (json.loads(call("stat", each, "--json").stdout)
                      for each in (directory_of(whole), destination))  # fmt: skip
    assert copied["forked_from"] == f"{source['store_id']} at record {then}"
    assert copied["store_id"] != source["store_id"]


def test_a_fork_up_to_a_time_and_to_the_end_of_a_run(
    whole: DagsterInstance, tmp_path: Path
) -> None:
    first, second = make_new_run_id(), make_new_run_id()
    base = time.time() - 1000
    for number in range(4):
        whole.store_event(log_line(first, f"line {number}", base + number * 10))
    whole.store_event(log_line(second, "of another", base + 40))
    # Of long ago, and stored last.
    whole.store_event(log_line(second, "old", base - 5000))
    at = datetime.fromtimestamp(base + 25)
    zoned = datetime.fromtimestamp(base + 25, timezone.utc)
    forms = [at.isoformat(), zoned.isoformat(), zoned.strftime("%Y-%m-%dT%H:%M:%S.%fZ")]
    for number, form in enumerate(forms):
        fork(whole, tmp_path / f"at {number}", form)
        log = EventLog(tmp_path / f"at {number}", create=False)
        lines = [entry.user_message for *_, entry in log.run_events(first)]
        assert lines == ["line 0", "line 1", "line 2"]
    fork(whole, tmp_path / "end", f"run:{first}")
    log = EventLog(tmp_path / "end", create=False)
    assert len(log.run_events(first)) == 4
    assert log.run_events(second) == []


def test_moments_as_people_write_them() -> None:
    assert moment_of(" 12 ") == Moment(sequence=12)
    assert moment_of("run:abc") == Moment(end_of_run="abc")
    assert moment_of("2026-11-25T14:30Z") == Moment(time=1795617000.0)
    assert moment_of("2026-11-25 16:30+02:00") == Moment(time=1795617000.0)
    local = datetime(2026, 11, 25).timestamp()
    assert moment_of("2026-11-25") == Moment(time=local)
    for wrong in ("", "run:", "yesterday", "-1", "1.5", "2026-13-01", "\u0663"):
        with pytest.raises(ValueError, match="run:RUN_ID"):
            moment_of(wrong)


REFUSED = {
    "0": "records are numbered from 1",
    "1000000": "beyond its head",
    "99999999999999999999999": "beyond its head",
    "run:nobody": "it knows no run",
    "2001-01-01": "before its first record",
    "2101-01-01": "still to come",
    "yesterday": "run:RUN_ID",
}


@pytest.mark.parametrize("at", REFUSED)
def test_moments_that_are_none_end_with_two_and_leave_nothing(
    whole: DagsterInstance, started: dg.DagsterRun, destination: Path, at: str
) -> None:
    result = call("fork", directory_of(whole), destination, "--at", at)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert REFUSED[at] in result.stderr
    assert not destination.exists()
    assert not destination.parent.exists() or os.listdir(destination.parent) == []


def test_what_is_no_store_and_what_exists_is_refused(
    whole: DagsterInstance, started: dg.DagsterRun, tmp_path: Path
) -> None:
    result = call("fork", tmp_path / "nowhere", tmp_path / "then", "--at", 1)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not a dagster-lmdb store" in result.stderr
    before = sorted(tmp_path.rglob("*"))
    for there in (tmp_path, directory_of(whole), directory_of(whole) / "data.mdb"):
        result = call("fork", directory_of(whole), there, "--at", 1)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "exists; nothing was written" in result.stderr
    (tmp_path / "link").symlink_to(directory_of(whole))
    for inside in (directory_of(whole) / "then", tmp_path / "link" / "then"):
        result = call("fork", directory_of(whole), inside, "--at", 1)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "is in the directory of the store" in result.stderr
    (tmp_path / "link").unlink()
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "compaction"] == before
    assert call("fork", directory_of(whole), tmp_path / "then").exit_code == 2, "no moment"


def test_below_the_horizon_it_says_what_is_missing_and_goes_on_where_it_can(
    whole: DagsterInstance, destination: Path, tmp_path: Path
) -> None:
    [sensor] = sensors(1)
    whole.add_instigator_state(sensor.with_data(SensorInstigatorData(cursor="then")))
    then = head_of(whole)
    whole.update_instigator_state(sensor.with_data(SensorInstigatorData(cursor="now")))
    store_of(whole).compact(now=time.time())
    for beat in range(3):
        whole.add_daemon_heartbeat(DaemonHeartbeat(float(beat), "SENSOR", "id", []))
    later = head_of(whole)
    whole.add_daemon_heartbeat(DaemonHeartbeat(3.0, "SENSOR", "id", []))
    store_of(whole).compact(now=time.time())

    result = call("fork", directory_of(whole), destination, "--at", then)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"was asked for record {then}" in result.stderr
    assert "--incomplete" in result.stderr
    assert not destination.exists()

    said = fork(whole, destination, then, "--incomplete")
    assert "Missing" in said
    assert "states and tags of runs, states of schedules, sensors" in said
    assert EventLog(destination).find_documents("instigator") == [], "it was overwritten"

    said = fork(whole, tmp_path / "later", later)
    assert "heartbeats and daemon cursors" in said
    assert "states of schedules" not in said
    copied, rest = EventLog(tmp_path / "later"), store_of(whole)
    states = [(row.id, row.value) for row in rest.find_documents("instigator")]
    assert states
    assert [(row.id, row.value) for row in copied.find_documents("instigator")] == states
    assert copied.find_documents("heartbeat") == []


def test_compaction_and_fork_name_one_horizon(whole: DagsterInstance, destination: Path) -> None:
    [sensor] = sensors(1)
    whole.add_instigator_state(sensor.with_data(SensorInstigatorData(cursor="then")))
    whole.update_instigator_state(sensor.with_data(SensorInstigatorData(cursor="now")))
    head = head_of(whole)
    compacted = call("compact", directory_of(whole)).stdout
    refused = call("fork", directory_of(whole), destination, "--at", head - 1).stderr
    for said in (compacted, refused):
        assert f"whole from record {head + 1} on" in said
    assert f"fork --at {head} and later" in compacted
    assert f"as of record {head} and later" in refused
    assert "states of schedules" not in fork(whole, destination, head)


def test_without_room_nothing_is_left(
    whole: DagsterInstance, started: dg.DagsterRun, destination: Path
) -> None:
    for number in range(2000):
        whole.event_log_storage.store_event(log_line(started.run_id, f"{number}" * 100))
    destination.parent.mkdir()

    def limit() -> None:
        # Python ignores the signal, so that a write fails instead.
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))

    command = [sys.executable, "-m", "dagster_lmdb", "fork", str(directory_of(whole))]
    done = subprocess.run(
        [*command, str(destination), "--at", str(head_of(whole))],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert (done.returncode, done.stdout) == (2, ""), done
    assert f"no room on the disk of {destination}" in done.stderr
    assert os.listdir(destination.parent) == []


def test_a_terminal_sees_how_far_it_is(
    whole: DagsterInstance, started: dg.DagsterRun, destination: Path
) -> None:
    command = [sys.executable, "-m", "dagster_lmdb", "fork", str(directory_of(whole))]
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*command, str(destination), "--at", "1"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    assert b"Forked" in done.stdout
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # the end of a pseudo-terminal
        pass
    os.close(ours)
    assert b"copy and fold" in seen
    assert b"1/1" in seen
