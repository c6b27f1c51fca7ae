"""Every kind of cursor and bound that Dagster's callers pass has its meaning here."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterEventType, EventRecordsFilter, RunShardedEventsCursor
from dagster._check import CheckError
from dagster._core.event_api import (
    AssetRecordsFilter,
    EventLogCursor,
    EventRecordsResult,
    RunStatusChangeRecordsFilter,
)
from dagster._time import get_current_datetime

from dagster_lmdb import LmdbEventLogStorage
from python.entries import event, log_line, materialization, store_a_stranger

ASSET = dg.AssetKey("an_asset")
BEYOND_ALL = 2**70


@pytest.fixture
def ids(storage: LmdbEventLogStorage) -> list[int]:
    """The storage ids of five materializations."""
    storage.store_event_batch([materialization("a-run", "an_asset", str(n)) for n in range(5)])
    return [record.storage_id for record in storage.get_records_for_run("a-run").records]


def fetched(result: EventRecordsResult) -> list[int]:
    return [record.storage_id for record in result.records]


@pytest.mark.parametrize("sharded", [False, True])
def test_bounds_exclude(sharded: bool, storage: LmdbEventLogStorage, ids: list[int]) -> None:
    def cursor(storage_id: int) -> int | RunShardedEventsCursor:
        if not sharded:
            return storage_id
        return RunShardedEventsCursor(storage_id, run_updated_after=get_current_datetime())

    def read(after: int | None, before: int | None) -> list[int]:
        records_filter = EventRecordsFilter(
            DagsterEventType.ASSET_MATERIALIZATION,
            after_cursor=None if after is None else cursor(after),
            before_cursor=None if before is None else cursor(before),
        )
        records = storage.get_event_records(records_filter, ascending=True)
        return [record.storage_id for record in records]

    assert read(ids[0], ids[3]) == ids[1:3]
    assert read(-1, BEYOND_ALL) == ids
    assert read(BEYOND_ALL, None) == read(None, -1) == read(ids[2], ids[2]) == []


def test_storage_ids_of_no_event_select_nothing(
    storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    def read(storage_ids: list[int]) -> list[int]:
        records_filter = EventRecordsFilter(
            DagsterEventType.ASSET_MATERIALIZATION, storage_ids=storage_ids
        )
        return [record.storage_id for record in storage.get_event_records(records_filter)]

    assert read([ids[1], ids[3], 0, -7, BEYOND_ALL]) == [ids[3], ids[1]]
    assert read([0, -7, BEYOND_ALL]) == []
    # None at all is no filter, as with Dagster's SQL storages.
    assert len(read([])) == len(ids)
    summaries = storage.get_asset_event_summary_records
    assert summaries(DagsterEventType.ASSET_MATERIALIZATION, storage_ids=[]) == []
    assert summaries(DagsterEventType.ASSET_MATERIALIZATION, storage_ids=[BEYOND_ALL]) == []


@pytest.mark.parametrize("ascending", [False, True])
def test_pages_go_on_where_the_last_one_ended(
    ascending: bool, storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    cursor = None
    pages = []
    while True:
        page = storage.fetch_materializations(ASSET, 2, cursor, ascending)
        pages.append(fetched(page))
        cursor = page.cursor
        if not page.has_more:
            break
    in_order = ids if ascending else ids[::-1]
    assert pages == [in_order[:2], in_order[2:4], in_order[4:]]
    beyond = storage.fetch_materializations(ASSET, 2, cursor, ascending)
    assert beyond == EventRecordsResult([], cursor, False)


def test_a_full_page_says_that_there_may_be_more(
    storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    assert storage.fetch_materializations(ASSET, len(ids)).has_more
    assert storage.get_records_for_run("a-run", limit=len(ids)).has_more
    assert not storage.get_records_for_run("a-run").has_more


def test_an_empty_page_without_a_cursor_is_behind_minus_one(storage: LmdbEventLogStorage) -> None:
    nowhere = EventLogCursor.from_storage_id(-1).to_string()
    assert storage.get_records_for_run("no-run").cursor == nowhere
    assert storage.fetch_observations(ASSET, 1).cursor == nowhere
    assert storage.fetch_failed_materializations(ASSET, 1).cursor == nowhere
    assert storage.get_paginated_dynamic_partitions("none", 1, ascending=True).cursor


def test_an_offset_is_for_the_events_of_a_run(storage: LmdbEventLogStorage, ids: list[int]) -> None:
    offset = EventLogCursor.from_offset(3).to_string()
    records = storage.get_records_for_run("a-run", offset).records
    assert [record.storage_id for record in records] == ids[3:]
    records = storage.get_records_for_run("a-run", offset, ascending=False).records
    assert [record.storage_id for record in records] == [ids[1], ids[0]]
    with pytest.raises(CheckError):
        storage.fetch_materializations(ASSET, 1, offset)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_integer_is_the_offset_of_the_last_log_seen(
    storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    assert len(storage.get_logs_for_run("a-run", -1)) == 5
    partitions = [
        entry.asset_materialization.partition
        for entry in storage.get_logs_for_run("a-run", 1, limit=2)
        if entry.asset_materialization
    ]
    assert partitions == ["2", "3"]


def test_the_narrower_of_a_cursor_and_a_filter_bounds(
    storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    between = AssetRecordsFilter(ASSET, after_storage_id=ids[0], before_storage_id=ids[4])
    at = EventLogCursor.from_storage_id(ids[2]).to_string()
    assert fetched(storage.fetch_materializations(between, 9)) == ids[3:0:-1]
    assert fetched(storage.fetch_materializations(between, 9, at)) == [ids[1]]
    assert fetched(storage.fetch_materializations(between, 9, at, ascending=True)) == [ids[3]]


def test_a_page_above_the_maximum_is_refused(
    storage: LmdbEventLogStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_LIMIT_GET_EVENT_RECORDS", "3")
    fetches: list[Callable[[int], EventRecordsResult]] = [
        lambda limit: storage.fetch_materializations(ASSET, limit),
        lambda limit: storage.fetch_failed_materializations(ASSET, limit),
        lambda limit: storage.fetch_observations(ASSET, limit),
        lambda limit: storage.fetch_run_status_changes(DagsterEventType.RUN_SUCCESS, limit),
    ]
    for fetch in fetches:
        fetch(3)
        with pytest.raises(dg.DagsterInvariantViolationError, match="more than 3"):
            fetch(4)


def test_a_negative_limit_is_refused_and_zero_is_none(
    storage: LmdbEventLogStorage, ids: list[int]
) -> None:
    with pytest.raises(CheckError):
        storage.get_records_for_run("a-run", limit=-1)
    assert len(storage.get_records_for_run("a-run", limit=0).records) == len(ids)


def test_status_changes_of_some_jobs(storage: LmdbEventLogStorage) -> None:
    for number in range(6):
        storage.store_event(
            event(f"run-{number}", DagsterEventType.RUN_SUCCESS, job_name=f"job_{number % 3}")
        )
        storage.store_event(log_line(f"run-{number}", "between"))

    def run_ids(job_names: list[str] | None, cursor: str | None = None) -> list[str]:
        changes = RunStatusChangeRecordsFilter(DagsterEventType.RUN_SUCCESS, job_names=job_names)
        page = storage.fetch_run_status_changes(changes, 9, cursor, ascending=True)
        return [record.run_id for record in page.records]

    assert run_ids(["job_1"]) == ["run-1", "run-4"]
    assert run_ids(["job_2", "job_0"]) == ["run-0", "run-2", "run-3", "run-5"]
    assert run_ids(["job_9"]) == []
    assert len(run_ids(None)) == len(run_ids([])) == 6
    with pytest.raises(CheckError, match="received STEP_SUCCESS"):
        storage.fetch_run_status_changes(DagsterEventType.STEP_SUCCESS, 1)


def test_logs_of_all_runs_begin_at_minus_one(storage: LmdbEventLogStorage, ids: list[int]) -> None:
    assert list(storage.get_logs_for_all_runs_by_log_id()) == ids
    assert list(storage.get_logs_for_all_runs_by_log_id(ids[2], limit=1)) == [ids[3]]
    with pytest.raises(CheckError):
        storage.get_logs_for_all_runs_by_log_id(-2)


@pytest.mark.parametrize("ascending", [False, True])
def test_pages_go_on_past_an_event_that_cannot_be_decoded(
    ascending: bool, storage: LmdbEventLogStorage, base_dir: Path
) -> None:
    store_a_stranger(base_dir, "a-run")
    partitions = []
    cursor = None
    for _ in range(3):
        page = storage.fetch_materializations(dg.AssetKey("strange"), 1, cursor, ascending)
        assert page.has_more
        partitions += [record.partition_key for record in page.records]
        cursor = page.cursor
    assert partitions == (["a", "c"] if ascending else ["c", "a"])
    page = storage.fetch_materializations(dg.AssetKey("strange"), 1, cursor, ascending)
    assert not page.records
    assert not page.has_more
