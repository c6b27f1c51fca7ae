"""Every question that Dagster asks an event log, for the storage and for the model.

A question is a pair: what the storage answers, and what the history says that it has to. Both give
plain values that compare. ``Probe`` holds the arguments, which mean to each question what they can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from dagster import AssetCheckKey
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.freshness import FreshnessStateRecord
from dagster._core.event_api import (
    AssetRecordsFilter,
    EventLogCursor,
    EventRecordsFilter,
    PartitionKeyFilter,
    RunShardedEventsCursor,
    RunStatusChangeRecordsFilter,
)
from dagster._core.events import DagsterEventType
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import (
    ASSET_TYPES,
    ASSETS,
    CHECKS,
    DIMENSION,
    EPOCH,
    PARTITIONED_TYPES,
    PARTITIONS,
    RUNS,
    STATUS_TYPES,
    STEPS,
    TYPES,
    T,
    asset_key,
)
from model.history import Execution, History, Stored

DEFINITIONS = ["letters", "numbers"]
POOLS = ["pool-1", "pool-2"]
KEYS = ["k1", "k2", "k3", "k4"]


@dataclass(frozen=True)
class Probe:
    run: str = RUNS[0]
    asset: str = ASSETS[0]
    check: tuple[str, str] = CHECKS[0]
    partitions: tuple[str, ...] = ()
    types: tuple[DagsterEventType, ...] = ()
    jobs: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    after: int | None = None
    before: int | None = None
    after_time: int | None = None
    before_time: int | None = None
    limit: int | None = None
    ascending: bool = True
    sharded: bool = False
    cursor: str = "none"
    partition: str | None = None
    statuses: tuple[str, ...] = ()

    @property
    def page(self) -> int:
        return self.limit or 1000

    def cursor_text(self) -> str | None:
        """A cursor of one of Dagster's kinds, or none."""
        if self.after is None:
            return None
        return {
            "none": None,
            "integer": None,
            "offset": EventLogCursor.from_offset(self.after).to_string(),
            "id": EventLogCursor.from_storage_id(self.after).to_string(),
        }[self.cursor]

    def bound(self, number: int | None) -> Any:
        if number is None or not self.sharded:
            return number
        return RunShardedEventsCursor(number, datetime.now(timezone.utc))

    def within(self, number: int) -> bool:
        return (self.after is None or number > self.after) and (
            self.before is None or number < self.before
        )

    def in_time(self, stored: Stored) -> bool:
        time = stored.draft.time
        return (self.after_time is None or time > self.after_time) and (
            self.before_time is None or time < self.before_time
        )


Answer = Callable[[LmdbEventLogStorage, Probe], Any]
Truth = Callable[[History, Probe], Any]
QUESTIONS: dict[str, tuple[Answer, Truth]] = {}


def question(truth: Truth) -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        QUESTIONS[answer.__name__] = (answer, truth)
        return answer

    return register


def ask(storage: LmdbEventLogStorage, probe: Probe) -> dict[str, Any]:
    """What the storage says."""
    return {name: answer(storage, probe) for name, (answer, _) in QUESTIONS.items()}


def expected(history: History, probe: Probe) -> dict[str, Any]:
    """What it has to say."""
    return {name: truth(history, probe) for name, (_, truth) in QUESTIONS.items()}


def pairs(records: Any) -> list[tuple[int, Any]]:
    return [(record.storage_id, record.event_log_entry) for record in records]


def cut(found: Sequence[Any], limit: int | None) -> list[Any]:
    return list(found[:limit] if limit else found)


def ordered(found: Sequence[Stored], probe: Probe) -> list[Stored]:
    return sorted(found, key=lambda stored: stored.id, reverse=not probe.ascending)


def time_of(seconds: int | None) -> float | None:
    return None if seconds is None else EPOCH + seconds


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


# Assets


def _pair(stored: Stored | None) -> Any:
    return None if stored is None else stored.pair


def _true_asset_records(history: History, probe: Probe) -> Any:
    found = []
    for text in history.known():
        materialization = history.latest(text, T.ASSET_MATERIALIZATION)
        planned = history.latest(text, T.ASSET_MATERIALIZATION_PLANNED)
        last = history.latest(text, T.ASSET_MATERIALIZATION, T.ASSET_MATERIALIZATION_PLANNED)
        failures = history.standing(text, T.ASSET_FAILED_TO_MATERIALIZE)
        failed = [stored for stored in failures if not stored.draft.skipped]
        skipped = [stored for stored in failures if stored.draft.skipped]
        asset = history.assets[text]
        found.append(
            {
                "key": asset_key(text),
                "materialization": _pair(materialization),
                "observation": _pair(history.latest(text, T.ASSET_OBSERVATION)),
                "planned": planned and (planned.id, planned.draft.run),
                "failed": _pair(failed[-1] if failed else None),
                "skipped": _pair(skipped[-1] if skipped else None),
                "run": last and last.draft.run,
                "wiped": time_of(asset.wiped_at),
                "cached": asset.cached,
            }
        )
    return found


@question(_true_asset_records)
def asset_records(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    def of(record: Any) -> Any:
        return record and (record.storage_id, record.event_log_entry)

    found = []
    for record in storage.get_asset_records():
        entry = record.asset_entry
        planned = storage.get_latest_planned_materialization_info(entry.asset_key)
        info = planned and (planned.storage_id, planned.run_id)
        ours = (
            entry.last_planned_materialization_storage_id,
            entry.last_planned_materialization_run_id,
        )
        assert (info or (None, None)) == ours
        found.append(
            {
                "key": entry.asset_key,
                "materialization": of(entry.last_materialization_record),
                "observation": of(entry.last_observation_record),
                "planned": info,
                "failed": of(entry.last_failed_to_materialize_record),
                "skipped": of(entry.last_skipped_materialize_record),
                "run": entry.last_run_id,
                "wiped": entry.asset_details and entry.asset_details.last_wipe_timestamp,
                "cached": entry.cached_status and entry.cached_status.latest_storage_id,
            }
        )
    return found


def _true_asset_keys(history: History, probe: Probe) -> Any:
    known = history.known()
    after = [text for text in known if text > probe.asset]
    under_a = [text for text in known if asset_key(text).path[0] == "a"]
    return [
        [asset_key(text) for text in known],
        [asset_key(text) for text in cut(after, probe.limit)],
        [asset_key(text) for text in under_a],
        [text in known for text in ASSETS],
    ]


@question(_true_asset_keys)
def asset_keys(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return [
        list(storage.all_asset_keys()),
        list(storage.get_asset_keys(limit=probe.limit, cursor=probe.asset)),
        list(storage.get_asset_keys(prefix=["a"])),
        [storage.has_asset_key(asset_key(text)) for text in ASSETS],
    ]


def _true_latest_materializations(history: History, probe: Probe) -> Any:
    latest = {text: history.latest(text, T.ASSET_MATERIALIZATION) for text in history.known()}
    unpartitioned = {text: history.unpartitioned(text) for text in ASSETS}
    return [
        {asset_key(text): stored.entry for text, stored in latest.items() if stored},
        {asset_key(text): stored and stored.id for text, stored in latest.items()},
        {asset_key(text): number for text, number in unpartitioned.items() if number},
    ]


@question(_true_latest_materializations)
def latest_materializations(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    keys = [asset_key(text) for text in ASSETS]
    return [
        storage.get_latest_materialization_events(keys),
        storage.get_latest_materialization_storage_ids(keys),
        storage._get_latest_unpartitioned_materialization_storage_ids(keys),
    ]


def _true_planned(history: History, probe: Probe) -> Any:
    found = []
    for text in ASSETS:
        latest = history.by_partition(text, T.ASSET_MATERIALIZATION_PLANNED)
        found.extend(
            (latest[name].id, latest[name].draft.run) if name in latest else None
            for name in PARTITIONS
        )
    return found


@question(_true_planned)
def latest_planned_of_partitions(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    infos = [
        storage.get_latest_planned_materialization_info(asset_key(text), name)
        for text in ASSETS
        for name in PARTITIONS
    ]
    return [info and (info.storage_id, info.run_id) for info in infos]


def _true_freshness(history: History, probe: Probe) -> Any:
    latest = {text: history.freshness(text) for text in ASSETS}
    return {
        asset_key(text): FreshnessStateRecord.from_event_log_entry(stored.entry)
        for text, stored in latest.items()
        if stored
    }


@question(_true_freshness)
def freshness_states(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return storage.get_freshness_state_records([asset_key(text) for text in ASSETS])


def _true_event_tags(history: History, probe: Probe) -> Any:
    found = []
    for wanted in _WANTED_TAGS:
        tagged = [
            stored
            for stored in history.standing(
                probe.asset, T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION
            )
            if stored.draft.indexed_tags and wanted.items() <= stored.draft.indexed_tags.items()
        ]
        found.append([stored.draft.indexed_tags for stored in tagged])
        found.append([s.draft.indexed_tags for s in tagged if s.id == probe.after])
    return found


_WANTED_TAGS: list[dict[str, str]] = [
    {},
    {DIMENSION: "x"},
    {DATA_VERSION_TAG: "1"},
    {DATA_VERSION_TAG: "2", DIMENSION: "y"},
]


@question(_true_event_tags)
def event_tags(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found = []
    for wanted in _WANTED_TAGS:
        key = asset_key(probe.asset)
        found.append(storage.get_event_tags_for_asset(key, wanted))
        of_one = (
            []
            if probe.after is None
            else storage.get_event_tags_for_asset(key, wanted, probe.after)
        )
        found.append(of_one)
    return found


# Partitions


def _true_partitions(history: History, probe: Probe) -> Any:
    found: list[Any] = []
    for text in ASSETS:
        within = history.by_partition(
            text, T.ASSET_MATERIALIZATION, probe.after or None, probe.before or None
        )
        found.append(set(within))
        for event_type in PARTITIONED_TYPES:
            latest = history.by_partition(text, event_type, probe.after)
            found.append({name: stored.id for name, stored in latest.items()})
            wanted = probe.partitions or PARTITIONS
            found.append({name: s.id for name, s in latest.items() if name in wanted})
    return found


@question(_true_partitions)
def partitions(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found: list[Any] = []
    for text in ASSETS:
        key = asset_key(text)
        found.append(storage.get_materialized_partitions(key, probe.before, probe.after))
        for event_type in PARTITIONED_TYPES:
            for wanted in (None, set(probe.partitions)):
                found.append(
                    storage.get_latest_storage_id_by_partition(
                        key, event_type, wanted, after_cursor=probe.after
                    )
                )
    return found


def _true_tags_by_partition(history: History, probe: Probe) -> Any:
    found = []
    for event_type in (T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION):
        latest = history.by_partition(probe.asset, event_type, probe.after, probe.before)
        tags = {name: stored.draft.indexed_tags for name, stored in latest.items()}
        wanted = probe.partitions or PARTITIONS
        found.append({name: tags[name] for name in tags if tags[name] and name in wanted})
        versions = {
            name: {DATA_VERSION_TAG: tags[name][DATA_VERSION_TAG]}
            for name in tags
            if DATA_VERSION_TAG in tags[name]
        }
        found.append(versions)
    return found


@question(_true_tags_by_partition)
def tags_by_partition(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found = []
    for event_type in (T.ASSET_MATERIALIZATION, T.ASSET_OBSERVATION):
        for keys, wanted in (
            ([DATA_VERSION_TAG, DIMENSION], list(probe.partitions or PARTITIONS)),
            ([DATA_VERSION_TAG], None),
        ):
            found.append(
                storage.get_latest_tags_by_partition(
                    asset_key(probe.asset), event_type, keys, wanted, probe.before, probe.after
                )
            )
    return found


def _true_attempts(history: History, probe: Probe) -> Any:
    found = {}
    for text in ASSETS:
        planned = history.by_partition(text, T.ASSET_MATERIALIZATION_PLANNED, probe.after)
        done = history.by_partition(text, T.ASSET_MATERIALIZATION, probe.after)
        found[text] = {
            name: (stored.draft.run, stored.id)
            for name, stored in planned.items()
            if name not in done or done[name].id < stored.id
        }
    return found


@question(_true_attempts)
def attempts_without_materializations(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    query = storage.get_latest_asset_partition_materialization_attempts_without_materializations
    return {text: query(asset_key(text), probe.after) for text in ASSETS}


def _true_changed_versions(history: History, probe: Probe) -> Any:
    since = probe.after or 0
    changed = set()
    for name, version in history.data_versions(probe.asset, after=since).items():
        if version and history.data_versions(probe.asset, until=since).get(name) != version:
            changed.add(name)
    return changed & set(probe.partitions or PARTITIONS)


@question(_true_changed_versions)
def updated_data_versions(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    return storage.get_updated_data_version_partitions(
        asset_key(probe.asset), probe.partitions or PARTITIONS, probe.after or 0
    )


def _true_dynamic(history: History, probe: Probe) -> Any:
    found: list[Any] = []
    for definition in DEFINITIONS:
        keys = history.dynamic.get(definition, [])
        found.append(keys)
        found.append(set(keys) & set(KEYS))
        found.append([key in keys for key in KEYS])
        found.append(keys if probe.ascending else keys[::-1])
    return found


@question(_true_dynamic)
def dynamic_partitions(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found: list[Any] = []
    for definition in DEFINITIONS:
        found.append(storage.get_dynamic_partitions(definition))
        found.append(storage.get_existing_dynamic_partitions(definition, KEYS))
        found.append([storage.has_dynamic_partition(definition, key) for key in KEYS])
        walked: list[str] = []
        page = storage.get_paginated_dynamic_partitions(definition, 2, probe.ascending)
        walked.extend(page.results)
        while page.has_more:
            page = storage.get_paginated_dynamic_partitions(
                definition, 2, probe.ascending, page.cursor
            )
            walked.extend(page.results)
        found.append(walked)
    return found


# Checks


def _execution(row: Execution | None) -> Any:
    return row and (
        row.id,
        row.run,
        row.status,
        row.event.entry,
        row.created,
        row.partition,
    )


def _record(record: Any) -> Any:
    return record and (
        record.id,
        record.run_id,
        record.status.value,
        record.event,
        record.create_timestamp,
        record.partition,
    )


def check_key(check: tuple[str, str]) -> AssetCheckKey:
    return AssetCheckKey(asset_key(check[0]), check[1])


def _filtered(rows: list[Execution], probe: Probe) -> list[list[Execution]]:
    return [rows, [row for row in rows if row.partition == probe.partition]]


def _true_check_history(history: History, probe: Probe) -> Any:
    return [
        [
            _execution(row)
            for row in rows
            if (not probe.before or row.id < probe.before)
            and (not probe.statuses or row.status in probe.statuses)
        ][: probe.page]
        for rows in _filtered(history.history_of(*probe.check), probe)
    ]


@question(_true_check_history)
def check_history(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    statuses = {AssetCheckExecutionRecordStatus(each) for each in probe.statuses}
    return [
        [
            _record(record)
            for record in storage.get_asset_check_execution_history(
                check_key(probe.check), probe.page, probe.before, statuses or None, wanted
            )
        ]
        for wanted in (None, PartitionKeyFilter(key=probe.partition))
    ]


def _true_latest_checks(history: History, probe: Probe) -> Any:
    found: list[Any] = []
    rows_of = {check: _filtered(history.history_of(*check), probe) for check in CHECKS}
    for place in (0, 1):
        latest = {
            check_key(c): _execution(rows[place][0]) for c, rows in rows_of.items() if rows[place]
        }
        found.append(latest)
    for check, (rows, _) in rows_of.items():
        completed = [row for row in rows if row.status != "PLANNED"]
        found.append(
            (
                check_key(check),
                _execution(rows[0] if rows else None),
                _execution(completed[0] if completed else None),
                rows[0].run if rows else None,
            )
        )
    return found


@question(_true_latest_checks)
def latest_checks(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    keys = [check_key(check) for check in CHECKS]
    found: list[Any] = []
    for wanted in (None, PartitionKeyFilter(key=probe.partition)):
        latest = storage.get_latest_asset_check_execution_by_key(keys, wanted)
        found.append({key: _record(record) for key, record in latest.items()})
    summaries = storage.get_asset_check_summary_records(keys)
    for key in keys:
        summary = summaries[key]
        found.append(
            (
                key,
                _record(summary.last_check_execution_record),
                _record(summary.last_completed_check_execution_record),
                summary.last_run_id,
            )
        )
    return found


def _true_partition_info(history: History, probe: Probe) -> Any:
    found = []
    for check in CHECKS:
        asset = check[0]
        asset_wide = history.unpartitioned(asset) or 0
        materialized = history.by_partition(asset, T.ASSET_MATERIALIZATION)
        latest = {row.partition: row for row in reversed(history.history_of(*check))}
        for name, row in latest.items():
            if probe.partitions and name not in probe.partitions:
                continue
            own = materialized[name].id if name in materialized else 0  # type: ignore[index]
            if probe.after is not None and max(row.event.id, own, asset_wide) <= probe.after:
                continue
            newest = max(own, asset_wide) or None
            found.append(
                (check_key(check), name, row.status, row.target, row.run, row.event.id, newest)
            )
    return sorted(found, key=repr)


@question(_true_partition_info)
def check_partition_info(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    infos = storage.get_asset_check_partition_info(
        [check_key(check) for check in CHECKS], probe.after, list(probe.partitions) or None
    )
    found = [
        (
            info.check_key,
            info.partition_key,
            info.latest_execution_status.value,
            info.latest_target_materialization_storage_id,
            info.latest_planned_run_id,
            info.latest_check_event_storage_id,
            info.latest_materialization_storage_id,
        )
        for info in infos
    ]
    return sorted(found, key=repr)


# Concurrency


def _true_pools(history: History, probe: Probe) -> Any:
    found: list[Any] = []
    limited = {name: pool for name, pool in history.pools.items() if pool.limit is not None}
    found.append(sorted((name, p.limit, p.from_default) for name, p in limited.items()))
    for name in POOLS:
        pool, queue = history.pool(name), history.queue(name)
        found.append(
            (
                pool.slots,
                pool.limit,
                pool.from_default if pool.limit is not None else True,
                [(each.run, each.key) for each in queue if each.slot],
                [(s.run, s.key, s.enqueued, s.assigned, s.priority) for s in queue],
            )
        )
        for run in RUNS:
            for key in STEPS:
                step = next((s for s in queue if (s.run, s.key) == (run, key)), None)
                found.append(
                    step and (bool(step.slot), step.priority or None, step.enqueued, step.assigned)
                )
    found.append({step.run for step in history.steps})
    return found


@question(_true_pools)
def pools(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found: list[Any] = []
    found.append(
        sorted((each.name, each.limit, each.from_default) for each in storage.get_pool_limits())
    )
    infos = storage.get_concurrency_infos(POOLS)
    for name in POOLS:
        info = infos[name]
        found.append(
            (
                info.slot_count,
                info.limit,
                info.using_default_limit,
                [(slot.run_id, slot.step_key) for slot in info.claimed_slots],
                [
                    (
                        step.run_id,
                        step.step_key,
                        step.enqueued_timestamp.timestamp(),
                        step.assigned_timestamp and step.assigned_timestamp.timestamp(),
                        step.priority,
                    )
                    for step in info.pending_steps
                ],
            )
        )
        for run in RUNS:
            for key in STEPS:
                status = storage.check_concurrency_claim(name, run, key)
                found.append(
                    (
                        status.is_claimed,
                        status.priority,
                        status.enqueued_timestamp.timestamp(),
                        status.assigned_timestamp and status.assigned_timestamp.timestamp(),
                    )
                    if status.enqueued_timestamp
                    else None
                )
    found.append(storage.get_concurrency_run_ids())
    return found
