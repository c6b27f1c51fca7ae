"""The event logs that are measured, and where each keeps what it stores.

A place is a directory, or a database of the Postgres server; it is filled once for a history,
copied to be written to, and opened as a dagster.yaml would open it.
"""

import functools
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from benches.names import CONSOLIDATED, MEMORY, OURS, POSTGRES, SQLITE
from benches.postgres import Postgres
from dagster import DagsterInstance
from dagster._core.storage.event_log import (
    ConsolidatedSqliteEventLogStorage,
    EventLogStorage,
    InMemoryEventLogStorage,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs import InMemoryRunStorage, RunStorage, SqliteRunStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage

#: How long one call may take on a peer.
PATIENCE_SECONDS = 60


class Places:
    """Where the storages of a run of the benches are: below one directory and in one server."""

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        self.directory = directory
        self.postgres = postgres

    def path(self, name: str, place: str) -> Path:
        """The directory of a peer's place."""
        return self.directory / place.replace(" ", "-") / name.replace(" ", "-")

    def exists(self, name: str, place: str) -> bool:
        """Whether a peer's place is there, whole."""
        if name == POSTGRES:
            return self.postgres.exists(place)
        return self.path(name, place).exists()

    def create(self, name: str, place: str, like: str | None = None) -> None:
        """Makes a peer's place anew, empty or as a copy of another of its places.

        What that has left to write is written: whoever flushes next would wait for it.
        """
        self.remove(name, place)
        if name == POSTGRES:
            self.postgres.create(place, like or "template1")
        else:
            path = self.path(name, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            if like:
                subprocess.run(["cp", "-a", self.path(name, like), path], check=True)
            else:
                path.mkdir()
        self.settle()

    def settle(self) -> None:
        """Has what was written so far reach the disk."""
        self.postgres.execute("CHECKPOINT")
        os.sync()

    def remove(self, name: str, place: str) -> None:
        """Removes a peer's place, if it is there."""
        if name == POSTGRES:
            self.postgres.drop(place)
        else:
            path = self.path(name, place)
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.parent.rmdir()  # if no other peer has this place

    def rename(self, name: str, old: str, new: str) -> None:
        """Gives a peer's place its name once it is whole."""
        if name == POSTGRES:
            self.postgres.rename(old, new)
        else:
            self.path(name, new).parent.mkdir(parents=True, exist_ok=True)
            self.path(name, old).rename(self.path(name, new))
            self.remove(name, old)
        self.settle()

    def size(self, name: str, place: str) -> int:
        """The bytes that a peer's place takes up on the disk; a write-ahead log is left out."""
        if name == POSTGRES:
            return self.postgres.size(place)
        return size_of(self.path(name, place))

    def open(self, name: str, place: str) -> EventLogStorage[Any]:
        """Opens a peer's event log; Postgres with its pool, as the webserver opens it."""
        if name == MEMORY:
            return InMemoryEventLogStorage()
        if name == POSTGRES:
            storage = PostgresEventLogStorage.from_config_value(
                None, {"postgres_url": self.postgres.database(place)}
            )
            use_pool(storage)
            return storage
        classes: dict[str, Any] = {
            OURS: LmdbEventLogStorage,
            SQLITE: SqliteEventLogStorage,
            CONSOLIDATED: ConsolidatedSqliteEventLogStorage,
        }
        config = {"base_dir": str(self.path(name, place))}
        return classes[name].from_config_value(inst_data=None, config_value=config)

    def open_runs(self, name: str, place: str) -> RunStorage[Any]:
        """Opens a peer's run storage, in the same way."""
        if name == MEMORY:
            return InMemoryRunStorage()
        if name == POSTGRES:
            storage = PostgresRunStorage.from_config_value(
                None, {"postgres_url": self.postgres.database(place)}
            )
            use_pool(storage)
            return storage
        classes: dict[str, Any] = {OURS: LmdbRunStorage, SQLITE: SqliteRunStorage}
        config = {"base_dir": str(self.path(name, place))}
        return classes[name].from_config_value(inst_data=None, config_value=config)


def use_pool(storage: EventLogStorage[Any] | RunStorage[Any] | DagsterInstance) -> None:
    """Has Postgres keep its connections, as the webserver does; others have none to keep."""
    storage.optimize_for_webserver(
        statement_timeout=PATIENCE_SECONDS * 1000, pool_recycle=3600, max_overflow=20
    )


def close(storage: EventLogStorage[Any] | RunStorage[Any]) -> None:
    """Closes a storage, and the pool that Dagster's own leave open."""
    storage.dispose()
    engine = vars(storage).get("_engine")
    if engine is not None:
        engine.dispose()


def size_of(directory: Path) -> int:
    """The bytes that a directory takes up on the disk."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())


@contextmanager
def on_sqlite_connect(act: Any) -> Iterator[None]:
    """Does something with each new connection of SQLite's, of any storage."""

    def connected(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            act(connection)

    engine = sqlalchemy.engine.Engine
    sqlalchemy.event.listen(engine, "connect", connected)
    try:
        yield
    finally:
        sqlalchemy.event.remove(engine, "connect", connected)


def sqlite_without_flushes() -> Any:
    """Spares SQLite its flushes while it is filled with what is measured afterwards."""
    return on_sqlite_connect(lambda connection: connection.execute("PRAGMA synchronous = OFF"))


class OutOfPatienceError(Exception):
    """A peer took longer for one call than ``PATIENCE_SECONDS``."""


@contextmanager
def patiently() -> Iterator[None]:
    """Ends a query of SQLite's or Postgres's that takes too long.

    Raises:
        OutOfPatienceError: If there was one.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    late = functools.partial(lambda: time.monotonic() > deadline)
    try:
        with on_sqlite_connect(lambda connection: connection.set_progress_handler(late, 100_000)):
            yield
    except sqlalchemy.exc.OperationalError as error:
        if "interrupted" in str(error) or "statement timeout" in str(error):
            raise OutOfPatienceError(str(error.orig)) from error
        raise
