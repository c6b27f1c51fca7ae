"""Fills run storages with a history: ours by its batches, Dagster's on SQL by their own tables.

Rows go into the tables as ``add_run`` and the runs' events would leave them, many a statement.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy
from benches.names import OURS, POSTGRES
from benches.peers import Places, close, sqlite_without_flushes
from benches.runs import Ran, all_runs, backfills
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from dagster_lmdb._runs import ENDED, STARTED, run_terms

CHUNK = 5000
T = TypeVar("T")


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, so many at a time."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def document(ran: Ran) -> tuple[Any, ...]:
    """A run as ours takes it: no key, its id, when it was made, what it is found by, and itself."""
    times = [(STARTED, ran.started), (ENDED, ran.ended)]
    terms = [(name, "", at) for name, at in times if at is not None]
    terms += run_terms(ran.run, created=ran.created, updated=ran.updated)
    return None, ran.run.run_id, ran.created, terms, ran.run


def row(storage: Any, ran: Ran) -> dict[str, Any]:
    """A run as a row of SQL's."""

    def at(moment: float) -> datetime:
        return datetime.fromtimestamp(moment, tz=timezone.utc)

    return {
        **storage._get_run_insertion_values(ran.run, at(ran.created)),
        "update_timestamp": at(ran.updated),
        "start_time": ran.started,
        "end_time": ran.ended,
    }


def fill_runs(places: Places, name: str, place: str, size: int) -> None:
    """Makes a peer's place with so many runs in it; nothing is there before it is whole.

    Args:
        places: Where it is.
        name: The peer.
        place: The name of its place.
        size: How many runs.
    """
    unfinished = f"{place}_unfinished"
    places.create(name, unfinished)
    if name == POSTGRES:
        places.postgres.execute(f"ALTER DATABASE {unfinished} SET synchronous_commit = off")
    storage: Any = places.open_runs(name, unfinished)
    fill_run_storage(name, storage, size)
    if name == POSTGRES:
        with storage.connect() as connection:
            connection.execute(sqlalchemy.text("VACUUM ANALYZE"))  # as its daemon would by and by
    close(storage)
    if name == POSTGRES:
        places.postgres.execute(f"ALTER DATABASE {unfinished} RESET synchronous_commit")
    places.rename(name, unfinished, place)


def fill_run_storage(name: str, storage: Any, size: int) -> None:
    """Stores so many runs into a run storage, without flushes."""
    if name != OURS:
        storage.has_backfill_id_column = lambda: True  # else it asks the database for each run
    with sqlite_without_flushes():
        for some in chunks(all_runs(size)):
            if name == OURS:
                storage._log.put_documents("run", [*map(document, some)], "insert", time.time())
                continue
            tags = [
                {"run_id": ran.run.run_id, "key": key, "value": value}
                for ran in some
                for key, value in ran.run.tags_for_storage().items()
            ]
            with storage.connect() as connection:
                connection.execute(RunsTable.insert(), [row(storage, ran) for ran in some])
                connection.execute(RunTagsTable.insert(), tags)
        for backfill in backfills(size):
            storage.add_backfill(backfill)
