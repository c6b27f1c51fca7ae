"""Dagster's run storage on a store.

``LmdbRunStorage`` writes runs and owns what concerns the storage as a whole; its queries and what
else Dagster keeps beside runs stand in the mixins of their subjects. Each command is decided under
the store's writer lock, so that two processes never add the same run; each answer is one snapshot.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime

import dagster._check as check
from dagster._core.errors import DagsterRunAlreadyExists, DagsterSnapshotDoesNotExist
from dagster._core.events import (
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    DagsterEvent,
    DagsterEventType,
    JobFailureData,
    RunFailureReason,
)
from dagster._core.execution.telemetry import RunTelemetryData
from dagster._core.remote_origin import RemoteJobOrigin
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.sql import AlembicVersion
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._time import get_current_datetime
from dagster._utils import PrintFn

from dagster_lmdb._arguments import seconds
from dagster_lmdb._backfills import KeepsBackfills
from dagster_lmdb._core import FOLD_VERSION, FORMAT_VERSION, AlreadyThereError, NotThereError
from dagster_lmdb._daemons import KnowsDaemons
from dagster_lmdb._runs import CREATED, UPDATED, QueriesRuns, run_not_found, run_terms
from dagster_lmdb._snapshots import KeepsSnapshots

_END_TYPES = frozenset(
    (
        DagsterEventType.RUN_SUCCESS,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELED,
    )
)


class LmdbRunStorage(QueriesRuns, KeepsSnapshots, KeepsBackfills, KnowsDaemons):
    """LMDB-backed run storage, for any number of processes on one host.

    Users should not directly instantiate this class; it is instantiated by internal machinery when
    ``dagster-webserver`` and ``dagster-graphql`` load, based on the values in the ``dagster.yaml``
    file in ``$DAGSTER_HOME``. Configuration of this class should be done by setting values in that
    file:

    .. code-block:: YAML

        run_storage:
          module: dagster_lmdb
          class: LmdbRunStorage
          config:
            base_dir: /path/to/dir

    ``DagsterLmdbStorage`` has it together with the event log and the schedules, on one store, where
    a run's status changes in the same commit as the event that changes it.

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

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Add a run to storage.

        Args:
            dagster_run (DagsterRun): The run to add.

        Raises:
            DagsterRunAlreadyExists: If there is a run of this id.
            DagsterSnapshotDoesNotExist: If the run names a job snapshot that is not in storage.
        """
        return self._add_run(dagster_run, get_current_datetime())

    def add_historical_run(
        self, dagster_run: DagsterRun, run_creation_time: datetime
    ) -> DagsterRun:
        """Add a run that was created at another time; see ``add_run``."""
        check.inst_param(run_creation_time, "run_creation_time", datetime)
        return self._add_run(dagster_run, run_creation_time)

    def _add_run(self, run: DagsterRun, created: datetime) -> DagsterRun:
        check.inst_param(run, "dagster_run", DagsterRun)
        now, made = seconds(get_current_datetime()), seconds(created)
        terms = run_terms(run, created=made, updated=now)
        try:
            self._log.add_run(run.run_id, made, terms, run, run.job_snapshot_id or None, now)
        except NotThereError as error:
            raise DagsterSnapshotDoesNotExist(
                f"Snapshot {run.job_snapshot_id} does not exist in run storage"
            ) from error
        except AlreadyThereError as error:
            raise DagsterRunAlreadyExists from error
        return run

    def handle_run_event(
        self, run_id: str, event: DagsterEvent, update_timestamp: datetime | None = None
    ) -> None:
        """Bring a run up to date with an event of its own.

        Where this store has stored the event, the run has its status already, and nothing is
        written. An unknown run and an event without a status are passed over, and so is what says
        that a run without an origin is queued.

        Args:
            run_id (str): The run.
            event (DagsterEvent): What happened.
            update_timestamp (Optional[datetime]): When it happened; None for now.
        """
        check.str_param(run_id, "run_id")
        check.inst_param(event, "event", DagsterEvent)
        if event.event_type not in EVENT_TYPE_TO_PIPELINE_RUN_STATUS:
            return
        now = get_current_datetime()
        self._log.handle_run_event(
            run_id,
            event_type=event.event_type_value,
            timestamp=seconds(update_timestamp or now),
            status=EVENT_TYPE_TO_PIPELINE_RUN_STATUS[event.event_type].value,
            failure_reason=_failure_reason(event),
            starts=event.event_type == DagsterEventType.RUN_START,
            ends=event.event_type in _END_TYPES,
            now=seconds(now),
        )

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run, or change their values.

        Args:
            run_id (str): The run.
            new_tags (Mapping[str, str]): The tags.

        Raises:
            DagsterRunNotFoundError: If there is no such run.
        """
        check.str_param(run_id, "run_id")
        check.mapping_param(new_tags, "new_tags", key_type=str, value_type=str)
        try:
            self._log.add_run_tags(run_id, list(new_tags.items()), seconds(get_current_datetime()))
        except NotThereError as error:
            raise run_not_found(run_id) from error

    def replace_job_origin(self, run: DagsterRun, job_origin: RemoteJobOrigin) -> None:
        """Give a run another origin and the label of its repository; an unknown run is passed over.

        Args:
            run (DagsterRun): The run, as it was read.
            job_origin (RemoteJobOrigin): Its new origin.
        """
        check.inst_param(run, "run", DagsterRun)
        label = job_origin.repository_origin.get_label()
        run = run.with_job_origin(job_origin).with_tags({**run.tags, REPOSITORY_LABEL_TAG: label})
        for stored in self._log.find_documents("run", keys=[run.run_id], values=False):
            # What changes between the two commits stands beside the body, which a put leaves alone.
            order = {name: order for name, _, order in stored.terms}
            terms = run_terms(run, created=order[CREATED], updated=order[UPDATED])
            self._log.put_documents(
                "run",
                [(None, run.run_id, None, terms, run)],
                "update_if_present",
                seconds(get_current_datetime()),
            )

    def delete_run(self, run_id: str) -> None:
        """Remove a run, its events and its concurrency slots, in one commit."""
        check.str_param(run_id, "run_id")
        self._log.delete_run(run_id, seconds(get_current_datetime()))

    def supports_run_telemetry(self) -> bool:
        return True

    def add_run_telemetry(
        self, run_telemetry: RunTelemetryData, tags: dict[str, str] | None = None
    ) -> None:
        """Keep the latest measurements of a run.

        Args:
            run_telemetry (RunTelemetryData): What was measured.
            tags (Optional[Dict[str, str]]): What the measurements are of.
        """
        check.inst_param(run_telemetry, "run_telemetry", RunTelemetryData)
        terms = [(f"tag:{key}", value, 0.0) for key, value in (tags or {}).items()]
        self._log.put_documents(
            "telemetry",
            [(None, run_telemetry.run_id, None, terms, run_telemetry)],
            "upsert",
            seconds(get_current_datetime()),
        )

    def get_run_storage_id(self) -> str:
        """Get this storage's id, which is random, made at first use, and kept by ``wipe``."""
        key, now = "run_storage_id", seconds(get_current_datetime())
        if self._as_of is not None and self._log.document_id("instance_fact", key) is None:
            self._drops("get_run_storage_id")
            store_id, _, _ = check.not_none(self._log.forked_from())
            return str(uuid.UUID(store_id))
        if self._log.document_id("instance_fact", key) is None:
            self._log.put_documents(
                "instance_fact", [(None, key, None, [], str(uuid.uuid4()))], "insert_if_absent", now
            )
        [fact] = self._log.find_documents("instance_fact", keys=[key])
        return check.str_param(fact.value, key)

    def wipe(self) -> None:
        """Clear runs, snapshots, backfills and heartbeats, in one commit.

        Cursor values and the storage's id stay, as they do in Dagster's SQL storages.
        """
        self._log.wipe_spaces(
            ["run", "snapshot", "backfill", "heartbeat", "telemetry"],
            seconds(get_current_datetime()),
        )

    def upgrade(self) -> None:
        """Do nothing: a store has no schema to migrate, and opening it brings it up to date."""

    def migrate(self, print_fn: PrintFn | None = None, force_rebuild_all: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The runs on LMDB are indexed as they are written; nothing to migrate.")

    def optimize(self, print_fn: PrintFn | None = None, force_rebuild_all: bool = False) -> None:
        """Say that there is nothing to do; ``dagster-lmdb rebuild`` makes the indexes anew."""
        if print_fn:
            print_fn("The runs on LMDB are indexed as they are written; nothing to optimize.")

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Do nothing: there is no pool of connections, and no query that waits for another."""

    def alembic_version(self) -> AlembicVersion:
        """Get the version of the store's format and fold twice: opening brings it up to date."""
        version = f"lmdb-{FORMAT_VERSION}.{FOLD_VERSION}"
        return version, version


def _failure_reason(event: DagsterEvent) -> str | None:
    """Why a run failed, where its event says so."""
    if event.event_type != DagsterEventType.RUN_FAILURE:
        return None
    failure = event.event_specific_data
    reason = failure.failure_reason if isinstance(failure, JobFailureData) else None
    return reason.value if reason and reason != RunFailureReason.UNKNOWN else None
