"""The event logs that are measured: ours and Dagster's two on SQLite."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log import (
    ConsolidatedSqliteEventLogStorage,
    EventLogStorage,
    SqliteEventLogStorage,
)

from dagster_lmdb import LmdbEventLogStorage

OURS = "LMDB"
CLASSES: dict[str, Callable[..., EventLogStorage]] = {
    OURS: LmdbEventLogStorage.from_config_value,
    "SQLite": SqliteEventLogStorage.from_config_value,
    "consolidated SQLite": ConsolidatedSqliteEventLogStorage.from_config_value,
}


def open_storage(name: str, base_dir: Path) -> EventLogStorage:
    """Opens one of the event logs as a dagster.yaml with only its directory would."""
    return CLASSES[name](inst_data=None, config_value={"base_dir": str(base_dir)})


@contextmanager
def sqlite_without_flushes() -> Iterator[None]:
    """Spares SQLite its flushes while a test fills it with what is measured afterwards."""

    def spare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    engine = sqlalchemy.engine.Engine
    sqlalchemy.event.listen(engine, "connect", spare)
    try:
        yield
    finally:
        sqlalchemy.event.remove(engine, "connect", spare)


def size_of(directory: Path) -> int:
    """The bytes that a directory takes up on the disk."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())
