"""How fast history comes as Arrow and as Parquet, beside Dagster's SQLite read with SQLAlchemy.

Usage: python -m benches.export [--events 1000000] [--turns 3]

Fills a store with the events of a real run, over and over, and reads it in several ways, each in a
process of its own, in turns. Memory is what is that process's own (``RssAnon``, the highest seen),
less what it had before it began: the pages of the mapped store are the system's. The peer is
Dagster's consolidated SQLite, of which fewer events are read, as it is slower: ``every column``
reads each row and deserializes its event for what it has no column for, as whoever wants a table of
it has to; ``its own columns`` are those that SQLite holds, the event as text.

``make bench`` has rows for the same, with the histories that all of its rows share.
"""

import importlib
import multiprocessing
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import click
from benches.events import as_run, events_of_a_run
from benches.fork import fill
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb._core import EventLog

FACETS = (
    *("sequence", "timestamp", "run_id", "job_name", "event_type", "level"),
    *("step_key", "asset_key", "partition", "check_name"),
)


class Taken(NamedTuple):
    """What one way took."""

    rows: int
    seconds: float
    #: Bytes.
    memory: int


def own_memory() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+)", status)
    assert found
    return int(found[1]) * 1024


@contextmanager
def highest() -> Iterator[list[int]]:
    """The most memory of this process while it is open, beyond what it began with."""
    begun, most, ended = own_memory(), [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], own_memory() - begun)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def read(directory: str, **what: Any) -> int:
    """Takes each batch, and lets it go."""
    import pyarrow as pa

    reader = pa.RecordBatchReader.from_stream(dagster_lmdb.history(directory, **what))
    return sum(batch.num_rows for batch in reader)


def every_column(store: str, _: str) -> int:
    return read(store)


def facet_columns(store: str, _: str) -> int:
    return read(store, columns=FACETS)


def all_runs(store: str, _: str) -> int:
    return read(store, table="runs")


def parquet(store: str, _: str) -> int:
    with tempfile.TemporaryDirectory(dir=Path(store).parent) as scratch:
        done = dagster_lmdb.export(store, Path(scratch, "exported"), tables=["events"])
    return done.rows["events"]


#: Rows that are read of SQLite, which takes the same time for each.
SQLITE_ROWS = 20_000


def rows_of_peer(path: str, columns: str) -> Iterator[list[Any]]:
    import sqlalchemy as db

    engine = db.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(
            db.text(f"SELECT {columns} FROM event_logs ORDER BY id LIMIT {SQLITE_ROWS}")
        )
        for rows in result.partitions(5000):
            yield list(rows)


def peers_every_column(_: str, path: str) -> int:
    import pyarrow as pa
    from dagster import EventLogEntry
    from dagster._serdes import deserialize_value

    from export import oracle

    count, columns = 0, schema()
    for rows in rows_of_peer(path, "id, event"):
        entries = [(row[0], deserialize_value(row[1], EventLogEntry)) for row in rows]
        texts = (row[1] for row in rows)  # as they are stored; nothing is serialized again
        table = [
            # Arrow's maps are lists of pairs in Python.
            {key: list(each.items()) if key in MAPS and each else each for key, each in row.items()}
            for row in oracle.events(entries, lambda _, texts=texts: next(texts))
        ]
        count += pa.Table.from_pylist(table, schema=columns).num_rows
    return count


MAPS = ("tags", "partition_dimensions")


def schema() -> Any:
    """The schema of events."""
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as scratch:
        log = EventLog(scratch)
        found = pa.schema(log.history("events"))
        log.close()
    return found


def peers_own_columns(_: str, path: str) -> int:
    import pyarrow as pa

    columns = "id, run_id, dagster_event_type, timestamp, step_key, asset_key, partition"
    names = columns.split(", ")
    count = 0
    for rows in rows_of_peer(path, columns):
        by_column = zip(*rows, strict=True)
        count += pa.table(dict(zip(names, map(list, by_column), strict=True))).num_rows
    return count


WAYS: dict[str, Callable[[str, str], int]] = {
    "every column": every_column,
    "facet columns alone": facet_columns,
    "Parquet (zstd), every column": parquet,
    "SQLite, every column": peers_every_column,
    "SQLite, its own columns": peers_own_columns,
}


def measure(name: str, store: str, path: str, to: Connection) -> None:
    """Runs a way, and says what it took."""
    # Importing is no part of it.
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    for module in ("sqlalchemy", "dagster_lmdb._export.parquet", "export.oracle"):
        importlib.import_module(module)
    assert dagster_lmdb.history
    assert dagster_lmdb.export
    with highest() as most:
        began = time.perf_counter()
        rows = WAYS[name](store, path)
        seconds = time.perf_counter() - began
    to.send(Taken(rows, seconds, most[0]))


def in_a_process(name: str, store: str, path: str) -> Taken:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=measure, args=(name, store, path, theirs))
    child.start()
    theirs.close()
    taken: Taken = ours.recv()
    child.join()
    return taken


def fill_peer(directory: Path, events: int) -> Path:
    """Dagster's consolidated SQLite with the same events, but fewer."""
    from benches.filling import SqlIndex
    from benches.peers import sqlite_without_flushes
    from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage

    with sqlite_without_flushes():
        storage = ConsolidatedSqliteEventLogStorage(str(directory))
        index = SqlIndex(storage)
        one = events_of_a_run()
        while index.last_id < events:
            index.add(list(as_run(one, make_new_run_id())))
        index.finish()
        storage.dispose()
    (path,) = directory.glob("*.db")
    return path


@click.command()
@click.option("--events", default=1_000_000, show_default=True)
@click.option("--turns", default=3, show_default=True)
@click.option("--way", "ways", type=click.Choice(list(WAYS)), multiple=True)
def main(events: int, turns: int, ways: tuple[str, ...]) -> None:
    """Measure how fast history comes as Arrow."""
    chosen = ways or tuple(WAYS)
    with tempfile.TemporaryDirectory(prefix="dagster-lmdb-bench-", dir=Path.cwd()) as scratch:
        store, peer = Path(scratch, "store"), Path(scratch, "peer")
        log = EventLog(store)
        fill(log, events)
        path = Path("nowhere")
        if any(name.startswith("SQLite") for name in chosen):
            path = fill_peer(peer, SQLITE_ROWS)
        log.close()
        taken: dict[str, list[Taken]] = {name: [] for name in chosen}
        for _ in range(turns):
            for name in chosen:
                taken[name].append(in_a_process(name, str(store), str(path)))
        size = (store / "data.mdb").stat().st_size
        click.echo(f"A store of {events:,} events, {size / 2**20:,.0f} MiB")
        for name, each in taken.items():
            rate = statistics.median(one.rows / one.seconds for one in each)
            memory = max(one.memory for one in each) / 2**20
            click.echo(
                f"{name:<30}{each[0].rows:>12,} rows{rate:>12,.0f} rows/s{memory:>8,.0f} MiB"
            )


if __name__ == "__main__":
    main()
