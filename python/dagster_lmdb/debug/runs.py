"""A run and its events, read from a store.

A store that holds the event log alone knows no runs: a run is then what its events say.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from dagster import AssetKey, EventLogEntry
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import DagsterRun, RunRecord, RunsFilter
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb._opening import open_store
from dagster_lmdb._progress import Report
from dagster_lmdb._rows import Event
from dagster_lmdb.debug.errors import UnknownRunError
from dagster_lmdb.event_log_storage import LmdbEventLogStorage
from dagster_lmdb.run_storage import LmdbRunStorage
from dagster_lmdb.schedule_storage import LmdbScheduleStorage
from dagster_lmdb.storage import DagsterLmdbStorage

_PAGE = 5000

_ASSET_TYPES = frozenset(
    event_type.value
    for event_type in (
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
    )
)

_RUN_TYPE_PREFIX, _STORED_PREFIX = "RUN_", "PIPELINE_"


class Source:
    """A store that exists: the engine's queries, and Dagster's storages on it.

    Raises:
        LmdbStoreError: If there is no store, or it cannot be opened.
    """

    def __init__(self, directory: Path, overrides: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.log = open_store(directory, overrides)
        self.storage = DagsterLmdbStorage(str(directory), **dict.fromkeys(overrides, True))

    @property
    def runs(self) -> LmdbRunStorage:
        return self.storage.run_storage

    @property
    def events(self) -> LmdbEventLogStorage:
        return self.storage.event_log_storage

    @property
    def schedules(self) -> LmdbScheduleStorage:
        return self.storage.schedule_storage


class RunHistory:
    """A run as it is known, and its events in the order of the log."""

    def __init__(self, run_id: str, record: RunRecord | None, events: Sequence[Event]) -> None:
        self.run_id = run_id
        self.record = record
        self.events = events

    @property
    def run(self) -> DagsterRun | None:
        """The run; None where runs are stored elsewhere."""
        return self.record.dagster_run if self.record else None

    @property
    def job_name(self) -> str:
        """The run's job; empty where nothing tells it."""
        if self.run:
            return self.run.job_name
        names = (entry.job_name for _, entry in self.events if entry.job_name)
        return next(names, "")

    @property
    def created(self) -> float | None:
        """When the run was created, in Unix seconds."""
        return self.record.create_timestamp.timestamp() if self.record else None


def read_run(source: Source, run_id: str, report: Report | None = None) -> RunHistory:
    """Reads a run whole: its record and all of its events.

    Cost: the run's events, each decoded once.

    Args:
        source (Source): The store.
        run_id (str): The run.
        report (Optional[Report]): Is told how many events have been read.

    Raises:
        UnknownRunError: If the store has neither a record nor an event of the run.
        UndecodableEventError: If an event cannot be read by the Dagster that is installed.
    """
    records = source.runs.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
    events = list(run_events(source, run_id, report)) if run_id else []
    if not records and not events:
        raise UnknownRunError(run_id)
    return RunHistory(run_id, records[0] if records else None, events)


def run_events(source: Source, run_id: str, report: Report | None = None) -> Iterator[Event]:
    """The events of a run, page by page, in the order of the log."""
    counts = source.log.run_event_counts(run_id) if report else {}
    total = sum(count for count, _ in counts.values())
    place, done = 0, 0
    while page := source.log.run_events(run_id, after=place, limit=_PAGE):
        yield from page
        place, done = page[-1][0], done + len(page)
        if report is not None:
            report("reading events", done, max(done, total))


def event_type_from(text: str) -> str | None:
    """The stored name of an event type that a user named, in either of Dagster's spellings."""
    name = text.strip().upper()
    values = {event_type.value for event_type in DagsterEventType}
    if name in values:
        return name
    if name in DagsterEventType.__members__:
        return DagsterEventType[name].value
    stored = name.replace(_RUN_TYPE_PREFIX, _STORED_PREFIX, 1)
    return stored if stored in values else None


def shown_type(entry: EventLogEntry) -> str:
    """What an entry is, as the UI names it; a log message is its level."""
    if entry.dagster_event is None:
        return logging.getLevelName(entry.level) if isinstance(entry.level, int) else entry.level
    value = entry.dagster_event.event_type_value
    if value.startswith(_STORED_PREFIX):
        return _RUN_TYPE_PREFIX + value.removeprefix(_STORED_PREFIX)
    return value


def error_of(entry: EventLogEntry) -> SerializableErrorInfo | None:
    """The error that an entry carries, with its stack and its causes."""
    if entry.error_info is not None:
        return entry.error_info
    data = entry.dagster_event.event_specific_data if entry.dagster_event else None
    error = getattr(data, "error", None)
    return error if isinstance(error, SerializableErrorInfo) else None


def asset_of(entry: EventLogEntry) -> tuple[AssetKey, str | None] | None:
    """The asset that an entry is about, and its partition."""
    event = entry.dagster_event
    if event is None or event.event_type_value not in _ASSET_TYPES or event.asset_key is None:
        return None
    return event.asset_key, event.partition
