"""What ``history`` gives is what Dagster's own objects say, in every reader of Arrow."""

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars
import pyarrow as pa
import pytest
from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb.errors import LmdbStoreError, NotAStoreError, NotThereError, SequenceRangeError
from export import oracle, samples
from export.reading import assert_same, rows
from python.entries import log_line, materialization


def entries(events: LmdbEventLogStorage) -> list[tuple[int, EventLogEntry]]:
    """All that Dagster can read, by storage id."""
    return list(events.get_logs_for_all_runs_by_log_id(after_cursor=-1).items())


@pytest.fixture
def stored(events: LmdbEventLogStorage) -> list[tuple[int, EventLogEntry]]:
    """A store with two runs and what belongs to none."""
    for run_id in (make_new_run_id(), "", make_new_run_id()):
        for entry in samples.special(run_id):
            events.store_event(entry)
        events.store_event_batch(samples.of_a_real_run(run_id))
    return entries(events)


def test_every_event_says_what_dagsters_object_says(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    found = rows(dagster_lmdb.history(store))
    assert_same(found, oracle.events(stored))
    assert set(found[0]) == set(next(oracle.events(stored)))


def test_every_check_says_what_dagsters_object_says(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    found = rows(dagster_lmdb.history(store, "asset_checks"))
    expected = list(oracle.asset_checks(stored))
    assert sum(row["status"] == "PLANNED" for row in expected) > 9
    for row, wanted in zip(found, expected, strict=True):
        if wanted["timestamp"] is None:
            assert abs(row["timestamp"].timestamp() - time.time()) < 60
            wanted["timestamp"] = row["timestamp"]
    assert_same(found, expected)
    assert set(found[0]) == set(expected[0])


def test_columns_are_those_asked_for_and_facets_need_no_body(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    columns = ["event_type", "sequence", "asset_key"]
    table = pa.table(dagster_lmdb.history(store, columns=columns))
    assert table.column_names == ["sequence", "event_type", "asset_key"]
    expected = [{name: row[name] for name in columns} for row in oracle.events(stored)]
    assert_same(rows(table), expected)
    assert pa.table(dagster_lmdb.history(store, columns=["event"])).column_names == ["event"]


def test_pyarrow_polars_and_duckdb_take_it_as_it_is(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    expected = [row["message"] for row in oracle.events(stored)]
    materialized = [
        sequence
        for sequence, entry in stored
        if entry.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION
    ]
    history = dagster_lmdb.history(store)
    assert pa.table(history)["message"].to_pylist() == expected
    with pa.RecordBatchReader.from_stream(history) as reader:
        assert reader.read_all().num_rows == len(expected)
    frame = polars.DataFrame(history)
    assert frame["message"].to_list() == expected
    of_type = polars.col("event_type").cast(polars.String) == "ASSET_MATERIALIZATION"
    assert frame.filter(of_type)["sequence"].to_list() == materialized
    assert len(frame.filter(polars.col("metadata").list.len() > 20)) == 3
    query = "select sequence from history where event_type = 'ASSET_MATERIALIZATION' order by all"
    assert duckdb.sql(query).fetchall() == [(sequence,) for sequence in materialized]
    metadata = "select m.float from history, unnest(metadata) as u(m) where m.label = 'float'"
    assert duckdb.sql(metadata).fetchall() == [(1.5,)] * 3
    messages = duckdb.sql("select message from history order by sequence").fetchall()
    assert [message for (message,) in messages] == expected


@pytest.mark.parametrize("table", ["events", "asset_checks", "ticks", "backfills"])
def test_an_empty_store_gives_the_schema(
    events: LmdbEventLogStorage, store: Path, table: str
) -> None:
    events.get_maximum_record_id()
    history = dagster_lmdb.history(store, table)
    assert pa.table(history).num_rows == 0
    assert pa.schema(history).names[:2] == ["sequence", "timestamp"]
    assert duckdb.sql("select count(*) from history").fetchall() == [(0,)]


def test_bounds_are_sequences_or_times(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    expected = list(oracle.events(stored))
    first, last = expected[10], expected[40]
    found = dagster_lmdb.history(store, since=first["sequence"], until=last["sequence"])
    assert_same(rows(found), expected[10:41])
    since, until = first["timestamp"], datetime.now(timezone.utc) + timedelta(hours=1)
    found = dagster_lmdb.history(store, since=since, until=until)
    assert_same(rows(found), [row for row in expected if since <= row["timestamp"] < until])
    early = datetime(1980, 1, 1)
    found = dagster_lmdb.history(store, until=early)
    assert len(rows(found)) == 6
    assert rows(dagster_lmdb.history(store, since=last["sequence"], until=last["sequence"]))


def test_bounds_that_no_log_has_are_errors(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    head = dagster_lmdb.history(store).head
    # Whoever asks for what came after the last row may ask before there is any.
    assert rows(dagster_lmdb.history(store, since=head + 1)) == []
    for beyond in (head + 2, 2**63, 2**64, 2**70):
        with pytest.raises(SequenceRangeError, match="beyond"):
            dagster_lmdb.history(store, since=beyond)
    for beyond in (head + 1, 2**64):
        with pytest.raises(SequenceRangeError, match="beyond"):
            dagster_lmdb.history(store, until=beyond)
    for name in ("since", "until"):
        with pytest.raises(SequenceRangeError, match="there is no record -1"):
            dagster_lmdb.history(store, **{name: -1})
        for number in (1.5, float("nan"), float("inf")):
            with pytest.raises(TypeError):
                dagster_lmdb.history(store, **{name: number})


def test_rows_are_filtered_by_run_asset_and_type(
    store: Path, stored: list[tuple[int, EventLogEntry]]
) -> None:
    expected = list(oracle.events(stored))
    run_id = stored[-1][1].run_id
    of_run = [row for row in expected if row["run_id"] == run_id]
    assert_same(rows(dagster_lmdb.history(store, run=run_id)), of_run)
    assert_same(rows(dagster_lmdb.history(store, run=["", run_id])), [
        row for row in expected if row["run_id"] in (None, run_id)
    ])  # fmt: skip
    key = ["gauges", "gauge_01"]
    of_asset = [row for row in expected if row["asset_key"] == key]
    for asset in (dg.AssetKey(key), "gauges/gauge_01", [dg.AssetKey(key)]):
        assert_same(rows(dagster_lmdb.history(store, asset=asset)), of_asset)
    types = ["STEP_START", DagsterEventType.STEP_SUCCESS]
    found = rows(dagster_lmdb.history(store, event_type=types, run=run_id))
    assert_same(
        found, [row for row in of_run if row["event_type"] in ("STEP_START", "STEP_SUCCESS")]
    )
    # Dagster's name for it, and the one that is stored.
    starts = [row for row in expected if row["event_type"] == "PIPELINE_START"]
    for name in ("RUN_START", "PIPELINE_START", DagsterEventType.RUN_START):
        assert_same(rows(dagster_lmdb.history(store, event_type=name)), starts)
    assert starts
    checks = rows(dagster_lmdb.history(store, "asset_checks", run=run_id, asset=dg.AssetKey(key)))
    assert_same(
        checks,
        [
            row
            for row in oracle.asset_checks(stored)
            if row["run_id"] == run_id and row["asset_key"] == key
        ],
    )
    assert len(checks) == 2


def test_what_is_stored_later_is_not_in_it_and_what_is_deleted_later_is(
    events: LmdbEventLogStorage, store: Path
) -> None:
    gone, stays = make_new_run_id(), make_new_run_id()
    for number in range(20):
        events.store_event(log_line(gone if number % 2 else stays, f"line {number}"))
    history = dagster_lmdb.history(store, columns=["message"])
    events.store_event(log_line(stays, "later"))
    events.delete_events(gone)
    again = materialization(gone, "an_asset")
    events.store_event(again)
    lines = [{"message": f"line {number}"} for number in range(20)]
    assert rows(history) == rows(history) == lines
    now = rows(dagster_lmdb.history(store))
    assert_same(now, oracle.events(entries(events)))
    assert [row["message"] for row in now] == [
        *(f"line {number}" for number in range(0, 20, 2)),
        "later",
        None,
    ]
    events.wipe()
    assert rows(dagster_lmdb.history(store)) == []
    assert rows(history) == lines


def test_events_of_a_wiped_asset_stay_in_their_runs(
    events: LmdbEventLogStorage, store: Path
) -> None:
    run_id = make_new_run_id()
    events.store_event(materialization(run_id, "an_asset", "a"))
    events.store_event(materialization(run_id, "another"))
    events.wipe_asset(dg.AssetKey("an_asset"))
    assert_same(rows(dagster_lmdb.history(store)), oracle.events(entries(events)))
    assert len(rows(dagster_lmdb.history(store, asset="an_asset"))) == 1


def test_husks_leave_no_rows(events: LmdbEventLogStorage, store: Path) -> None:
    gone, stays = make_new_run_id(), make_new_run_id()
    for run_id in (gone, stays):
        for entry in samples.special(run_id):
            events.store_event(entry)
    events.store_event(log_line(gone, "the last"))
    events.delete_events(gone)
    assert events._log.compact(now=time.time()).records > 20
    assert_same(rows(dagster_lmdb.history(store)), oracle.events(entries(events)))
    assert_same(
        rows(dagster_lmdb.history(store, "asset_checks", columns=["sequence", "status"])),
        (
            {"sequence": row["sequence"], "status": row["status"]}
            for row in oracle.asset_checks(entries(events))
        ),
    )


def test_each_state_of_a_tick_is_a_row(instance: DagsterInstance, store: Path) -> None:
    first = instance.create_tick(samples.a_tick(TickStatus.STARTED))
    versions = [oracle.tick(first)]
    for changed in (
        first.with_status(TickStatus.FAILURE, error=samples.raised(), end_timestamp=1700000001.5),
        first.with_status(TickStatus.SKIPPED, skip_reason=samples.UNICODE),
        first.with_cursor("a_cursor").with_run_info(run_id=make_new_run_id(), run_key="a_key"),
    ):
        instance.update_tick(changed)
        versions.append(oracle.tick(changed))
    found = rows(dagster_lmdb.history(store, "ticks"))
    assert_same(
        found, [row | {"sequence": found[at]["sequence"]} for at, row in enumerate(versions)]
    )
    assert found[0]["tick_id"] == found[0]["sequence"]
    instance.purge_ticks("an_origin", "a_selector", before=1800000000.0)
    last = rows(dagster_lmdb.history(store, "ticks"))[-1]
    assert (last["tick_id"], last["deleted"], last["tick"]) == (first.tick_id, True, None)


def test_a_wipe_of_all_ticks_or_backfills_is_a_row(instance: DagsterInstance, store: Path) -> None:
    instance.create_tick(samples.a_tick(TickStatus.STARTED))
    assert instance.schedule_storage is not None
    instance.schedule_storage.wipe()
    wiped = rows(dagster_lmdb.history(store, "ticks"))[-1]
    assert (wiped["tick_id"], wiped["deleted"], wiped["status"]) == (None, True, None)
    instance.add_backfill(a_backfill())
    instance.run_storage.wipe()
    wiped = rows(dagster_lmdb.history(store, "backfills"))[-1]
    assert (wiped["backfill_id"], wiped["deleted"], wiped["status"]) == (None, True, None)


def a_backfill() -> PartitionBackfill:
    return PartitionBackfill(
        backfill_id="a_backfill",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={"é": "1"},
        backfill_timestamp=1700000000.25,
        title="a title",
        asset_selection=[dg.AssetKey(["a", "b/c"]), dg.AssetKey("d")],
        partition_names=["x", "y"],
    )


def test_each_state_of_a_backfill_is_a_row(instance: DagsterInstance, store: Path) -> None:
    backfill = a_backfill()
    states = [
        backfill,
        backfill.with_status(BulkActionStatus.FAILED).with_error(samples.raised()),
        backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS),
    ]
    instance.add_backfill(states[0])
    for state in states[1:]:
        instance.update_backfill(state)
    found = rows(dagster_lmdb.history(store, "backfills"))
    assert_same(
        found,
        [
            oracle.backfill(state) | {"sequence": row["sequence"]}
            for state, row in zip(states, found, strict=True)
        ],
    )


def test_long_histories_come_in_order_and_whole(events: LmdbEventLogStorage, store: Path) -> None:
    run_id = make_new_run_id()
    for start in range(0, 30_000, 1000):
        events.store_event_batch([log_line(run_id, str(start + at)) for at in range(1000)])
    events.store_event(log_line(run_id, "x" * 5_000_000))
    table = pa.table(dagster_lmdb.history(store, columns=["sequence", "message"]))
    assert table["sequence"].to_pylist() == list(range(table["sequence"][0].as_py(), 30_003))
    assert table["message"].to_pylist()[:-1] == [str(number) for number in range(30_000)]
    history = dagster_lmdb.history(store, columns=["message"], run=run_id)
    assert pa.table(history).num_rows == 30_001
    batches = dagster_lmdb.history(store).batches()
    assert len(next(batches)) > 0
    del batches


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"run": "nobody"}, NotThereError, "run nobody"),
        ({"asset": "no/such"}, NotThereError, "no"),
        ({"since": 10_000}, SequenceRangeError, "beyond the last"),
        ({"until": 10_000}, SequenceRangeError, "beyond the last"),
        ({"columns": ["nothing"]}, LmdbStoreError, "it has sequence, timestamp"),
        ({"event_type": "NOTHING"}, LmdbStoreError, "NOTHING"),
        ({"table": "ticks", "run": "some"}, LmdbStoreError, "cannot be filtered by run"),
        ({"table": "ticks", "asset": "some"}, LmdbStoreError, "cannot be filtered by asset"),
        ({"table": "asset_checks", "event_type": "STEP_START"}, LmdbStoreError, "event type"),
        ({"table": "nothing"}, ValueError, "tables are events"),
    ],
)
def test_what_is_not_there_is_an_error(
    events: LmdbEventLogStorage,
    store: Path,
    asked: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    events.store_event(log_line("some", "line"))
    with pytest.raises(error, match=says):
        dagster_lmdb.history(store, **asked)


def test_history_below_the_horizon_is_an_error(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path
) -> None:
    first = instance.create_tick(samples.a_tick(TickStatus.STARTED))
    instance.update_tick(first.with_status(TickStatus.SUCCESS))
    whole_from = events._log.compact(now=time.time()).whole_from
    with pytest.raises(SequenceRangeError, match=f"from record {whole_from} on"):
        dagster_lmdb.history(store, "ticks", since=1)
    assert len(rows(dagster_lmdb.history(store, "ticks"))) == 1
    assert rows(dagster_lmdb.history(store, "ticks", since=whole_from)) == []


def test_a_directory_without_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError):
        dagster_lmdb.history(tmp_path / "nothing")
