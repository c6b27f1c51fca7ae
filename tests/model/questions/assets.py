"""Questions about assets."""

from typing import Any

from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.freshness import FreshnessStateRecord

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import ASSETS, DIMENSION, PARTITIONS, T, asset_key
from model.history import History, Stored
from model.questions.asking import Probe, cut, question, time_of


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
