"""The queries of an event log, each about a run or an asset that both sizes of history have.

An answer is as large in a history of ten thousand events as in one of a million, so that its time
may be compared, except where the name says that it is not.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from benches.events import DAYS
from benches.history import BEGIN, Runs, group_key
from dagster import AssetRecordsFilter, DagsterEventType, EventRecordsFilter
from dagster._core.event_api import EventLogCursor, RunStatusChangeRecordsFilter
from dagster._core.storage.event_log import EventLogStorage

RUN = Runs.run_id(5000)
PARTITIONED = group_key(0, 0)
PLAIN = group_key(1, 0)
PLAINS = [group_key(1, number) for number in range(10)]
CHECK = dg.AssetCheckKey(PLAIN, "no_gaps")
PARTITION = DAYS.get_partition_keys()[25]
MIDDLE = BEGIN + 60 * 5000
MATERIALIZATION = DagsterEventType.ASSET_MATERIALIZATION
POOLS = [f"pool_{number}" for number in range(20)]
CUSTOMERS = [f"customer-{number:04}" for number in range(1000)]

Query = Callable[[EventLogStorage[Any]], Any]


def of_asset(key: dg.AssetKey, **more: Any) -> EventRecordsFilter:
    """A filter for the materializations of an asset."""
    return EventRecordsFilter(MATERIALIZATION, asset_key=key, **more)


def supported(capability: bool) -> bool:
    """True for a capability; what a storage answers without it is not an answer.

    Raises:
        NotImplementedError: Without it.
    """
    if not capability:
        raise NotImplementedError
    return True


def after_first(storage: EventLogStorage[Any]) -> int:
    """The storage id of an asset's fifth materialization from the end."""
    records = storage.get_event_records(of_asset(PARTITIONED), limit=5)
    return records[-1].storage_id


QUERIES: dict[str, Query] = {
    # One run
    "get_logs_for_run, 103 events": lambda s: s.get_logs_for_run(RUN),
    "get_logs_for_run, last 10": lambda s: s.get_logs_for_run(RUN, limit=10, ascending=False),
    "get_logs_for_run, one type": lambda s: s.get_logs_for_run(RUN, of_type=MATERIALIZATION),
    "get_records_for_run, page of 50": lambda s: (
        s.get_records_for_run(
            RUN, cursor=EventLogCursor.from_offset(20).to_string(), limit=50
        ).records
    ),
    "get_stats_for_run": lambda s: s.get_stats_for_run(RUN),
    "get_step_stats_for_run": lambda s: s.get_step_stats_for_run(RUN),
    "get_asset_partitions_for_run": lambda s: s.get_asset_partitions_for_run(RUN),
    "get_asset_keys_for_run": lambda s: s.get_asset_keys_for_run(RUN),
    # Events across runs
    "get_event_records, an asset's last 10": lambda s: s.get_event_records(
        of_asset(PARTITIONED), limit=10
    ),
    "get_event_records, an asset's partition": lambda s: s.get_event_records(
        of_asset(PARTITIONED, asset_partitions=[PARTITION]), limit=10
    ),
    "get_event_records, an asset's since a time": lambda s: s.get_event_records(
        of_asset(PARTITIONED, after_timestamp=MIDDLE), limit=10, ascending=True
    ),
    "get_event_records, last 10 of a type": lambda s: s.get_event_records(
        EventRecordsFilter(MATERIALIZATION), limit=10
    ),
    "get_event_records, by storage ids": lambda s: s.get_event_records(
        EventRecordsFilter(MATERIALIZATION, storage_ids=[after_first(s)])
    ),
    "fetch_materializations, 10": lambda s: s.fetch_materializations(PARTITIONED, 10).records,
    "fetch_materializations, 10 of partitions": lambda s: (
        s.fetch_materializations(
            AssetRecordsFilter(PARTITIONED, asset_partitions=DAYS.get_partition_keys()[:10]), 10
        ).records
    ),
    "fetch_observations, none there": lambda s: s.fetch_observations(PLAIN, 10).records,
    "fetch_failed_materializations, none there": lambda s: (
        supported(s.can_store_asset_failure_events)
        and s.fetch_failed_materializations(PLAIN, 10).records
    ),
    "fetch_run_status_changes, last 10": lambda s: (
        s.fetch_run_status_changes(DagsterEventType.RUN_SUCCESS, 10).records
    ),
    "fetch_run_status_changes, last 10 of a job": lambda s: (
        s.fetch_run_status_changes(
            RunStatusChangeRecordsFilter(DagsterEventType.RUN_SUCCESS, job_names=["basin_001"]), 10
        ).records
    ),
    "get_asset_event_summary_records, 50": lambda s: s.get_asset_event_summary_records(
        MATERIALIZATION, asset_key=PARTITIONED, limit=50
    ),
    "get_logs_for_all_runs_by_log_id, first 100": lambda s: s.get_logs_for_all_runs_by_log_id(
        limit=100
    ),
    "get_maximum_record_id": lambda s: s.get_maximum_record_id(),
    # Assets
    "has_asset_key": lambda s: s.has_asset_key(PLAIN),
    "get_asset_keys, 10 of a prefix": lambda s: s.get_asset_keys(prefix=["basins", "basin_001"]),
    "get_asset_records, 1": lambda s: s.get_asset_records([PARTITIONED]),
    "get_asset_records, 10": lambda s: s.get_asset_records(PLAINS),
    "get_latest_materialization_events, 10": lambda s: s.get_latest_materialization_events(PLAINS),
    "get_latest_materialization_storage_ids, 10": lambda s: (
        s.get_latest_materialization_storage_ids(PLAINS)
    ),
    "get_latest_planned_materialization_info": lambda s: s.get_latest_planned_materialization_info(
        PLAIN
    ),
    "get_event_tags_for_asset": lambda s: s.get_event_tags_for_asset(PARTITIONED),
    # Partitions
    "get_materialized_partitions, 50": lambda s: s.get_materialized_partitions(PARTITIONED),
    "get_latest_storage_id_by_partition, 50": lambda s: s.get_latest_storage_id_by_partition(
        PARTITIONED, MATERIALIZATION
    ),
    "get_latest_tags_by_partition, 50": lambda s: s.get_latest_tags_by_partition(
        PARTITIONED, MATERIALIZATION, ["dagster/data_version"]
    ),
    "get_updated_data_version_partitions": lambda s: s.get_updated_data_version_partitions(
        PARTITIONED, DAYS.get_partition_keys()[:50], after_first(s)
    ),
    "get_latest_asset_partition_materialization_attempts_without_materializations": lambda s: (
        s.get_latest_asset_partition_materialization_attempts_without_materializations(PARTITIONED)
    ),
    "get_dynamic_partitions, 1,000": lambda s: s.get_dynamic_partitions("customers"),
    "get_paginated_dynamic_partitions, 100": lambda s: (
        s.get_paginated_dynamic_partitions("customers", 100, True).results
    ),
    "has_dynamic_partition": lambda s: s.has_dynamic_partition("customers", CUSTOMERS[500]),
    "get_existing_dynamic_partitions, 10": lambda s: s.get_existing_dynamic_partitions(
        "customers", CUSTOMERS[:10]
    ),
    # Checks
    "get_asset_check_execution_history, 10": lambda s: s.get_asset_check_execution_history(
        CHECK, 10
    ),
    "get_latest_asset_check_execution_by_key": lambda s: s.get_latest_asset_check_execution_by_key(
        [CHECK]
    ),
    "get_asset_check_partition_info": lambda s: s.get_asset_check_partition_info([CHECK]),
    "get_asset_check_summary_records": lambda s: s.get_asset_check_summary_records([CHECK]),
    "get_freshness_state_records, none there": lambda s: s.get_freshness_state_records(PLAINS),
    # Pools
    "get_concurrency_keys": lambda s: s.get_concurrency_keys(),
    "get_concurrency_info": lambda s: s.get_concurrency_info(POOLS[0]),
    "get_concurrency_infos, 20": lambda s: s.get_concurrency_infos(POOLS),
    "get_pool_limits": lambda s: s.get_pool_limits(),
    "get_concurrency_run_ids": lambda s: s.get_concurrency_run_ids(),
    "check_concurrency_claim": lambda s: s.check_concurrency_claim(POOLS[0], RUN, "a_step"),
}

#: Of an asset with 100,000 partitions, each materialized once.
MANY = dg.AssetKey(["gauges", "gauge_00"])
PARTITION_QUERIES: dict[str, Query] = {
    "latest storage ids": lambda s: s.get_latest_storage_id_by_partition(MANY, MATERIALIZATION),
    "latest tags": lambda s: s.get_latest_tags_by_partition(
        MANY, MATERIALIZATION, ["dagster/data_version"]
    ),
    "materialized partitions": lambda s: s.get_materialized_partitions(MANY),
}


def furnish(storage: EventLogStorage[Any]) -> None:
    """Adds what queries ask for and events do not tell: pools and dynamic partitions."""
    if not storage.get_dynamic_partitions("customers"):
        storage.add_dynamic_partitions("customers", CUSTOMERS)
    if storage.supports_global_concurrency_limits and not storage.get_concurrency_keys():
        for pool in POOLS:
            storage.set_concurrency_slots(pool, 5)
        for step in range(10):
            storage.claim_concurrency_slot(POOLS[0], RUN, f"step_{step}")
