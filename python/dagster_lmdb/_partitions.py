"""Queries for an asset's partitions, and dynamic partitions.

A query for an asset's partitions costs the partitions it looks at, however often each of them was
materialized.
"""

from collections.abc import Mapping, Sequence, Set

import dagster._check as check
from dagster import AssetKey
from dagster._core.events import DagsterEventType
from dagster._core.types.pagination import PaginatedResults, StorageIdCursor
from dagster._time import get_current_timestamp

from dagster_lmdb._arguments import sequence_bound
from dagster_lmdb._handle import ReadsEventLog


class KnowsPartitions(ReadsEventLog):
    """The part of ``EventLogStorage`` that is about partitions."""

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
    ) -> set[str]:
        """Get the partitions that have a materialization between two storage ids, exclusive.

        Args:
            asset_key (AssetKey): The asset.
            before_cursor (Optional[int]): The upper bound; None or 0 for none.
            after_cursor (Optional[int]): The lower bound; None or 0 for none.
        """
        return self._log.materialized_partitions(
            asset_key.to_string(),
            after=sequence_bound(after_cursor or None),
            before=sequence_bound(before_cursor or None),
        )

    def get_latest_storage_id_by_partition(
        self,
        asset_key: AssetKey,
        event_type: DagsterEventType,
        partitions: set[str] | None = None,
        after_cursor: int | None = None,
    ) -> Mapping[str, int]:
        """Get the storage id of the latest event of a type for each partition that has one.

        Args:
            asset_key (AssetKey): The asset.
            event_type (DagsterEventType): The type of the events.
            partitions (Optional[Set[str]]): The partitions to look at; None or none for all.
            after_cursor (Optional[int]): Leave out partitions whose latest event is not after it.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        return self._log.latest_sequences_by_partition(
            asset_key.to_string(),
            event_type.value,
            partitions=set(partitions) if partitions else None,
            after=sequence_bound(after_cursor),
        )

    def get_latest_tags_by_partition(
        self,
        asset_key: AssetKey,
        event_type: DagsterEventType,
        tag_keys: Sequence[str],
        asset_partitions: Sequence[str] | None = None,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
    ) -> Mapping[str, Mapping[str, str]]:
        """Get the indexed tags of the latest event of a type for each partition.

        A partition whose latest event has none of the tags is left out, whatever an earlier event
        has.

        Args:
            asset_key (AssetKey): The asset.
            event_type (DagsterEventType): The type of the events.
            tag_keys (Sequence[str]): The tags to return; each must be an indexed one.
            asset_partitions (Optional[Sequence[str]]): The partitions to look at; None for all.
            before_cursor (Optional[int]): Consider events below this storage id.
            after_cursor (Optional[int]): Consider events above this storage id.

        Raises:
            CheckError: If there are no tag keys, or one of them is not indexed.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        check.inst_param(event_type, "event_type", DagsterEventType)
        check.sequence_param(tag_keys, "tag_keys", of_type=str)
        check.opt_nullable_sequence_param(asset_partitions, "asset_partitions", of_type=str)
        check.opt_int_param(before_cursor, "before_cursor")
        check.opt_int_param(after_cursor, "after_cursor")
        if not tag_keys or len(tag_keys) != len(self.get_asset_tags_to_index(set(tag_keys))):
            check.failed(
                "Only a limited set of tag keys are whitelisted for querying the latest tag values"
                " by partition."
            )
        if asset_partitions is not None and not asset_partitions:
            return {}
        return self._log.latest_tags_by_partition(
            asset_key.to_string(),
            event_type.value,
            list(tag_keys),
            partitions=None if asset_partitions is None else list(asset_partitions),
            after=sequence_bound(after_cursor),
            before=sequence_bound(before_cursor),
        )

    def get_latest_asset_partition_materialization_attempts_without_materializations(
        self, asset_key: AssetKey, after_storage_id: int | None = None
    ) -> Mapping[str, tuple[str, int]]:
        """Get the partitions whose latest planned materialization no materialization follows.

        Args:
            asset_key (AssetKey): The asset.
            after_storage_id (Optional[int]): Consider events above this storage id.

        Returns:
            Mapping[str, Tuple[str, int]]: Partition to the planned event's run id and storage id.
        """
        check.inst_param(asset_key, "asset_key", AssetKey)
        return self._log.unmaterialized_attempts(
            asset_key.to_string(), sequence_bound(after_storage_id)
        )

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Get the partition keys of a dynamic partitions definition, in the order of addition."""
        return self._log.dynamic_partitions(partitions_def_name)

    def get_paginated_dynamic_partitions(
        self, partitions_def_name: str, limit: int, ascending: bool, cursor: str | None = None
    ) -> PaginatedResults[str]:
        """Get one page of a definition's partition keys, in the order of addition or backwards.

        Args:
            partitions_def_name (str): The dynamic partitions definition.
            limit (int): Max number of keys to return.
            ascending (bool): Whether the key that was added first comes first.
            cursor (Optional[str]): The cursor of the last page.
        """
        page = self._log.dynamic_partitions_page(
            partitions_def_name,
            # One past the page, so that an exactly full last page does not promise another.
            limit=limit + 1,
            ascending=ascending,
            cursor=sequence_bound(StorageIdCursor.from_cursor(cursor).storage_id)
            if cursor
            else None,
        )
        rows = page[:limit]
        if rows or not cursor:
            cursor = StorageIdCursor(storage_id=rows[-1][0] if rows else -1).to_string()
        return PaginatedResults(
            results=[key for _, key in rows], cursor=cursor, has_more=len(page) > limit
        )

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        return bool(self._log.existing_dynamic_partitions(partitions_def_name, [partition_key]))

    @property
    def has_bounded_dynamic_partition_membership_query(self) -> bool:
        return True

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> Set[str]:
        """Get those of the keys that exist. Cost: the keys given, not the definition's."""
        return self._log.existing_dynamic_partitions(
            partitions_def_name, list(dict.fromkeys(partition_keys))
        )

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add those of the keys that do not exist, in one commit."""
        check.str_param(partitions_def_name, "partitions_def_name")
        check.sequence_param(partition_keys, "partition_keys", of_type=str)
        self._log.add_dynamic_partitions(
            partitions_def_name, list(dict.fromkeys(partition_keys)), get_current_timestamp()
        )

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a partition key; a key that does not exist is none of an error."""
        self._log.delete_dynamic_partition(
            partitions_def_name, partition_key, get_current_timestamp()
        )
