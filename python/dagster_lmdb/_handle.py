"""The handle through which a storage object reaches its store.

``OpensStore`` opens the store at first use and holds no lock: two threads that race to be first
open two handles on one environment, and the second is dropped. ``ReadsEventLog`` is the base of the
mixins that answer Dagster's queries of events, one file a subject.
"""

import logging

from dagster import DagsterInstance
from dagster._core.storage.event_log.base import EventLogStorage

from dagster_lmdb._configuration import ConfiguredStore
from dagster_lmdb._core import EventLog

_LOG = logging.getLogger(__name__)


class OpensStore(ConfiguredStore):
    """A storage with the handle on its store."""

    _opened: EventLog | None = None

    @property
    def _log(self) -> EventLog:
        log = self._opened
        if log is None:
            log = self._opened = self._open_log()
        return log

    def _open_log(self) -> EventLog:
        """A handle of its own on this object's store, which the caller closes."""
        if self._as_of is not None:
            return self._as_of.log()
        return EventLog(self._base_dir, **self._options)

    def _drops(self, write: str) -> bool:
        """Whether a write that Dagster makes while it reads or starts is to be dropped.

        As of a moment it is; every other write then raises ``ReadOnlyInstanceError``.
        """
        if self._as_of is not None:
            _LOG.debug("%s is read-only; dropped: %s", self._as_of, write)
        return self._as_of is not None

    def dispose(self) -> None:
        """Close this object's handle on the store; a later call opens it again."""
        if self._opened is not None:
            self._opened.close()


class ReadsEventLog(OpensStore, EventLogStorage[DagsterInstance]):
    """An event log storage on its store."""
