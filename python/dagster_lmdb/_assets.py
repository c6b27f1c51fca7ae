"""Queries and commands for assets as a whole.

An asset is known from its first materialization, observation or planned materialization on, until
it is wiped; the deleting of runs does not end it. What wiping hides is the engine's doing.
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster._check as check
import dagster_shared.seven as seven
from dagster import AssetKey, EventLogEntry, PartitionsDefinition
from dagster._core.assets import AssetDetails
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.freshness import FreshnessStateRecord
from dagster._core.loader import LoadingContext
from dagster._core.storage.event_log.base import (
    AssetEntry,
    AssetRecord,
    PlannedMaterializationInfo,
)
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._serdes import serialize_value
from dagster._time import get_current_timestamp

from dagster_lmdb._arguments import (
    asset_key_from,
    asset_key_texts,
    possible_sequences,
    record_from,
    row_limit,
    sequence_bound,
)
from dagster_lmdb._core import AssetRow
from dagster_lmdb._handle import ReadsEventLog


class KnowsAssets(ReadsEventLog):
    """The part of ``EventLogStorage`` that is about assets."""

    def has_asset_key(self, asset_key: AssetKey) -> bool:
        check.inst_param(asset_key, "asset_key", AssetKey)
        return self._log.has_asset(asset_key.to_string())

    def all_asset_keys(self) -> Sequence[AssetKey]:
        """Get the keys of all known assets, in the order of their text."""
        return [asset_key_from(text) for text in self._log.asset_keys()]

    def get_asset_keys(
        self,
        prefix: Sequence[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Sequence[AssetKey]:
        """Get the keys of known assets, in the order of their text. Cost: the keys returned.

        Args:
            prefix (Optional[Sequence[str]]): Whole leading components of the keys.
            limit (Optional[int]): Max number of keys to return; None or 0 for all.
            cursor (Optional[str]): The text of the key to go on after.
        """
        texts = self._log.asset_keys(
            # The text of a key is a JSON list: without its bracket, the prefix ends in a quote.
            prefix=seven.dumps(list(prefix))[:-1] if prefix else None,
            after=cursor or None,
            limit=row_limit(limit),
        )
        return [asset_key_from(text) for text in texts]

    def get_asset_records(
        self, asset_keys: Sequence[AssetKey] | None = None
    ) -> Sequence[AssetRecord]:
        """Get the records of known assets, in the order of their keys' text.

        Args:
            asset_keys (Optional[Sequence[AssetKey]]): The assets to return; None for all. Assets
                that are not known are left out.
        """
        texts = None if asset_keys is None else asset_key_texts(asset_keys)
        if texts is not None and not texts:
            return []
        rows = sorted(self._log.asset_rows(texts), key=lambda row: row.asset_key)
        return [_asset_record(row) for row in rows]

    @property
    def asset_records_have_last_observation(self) -> bool:
        return True

    @property
    def asset_records_have_last_planned_and_failed_materializations(self) -> bool:
        return True

    def get_latest_materialization_events(
        self, asset_keys: Iterable[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Get each asset's latest materialization; assets without one are left out."""
        keys = check.iterable_param(asset_keys, "asset_keys", AssetKey)
        latest = self._log.latest_materializations(asset_key_texts(keys))
        return {
            asset_key_from(text): event[1] for text, event in latest.items() if event is not None
        }

    def get_latest_materialization_storage_ids(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, int | None]:
        """Get the storage id of each asset's latest materialization, without decoding an event.

        Assets that are not known are left out; one that never materialized maps to None.
        """
        latest = self._log.latest_materialization_sequences(asset_key_texts(asset_keys))
        return {asset_key_from(text): sequence for text, sequence in latest.items()}

    def _get_latest_unpartitioned_materialization_storage_ids(
        self, keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, int]:
        latest = self._log.latest_unpartitioned_materialization_sequences(asset_key_texts(keys))
        return {asset_key_from(text): sequence for text, sequence in latest.items()}

    def get_latest_planned_materialization_info(
        self, asset_key: AssetKey, partition: str | None = None
    ) -> PlannedMaterializationInfo | None:
        """Get the latest planned materialization of an asset, or of one of its partitions."""
        planned = self._log.latest_planned(asset_key.to_string(), partition or None)
        if planned is None:
            return None
        storage_id, run_id = planned
        return PlannedMaterializationInfo(storage_id=storage_id, run_id=run_id)

    def get_freshness_state_records(
        self, keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, FreshnessStateRecord]:
        """Get each asset's latest freshness state, which a wipe leaves; none where none is set."""
        entries = self._log.latest_freshness_changes(asset_key_texts(keys))
        records = [FreshnessStateRecord.from_event_log_entry(entry) for entry in entries]
        return {record.entity_key: record for record in records}

    def get_event_tags_for_asset(
        self,
        asset_key: AssetKey,
        filter_tags: Mapping[str, str] | None = None,
        filter_event_id: int | None = None,
    ) -> Sequence[Mapping[str, str]]:
        """Get the indexed tags of an asset's events, one mapping an event that has any.

        Cost: the asset's events that have tags, without decoding one; of one event with its id.

        Args:
            asset_key (AssetKey): The asset.
            filter_tags (Optional[Mapping[str, str]]): Keep events with all of these tags.
            filter_event_id (Optional[int]): Keep the event with this storage id.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        check.opt_mapping_param(filter_tags, "filter_tags", key_type=str, value_type=str)
        check.opt_int_param(filter_event_id, "filter_event_id")
        if filter_event_id is not None and not possible_sequences([filter_event_id]):
            return []
        return self._log.event_tags(asset_key.to_string(), filter_tags or None, filter_event_id)

    def get_updated_data_version_partitions(
        self, asset_key: AssetKey, partitions: Iterable[str], since_storage_id: int
    ) -> set[str]:
        """Get those partitions whose data version after a storage id is not the one up to it."""
        return self._log.changed_data_versions(
            asset_key.to_string(),
            list(partitions),
            check.not_none(sequence_bound(since_storage_id)),
            DATA_VERSION_TAG,
        )

    def wipe_asset(self, asset_key: AssetKey) -> None:
        """Hide the asset's history up to now, its checks and its cached status, in one commit.

        The logs of runs, the asset's freshness state and queries without an asset key still show
        the events.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        self._log.wipe_asset(asset_key.to_string(), get_current_timestamp())

    def wipe_asset_partitions(self, asset_key: AssetKey, partition_keys: Sequence[str]) -> None:
        """Hide the history of some of an asset's partitions, in one commit.

        What is latest for the asset falls back to the newest event that remains, and its cached
        status is cleared.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        check.sequence_param(partition_keys, "partition_keys", of_type=str)
        self._log.wipe_asset_partitions(
            asset_key.to_string(), list(partition_keys), get_current_timestamp()
        )

    def can_read_asset_status_cache(self) -> bool:
        return True

    def can_write_asset_status_cache(self) -> bool:
        return self._as_of is None

    def update_asset_cached_status_data(
        self, asset_key: AssetKey, cache_values: AssetStatusCacheValue
    ) -> None:
        if not self._drops("update_asset_cached_status_data"):
            self._log.set_cached_status(asset_key.to_string(), serialize_value(cache_values))

    def wipe_asset_cached_status(self, asset_key: AssetKey) -> None:
        check.inst_param(asset_key, "asset_key", AssetKey)
        if not self._drops("wipe_asset_cached_status"):
            self._log.clear_cached_status(asset_key.to_string())

    def get_asset_status_cache_values(
        self,
        partitions_defs_by_key: Iterable[tuple[AssetKey, PartitionsDefinition | None]],
        context: LoadingContext,
    ) -> Sequence[AssetStatusCacheValue | None]:
        """Get the cached status of each asset, brought up to date.

        All asset records come from one query, rather than one an asset.
        """
        wanted = list(partitions_defs_by_key)
        AssetRecord.prepare(context, [asset_key for asset_key, _ in wanted])
        return super().get_asset_status_cache_values(wanted, context)


def _asset_record(row: AssetRow) -> AssetRecord:
    planned_storage_id, planned_run_id = row.last_planned or (None, None)
    return AssetRecord(
        storage_id=row.id,
        asset_entry=AssetEntry(
            asset_key=asset_key_from(row.asset_key),
            last_materialization_record=record_from(row.last_materialization),
            last_run_id=row.last_run_id,
            asset_details=(
                None if row.wiped_at is None else AssetDetails(last_wipe_timestamp=row.wiped_at)
            ),
            cached_status=AssetStatusCacheValue.from_db_string(row.cached_status or ""),
            last_observation_record=record_from(row.last_observation),
            last_planned_materialization_storage_id=planned_storage_id,
            last_planned_materialization_run_id=planned_run_id,
            last_failed_to_materialize_record=record_from(row.last_failed),
            last_skipped_materialize_record=record_from(row.last_skipped),
        ),
    )
