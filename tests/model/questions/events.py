"""Questions about events: of a run, and of all runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dagster._core.event_api import (
    AssetRecordsFilter,
    EventLogCursor,
    EventRecordsFilter,
    RunStatusChangeRecordsFilter,
)
from dagster._core.events import DagsterEventType

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import ASSET_TYPES, PARTITIONED_TYPES, STATUS_TYPES, TYPES, T, asset_key
from model.history import History, Stored
from model.questions.asking import Probe, cut, ordered, question, time_of


def pairs(records: Any) -> list[tuple[int, Any]]:
    return [(record.storage_id, record.event_log_entry) for record in records]


# Events of a run


def _run_page(history: History, probe: Probe, types: Sequence[DagsterEventType]) -> list[Stored]:
    found = ordered(history.of_run(probe.run), probe)
    if types:
        found = [stored for stored in found if stored.draft.type in types]
    if probe.after is not None and probe.cursor == "offset":
        found = found[max(probe.after, 0) :]
    if probe.after is not None and probe.cursor == "id":
        after = probe.after
        found = [s for s in found if (s.id > after if probe.ascending else s.id < after)]
    return cut(found, probe.limit)


def _true_records(history: History, probe: Probe) -> Any:
    found = _run_page(history, probe, probe.types)
    given = probe.cursor_text()
    last = found[-1].id if found else -1
    cursor = given if not found and given else EventLogCursor.from_storage_id(last).to_string()
    return [s.pair for s in found], cursor, bool(probe.limit) and len(found) == probe.limit


@question(_true_records)
def records_for_run(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found = storage.get_records_for_run(
        probe.run, probe.cursor_text(), set(probe.types), probe.limit, probe.ascending
    )
    return pairs(found.records), found.cursor, found.has_more


def _true_logs(history: History, probe: Probe) -> Any:
    found = _run_page(history, probe, probe.types[:1])
    if probe.cursor == "integer" and probe.after is not None:
        # The offset of the last one seen.
        everything = _run_page(history, replace(probe, limit=None), probe.types[:1])
        found = cut(everything[max(probe.after + 1, 0) :], probe.limit)
    return [stored.entry for stored in found]


@question(_true_logs)
def logs_for_run(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    of_type = probe.types[0] if probe.types else None
    cursor = probe.after if probe.cursor == "integer" else probe.cursor_text()
    return storage.get_logs_for_run(probe.run, cursor, of_type, probe.limit, probe.ascending)


def _true_stats(history: History, probe: Probe) -> Any:
    times: dict[Any, list[float]] = {}
    for stored in history.of_run(probe.run):
        times.setdefault(stored.draft.type, []).append(stored.draft.timestamp)

    def last(*types: DagsterEventType) -> float | None:
        return next((max(times[each]) for each in types if each in times), None)

    return [
        len(times.get(T.STEP_SUCCESS, [])),
        len(times.get(T.STEP_FAILURE, [])),
        len(times.get(T.ASSET_MATERIALIZATION, [])),
        last(T.RUN_ENQUEUED),
        last(T.RUN_STARTING),
        last(T.RUN_START),
        last(T.RUN_SUCCESS, T.RUN_FAILURE, T.RUN_CANCELED),
    ]


@question(_true_stats)
def run_stats(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    stats = storage.get_stats_for_run(probe.run)
    return [
        stats.steps_succeeded,
        stats.steps_failed,
        stats.materializations,
        stats.enqueued_time,
        stats.launch_time,
        stats.start_time,
        stats.end_time,
    ]


@question(lambda history, probe: history.step_stats(probe.run, probe.steps))
def step_stats(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return storage.get_step_stats_for_run(probe.run, list(probe.steps))


def _true_partitions_of_run(history: History, probe: Probe) -> Any:
    found: dict[Any, set[str | None]] = {}
    for stored in history.of_run(probe.run):
        draft = stored.draft
        if draft.type in ASSET_TYPES and (not probe.types or draft.type in probe.types):
            partition = draft.partition if draft.type in PARTITIONED_TYPES else None
            found.setdefault(asset_key(draft.asset), set()).add(partition)
    return found


@question(_true_partitions_of_run)
def asset_partitions_for_run(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return storage.get_asset_partitions_for_run(probe.run, set(probe.types) or None)


@question(lambda history, probe: set(_true_partitions_of_run(history, probe)))
def asset_keys_for_run(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return set(storage.get_asset_keys_for_run(probe.run, set(probe.types) or None))


# Events of all runs


@question(lambda history, probe: history.events[-1].id if history.events else None)
def maximum_id(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return storage.get_maximum_record_id()


def _true_all_logs(history: History, probe: Probe) -> Any:
    after = -1 if probe.after is None else probe.after
    found = [
        stored
        for stored in history.events
        if stored.id > after and (not probe.types or stored.draft.type in probe.types)
    ]
    return [stored.pair for stored in cut(found, probe.limit)]


@question(_true_all_logs)
def logs_for_all_runs(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    after = -1 if probe.after is None else probe.after
    found = storage.get_logs_for_all_runs_by_log_id(after, set(probe.types), probe.limit)
    return list(found.items())


def _true_typed(history: History, probe: Probe, event_type: DagsterEventType) -> list[Stored]:
    """Events of a type, whether their assets still show them or not."""
    found = [
        stored
        for stored in ordered(history.events, probe)
        if stored.draft.type is event_type and probe.within(stored.id) and probe.in_time(stored)
    ]
    return [stored for stored in found if not probe.ids or stored.id in probe.ids]


def _true_event_records(history: History, probe: Probe) -> Any:
    return [
        [stored.pair for stored in cut(_true_typed(history, probe, event_type), probe.limit)]
        for event_type in TYPES
    ]


@question(_true_event_records)
def event_records(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return [
        pairs(
            storage.get_event_records(
                EventRecordsFilter(
                    event_type,
                    after_cursor=probe.bound(probe.after),
                    before_cursor=probe.bound(probe.before),
                    after_timestamp=time_of(probe.after_time),
                    before_timestamp=time_of(probe.before_time),
                    storage_ids=list(probe.ids),
                ),
                probe.limit,
                probe.ascending,
            )
        )
        for event_type in TYPES
    ]


def _true_of_asset(history: History, probe: Probe, event_type: DagsterEventType) -> list[Stored]:
    return [
        stored
        for stored in _true_typed(history, probe, event_type)
        if stored.draft.asset == probe.asset
        and stored.stands
        and (not probe.partitions or set(stored.partitions) & set(probe.partitions))
    ]


def _true_asset_event_records(history: History, probe: Probe) -> Any:
    return [
        [stored.pair for stored in cut(_true_of_asset(history, probe, event_type), probe.limit)]
        for event_type in ASSET_TYPES
    ]


@question(_true_asset_event_records)
def asset_event_records(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return [
        pairs(
            storage.get_event_records(
                EventRecordsFilter(
                    event_type,
                    asset_key=asset_key(probe.asset),
                    asset_partitions=list(probe.partitions),
                    after_cursor=probe.bound(probe.after),
                    before_cursor=probe.bound(probe.before),
                    after_timestamp=time_of(probe.after_time),
                    before_timestamp=time_of(probe.before_time),
                    storage_ids=list(probe.ids),
                ),
                probe.limit,
                probe.ascending,
            )
        )
        for event_type in ASSET_TYPES
    ]


def _page_of(found: list[Stored], probe: Probe) -> Any:
    page = cut(found, probe.page)
    last = page[-1].id if page else -1
    cursor = EventLogCursor.from_storage_id(last).to_string()
    return [stored.pair for stored in page], cursor, len(page) == probe.page


_FETCHED = {
    T.ASSET_MATERIALIZATION: LmdbEventLogStorage.fetch_materializations,
    T.ASSET_OBSERVATION: LmdbEventLogStorage.fetch_observations,
    T.ASSET_FAILED_TO_MATERIALIZE: LmdbEventLogStorage.fetch_failed_materializations,
}


@question(
    lambda history, probe: [
        _page_of(_true_of_asset(history, probe, event_type), probe) for event_type in _FETCHED
    ]
)
def fetched_asset_events(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    records_filter = AssetRecordsFilter(
        asset_key(probe.asset),
        asset_partitions=list(probe.partitions),
        after_timestamp=time_of(probe.after_time),
        before_timestamp=time_of(probe.before_time),
        after_storage_id=probe.after,
        before_storage_id=probe.before,
        storage_ids=list(probe.ids) or None,
    )
    results = [
        fetch(storage, records_filter, probe.page, ascending=probe.ascending)
        for fetch in _FETCHED.values()
    ]
    return [(pairs(each.records), each.cursor, each.has_more) for each in results]


def _true_status_changes(history: History, probe: Probe) -> Any:
    return [
        _page_of(
            [
                stored
                for stored in _true_typed(history, probe, event_type)
                if not probe.jobs or stored.draft.job in probe.jobs
            ],
            probe,
        )
        for event_type in STATUS_TYPES
    ]


@question(_true_status_changes)
def status_changes(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    results = [
        storage.fetch_run_status_changes(
            RunStatusChangeRecordsFilter(
                event_type,
                after_timestamp=time_of(probe.after_time),
                before_timestamp=time_of(probe.before_time),
                after_storage_id=probe.after,
                before_storage_id=probe.before,
                storage_ids=list(probe.ids) or None,
                job_names=list(probe.jobs) or None,
            ),
            probe.page,
            ascending=probe.ascending,
        )
        for event_type in STATUS_TYPES
    ]
    return [(pairs(each.records), each.cursor, each.has_more) for each in results]


def _true_summaries(history: History, probe: Probe, asset: bool, run: bool) -> Any:
    untimed = [
        stored
        for event_type in PARTITIONED_TYPES
        for stored in cut(
            [
                stored
                for stored in ordered(history.events, probe)
                if stored.draft.type is event_type
                and probe.within(stored.id)
                and (not probe.ids or stored.id in probe.ids)
                and (not run or stored.draft.run == probe.run)
                and (not asset or (stored.draft.asset == probe.asset and stored.stands))
            ],
            probe.limit,
        )
    ]
    return [
        (s.id, s.draft.run, asset_key(s.draft.asset), s.draft.partition, s.draft.timestamp)
        for s in untimed
    ]


@question(
    lambda history, probe: [
        _true_summaries(history, probe, asset, run)
        for asset in (False, True)
        for run in (False, True)
    ]
)
def asset_event_summaries(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return [
        [
            (each.storage_id, each.run_id, each.asset_key, each.partition, each.timestamp)
            for event_type in PARTITIONED_TYPES
            for each in storage.get_asset_event_summary_records(
                event_type,  # type: ignore[arg-type]
                asset_key(probe.asset) if asset else None,
                probe.run if run else None,
                list(probe.ids) or None,
                probe.after,
                probe.before,
                probe.limit,
                probe.ascending,
            )
        ]
        for asset in (False, True)
        for run in (False, True)
    ]
