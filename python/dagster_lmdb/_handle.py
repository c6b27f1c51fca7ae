"""The handle through which a storage object reaches its store.

``ReadsEventLog`` is the base of the mixins that answer Dagster's queries, one file a subject. It
opens the store at first use and holds no lock: two threads that race to be first open two handles
on one environment, and the second is dropped.
"""

import os
from typing import Literal, TypedDict

from dagster import DagsterInstance
from dagster._core.storage.event_log.base import EventLogStorage

from dagster_lmdb._core import EventLog


class StoreOptions(TypedDict):
    """The keyword arguments of ``EventLog`` that configuration sets."""

    durability: Literal["durable", "relaxed"] | None
    map_size: int | None
    max_readers: int | None
    allow_network_file_system: bool
    allow_other_pid_namespaces: bool


class ReadsEventLog(EventLogStorage[DagsterInstance]):
    """An event log storage with the handle on its store."""

    def __init__(self, base_dir: str, options: StoreOptions) -> None:
        self._base_dir = os.path.abspath(base_dir)
        self._options = options
        self._opened: EventLog | None = None
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def _log(self) -> EventLog:
        log = self._opened
        if log is None:
            log = self._opened = self._open_log()
        return log

    def _open_log(self) -> EventLog:
        """A handle of its own on this object's store, which the caller closes."""
        return EventLog(self._base_dir, **self._options)
