"""Questions about asset checks."""

from typing import Any

from dagster import AssetCheckKey
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import CHECKS, T, asset_key
from model.history import Execution, History
from model.questions.asking import Probe, question


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
