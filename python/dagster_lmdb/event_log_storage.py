"""Dagster's event log on a store.

``LmdbEventLogStorage`` owns life and writing; each of its queries stands in the mixin of its
subject. It keeps no lock and no cache: every answer is one snapshot of the store.
"""

from collections.abc import Sequence

import dagster._check as check
from dagster import AssetCheckKey, EventLogEntry
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.event_api import EventHandlerFn
from dagster._time import get_current_timestamp
from dagster._utils import PrintFn

from dagster_lmdb._arguments import asset_key_from
from dagster_lmdb._assets import KnowsAssets
from dagster_lmdb._checks import KnowsChecks
from dagster_lmdb._concurrency import LimitsConcurrency
from dagster_lmdb._core import DuplicatePlannedCheckError
from dagster_lmdb._events import QueriesEvents
from dagster_lmdb._partitions import KnowsPartitions
from dagster_lmdb.watch import Watcher


class LmdbEventLogStorage(
    QueriesEvents,
    KnowsAssets,
    KnowsPartitions,
    KnowsChecks,
    LimitsConcurrency,
):
    """LMDB-backed event log storage, for any number of processes on one host.

    Users should not directly instantiate this class; it is instantiated by internal machinery when
    ``dagster-webserver`` and ``dagster-graphql`` load, based on the values in the ``dagster.yaml``
    file in ``$DAGSTER_HOME``. Configuration of this class should be done by setting values in that
    file:

    .. code-block:: YAML

        event_log_storage:
          module: dagster_lmdb
          class: LmdbEventLogStorage
          config:
            base_dir: /path/to/dir

    The store is opened at first use, and made if it does not exist. What opening, reading or
    writing can raise is in ``dagster_lmdb.errors``; a call that raises has stored nothing.

    Args:
        base_dir (str): The directory of the store, on a local file system.
        durability (Optional[str]): ``durable`` or ``relaxed``, which is kept in the store; None
            for what the store has, and ``durable`` for a new one.
        map_size (Optional[int]): The most bytes the store may grow to, kept in the store; None for
            what the store has.
        max_readers (Optional[int]): The most read transactions at one moment, over all processes.
        allow_network_file_system (bool): Open the store on a network file system all the same.
        allow_other_pid_namespaces (bool): Open the store while processes of another PID namespace
            have it open all the same.
        as_of (Union[str, int, None]): The moment as of which the store is shown, read-only: a
            record's number, a time, or ``run:RUN_ID``; None for the store as it is.
        as_of_cache_dir (Optional[str]): Where forks for ``as_of`` are kept; None for ``as_of`` in
            ``base_dir``.
        as_of_cache_size (int): The most bytes that these forks take on disk.
        inst_data (Optional[ConfigurableClassData]): How Dagster made this object.
    """

    @property
    def _watcher(self) -> Watcher:
        watcher: Watcher = vars(self).setdefault("_watches", Watcher())
        return watcher

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event corresponding to a run.

        Args:
            event (EventLogEntry): The event to store.

        Raises:
            DagsterInvariantViolationError: If the event evaluates an asset check that several
                planned events of its run have planned.
            SerializationError: If the event cannot be serialized.
            LmdbStoreError: If the store cannot take the event.
        """
        check.inst_param(event, "event", EventLogEntry)
        self._store([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of any types in one commit, all of them or none; see ``store_event``."""
        check.sequence_param(events, "events", of_type=EventLogEntry)
        if events:
            self._store(events)

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        # A log record that this very thread emits while it encodes comes back here as another
        # event. No lock of Python's is held.
        try:
            self._log.store_events(events, self.get_asset_tags_to_index)
        except DuplicatePlannedCheckError as error:
            check_key = AssetCheckKey(asset_key_from(error.asset_key), error.check)
            raise DagsterInvariantViolationError(
                f"Updated {error.rows} rows for asset check evaluation {check_key} as a result of"
                " duplicate AssetCheckPlanned events."
            ) from error

    @property
    def can_store_asset_failure_events(self) -> bool:
        return True

    def delete_events(self, run_id: str) -> None:
        """Remove the events of a run, and free its concurrency slots, in one commit.

        The assets that the run materialized stay known.
        """
        check.str_param(run_id, "run_id")
        self._log.delete_run_events(run_id, get_current_timestamp())

    def wipe(self) -> None:
        """Clear events, assets, checks, dynamic partitions, limits and slots, in one commit.

        Storage ids go on where they were.
        """
        self._log.wipe(get_current_timestamp())

    def upgrade(self) -> None:
        """Do nothing: a store has no schema to migrate, and opening it brings it up to date."""

    def reindex_events(self, print_fn: PrintFn | None = None, force: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The event log on LMDB is indexed as it is written; nothing to reindex.")

    def reindex_assets(self, print_fn: PrintFn | None = None, force: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The assets on LMDB are indexed as they are written; nothing to reindex.")

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Do nothing: there is no pool of connections, and no query that waits for another."""

    @property
    def is_persistent(self) -> bool:
        return True

    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        """Call a function with each event of a run that is stored from now on, by any process.

        The calls come from one thread of this process, in the order of the log. A callback that
        raises is logged, and the watch goes on. In a child that is forked, watches begin anew.

        Args:
            run_id (str): The run.
            cursor (Optional[str]): The cursor to begin after, by storage id or by offset; None for
                all of the run's events.
            callback (Callable[[EventLogEntry, str], Any]): Called with the event and its cursor.
        """
        check.str_param(run_id, "run_id")
        check.opt_str_param(cursor, "cursor")
        check.callable_param(callback, "callback")
        self._watcher.watch(self._log.store_id, self._open_log, run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: EventHandlerFn) -> None:
        """End the watches of a run that call this function; it may be called from within one."""
        check.str_param(run_id, "run_id")
        check.callable_param(handler, "handler")
        self._watcher.end(run_id, handler)

    def dispose(self) -> None:
        """End this object's watches and close its store; a later call opens it again."""
        self._watcher.end_all()
        super().dispose()
