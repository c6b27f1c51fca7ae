"""Instances as of a moment: what they show, and which moments are none."""

import logging
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.test_utils import instance_for_test
from dagster._core.utils import make_new_run_id

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage, LmdbScheduleStorage
from dagster_lmdb.as_of import view
from dagster_lmdb.errors import (
    ForkCacheError,
    NoSuchMomentError,
    NotAStoreError,
    ReadOnlyInstanceError,
)
from python.entries import log_line, whole_block
from python.pasts import ASSET, SENSOR, begin, go_on, head_of, instance_as_of, state_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The directory whose ``history`` is the store."""
    directory = tmp_path / "present"
    directory.mkdir()
    return directory


@pytest.fixture
def present(store: Path) -> Iterator[DagsterInstance]:
    with instance_for_test(whole_block(store), temp_dir=str(store)) as instance:
        yield instance


def test_it_shows_what_there_was_while_the_store_goes_on(
    present: DagsterInstance, store: Path
) -> None:
    run_id = begin(present)
    then, at = state_of(present), head_of(present)
    go_on(present, run_id)
    now = state_of(present)
    assert [name for name in then if then[name] == now[name]] == []
    with instance_as_of(store, at) as past:
        assert state_of(past) == then
        assert past.get_run_by_id(run_id).status == DagsterRunStatus.STARTED
        assert not past.has_asset_key(ASSET)
        present.delete_run(run_id)
        assert state_of(past) == then
    with instance_as_of(store, at) as past:
        assert state_of(past) == then
    assert head_of(present) > at


def test_a_moment_is_a_record_a_time_or_the_end_of_a_run(
    present: DagsterInstance, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_new_run_id()
    base = time.time() - 1000
    for number in range(4):
        present.store_event(log_line(run_id, f"line {number}", base + number * 10))
    head = head_of(present)
    present.store_event(log_line(make_new_run_id(), "of another"))
    at = datetime.fromtimestamp(base + 15, timezone.utc).isoformat()
    monkeypatch.setenv("WHEN", at)
    for moment, lines in (
        (head, 4),
        (str(head - 1), 3),
        (at, 2),
        ({"env": "WHEN"}, 2),
        (f"run:{run_id}", 4),
    ):
        with instance_as_of(store, moment) as past:
            messages = [entry.user_message for entry in past.all_logs(run_id)]
            assert messages == [f"line {number}" for number in range(lines)]


def test_the_moment_becomes_one_record_at_the_first_look(
    present: DagsterInstance, store: Path
) -> None:
    """All three storages see the run, which goes on, where the first of them saw it end."""
    run_id = begin(present)
    with instance_as_of(store, f"run:{run_id}") as past:
        assert len(past.all_logs(run_id)) == 2
        present.store_event(log_line(run_id, "later"))
        assert past.all_instigator_state() == [], "it was added after the last event"
        assert past.get_run_by_id(run_id).status == DagsterRunStatus.STARTED
        past.dispose()
        assert len(past.all_logs(run_id)) == 2, "also after it was closed"
    with instance_as_of(store, f"run:{run_id}") as past:
        assert len(past.all_logs(run_id)) == 3


def test_each_storage_can_be_as_of_a_moment_by_itself(
    present: DagsterInstance, store: Path
) -> None:
    run_id = begin(present)
    at, then = head_of(present), state_of(present)
    go_on(present, run_id)
    base_dir = str(store / "history")
    events = LmdbEventLogStorage(base_dir, as_of=at)
    assert events.get_logs_for_run(run_id) == then["logs"][0]
    assert LmdbRunStorage(base_dir, as_of=at).get_run_records() == then["runs"]
    assert LmdbScheduleStorage(base_dir, as_of=at).all_instigator_state() == then["sensors"]
    with pytest.raises(ReadOnlyInstanceError):
        events.store_event(log_line(run_id, "more"))


def test_a_watch_is_given_what_there_was(present: DagsterInstance, store: Path) -> None:
    run_id = begin(present)
    at, logs = head_of(present), present.all_logs(run_id)
    go_on(present, run_id)
    with instance_as_of(store, at) as past:
        seen = []
        past.watch_event_logs(run_id, None, lambda entry, cursor: seen.append(entry))
        deadline = time.monotonic() + 30
        while len(seen) < len(logs):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert seen == logs


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (1_000_000, "beyond its head"),
        ("0", "numbered from 1"),
        ("run:nobody", "it knows no run"),
        ("2001-01-01", "before its first record"),
        ("2101-01-01", "still to come"),
    ],
)
def test_a_moment_that_never_was_is_an_error_at_the_first_look(
    present: DagsterInstance, store: Path, moment: object, said: str
) -> None:
    begin(present)
    with instance_as_of(store, moment) as past, pytest.raises(NoSuchMomentError, match=said):
        past.get_runs()
    assert not (store / "history" / "as_of").exists()


def test_no_store_is_made_where_there_is_none(store: Path) -> None:
    with instance_as_of(store, 1) as past, pytest.raises(NotAStoreError):
        past.get_runs()
    assert not (store / "history").exists()


def test_a_cache_that_cannot_be_is_an_error_that_names_the_setting(
    present: DagsterInstance, store: Path
) -> None:
    begin(present)
    in_the_way = store / "file"
    in_the_way.touch()
    with (
        instance_as_of(store, 1, as_of_cache_dir=str(in_the_way)) as past,
        pytest.raises(ForkCacheError, match="as_of_cache_dir"),
    ):
        past.get_runs()


def test_it_says_once_what_it_shows_and_what_it_cannot(
    present: DagsterInstance, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(present)
    caplog.set_level(logging.WARNING, view.__name__)
    for _ in range(2):
        with instance_as_of(store, 3) as past:
            state_of(past)
    [said] = [record.message for record in caplog.records if record.name == view.__name__]
    assert f"shows {store / 'history'} as of record 3 (as_of: 3), read-only" in said
    assert "compute logs" in said
    assert "defs_state_storage" in said
    assert "Missing" not in said


def test_below_the_horizon_it_says_what_is_missing_and_shows_the_rest(
    present: DagsterInstance, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = begin(present)
    at, then = head_of(present), state_of(present)
    go_on(present, run_id)
    storage = present.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    storage._log.compact(now=time.time())
    whole_from, _ = storage._log.horizons()
    assert at < whole_from - 1
    with instance_as_of(store, at) as past:
        assert past.all_instigator_state() == [], "the state of then was overwritten"
        assert past.get_run_records() == then["runs"]
        assert past.all_logs(run_id) == then["logs"][0]
    assert f"overwritten up to record {whole_from - 1:,}" in caplog.text
    assert "Missing, since a compaction took them" in caplog.text


def test_a_fork_from_before_a_compaction_still_shows_all(
    present: DagsterInstance, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = begin(present)
    at, then = head_of(present), state_of(present)
    go_on(present, run_id)
    present.update_instigator_state(SENSOR.with_data(SensorInstigatorData(cursor="at last")))
    with instance_as_of(store, at) as past:
        past.get_runs()
    storage = present.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    storage._log.compact(now=time.time())
    with instance_as_of(store, at) as past:
        assert state_of(past) == then
    assert "Missing" not in caplog.text
