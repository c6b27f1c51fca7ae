"""The same export again, as from cron: it goes on with what it began with, whatever came since."""

import json
import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import StepMaterializationData
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb import LmdbEventLogStorage, errors
from export.exports import call, fill, read
from python.entries import event, log_line, run

EVENTS = ("--table", "events")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def exported(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def manifest(dest: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((dest / "manifest.json").read_text())
    return found


def messages(dest: Path) -> list[str]:
    return [row["message"] for row in read(dest, "events")]


def store_line(events: LmdbEventLogStorage, message: str, run_id: str | None = None) -> str:
    """Stores a line at a time of its own; returns the run's id."""
    run_id = run_id or make_new_run_id()
    time.sleep(0.002)
    events.store_event(log_line(run_id, message))
    time.sleep(0.002)
    return run_id


def test_a_time_stays_the_record_that_it_was(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    """An event from before it that is stored later, or a compaction, gives it another."""
    store_line(events, "before")
    at = round(time.time(), 6)
    since = datetime.fromtimestamp(at).isoformat()
    exported(store, dest, *EVENTS, "--since", since)
    first = manifest(dest)["first"]
    assert manifest(dest)["since"] == {"time": at}
    events.store_event(log_line(make_new_run_id(), "late", timestamp=at - 5))
    gone = store_line(events, "soon deleted")
    store_line(events, "after")
    events.delete_events(gone)
    events._log.compact(now=time.time())
    assert events._log.resolve(time=at, now=time.time()) + 1 != first
    exported(store, dest, *EVENTS, "--since", since)
    exported(store, dest, *EVENTS, "--since", datetime.fromtimestamp(at, timezone.utc).isoformat())
    assert messages(dest) == ["late", "after"]
    assert manifest(dest)["first"] == first
    other = datetime.fromtimestamp(at + 0.001).isoformat()
    assert f"begins at record {first}, and is asked for" in refused(
        store, dest, *EVENTS, "--since", other
    )


@pytest.mark.parametrize("happens", ["goes on", "is deleted"])
def test_the_end_of_a_run_stays_the_record_that_it_was(
    instance: DagsterInstance,
    events: LmdbEventLogStorage,
    store: Path,
    dest: Path,
    happens: str,
) -> None:
    run_id = store_line(events, "of the run")
    store_line(events, "after")
    since = ("--since", f"run:{run_id}")
    exported(store, dest, *EVENTS, *since)
    assert manifest(dest)["since"] == {"end_of_run": run_id}
    if happens == "goes on":
        store_line(events, "more of it", run_id)
    else:
        events.delete_events(run_id)
        store_line(events, "another")
    exported(store, dest, *EVENTS, *since)
    assert messages(dest)[0] == "after"
    assert len(messages(dest)) == 2
    assert exported(store, dest, *EVENTS, *since).startswith("Nothing new")
    other = make_new_run_id()
    assert other in refused(store, dest, *EVENTS, "--since", f"run:{other}")


def test_another_name_of_the_same_record_will_do(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    """And it is not what is remembered."""
    run_id = store_line(events, "of the run")
    store_line(events, "after")
    exported(store, dest, *EVENTS, "--since", f"run:{run_id}")
    first = manifest(dest)["first"]
    store_line(events, "later")
    exported(store, dest, *EVENTS, "--since", first)
    exported(store, dest, *EVENTS)
    assert manifest(dest)["since"] == {"end_of_run": run_id}
    assert messages(dest) == ["after", "later"]
    assert "begins at record" in refused(store, dest, *EVENTS, "--since", first + 1)


def test_a_manifest_that_does_not_say_what_it_began_with_learns_it(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    run_id = store_line(events, "of the run")
    store_line(events, "after")
    since = ("--since", f"run:{run_id}")
    exported(store, dest, *EVENTS, *since)
    before = manifest(dest)
    del before["since"]
    (dest / "manifest.json").write_text(json.dumps(before))
    store_line(events, "later")
    exported(store, dest, *EVENTS, *since)
    store_line(events, "more of it", run_id)
    exported(store, dest, *EVENTS, *since)
    assert messages(dest) == ["after", "later", "more of it"]


@pytest.mark.parametrize(
    "since",
    [
        *("another", [], {}, {"sequence": "1"}, {"sequence": True}, {"time": 1}, {"end_of_run": 1}),
        *({"sequence": 1, "time": 1.0}, {"sequence": None}, {"other": 1}),
    ],
)
def test_a_manifest_that_began_with_nothing_is_damaged(
    instance: DagsterInstance, store: Path, dest: Path, since: object
) -> None:
    instance.add_run(run())
    exported(store, dest)
    (dest / "manifest.json").write_text(json.dumps(manifest(dest) | {"since": since}))
    assert "manifest.json is damaged" in refused(store, dest)


def test_a_run_that_was_deleted_comes_as_deleted(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    run_id = instance.add_run(run()).run_id
    store_line(events, "a line", run_id)
    exported(store, dest, "--run", run_id)
    instance.delete_run(run_id)
    said = exported(store, dest, "--run", run_id)
    assert ": 0 events, 1 version of runs, 0 checks." in said
    row = read(dest, "runs")[-1]
    assert (row["run_id"], row["deleted"]) == (run_id, True)
    assert messages(dest) == ["a line"]
    instance.add_run(run())
    exported(store, dest, "--run", run_id)
    assert f"run {run_id} is not there" in refused(store, dest.parent / "new", "--run", run_id)


def test_an_asset_that_is_gone_goes_on(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    key = dg.AssetKey("letters")

    def materialize() -> None:
        data = StepMaterializationData(dg.AssetMaterialization(key))
        events.store_event(
            event(make_new_run_id(), DagsterEventType.ASSET_MATERIALIZATION, data, step_key="one")
        )

    materialize()
    exported(store, dest, "--asset", "letters")
    events.wipe()
    assert "letters" in refused(store, dest.parent / "new", "--asset", "letters")
    exported(store, dest, "--asset", "letters")
    materialize()
    exported(store, dest, "--asset", "letters")
    types = [row["event_type"] for row in read(dest, "events")]
    assert types == ["ASSET_MATERIALIZATION"] * 2


def compacted(instance: DagsterInstance, events: LmdbEventLogStorage) -> None:
    """Has a compaction take something."""
    instance.delete_run(fill(instance))
    events._log.compact(now=time.time())


def test_up_to_the_same_record_again_is_nothing_new(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    fill(instance)
    until = dagster_lmdb.history(store).head
    exported(store, dest, "--until", until)
    compacted(instance, events)
    assert events._log.stat()["whole_from"] > until + 1
    for end in (until, until - 1, 0):
        said = exported(store, dest, "--until", end)
        assert said == f"Nothing new: {dest} has all up to record {until:,}.\n"
    assert "a compaction has taken states of runs" in refused(store, dest)
    assert "beyond the last one" in refused(store, dest, "--until", events._log.head() + 1)


def test_nothing_new_is_said_of_the_same_history_alone(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    fill(instance)
    until = dagster_lmdb.history(store).head
    instance.dispose()
    copy, other = dest.parent / "copy", dest.parent / "other"
    shutil.copytree(store, copy)
    went_on = LmdbEventLogStorage(str(copy))
    store_line(went_on, "here alone")
    exported(copy, dest)
    back = LmdbEventLogStorage(str(store))
    for _ in range(3):
        store_line(back, "there alone")
    assert "put back to an earlier state" in refused(store, dest, "--until", until)
    another = LmdbEventLogStorage(str(other))
    for _ in range(until + 1):
        store_line(another, "another")
    assert "is an export of another store" in refused(other, dest, "--until", until)


def middle(events: LmdbEventLogStorage) -> tuple[str, datetime]:
    """The run of a line, and a time between it and the next."""
    run_id = store_line(events, "one")
    at = datetime.now(timezone.utc)
    store_line(events, "two")
    return run_id, at


@pytest.mark.parametrize(
    "name",
    [
        lambda run_id, at: at,
        lambda run_id, at: at.astimezone(timezone(timedelta(hours=3))),
        lambda run_id, at: at.replace(tzinfo=None),
        lambda run_id, at: at.isoformat(),
        lambda run_id, at: at.astimezone().replace(tzinfo=None).isoformat(),
        lambda run_id, at: f"run:{run_id}",
    ],
)
def test_python_takes_every_name_of_a_moment(
    instance: DagsterInstance,
    events: LmdbEventLogStorage,
    store: Path,
    dest: Path,
    name: Callable[[str, datetime], Any],
) -> None:
    moment = name(*middle(events))
    for bounds, expected in (({"since": moment}, ["two"]), ({"until": moment}, ["one"])):
        to = dest / next(iter(bounds))
        dest.mkdir(exist_ok=True)
        dagster_lmdb.export(store, to, tables=["events"], **bounds)
        assert messages(to) == expected
        rows = dagster_lmdb.history(store, columns=["sequence", "message"], **bounds)
        assert [row["message"] for row in table(rows)] == expected


def table(history: Any) -> list[dict[str, Any]]:
    import pyarrow as pa

    found: list[dict[str, Any]] = pa.table(history).to_pylist()
    return found


def test_python_takes_a_sequence_as_number_and_as_text(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    middle(events)
    first = dagster_lmdb.history(store).head - 1
    for number, sequence in enumerate((first, str(first))):
        to = dest.parent / str(number)
        dagster_lmdb.export(store, to, tables=["events"], since=sequence, until=sequence)
        assert messages(to) == ["one"]
        found = dagster_lmdb.history(store, since=sequence, until=sequence)
        assert [row["message"] for row in table(found)] == ["one"]


@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ("soon", ValueError),
        ("run:nobody", errors.NoSuchMomentError),
        (12.0, TypeError),
        (True, TypeError),
        (float("nan"), TypeError),
        (-1, errors.SequenceRangeError),
        (2**70, errors.SequenceRangeError),
        (b"1", TypeError),
    ],
)
def test_python_refuses_what_is_no_moment(
    instance: DagsterInstance,
    events: LmdbEventLogStorage,
    store: Path,
    dest: Path,
    moment: Any,
    error: type[Exception],
) -> None:
    middle(events)
    for bounds in ({"since": moment}, {"until": moment}):
        with pytest.raises(error):
            dagster_lmdb.export(store, dest, **bounds)
        with pytest.raises(error):
            dagster_lmdb.history(store, **bounds)
    assert not dest.exists()
