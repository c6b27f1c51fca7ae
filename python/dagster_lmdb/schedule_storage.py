"""Dagster's schedule storage on a store.

``LmdbScheduleStorage`` owns what concerns the storage as a whole; states, ticks and evaluations
stand in the mixins of their subjects. Each answer is one snapshot of the store.
"""

from dagster._time import get_current_datetime
from dagster._utils import PrintFn

from dagster_lmdb._arguments import seconds
from dagster_lmdb._evaluations import KeepsEvaluations
from dagster_lmdb._instigators import KeepsInstigators
from dagster_lmdb._ticks import KeepsTicks


class LmdbScheduleStorage(KeepsInstigators, KeepsTicks, KeepsEvaluations):
    """LMDB-backed schedule storage, for any number of processes on one host.

    Users should not directly instantiate this class; it is instantiated by internal machinery when
    ``dagster-webserver`` and ``dagster-graphql`` load, based on the values in the ``dagster.yaml``
    file in ``$DAGSTER_HOME``. Configuration of this class should be done by setting values in that
    file:

    .. code-block:: YAML

        schedule_storage:
          module: dagster_lmdb
          class: LmdbScheduleStorage
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

    def wipe(self) -> None:
        """Clear the states of instigators, ticks and evaluations, in one commit."""
        self._log.wipe_spaces(["instigator", "tick", "evaluation"], seconds(get_current_datetime()))

    def upgrade(self) -> None:
        """Do nothing: a store has no schema to migrate, and opening it brings it up to date."""

    def migrate(self, print_fn: PrintFn | None = None, force_rebuild_all: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The schedules on LMDB are indexed as they are written; nothing to migrate.")

    def optimize(self, print_fn: PrintFn | None = None, force_rebuild_all: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The schedules on LMDB are indexed as they are written; nothing to optimize.")

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Do nothing: there is no pool of connections, and no query that waits for another."""
