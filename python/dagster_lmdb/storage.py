"""All of an instance's storages on one store.

``DagsterLmdbStorage`` opens nothing itself: it holds three storage objects, each with a handle of
its own on the same store. What one writes the others read from the same log, so that a run's status
changes in the commit of the event that changes it.
"""

from typing import Any

from dagster import DagsterInstance
from dagster._core.storage.base_storage import DagsterStorage

from dagster_lmdb._configuration import ConfiguredStore
from dagster_lmdb.event_log_storage import LmdbEventLogStorage
from dagster_lmdb.run_storage import LmdbRunStorage
from dagster_lmdb.schedule_storage import LmdbScheduleStorage


class DagsterLmdbStorage(ConfiguredStore, DagsterStorage[DagsterInstance]):
    """LMDB-backed storage of runs, events and schedules, for any number of processes on one host.

    Users should not directly instantiate this class; it is instantiated by internal machinery when
    ``dagster-webserver`` and ``dagster-daemon`` load, based on the values in the ``dagster.yaml``
    file in ``$DAGSTER_HOME``. Configuration of this class should be done by setting values in that
    file:

    .. code-block:: YAML

        storage:
          custom:
            module: dagster_lmdb
            class: DagsterLmdbStorage
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

    def __init__(self, base_dir: str, **options: Any) -> None:
        super().__init__(base_dir, **options)
        self._event_log_storage = LmdbEventLogStorage(self._base_dir, **self._options)
        self._run_storage = LmdbRunStorage(self._base_dir, **self._options)
        self._schedule_storage = LmdbScheduleStorage(self._base_dir, **self._options)
        for storage in (self._event_log_storage, self._run_storage, self._schedule_storage):
            # One object, so that all three show the same record.
            storage._as_of = self._as_of

    @property
    def event_log_storage(self) -> LmdbEventLogStorage:
        return self._event_log_storage

    @property
    def run_storage(self) -> LmdbRunStorage:
        return self._run_storage

    @property
    def schedule_storage(self) -> LmdbScheduleStorage:
        return self._schedule_storage

    def register_instance(self, instance: DagsterInstance) -> None:
        """Tell each of the storages its instance, once."""
        super().register_instance(instance)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            if not storage.has_instance:
                storage.register_instance(instance)

    def dispose(self) -> None:
        """Close the handles of all three on the store; a later call opens them again."""
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage.dispose()
