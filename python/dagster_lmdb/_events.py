"""Queries for events: of one run, of one type, or of all runs.

Semantics are those of ``SqlEventLogStorage``: cursors are exclusive, an empty page returns the
cursor it was given, and a page is full when more may follow. Costs count the events returned.
"""

import logging
from collections.abc import Mapping, Sequence, Set
from itertools import starmap

import dagster._check as check
from dagster import AssetKey, EventLogEntry
from dagster._core.errors import DagsterEventLogInvalidForRun
from dagster._core.event_api import (
    AssetEventType,
    AssetRecordsFilter,
    EventLogCursor,
    EventLogRecord,
    EventRecordsFilter,
    EventRecordsResult,
    RunStatusChangeRecordsFilter,
)
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS, DagsterEventType
from dagster._core.execution.stats import (
    RUN_STATS_EVENT_TYPES,
    STEP_STATS_EVENT_TYPES,
    RunStepKeyStatsSnapshot,
    build_run_step_stats_from_events,
)
from dagster._core.storage.dagster_run import DagsterRunStatsSnapshot
from dagster._core.storage.event_log.base import AssetEventSummaryRecord, EventLogConnection
from dagster._core.storage.event_log.sql_event_log import enforce_max_records_limit
from dagster._utils.warnings import deprecation_warning

from dagster_lmdb._arguments import (
    asset_key_from,
    possible_sequences,
    row_limit,
    sequence_bound,
    type_values,
)
from dagster_lmdb._core import UndecodableEventError
from dagster_lmdb._handle import ReadsEventLog
from dagster_lmdb._rows import Event

_LOG = logging.getLogger(__name__)

_RUN_STATS_TYPES = frozenset(event_type.value for event_type in RUN_STATS_EVENT_TYPES)
_STEP_STATS_TYPES = frozenset(event_type.value for event_type in STEP_STATS_EVENT_TYPES)

# A run ends once; where its log says so in several ways, the first of these counts.
_END_TYPES = (
    DagsterEventType.RUN_SUCCESS,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
)


class QueriesEvents(ReadsEventLog):
    """The part of ``EventLogStorage`` that reads events."""

    def get_logs_for_run(
        self,
        run_id: str,
        cursor: str | int | None = None,
        of_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> Sequence[EventLogEntry]:
        """Get all of the logs corresponding to a run.

        Args:
            run_id (str): The id of the run for which to fetch logs.
            cursor (Optional[Union[str, int]]): The cursor of the last page. An integer, which is
                deprecated, is the zero-based offset of the last log seen.
            of_type (Optional[Union[DagsterEventType, Set[DagsterEventType]]]): The types to keep.
            limit (Optional[int]): Max number of logs to return; None or 0 for all.
            ascending (bool): Whether the oldest comes first.

        Raises:
            DagsterEventLogInvalidForRun: If a log of the page cannot be decoded.
        """
        if isinstance(cursor, int):
            deprecation_warning(
                "Integer cursor values in `get_logs_for_run`",
                "1.8.0",
                "You can instead construct a storage_id-based string cursor e.g. `cursor ="
                " EventLogCursor.from_storage_id(storage_id).to_string()`",
            )
            cursor = EventLogCursor.from_offset(cursor + 1).to_string()
        return [entry for _, entry in self._run_page(run_id, cursor, of_type, limit, ascending)]

    def get_records_for_run(
        self,
        run_id: str,
        cursor: str | None = None,
        of_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> EventLogConnection:
        """Get all of the event log records corresponding to a run.

        Args:
            run_id (str): The id of the run for which to fetch records.
            cursor (Optional[str]): The cursor of the last page, by storage id or by offset.
            of_type (Optional[Union[DagsterEventType, Set[DagsterEventType]]]): The types to keep.
            limit (Optional[int]): Max number of records to return; None or 0 for all.
            ascending (bool): Whether the oldest comes first.

        Raises:
            DagsterEventLogInvalidForRun: If a record of the page cannot be decoded.
        """
        page = self._run_page(run_id, cursor, of_type, limit, ascending)
        return EventLogConnection(
            records=list(starmap(EventLogRecord, page)),
            cursor=_cursor_after(page[-1][0] if page else None, cursor),
            has_more=bool(limit and len(page) == limit),
        )

    def _run_page(
        self,
        run_id: str,
        cursor: str | None,
        of_type: DagsterEventType | set[DagsterEventType] | None,
        limit: int | None,
        ascending: bool,
    ) -> list[Event]:
        check.str_param(run_id, "run_id")
        check.opt_str_param(cursor, "cursor")
        types = type_values(of_type, "dagster_event_type")
        after = before = None
        offset = 0
        if cursor is not None:
            place = EventLogCursor.parse(cursor)
            if place.is_offset_cursor():
                offset = place.offset()
            elif ascending:
                after = sequence_bound(place.storage_id())
            else:
                before = sequence_bound(place.storage_id())
        try:
            return self._log.run_events(
                run_id,
                after=after,
                before=before,
                offset=offset,
                types=types,
                limit=row_limit(limit),
                ascending=ascending,
            )
        except UndecodableEventError as error:
            raise _invalid(run_id) from error

    def get_stats_for_run(self, run_id: str) -> DagsterRunStatsSnapshot:
        """Get a summary of events that have occurred in a run.

        Cost: the run's events of the types that count, without decoding one.
        """
        check.str_param(run_id, "run_id")
        counts = self._log.run_event_counts(run_id, _RUN_STATS_TYPES)

        def count(event_type: DagsterEventType) -> int:
            return counts[event_type.value][0] if event_type.value in counts else 0

        def last_time(*event_types: DagsterEventType) -> float | None:
            times = (counts[each.value][1] for each in event_types if each.value in counts)
            return next(times, None)

        return DagsterRunStatsSnapshot(
            run_id=run_id,
            steps_succeeded=count(DagsterEventType.STEP_SUCCESS),
            steps_failed=count(DagsterEventType.STEP_FAILURE),
            materializations=count(DagsterEventType.ASSET_MATERIALIZATION),
            expectations=count(DagsterEventType.STEP_EXPECTATION_RESULT),
            enqueued_time=last_time(DagsterEventType.RUN_ENQUEUED),
            launch_time=last_time(DagsterEventType.RUN_STARTING),
            start_time=last_time(DagsterEventType.RUN_START),
            end_time=last_time(*_END_TYPES),
        )

    def get_step_stats_for_run(
        self, run_id: str, step_keys: Sequence[str] | None = None
    ) -> Sequence[RunStepKeyStatsSnapshot]:
        """Get per-step stats for a run.

        Cost: the run's events of the types that count; those of other steps are not decoded.

        Args:
            run_id (str): The id of the run.
            step_keys (Optional[Sequence[str]]): The steps to report; None or none for all.

        Raises:
            DagsterEventLogInvalidForRun: If an event of these steps cannot be decoded.
        """
        check.str_param(run_id, "run_id")
        keys = check.opt_sequence_param(step_keys, "step_keys", of_type=str)
        try:
            events = self._log.run_events(run_id, types=_STEP_STATS_TYPES, step_keys=set(keys))
        except UndecodableEventError as error:
            raise _invalid(run_id) from error
        return build_run_step_stats_from_events(run_id, [entry for _, entry in events])

    def get_asset_partitions_for_run(
        self,
        run_id: str,
        of_type: DagsterEventType | set[DagsterEventType] | None = None,
    ) -> Mapping[AssetKey, Set[str | None]]:
        """Get the distinct asset partitions targeted by a run's asset events.

        Cost: the run's events of these types that have an asset, without decoding one.
        """
        check.str_param(run_id, "run_id")
        partitions: dict[AssetKey, set[str | None]] = {}
        for text, partition in self._log.run_asset_partitions(
            run_id, type_values(of_type, "of_type")
        ):
            partitions.setdefault(asset_key_from(text), set()).add(partition)
        return partitions

    def get_asset_keys_for_run(
        self,
        run_id: str,
        of_type: DagsterEventType | set[DagsterEventType] | None = None,
    ) -> Set[AssetKey]:
        """Get the distinct asset keys targeted by a run's asset events."""
        return self.get_asset_partitions_for_run(run_id, of_type).keys()

    def get_asset_event_summary_records(
        self,
        event_type: AssetEventType,
        asset_key: AssetKey | None = None,
        run_id: str | None = None,
        storage_ids: Sequence[int] | None = None,
        after_storage_id: int | None = None,
        before_storage_id: int | None = None,
        limit: int | None = None,
        ascending: bool = False,
    ) -> Sequence[AssetEventSummaryRecord]:
        """Get asset events projected onto their indexed columns, without their payloads.

        Where an asset is named, events before its last wipe are left out; else they are kept.
        Cost: the rows returned, without decoding an event.
        """
        sequences = None if storage_ids is None else possible_sequences(storage_ids)
        if sequences is not None and not sequences:
            return []
        return [
            AssetEventSummaryRecord(
                storage_id=sequence,
                run_id=event_run_id,
                asset_key=asset_key_from(text),
                partition=partition,
                timestamp=timestamp,
            )
            for sequence, event_run_id, text, partition, timestamp in (
                self._log.asset_event_summaries(
                    event_type.value,
                    asset_key=None if asset_key is None else asset_key.to_string(),
                    run_id=run_id,
                    sequences=sequences,
                    after=sequence_bound(after_storage_id),
                    before=sequence_bound(before_storage_id),
                    limit=row_limit(limit),
                    ascending=ascending,
                )
            )
        ]

    def get_event_records(
        self,
        event_records_filter: EventRecordsFilter,
        limit: int | None = None,
        ascending: bool = False,
    ) -> Sequence[EventLogRecord]:
        """Get event records of one type, ordered by storage id, also where times bound them.

        A record that cannot be decoded is left out with a warning. Cost: the records returned, and
        those passed over since they are not within ``after_timestamp`` and ``before_timestamp``.

        Args:
            event_records_filter (EventRecordsFilter): What to keep. Events before the last wipe of
                ``asset_key`` are left out; without an asset key they are kept.
            limit (Optional[int]): Max number of records to read; None or 0 for all.
            ascending (bool): Whether the oldest comes first.
        """
        check.inst_param(event_records_filter, "event_records_filter", EventRecordsFilter)
        check.bool_param(ascending, "ascending")
        records, _ = self._read_records(event_records_filter, limit, ascending)
        return records

    def _read_records(
        self,
        records_filter: EventRecordsFilter,
        limit: int | None,
        ascending: bool,
        job_names: Sequence[str] | None = None,
    ) -> tuple[list[EventLogRecord], list[int]]:
        """The page's records, and the sequences of all that was read, undecodable ones too."""
        sequences = None
        if records_filter.storage_ids:
            sequences = possible_sequences(records_filter.storage_ids)
            if not sequences:
                return [], []
        asset_key = records_filter.asset_key
        events, undecodable = self._log.events(
            records_filter.event_type.value,
            asset_key=asset_key.to_string() if asset_key else None,
            partitions=records_filter.asset_partitions or None,
            job_names=job_names or None,
            sequences=sequences,
            after=sequence_bound(records_filter.after_cursor),
            before=sequence_bound(records_filter.before_cursor),
            after_timestamp=records_filter.after_timestamp or None,
            before_timestamp=records_filter.before_timestamp or None,
            limit=row_limit(limit),
            ascending=ascending,
        )
        _warn_of(undecodable)
        read = [sequence for sequence, _ in events]
        read.extend(sequence for sequence, _ in undecodable)
        return list(starmap(EventLogRecord, events)), read

    def _fetch(
        self,
        records_filter: EventRecordsFilter,
        limit: int,
        cursor: str | None,
        ascending: bool,
        job_names: Sequence[str] | None = None,
    ) -> EventRecordsResult:
        """One page; records that cannot be decoded are passed over, and never read again."""
        records, read = self._read_records(records_filter, limit, ascending, job_names)
        last = (max(read) if ascending else min(read)) if read else None
        return EventRecordsResult(
            records=records, cursor=_cursor_after(last, cursor), has_more=len(read) == limit
        )

    def _fetch_asset_events(
        self,
        event_type: AssetEventType,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None,
        ascending: bool,
    ) -> EventRecordsResult:
        enforce_max_records_limit(limit)
        if isinstance(records_filter, AssetKey):
            # An AssetRecordsFilter takes a cursor at 0 for none.
            before_cursor, after_cursor = EventRecordsFilter.get_cursor_params(cursor, ascending)
            events_filter = EventRecordsFilter(
                event_type,
                asset_key=records_filter,
                before_cursor=before_cursor,
                after_cursor=after_cursor,
            )
        else:
            events_filter = records_filter.to_event_records_filter(event_type, cursor, ascending)
        return self._fetch(events_filter, limit, cursor, ascending)

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Get one page of an asset's materializations.

        Args:
            records_filter (Union[AssetKey, AssetRecordsFilter]): The asset, or what to keep of it.
            limit (int): Max number of records to return.
            cursor (Optional[str]): The cursor of the last page.
            ascending (bool): Whether the oldest comes first.

        Raises:
            DagsterInvariantViolationError: If ``limit`` is above ``MAX_LIMIT_GET_EVENT_RECORDS``.
        """
        return self._fetch_asset_events(
            DagsterEventType.ASSET_MATERIALIZATION, records_filter, limit, cursor, ascending
        )

    def fetch_failed_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Get one page of an asset's failures to materialize; see ``fetch_materializations``."""
        return self._fetch_asset_events(
            DagsterEventType.ASSET_FAILED_TO_MATERIALIZE, records_filter, limit, cursor, ascending
        )

    def fetch_observations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Get one page of an asset's observations; see ``fetch_materializations``."""
        return self._fetch_asset_events(
            DagsterEventType.ASSET_OBSERVATION, records_filter, limit, cursor, ascending
        )

    @property
    def supports_run_status_change_job_name_filter(self) -> bool:
        return True

    def fetch_run_status_changes(
        self,
        records_filter: DagsterEventType | RunStatusChangeRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Get one page of run status changes.

        Cost: the records returned, also where ``job_names`` names rare jobs.

        Args:
            records_filter (Union[DagsterEventType, RunStatusChangeRecordsFilter]): The type of the
                change, or what to keep.
            limit (int): Max number of records to return.
            cursor (Optional[str]): The cursor of the last page.
            ascending (bool): Whether the oldest comes first.

        Raises:
            DagsterInvariantViolationError: If ``limit`` is above ``MAX_LIMIT_GET_EVENT_RECORDS``.
            CheckError: If the type is not that of a status change.
        """
        enforce_max_records_limit(limit)
        if isinstance(records_filter, DagsterEventType):
            event_type, job_names = records_filter, None
        else:
            event_type, job_names = records_filter.event_type, records_filter.job_names
        if event_type not in EVENT_TYPE_TO_PIPELINE_RUN_STATUS:
            expected = ", ".join(each.value for each in EVENT_TYPE_TO_PIPELINE_RUN_STATUS)
            check.failed(f"Expected one of {expected}, received {event_type.value}")
        if isinstance(records_filter, RunStatusChangeRecordsFilter):
            events_filter = records_filter.to_event_records_filter_without_job_names(
                cursor, ascending
            )
        else:
            before, after = EventRecordsFilter.get_cursor_params(cursor, ascending)
            events_filter = EventRecordsFilter(event_type, before_cursor=before, after_cursor=after)
        return self._fetch(events_filter, limit, cursor, ascending, job_names)

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """Get events across all runs by storage id, ascending.

        Ends before the first event that cannot be decoded, with a warning.

        Args:
            after_cursor (int): The storage id to go on after; -1 for the beginning.
            dagster_event_type (Optional[Union[DagsterEventType, Set[DagsterEventType]]]): The
                types to keep, any number of them.
            limit (Optional[int]): Max number of events to return; None or 0 for all.

        Raises:
            CheckError: If ``after_cursor`` is below -1.
        """
        check.int_param(after_cursor, "after_cursor")
        check.invariant(
            after_cursor >= -1, f"Don't know what to do with negative cursor {after_cursor}"
        )
        events, undecodable = self._log.events_after(
            check.not_none(sequence_bound(after_cursor)),
            type_values(dagster_event_type, "dagster_event_type"),
            row_limit(limit),
        )
        _warn_of(undecodable)
        return dict(events)

    def get_maximum_record_id(self) -> int | None:
        """Get the storage id of the last event in the log; None where there is none."""
        return self._log.last_event_sequence()


def _invalid(run_id: str) -> DagsterEventLogInvalidForRun:
    return DagsterEventLogInvalidForRun(run_id=run_id)  # type: ignore[no-untyped-call]


def _cursor_after(last: int | None, given: str | None) -> str:
    """The cursor behind a page: after its last sequence, or where the page began if it is empty."""
    if last is not None:
        return EventLogCursor.from_storage_id(last).to_string()
    return given or EventLogCursor.from_storage_id(-1).to_string()


def _warn_of(undecodable: Sequence[tuple[int, str]]) -> None:
    for sequence, reason in undecodable:
        _LOG.warning("Could not parse event record id `%s`: %s", sequence, reason)
