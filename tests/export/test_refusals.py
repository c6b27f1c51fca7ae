"""What ``dagster-lmdb export`` refuses: with exit status 2 and a reason, and nothing written."""

import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb import LmdbEventLogStorage, errors
from export import samples
from export.exports import call, contents, files, fill, read
from python.entries import log_line

INCREMENT = ".increment"


@pytest.fixture
def dest(instance: DagsterInstance, store: Path, tmp_path: Path) -> Path:
    """An export of a store, whose history has gone on since."""
    fill(instance)
    dest = tmp_path / "exported"
    dagster_lmdb.export(store, dest)
    fill(instance)
    return dest


def refused(dest: Path, *arguments: object, says: str) -> None:
    """Exports to a destination, which stays as it was."""
    before = contents(dest) if dest.is_dir() else dest.exists()
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (contents(dest) if dest.is_dir() else dest.exists()) == before


def test_a_destination_that_is_something_else(dest: Path, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    refused(other, store, other, says="exists and is not an export: it holds file")
    refused(other / "file", store, other / "file", says="exists and is not a directory")
    refused(store, store, store, says="exists and is not an export")
    (other / "manifest.json").write_text('{"format": "another"}')
    refused(other, store, other, says="manifest.json is another program's")
    (other / "manifest.json").write_text("{")
    refused(other, store, other, says="manifest.json is damaged")
    refused(other / "no", store, other / "no" / "such", says="No such file or directory")
    for inside in (other / "file" / "new", other / "file" / "new" / "er"):
        refused(inside, store, inside, says=f"{other / 'file'} is not a directory")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert call(store, empty).exit_code == 0


def test_a_destination_within_the_store(dest: Path, store: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(store)
    for inside in (store / "exported", link / "exported", store / ".." / store.name / "exported"):
        refused(inside, store, inside, says="is in the directory of the store")
    refused(store / "exported", link, store / "exported", says="is in the directory of the store")


def test_another_store(dest: Path, tmp_path: Path) -> None:
    storage = LmdbEventLogStorage(str(tmp_path / "another"))
    storage.store_event(log_line(make_new_run_id(), "a line"))
    refused(dest, tmp_path / "another", dest, says="is an export of another store")


def test_a_store_that_was_put_back(
    instance: DagsterInstance, events: LmdbEventLogStorage, dest: Path, store: Path, tmp_path: Path
) -> None:
    """From a copy; first behind what was exported, then beyond it."""
    copy = tmp_path / "copy"
    instance.dispose()
    shutil.copytree(store, copy)
    ahead = tmp_path / "ahead"
    assert call(copy, ahead).exit_code == 0
    storage = LmdbEventLogStorage(str(copy))
    storage.store_event(log_line(make_new_run_id(), "a line"))
    assert call(copy, ahead).exit_code == 0
    refused(ahead, store, ahead, says="put back to an earlier state")
    storage = LmdbEventLogStorage(str(store))
    for _ in range(3):
        storage.store_event(log_line(make_new_run_id(), "another line"))
    refused(ahead, store, ahead, says="put back to an earlier state")


def test_the_record_that_the_checksum_is_of_may_be_compacted(
    instance: DagsterInstance, events: LmdbEventLogStorage, dest: Path, store: Path
) -> None:
    options = ("--table", "events")
    by_events = dest.parent / "events alone"
    run_id = make_new_run_id()
    events.store_event(log_line(run_id, "the last"))
    assert call(store, by_events, *options).exit_code == 0
    events.delete_events(run_id)
    events._log.compact(now=time.time())
    last = json.loads((by_events / "manifest.json").read_text())["sequence"]
    assert events._log.checksum(last) is None
    events.store_event(log_line(make_new_run_id(), "a later one"))
    assert call(store, by_events, *options).exit_code == 0
    assert read(by_events, "events")[-1]["message"] == "a later one"


def test_files_that_were_taken_away(
    instance: DagsterInstance, dest: Path, store: Path, tmp_path: Path
) -> None:
    """They are missed whether or not there is anything new."""
    assert call(store, dest).exit_code == 0
    gone = files(dest, "runs")[0]
    kept = tmp_path / gone.name
    shutil.move(gone, kept)
    says = f"bytes in {dest / 'runs'}, and 1 of"
    refused(dest, store, dest, says=says)
    with pytest.raises(errors.MissingFilesError):
        dagster_lmdb.export(store, dest)
    gone.write_bytes(kept.read_bytes()[:-1])
    refused(dest, store, dest, says=f"bytes in {dest / 'runs'}, and 2 of")
    refused(dest, store, dest, "--incomplete", says=f"{gone} is cut off")
    shutil.copy(kept, gone)
    assert call(store, dest).exit_code == 0
    gone.unlink()
    missing = "Missing of runs, although earlier calls wrote it: 1 file, "
    result = call(store, dest, "--incomplete")
    assert result.stdout.startswith("Nothing new")
    assert missing in result.stdout
    assert call(store, dest).exit_code == 0, "it counts what is left"
    fill(instance)
    files(dest, "runs")[0].unlink()
    refused(dest, store, dest, says=f"bytes in {dest / 'runs'}, and 0 of")
    assert missing in call(store, dest, "--incomplete").stdout
    assert json.loads((dest / "manifest.json").read_text())["tables"]["runs"]["files"] == 1
    fill(instance)
    assert call(store, dest).exit_code == 0


#: What may be changed by hand without anything going wrong; rows and increments are only told.
HARMLESS = ("first", "increments", "rows")


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths to all that is in a JSON value, containers too."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, key))


def test_a_manifest_that_was_changed(
    instance: DagsterInstance, dest: Path, store: Path, tmp_path: Path
) -> None:
    """Each value alone: missing, of another type, another one."""
    kept = shutil.copytree(dest, tmp_path / "kept")
    text = (dest / "manifest.json").read_text()
    head = dagster_lmdb.history(store).head
    tried = 0
    for path in leaves(json.loads(text)):
        *above, last = path
        value = reduce(getitem, path, json.loads(text))
        others: list[Any] = [None, "another", [], {}, -1, 1.5]
        if isinstance(value, int):
            others += [value + 1, value - 1, head + 1]
        for other in others:
            if other == value:
                continue
            manifest = json.loads(text)
            reduce(getitem, above, manifest)[last] = other
            (dest / "manifest.json").write_text(json.dumps(manifest))
            before = contents(dest)
            result = call(store, dest)
            tried += 1
            if result.exit_code == 0:
                assert is_harmless(path, value, other), (path, value, other)
                shutil.rmtree(dest)
                shutil.copytree(kept, dest)
            else:
                assert result.exit_code == 2, (path, value, other, result.exception)
                assert len(result.stderr.splitlines()) == 1
                assert contents(dest) == before
    assert tried > 200


def is_harmless(path: tuple[str | int, ...], value: Any, other: Any) -> bool:
    """Whether an export may go on with a value of the manifest changed."""
    name = path[-1]
    if name == "marks" and isinstance(other, (list, dict)):
        return not other  # the head and the epoch are still looked at
    if name in ("files", "bytes"):
        return type(other) is int and 0 <= other < value  # more than it counts is there
    if name == "epoch":
        return type(other) is int and 0 <= other < value  # the marks are still looked at
    return name in HARMLESS and type(other) is int and other >= 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--table", "events"], "was made with tables events, runs, ticks"),
        (["--type", "STEP_START"], "is asked for tables events;"),
        (["--columns", "run_id"], "with all columns, and is asked for columns run_id;"),
        (["--partition-by", "date"], "with no partitioning, and is asked for partition by date;"),
        (["--since", "5"], "begins at record 1, and is asked for from record 5 on"),
    ],
)
def test_other_options(dest: Path, store: Path, options: list[str], says: str) -> None:
    refused(dest, store, dest, *options, says=says)


def test_other_filters(dest: Path, store: Path, tmp_path: Path, instance: DagsterInstance) -> None:
    first, second = (each.run_id for each in instance.get_runs()[:2])
    of_run = tmp_path / "of a run"
    assert call(store, of_run, "--run", first).exit_code == 0
    fill(instance)
    says = f"with runs {first}, and is asked for runs {second};"
    refused(of_run, store, of_run, "--run", second, says=says)
    assert call(store, of_run, "--run", first).exit_code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda manifest: manifest.update(schema_version=2), "with version 2 of the schema"),
        (lambda manifest: manifest.update(schema_version="1"), "with version '1' of the schema"),
        (lambda manifest: manifest["tables"]["runs"]["columns"].remove("tags"), "differ from this"),
    ],
)
def test_a_schema_of_another_version(
    dest: Path, store: Path, change: Callable[[dict], object], says: str
) -> None:
    manifest = json.loads((dest / "manifest.json").read_text())
    change(manifest)
    (dest / "manifest.json").write_text(json.dumps(manifest))
    refused(dest, store, dest, says=says)


def test_two_at_once(dest: Path, store: Path) -> None:
    with open(dest / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(dest, store, dest, says="another process exports to")
    assert call(store, dest).exit_code == 0


def test_what_is_not_there(dest: Path, store: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    head = dagster_lmdb.history(store).head
    for options, says in (
        (["--run", "nobody"], "run nobody is not there"),
        (["--asset", "no/such"], "is not there"),
        (["--type", "NOTHING"], "NOTHING is not a type"),
        (["--columns", "nothing"], "has a column nothing; there are asset_key"),
        (["--columns", ""], "has a column ; there are asset_key"),
        (["--table", "runs", "--partition-by", "event_type"], "only events can be partitioned"),
        (["--table", "ticks", "--run", "nobody"], "table ticks cannot be filtered by run"),
        (["--since", head + 1], f"record {head + 1} is beyond the last one of the store"),
        (["--since", 2**70], "beyond the last one of the store"),
        (["--until", head + 1], f"record {head + 1} is beyond the last one of the store"),
        (["--since", 9, "--until", 8], "record 8 comes before record 9"),
        (["--until", "2001-01-01"], "no such moment"),
        (["--since", "2999-01-01"], "no such moment"),
        (["--until", "run:nobody"], "nobody"),
    ):
        refused(new, store, new, *options, says=says)
    assert call(store, new, "--until", "soon").exit_code == 2
    assert call(store, new, "--table", "nothing").exit_code == 2
    assert not new.exists()
    refused(new, tmp_path / "no store", new, says="is not a dagster-lmdb store")


def test_below_the_horizon(
    instance: DagsterInstance, events: LmdbEventLogStorage, dest: Path, store: Path
) -> None:
    tick = instance.create_tick(samples.a_tick(TickStatus.STARTED))
    instance.update_tick(tick.with_status(TickStatus.SUCCESS))
    events._log.compact(now=time.time())
    refused(dest, store, dest, says="a compaction has taken states of runs")
    refused(dest, store, dest, says="--incomplete")
    new = dest.parent / "new"
    refused(new, store, new, "--since", "2", says="history is whole from record")
    assert call(store, new, "--table", "events", "--since", "2").exit_code == 0
    assert call(store, dest, "--incomplete").exit_code == 0
    assert read(dest, "ticks")[-1]["status"] == "SUCCESS"
    # From the beginning on it has what is left.
    assert call(store, dest.parent / "left").exit_code == 0


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from dagster_lmdb.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
main(["export", *sys.argv[2:]])
"""


@pytest.mark.parametrize("limit", [100, 20_000])
def test_no_room(dest: Path, store: Path, tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands for a full disk, the store's included."""
    before = contents(dest)
    for destination in (dest, tmp_path / "new"):
        command = [sys.executable, "-c", FULL, str(limit), str(store), str(destination)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert f"cannot write to {destination}: " in done.stderr
        assert "File too large" in done.stderr
    assert contents(dest) == before
    assert not (tmp_path / "new").exists()
    assert call(store, dest).exit_code == 0
    assert len(files(dest, "events")) == 2


def test_each_error_has_a_type(dest: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(errors.NotAnExportError):
        dagster_lmdb.export(store, tmp_path / "file")
    with pytest.raises(errors.ExportMismatchError):
        dagster_lmdb.export(store, dest, partition_by="date")
    for since in (2**63, 2**70, -1):
        with pytest.raises(errors.SequenceRangeError):
            dagster_lmdb.export(store, tmp_path / "new", since=since)
    with pytest.raises(errors.LmdbStoreError, match="there is no table nothing; tables are events"):
        dagster_lmdb.export(store, dest, tables=["nothing"])
    with pytest.raises(errors.LmdbStoreError, match="partitioned by color, but by date or event_t"):
        dagster_lmdb.export(store, dest, partition_by="color")
    with open(dest / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(errors.ExportRunningError):
            dagster_lmdb.export(store, dest)
    (dest / "manifest.json").write_text(
        (dest / "manifest.json").read_text().replace('"schema_version": 1', '"schema_version": 0')
    )
    with pytest.raises(errors.ExportVersionError):
        dagster_lmdb.export(store, dest)
