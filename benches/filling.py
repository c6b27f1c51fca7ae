"""Fills event logs with a history: ours by commits, Dagster's on SQL by their own tables.

Ours is left as a busy host leaves it, whose writers share commits: ten events each. A few large
batches would leave it many free pages, and other pages to write for each event after them.

``store_event_batch`` of the SQL storages takes few types of events and stores the others one by
one. For a million events that is hours, so rows go into their tables as ``store_event`` would
leave them: with the columns that the storages' own methods compute, many rows a statement, asset
keys with their last event alone.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import sqlalchemy
from benches.names import OURS, POSTGRES, SQLITE
from benches.peers import Places, close, sqlite_without_flushes
from benches.queries import furnish
from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import serialize_value

Run = list[EventLogEntry]

CHUNK = 5000
#: The events of one commit, as 16 processes that store at once share them.
COMMIT = 10


def chunks(runs: Iterable[Run], length: int = CHUNK) -> Iterator[list[EventLogEntry]]:
    """The events of runs, in lists of at least that many."""
    events: list[EventLogEntry] = []
    for run in runs:
        events += run
        if len(events) >= length:
            yield events
            events = []
    if events:
        yield events


def fill(
    places: Places, name: str, place: str, runs: Iterable[Run], furnished: bool = True
) -> None:
    """Makes a peer's place with a history in it; nothing is there before it is whole.

    Args:
        places: Where it is.
        name: The peer.
        place: The name of its place.
        runs: The history.
        furnished: Whether pools and dynamic partitions are added.
    """
    unfinished = f"{place}_unfinished"
    places.create(name, unfinished)
    if name == POSTGRES:
        places.postgres.execute(f"ALTER DATABASE {unfinished} SET synchronous_commit = off")
    storage = places.open(name, unfinished)
    with sqlite_without_flushes():
        fill_storage(name, storage, runs)
        if furnished:
            furnish(storage)
    close(storage)
    if name == POSTGRES:
        places.postgres.execute(f"ALTER DATABASE {unfinished} RESET synchronous_commit")
    places.rename(name, unfinished, place)


def fill_storage(name: str, storage: EventLogStorage[Any], runs: Iterable[Run]) -> None:
    """Stores runs into an event log."""
    if name == OURS:
        events = chain.from_iterable(runs)
        while commit := list(islice(events, COMMIT)):
            storage.store_event_batch(commit)
        return
    index = SqlIndex(storage)
    if name == SQLITE:
        fill_shards(storage, runs, index)
    else:
        for events in chunks(runs):
            index.add(events)
    index.finish()
    if name == POSTGRES and index.last_id:
        with storage._connect() as connection:
            connection.execute(
                sqlalchemy.text(
                    "SELECT setval('event_logs_id_seq', (SELECT max(id) FROM event_logs))"
                )
            )
            connection.execute(sqlalchemy.text("VACUUM ANALYZE"))  # as its daemon would by and by


def of_types(events: Iterable[EventLogEntry], *types: Any) -> list[EventLogEntry]:
    """Those events that are of one of some sets of types."""
    return [event for event in events if any(event.dagster_event_type in each for each in types)]


class SqlIndex:
    """The tables of an event log on SQL that are about all runs."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.last_id = 0
        # The last event of each kind of an asset, by which its row is what all of them leave.
        self._last: dict[tuple[str, bool], tuple[EventLogEntry, int]] = {}

    def add(self, events: list[EventLogEntry]) -> None:
        """Adds events and what follows from them, but for the rows of assets."""
        storage = self._storage
        numbered = list(enumerate(events, self.last_id + 1))
        self.last_id += len(events)
        rows = [{"id": number, **storage._event_to_row(event)} for number, event in numbered]
        with storage.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            assets = [
                (number, event) for number, event in numbered
                if event.dagster_event_type in ASSET_EVENTS
            ]  # fmt: skip
            if assets:
                numbers, of_assets = zip(*assets, strict=True)
                storage._store_asset_event_tags(connection, of_assets, numbers)
        for number, event in assets:
            planned = event.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            key = event.get_dagster_event().asset_key
            self._last[key.to_string(), planned] = (event, number)
        with storage.index_transaction() as connection:
            checks = list(self._executions(numbered))
            if checks:
                connection.execute(AssetCheckExecutionsTable.insert(), checks)

    def _executions(self, numbered: list[tuple[int, EventLogEntry]]) -> Iterator[dict[str, Any]]:
        """The rows of checks as their evaluations leave them, in the order of the plans."""
        evaluated = {
            (event.run_id, event.get_dagster_event().asset_check_evaluation_data.asset_check_key): (
                number,
                event,
            )
            for number, event in numbered
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION
        }
        for _, planned in numbered:
            if planned.dagster_event_type != DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                continue
            key = planned.get_dagster_event().asset_check_planned_data.asset_check_key
            number, event = evaluated[planned.run_id, key]
            evaluation = event.get_dagster_event().asset_check_evaluation_data
            target = evaluation.target_materialization_data
            yield {
                "asset_key": key.asset_key.to_string(),
                "check_name": key.name,
                "partition": evaluation.partition,
                "run_id": event.run_id,
                "execution_status": AssetCheckExecutionRecordStatus.SUCCEEDED.value,
                "evaluation_event": serialize_value(event),
                "evaluation_event_timestamp": self._storage._event_insert_timestamp(event),
                "evaluation_event_storage_id": number,
                "materialization_event_storage_id": target.storage_id,
            }

    def finish(self) -> None:
        """Adds the rows of assets."""
        for event, number in sorted(self._last.values(), key=lambda each: each[1]):
            self._storage.store_asset_event(event, number)


def fill_shards(storage: Any, runs: Iterable[Run], index: SqlIndex) -> None:
    """Fills the file of each run with its events, and the index with those it mirrors."""
    mirrored: list[EventLogEntry] = []
    template: bytes | None = None
    for run in runs:
        run_id = run[0].run_id
        path = storage.path_for_shard(run_id)
        if template is None:
            with storage.run_connection(run_id):
                pass  # makes the file, with its tables
            with sqlite3.connect(path) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("PRAGMA journal_mode=DELETE")
            connection.close()
            with open(path, "rb") as file:
                template = file.read()
        with open(path, "wb") as file:
            file.write(template)
        engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.pool.NullPool)
        with engine.begin() as connection:
            rows = [storage._event_to_row(event) for event in run]
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
        engine.dispose()
        mirrored += of_types(
            run, ASSET_EVENTS, ASSET_CHECK_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
        )
        if len(mirrored) >= CHUNK:
            index.add(mirrored)
            mirrored = []
    if mirrored:
        index.add(mirrored)
