"""Queries for asset checks.

A check execution is a row, made when it is planned and brought up to date when it is evaluated;
its id is the row's, and its cursor too. A planned check of several partitions makes a row each.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

import dagster._check as check
from dagster import AssetCheckKey, PartitionsDefinition
from dagster._core.asset_graph_view.serializable_entity_subset import SerializableEntitySubset
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    AssetCheckExecutionResolvedStatus,
    AssetCheckPartitionInfo,
)
from dagster._core.storage.asset_check_state import AssetCheckState
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log.base import AssetCheckSummaryRecord

from dagster_lmdb._arguments import exact_limit, sequence_bound
from dagster_lmdb._handle import ReadsEventLog
from dagster_lmdb._rows import CheckExecution, CheckPartition

# Run ids per query of the run storage, whose parameters are bounded.
_RUNS_AT_ONCE = 500


class KnowsChecks(ReadsEventLog):
    """The part of ``EventLogStorage`` that is about asset checks."""

    def get_asset_check_execution_history(
        self,
        check_key: AssetCheckKey,
        limit: int,
        cursor: int | None = None,
        status: Set[AssetCheckExecutionRecordStatus] | None = None,
        partition_filter: PartitionKeyFilter | None = None,
    ) -> Sequence[AssetCheckExecutionRecord]:
        """Get executions of one asset check, the newest first.

        Args:
            check_key (AssetCheckKey): The check.
            limit (int): Max number of executions to return.
            cursor (Optional[int]): The id of the execution to go on before; None or 0 for none.
            status (Optional[Set[AssetCheckExecutionRecordStatus]]): The statuses to keep; None or
                none for all.
            partition_filter (Optional[PartitionKeyFilter]): The partition to keep, which may be
                that of unpartitioned executions.

        Raises:
            CheckError: If the limit is negative.
        """
        check.inst_param(check_key, "check_key", AssetCheckKey)
        check.opt_int_param(cursor, "cursor")
        rows = self._log.check_executions(
            check_key.asset_key.to_string(),
            check_key.name,
            limit=exact_limit(limit),
            before=sequence_bound(cursor or None),
            statuses={each.value for each in status} if status else None,
            partition=_partition(partition_filter),
        )
        return [_execution_record(check_key, row) for row in rows]

    def get_latest_asset_check_execution_by_key(
        self,
        check_keys: Sequence[AssetCheckKey],
        partition_filter: PartitionKeyFilter | None = None,
    ) -> Mapping[AssetCheckKey, AssetCheckExecutionRecord]:
        """Get the latest execution of each check that has one, of any partition or of one."""
        latest = self._latest_executions(check_keys, partition_filter)
        return {key: record for key, record in latest.items() if record is not None}

    def _latest_executions(
        self,
        check_keys: Iterable[AssetCheckKey],
        partition_filter: PartitionKeyFilter | None = None,
    ) -> dict[AssetCheckKey, AssetCheckExecutionRecord | None]:
        keys = list(dict.fromkeys(check_keys))
        if not keys:
            return {}
        rows = self._log.latest_check_executions(
            [(key.asset_key.to_string(), key.name) for key in keys], _partition(partition_filter)
        )
        return {
            key: None if row is None else _execution_record(key, row)
            for key, row in zip(keys, rows, strict=True)
        }

    def get_asset_check_summary_records(
        self, asset_check_keys: Sequence[AssetCheckKey]
    ) -> Mapping[AssetCheckKey, AssetCheckSummaryRecord]:
        """Get the latest execution of each check, and the latest that has completed."""
        summaries = {}
        for key, last in self._latest_executions(asset_check_keys).items():
            completed = last
            if last and last.status not in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES:
                history = self.get_asset_check_execution_history(
                    key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
                )
                completed = history[0] if history else None
            summaries[key] = AssetCheckSummaryRecord(
                asset_check_key=key,
                last_check_execution_record=last,
                last_run_id=last.run_id if last else None,
                last_completed_check_execution_record=completed,
            )
        return summaries

    def get_asset_check_partition_info(
        self,
        keys: Sequence[AssetCheckKey],
        after_storage_id: int | None = None,
        partition_keys: Sequence[str] | None = None,
    ) -> Sequence[AssetCheckPartitionInfo]:
        """Get the latest execution of each partition of each check.

        An unpartitioned materialization of the asset is newer for each of its partitions. Cost:
        the partitions returned; all of a check's where its asset has an unpartitioned
        materialization after ``after_storage_id``.

        Args:
            keys (Sequence[AssetCheckKey]): The checks.
            after_storage_id (Optional[int]): Keep partitions whose check event or materialization
                is after it.
            partition_keys (Optional[Sequence[str]]): The partitions to keep; None for all, and for
                executions without a partition.
        """
        check.list_param(keys, "keys", of_type=AssetCheckKey)
        check.opt_int_param(after_storage_id, "after_storage_id")
        if partition_keys is not None and not partition_keys:
            return []
        unpartitioned = self._get_latest_unpartitioned_materialization_storage_ids(
            [key.asset_key for key in keys]
        )
        infos: list[AssetCheckPartitionInfo] = []
        for key in keys:
            asset_wide = unpartitioned.get(key.asset_key)
            after = after_storage_id
            if after is not None and asset_wide is not None and asset_wide > after:
                after = None
            rows = self._log.check_partitions(
                key.asset_key.to_string(),
                key.name,
                after=sequence_bound(after),
                partitions=None if partition_keys is None else list(partition_keys),
            )
            infos.extend(_partition_info(key, row, asset_wide) for row in rows)
        return infos

    def get_checkpointed_asset_check_state(
        self, keys: Sequence[AssetCheckKey]
    ) -> Mapping[AssetCheckKey, AssetCheckState]:
        """Get the state to bring up to date: none, as ``get_asset_check_state`` starts afresh."""
        return {key: AssetCheckState.empty() for key in keys}

    def get_asset_check_state(
        self, keys: Sequence[tuple[AssetCheckKey, PartitionsDefinition | None]]
    ) -> Mapping[AssetCheckKey, AssetCheckState]:
        """Get the status of each partition of each check.

        The result is that of folding all partitions into an empty state, as Dagster's default
        does; here each status's subset is built once. Cost: the checks' partitions, and one query
        for the runs that have planned executions open.
        """
        infos: dict[AssetCheckKey, list[AssetCheckPartitionInfo]] = defaultdict(list)
        open_runs = set()
        for info in self.get_asset_check_partition_info(
            list(dict.fromkeys(key for key, _ in keys))
        ):
            infos[info.check_key].append(info)
            if info.latest_execution_status == AssetCheckExecutionRecordStatus.PLANNED:
                open_runs.add(info.latest_planned_run_id)
        finished = self._finished_runs(sorted(open_runs))
        return {
            key: _state(key, partitions_def, infos[key], finished) for key, partitions_def in keys
        }

    def _finished_runs(self, run_ids: Sequence[str]) -> dict[str, DagsterRunStatus]:
        statuses = {}
        for start in range(0, len(run_ids), _RUNS_AT_ONCE):
            chunk = run_ids[start : start + _RUNS_AT_ONCE]
            runs = self._instance.get_runs(
                filters=RunsFilter(run_ids=chunk, statuses=list(FINISHED_STATUSES))
            )
            statuses.update({run.run_id: run.status for run in runs})
        return statuses


def _partition(partition_filter: PartitionKeyFilter | None) -> tuple[str | None] | None:
    return None if partition_filter is None else (partition_filter.key,)


def _execution_record(key: AssetCheckKey, row: CheckExecution) -> AssetCheckExecutionRecord:
    row_id, run_id, status, entry, created, partition = row
    return AssetCheckExecutionRecord(
        key=key,
        id=row_id,
        run_id=run_id,
        status=AssetCheckExecutionRecordStatus(status),
        event=entry,
        create_timestamp=created,
        partition=partition,
    )


def _partition_info(
    key: AssetCheckKey, row: CheckPartition, asset_wide: int | None
) -> AssetCheckPartitionInfo:
    partition, status, target, run_id, check_event, materialization = row
    return AssetCheckPartitionInfo(
        check_key=key,
        partition_key=partition,
        latest_execution_status=AssetCheckExecutionRecordStatus(status),
        latest_target_materialization_storage_id=target,
        latest_planned_run_id=run_id,
        latest_check_event_storage_id=check_event,
        latest_materialization_storage_id=max(materialization or 0, asset_wide or 0) or None,
    )


def _state(
    key: AssetCheckKey,
    partitions_def: PartitionsDefinition | None,
    infos: Sequence[AssetCheckPartitionInfo],
    finished: Mapping[str, DagsterRunStatus],
) -> AssetCheckState:
    """The state of one check, from the latest execution of each of its partitions."""
    valid = _valid_partitions([info.partition_key for info in infos], partitions_def)
    by_status: dict[AssetCheckExecutionResolvedStatus, list[str | None]] = defaultdict(list)
    in_progress: dict[str, list[str | None]] = defaultdict(list)
    for info in infos:
        if info.partition_key not in valid:
            continue
        status = _resolved_status(info, finished)
        if status is not None:
            by_status[status].append(info.partition_key)
        if status is AssetCheckExecutionResolvedStatus.IN_PROGRESS:
            in_progress[info.latest_planned_run_id].append(info.partition_key)
    return AssetCheckState(
        latest_storage_id=max(
            (
                max(info.latest_check_event_storage_id, info.latest_materialization_storage_id or 0)
                for info in infos
            ),
            default=0,
        ),
        subsets={
            status: _subset(key, partitions_def, by_status[status])
            for status in AssetCheckExecutionResolvedStatus
        },
        in_progress_runs={
            run_id: _subset(key, partitions_def, partitions)
            for run_id, partitions in in_progress.items()
        },
    )


def _resolved_status(
    info: AssetCheckPartitionInfo, finished: Mapping[str, DagsterRunStatus]
) -> AssetCheckExecutionResolvedStatus | None:
    """What has become of an execution; None where a newer materialization has outdated it."""
    if info.latest_execution_status == AssetCheckExecutionRecordStatus.PLANNED:
        run_status = finished.get(info.latest_planned_run_id)
        if run_status is None:
            return AssetCheckExecutionResolvedStatus.IN_PROGRESS
        if run_status == DagsterRunStatus.FAILURE:
            return AssetCheckExecutionResolvedStatus.EXECUTION_FAILED
        return AssetCheckExecutionResolvedStatus.SKIPPED
    if not info.is_current:
        return None
    if info.latest_execution_status == AssetCheckExecutionRecordStatus.SUCCEEDED:
        return AssetCheckExecutionResolvedStatus.SUCCEEDED
    return AssetCheckExecutionResolvedStatus.FAILED


def _valid_partitions(
    partitions: Sequence[str | None], partitions_def: PartitionsDefinition | None
) -> Set[str | None]:
    if partitions_def is None:
        return {None}
    return partitions_def.filter_valid_partition_keys(
        {key for key in partitions if key is not None}
    )


def _subset(
    key: AssetCheckKey,
    partitions_def: PartitionsDefinition | None,
    partitions: Sequence[str | None],
) -> SerializableEntitySubset[AssetCheckKey]:
    if partitions_def is None:
        return SerializableEntitySubset(key=key, value=bool(partitions))
    if not partitions:
        return SerializableEntitySubset.empty(key, partitions_def)
    keys = [partition for partition in partitions if partition is not None]
    return SerializableEntitySubset(key=key, value=partitions_def.subset_with_partition_keys(keys))
