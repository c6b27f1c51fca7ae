"""Questions about partitions, those of assets and dynamic ones."""

from typing import Any

from dagster._core.definitions.data_version import DATA_VERSION_TAG

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import ASSETS, DIMENSION, PARTITIONED_TYPES, PARTITIONS, T, asset_key
from model.history import History
from model.questions.asking import Probe, question

DEFINITIONS = ["letters", "numbers"]
KEYS = ["k1", "k2", "k3", "k4"]


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
