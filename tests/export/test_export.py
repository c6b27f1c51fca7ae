"""``dagster-lmdb export``: Parquet files with the rows of history, in increments that add up."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from dagster import DagsterEventType, DagsterInstance, EventLogEntry
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb import LmdbEventLogStorage
from export import oracle, samples
from export.exports import TABLES, call, contents, files, fill, read
from export.reading import assert_same, rows
from python.entries import event, log_line, run, store_a_stranger


def entries(events: LmdbEventLogStorage) -> list[tuple[int, EventLogEntry]]:
    return list(events.get_logs_for_all_runs_by_log_id(after_cursor=-1).items())


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def test_the_files_say_what_dagsters_objects_say(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    fill(instance)
    result = call(store, dest)
    assert result.exit_code == 0, result.output
    assert_same(read(dest, "events"), oracle.events(entries(events)))
    checks = read(dest, "asset_checks")
    for row, wanted in zip(checks, oracle.asset_checks(entries(events)), strict=True):
        assert_same([row], [wanted | {"timestamp": wanted["timestamp"] or row["timestamp"]}])
    (tick,) = instance.get_ticks("an_origin", "a_selector")
    assert_same(read(dest, "ticks")[-1:], [oracle.tick(tick) | sequence_of(dest, "ticks")])
    (backfill,) = instance.get_backfills()
    assert_same(
        read(dest, "backfills")[-1:], [oracle.backfill(backfill) | sequence_of(dest, "backfills")]
    )
    latest = {row["run_id"]: row for row in read(dest, "runs")}
    for record in instance.get_run_records():
        found = latest.pop(record.dagster_run.run_id)
        assert_same([found], [oracle.run(record) | {"sequence": found["sequence"]}])
    assert not latest


def sequence_of(dest: Path, table: str) -> dict[str, int]:
    return {"sequence": read(dest, table)[-1]["sequence"]}


def test_the_files_are_those_of_history_in_zstd(
    instance: DagsterInstance, store: Path, dest: Path
) -> None:
    fill(instance)
    assert call(store, dest).exit_code == 0
    for table in TABLES:
        (path,) = files(dest, table)
        found = pq.ParquetFile(path)
        schema = pa.schema(dagster_lmdb.history(store, table))
        assert found.schema_arrow.names == schema.names
        assert found.schema_arrow.field("timestamp").type == pa.timestamp("us", "UTC")
        assert found.metadata.row_group(0).column(0).compression == "ZSTD"
        assert json.dumps(read(dest, table), default=str) == json.dumps(
            rows(dagster_lmdb.history(store, table)), default=str
        )


def test_every_reader_reads_them(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    fill(instance)
    call(store, dest)
    fill(instance)
    call(store, dest)
    expected = list(oracle.events(entries(events)))
    everything = f"{dest}/events/**/*.parquet"
    table = ds.dataset(dest / "events").to_table()
    assert_same(sorted(rows(table), key=lambda row: row["sequence"]), expected)
    frame = polars.read_parquet(everything).sort("sequence")
    assert frame["message"].to_list() == [row["message"] for row in expected]
    assert frame["asset_key"].to_list() == [row["asset_key"] for row in expected]
    found = duckdb.sql(
        f"select sequence, message, asset_key, error.message, tags, metadata"
        f" from '{everything}' order by sequence"
    ).fetchall()
    assert [row[:3] for row in found] == [
        (row["sequence"], row["message"], row["asset_key"]) for row in expected
    ]
    assert [row[3] for row in found] == [
        row["error"] and row["error"]["message"] for row in expected
    ]
    assert [row[4] for row in found] == [row["tags"] for row in expected]
    nans = duckdb.sql(
        f"select count(*) from (select unnest(metadata) as m from '{everything}')"
        " where isnan(m.float)"
    ).fetchall()
    items = [item for row in expected for item in row["metadata"] or []]
    assert nans == [(sum(item["float"] != item["float"] for item in items),)]
    assert nans > [(2,)]


def test_events_of_classes_that_this_dagster_does_not_know_are_there(
    instance: DagsterInstance, store: Path, dest: Path
) -> None:
    run_id = make_new_run_id()
    store_a_stranger(store, run_id)
    assert call(store, dest).exit_code == 0
    found = read(dest, "events")
    assert [row["metadata"][0]["int"] for row in found] == [1, 2, 3]
    assert found[1]["metadata"][0]["kind"] == "stranger"
    assert '"__class__": "Stranger"' in found[1]["event"]


def test_increments_add_up_to_one_export(
    instance: DagsterInstance, store: Path, dest: Path, tmp_path: Path
) -> None:
    said = []
    for _ in range(4):
        fill(instance)
        said.append(call(store, dest).output)
    assert call(store, tmp_path / "at once").exit_code == 0
    for table in TABLES:
        assert len(files(dest, table)) == 4
        assert json.dumps(read(dest, table), default=str) == json.dumps(
            read(tmp_path / "at once", table), default=str
        )
    manifest = json.loads((dest / "manifest.json").read_text())
    head = dagster_lmdb.history(store).head
    assert manifest["sequence"] == head
    assert manifest["increments"] == 4
    assert manifest["tables"]["events"]["rows"] == len(read(dest, "events"))
    assert manifest["tables"]["events"]["files"] == 4
    assert {table["sequence"] for table in manifest["tables"].values()} == {head}
    assert f"to {head:,} to {dest}, " in said[-1]
    before = contents(dest)
    assert call(store, dest).output == f"Nothing new: {dest} has all up to record {head:,}.\n"
    assert contents(dest) == before


def test_an_increment_without_rows_is_one_all_the_same(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    instance.create_tick(samples.a_tick(TickStatus.STARTED))
    assert call(store, dest, "--table", "events").exit_code == 0
    assert [pq.ParquetFile(path).metadata.num_rows for path in files(dest)] == [0]
    instance.create_tick(samples.a_tick(TickStatus.STARTED))
    result = call(store, dest, "--table", "events")
    assert ": 0 events.\n" in result.output
    assert len(files(dest)) == 1
    events.store_event(log_line(make_new_run_id(), "a line"))
    assert ": 1 event.\n" in call(store, dest, "--table", "events").output
    assert [row["message"] for row in read(dest, "events")] == ["a line"]


def test_it_begins_and_ends_where_it_is_told_to(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    run_id = make_new_run_id()
    for number in range(10):
        events.store_event(log_line(run_id, str(number)))
    first = dagster_lmdb.history(store).head - 9
    bounds = ("--table", "events", "--since", first + 2)
    assert call(store, dest, *bounds, "--until", first + 4).exit_code == 0
    assert [row["message"] for row in read(dest, "events")] == ["2", "3", "4"]
    assert call(store, dest, *bounds, "--until", first + 3).output.startswith("Nothing new")
    assert call(store, dest, "--table", "events", "--until", f"run:{run_id}").exit_code == 0
    assert [row["message"] for row in read(dest, "events")] == list("23456789")


def test_times_are_those_of_records(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, tmp_path: Path
) -> None:
    events.store_event(log_line(make_new_run_id(), "before"))
    time.sleep(0.01)
    middle = time.time()
    time.sleep(0.01)
    events.store_event(log_line(make_new_run_id(), "after"))
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(middle)) + f"{middle % 1:.6f}"[1:]
    for option, expected in (("--since", ["after"]), ("--until", ["before"])):
        dest = tmp_path / option
        assert call(store, dest, "--table", "events", option, at).exit_code == 0
        assert [row["message"] for row in read(dest, "events")] == expected
    long_ago = tmp_path / "long ago"
    assert call(store, long_ago, "--table", "events", "--since", "2001-01-01").exit_code == 0
    assert len(read(long_ago, "events")) == 2


def test_rows_and_columns_are_those_asked_for(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, tmp_path: Path
) -> None:
    run_id = fill(instance)
    of_run = tmp_path / "run"
    assert call(store, of_run, "--run", run_id).exit_code == 0
    assert sorted(path.name for path in of_run.iterdir() if path.is_dir()) == [
        *("asset_checks", "events", "runs")
    ]
    for table in ("events", "runs", "asset_checks"):
        assert {row["run_id"] for row in read(of_run, table)} == {run_id}
    of_asset = tmp_path / "asset"
    assert (
        call(store, of_asset, "--asset", "gauges/gauge_01", "--columns", "asset_key").exit_code == 0
    )
    found = read(of_asset, "events")
    assert {tuple(row["asset_key"]) for row in found} == {("gauges", "gauge_01")}
    assert list(found[0]) == ["sequence", "asset_key"]
    of_type = tmp_path / "type"
    columns = "event_type, message"
    assert call(store, of_type, "--type", "STEP_FAILURE", "--columns", columns).exit_code == 0
    (failure,) = read(of_type, "events")
    assert list(failure) == ["sequence", "event_type", "message"]
    assert files(of_type) == files(of_type, "events")
    # As users know what is stored as PIPELINE_SUCCESS.
    events.store_event(event(run_id, DagsterEventType.RUN_SUCCESS))
    of_status = tmp_path / "status"
    assert call(store, of_status, "--type", "RUN_SUCCESS").exit_code == 0
    assert {row["event_type"] for row in read(of_status, "events")} == {"PIPELINE_SUCCESS"}


@pytest.mark.parametrize("columns", [(), ("--columns", "message,run_id")])
def test_folders_by_day(
    instance: DagsterInstance, store: Path, dest: Path, columns: tuple[str, ...]
) -> None:
    fill(instance)
    assert call(store, dest, "--partition-by", "date", *columns).exit_code == 0
    fill(instance)
    assert call(store, dest, "--partition-by", "date", *columns).exit_code == 0
    expected = rows(dagster_lmdb.history(store))
    for path in files(dest, "events"):
        days = {
            expected_day(expected, row["sequence"]) for row in rows(pq.ParquetFile(path).read())
        }
        assert days == {path.parent.name.removeprefix("date=")}
    everything = f"{dest}/events/**/*.parquet"
    by_day = dict(duckdb.sql(f"select date, count(*) from '{everything}' group by all").fetchall())
    assert sum(by_day.values()) == len(expected)
    assert len(by_day) >= 4
    frame = polars.scan_parquet(dest / "events", hive_partitioning=True).collect()
    assert len(frame) == len(expected)
    assert ds.dataset(dest / "events", partitioning="hive").count_rows() == len(expected)
    names = {path.parent.parent.name for path in files(dest, "runs")}
    assert len(names) == 2


@pytest.mark.parametrize("by", ["date", "event_type"])
def test_a_table_without_rows_has_its_columns_in_folders_too(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path, by: str
) -> None:
    """Before the first row, and beside the rows of later increments."""
    events.get_maximum_record_id()
    assert call(store, dest, "--partition-by", by).exit_code == 0
    for table in TABLES:
        everything = f"{dest}/{table}/**/*.parquet"
        assert duckdb.sql(f"select sequence from '{everything}'").fetchall() == []
        frame = polars.scan_parquet(dest / table, hive_partitioning=True).collect()
        assert len(frame) == 0
        names = ds.dataset(dest / table, partitioning="hive").schema.names
        assert {"sequence", "timestamp"} <= set(frame.columns) == set(names)
    fill(instance)
    assert call(store, dest, "--partition-by", by).exit_code == 0
    for table in TABLES:
        wanted = len(rows(dagster_lmdb.history(store, table)))
        everything = f"{dest}/{table}/**/*.parquet"
        assert duckdb.sql(f"select count(*) from '{everything}'").fetchall() == [(wanted,)]
        assert len(polars.scan_parquet(dest / table, hive_partitioning=True).collect()) == wanted
        assert ds.dataset(dest / table, partitioning="hive").count_rows() == wanted > 0


def expected_day(expected: list[oracle.Row], sequence: int) -> str:
    (row,) = [row for row in expected if row["sequence"] == sequence]
    return f"{row['timestamp']:%Y-%m-%d}"


def test_folders_by_type(instance: DagsterInstance, store: Path, dest: Path) -> None:
    fill(instance)
    assert call(store, dest, "--partition-by", "event_type").exit_code == 0
    expected: dict[str | None, int] = {}
    for row in rows(dagster_lmdb.history(store)):
        expected[row["event_type"]] = expected.get(row["event_type"], 0) + 1
    everything = f"{dest}/events/**/*.parquet"
    asked = f"select event_type, count(*) from '{everything}' group by all"
    assert dict(duckdb.sql(asked).fetchall()) == expected
    frame = polars.scan_parquet(dest / "events", hive_partitioning=True)
    assert dict(frame.group_by("event_type").len().collect().iter_rows()) == expected
    table = ds.dataset(dest / "events", partitioning="hive").to_table()
    assert table.num_rows == sum(expected.values())
    assert set(table["event_type"].to_pylist()) == set(expected)
    assert [path.parent.parent.name for path in files(dest, "runs")] == ["runs"]
    assert read(dest, "runs") == rows(dagster_lmdb.history(store, "runs"))


def test_many_folders_keep_their_order_and_all_rows(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    """More days than files are open at a time, in turn."""
    run_id = make_new_run_id()
    for _ in range(3):
        lines = [log_line(run_id, str(day), timestamp=day * 86400.0) for day in range(100)]
        events.store_event_batch(lines)
    assert call(store, dest, "--table", "events", "--partition-by", "date").exit_code == 0
    by_day = [rows(pq.ParquetFile(path).read()) for path in files(dest)]
    assert sum(map(len, by_day)) == 300
    folders = {path.parent for path in files(dest)}
    assert len(folders) == 100
    for folder in folders:
        found = [
            row["sequence"]
            for path in sorted(folder.iterdir())
            for row in rows(pq.ParquetFile(path).read())
        ]
        assert found == sorted(found)
        assert len(found) == 3


def test_long_exports_are_several_row_groups_and_files(
    instance: DagsterInstance,
    events: LmdbEventLogStorage,
    store: Path,
    dest: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dagster_lmdb._export.parquet._GROUP", 200_000)
    monkeypatch.setattr("dagster_lmdb._export.parquet._FILE", 150_000)
    run_id = make_new_run_id()
    for start in range(0, 20_000, 1000):
        events.store_event_batch([log_line(run_id, str(start + at)) for at in range(1000)])
    reported: list[tuple[str, int, int]] = []
    done = dagster_lmdb.export(
        store, dest, tables=["events"], progress=lambda *said: reported.append(said)
    )
    found = files(dest)
    assert len(found) > 1
    assert pq.ParquetFile(found[0]).num_row_groups > 1
    assert [row["message"] for row in read(dest, "events")] == [str(at) for at in range(20_000)]
    assert done.rows == {"events": 20_000}
    assert done.size == sum(path.stat().st_size for path in found)
    assert reported[-1] == ("events", done.last, done.last)
    assert [at for _, at, _ in reported] == sorted(at for _, at, _ in reported)


class Writer(threading.Thread):
    """Stores lines, states of a tick and of runs, and remembers how all stood when."""

    def __init__(self, instance: DagsterInstance) -> None:
        super().__init__()
        self.instance = instance
        self.ended = threading.Event()
        self.tick = instance.create_tick(samples.a_tick(TickStatus.STARTED))
        #: Head of the log, and the tick's cursor and the runs' number then.
        self.then: list[tuple[int, str | None, int]] = []

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            run_id = self.instance.add_run(run()).run_id
            lines = [log_line(run_id, f"{number} {line}") for line in range(20)]
            self.instance.event_log_storage.store_event_batch(lines)
            self.tick = self.tick.with_cursor(str(number))
            self.instance.update_tick(self.tick)
            log: Any = self.instance.event_log_storage
            self.then.append((log._log.head(), self.tick.cursor, number))


def test_a_cut_beside_writers_and_a_compaction_is_one_moment(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, tmp_path: Path
) -> None:
    fill(instance)
    ended = threading.Event()

    def compact() -> None:
        while not ended.is_set():
            events._log.compact(now=time.time())

    writer, compaction = Writer(instance), threading.Thread(target=compact)
    writer.start()
    compaction.start()
    try:
        cuts = []
        for number in range(6):
            time.sleep(0.1)
            cuts.append(dagster_lmdb.export(store, tmp_path / str(number)))
    finally:
        writer.ended.set()
        ended.set()
        writer.join()
        compaction.join()
    assert events._log.verify().differences == []
    stored = entries(events)
    for number, cut in enumerate(cuts):
        dest = tmp_path / str(number)
        until = [entry for entry in stored if entry[0] <= cut.last]
        assert_same(read(dest, "events"), oracle.events(until))
        before = [then for then in writer.then if then[0] <= cut.last][-1]
        (own,) = [row for row in read(dest, "ticks") if row["sequence"] == max(
            row["sequence"] for row in read(dest, "ticks") if row["tick_id"] == writer.tick.tick_id
        )]  # fmt: skip
        assert int(own["cursor"]) - int(before[1] or 0) in (0, 1)
        assert len({row["run_id"] for row in read(dest, "runs")}) - 2 - before[2] in (0, 1)
        for table in TABLES:
            assert all(row["sequence"] <= cut.last for row in read(dest, table))


def test_increments_beside_writers_add_up(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, tmp_path: Path
) -> None:
    begun = time.time()
    writer = Writer(instance)
    writer.start()
    try:
        for _ in range(8):
            time.sleep(0.05)
            events._log.compact(keep_since=begun - 1, now=time.time())
            dagster_lmdb.export(store, tmp_path / "increments")
    finally:
        writer.ended.set()
        writer.join()
    dagster_lmdb.export(store, tmp_path / "increments")
    dagster_lmdb.export(store, tmp_path / "at once")
    for table in TABLES:
        assert read(tmp_path / "increments", table) == read(tmp_path / "at once", table)


def test_deletions_come_as_rows_and_what_was_there_stays(
    instance: DagsterInstance, events: LmdbEventLogStorage, store: Path, dest: Path
) -> None:
    run_id = fill(instance)
    call(store, dest)
    before = read(dest, "events")
    instance.delete_run(run_id)
    events._log.compact(keep_since=time.time() - 3600, now=time.time())
    assert call(store, dest).exit_code == 0
    assert read(dest, "events") == before or len(read(dest, "events")) == len(before)
    gone = read(dest, "runs")[-1]
    assert (gone["run_id"], gone["deleted"]) == (run_id, True)
    runs = f"{dest}/runs/**/*.parquet"
    left = duckdb.sql(
        f"select run_id from '{runs}' qualify row_number() over"
        " (partition by run_id order by sequence desc) = 1 and not deleted"
    ).fetchall()
    assert left == [(each.run_id,) for each in instance.get_runs()]


def test_quiet_where_it_is_no_terminal(instance: DagsterInstance, store: Path, dest: Path) -> None:
    fill(instance)
    result = call(store, dest)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1
    assert " versions of runs, 2 versions of ticks, " in result.stdout


def test_the_help_has_an_example() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "  dagster-lmdb export /var/lib/dagster/history /srv/history" in result.stdout


def test_the_documentation_names_every_column(events: LmdbEventLogStorage, store: Path) -> None:
    events.store_event(log_line(make_new_run_id(), "a line"))
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    for table in TABLES:
        for name in pa.schema(dagster_lmdb.history(store, table)).names:
            assert f"`{name}`" in text, (table, name)


def test_without_pyarrow_it_says_what_to_install(
    events: LmdbEventLogStorage, store: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.store_event(log_line(make_new_run_id(), "a line"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    result = call(store, dest)
    assert result.exit_code == 2
    assert "pip install 'dagster-lmdb[export]'" in result.stderr
    assert not dest.exists()
