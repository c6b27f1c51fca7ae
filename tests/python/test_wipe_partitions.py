"""Wiping partitions leaves the rest of an asset, and what Dagster shows above it, right."""

from collections.abc import Sequence

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import create_run_for_test

from dagster_lmdb import LmdbEventLogStorage
from python.entries import materialization, planned

ASSET = AssetKey("letters")
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c", "d"])


class Shown:
    """What Dagster shows of an asset's partitions."""

    def __init__(self, instance: DagsterInstance) -> None:
        storage = instance.event_log_storage
        (value,) = storage.get_asset_status_cache_values(
            [(ASSET, LETTERS)], LoadingContextForTest(instance)
        )
        self.materialized: Sequence[str] = []
        self.failed: Sequence[str] = []
        if value is not None:
            materialized = value.deserialize_materialized_partition_subsets(LETTERS)
            failed = value.deserialize_failed_partition_subsets(LETTERS)
            self.materialized = sorted(materialized.get_partition_keys())
            self.failed = sorted(failed.get_partition_keys())


@pytest.fixture
def run_id(instance: DagsterInstance, storage: LmdbEventLogStorage) -> str:
    """A failed run that planned all letters and materialized a, b and c."""
    run_id = create_run_for_test(instance, status=DagsterRunStatus.FAILURE).run_id
    for letter in "abcd":
        storage.store_event(planned(run_id, "letters", letter))
    for letter in "abc":
        tags = {DATA_VERSION_TAG: f"version of {letter}"}
        storage.store_event(materialization(run_id, "letters", letter, tags=tags))
    return run_id


def test_the_cached_status_follows(
    instance: DagsterInstance, storage: LmdbEventLogStorage, run_id: str
) -> None:
    assert Shown(instance).materialized == ["a", "b", "c"]
    assert Shown(instance).failed == ["d"]
    storage.wipe_asset_partitions(ASSET, ["b", "d"])
    assert Shown(instance).materialized == ["a", "c"]
    assert Shown(instance).failed == []
    storage.store_event(materialization(run_id, "letters", "b"))
    assert Shown(instance).materialized == ["a", "b", "c"]


def test_what_is_latest_falls_back(storage: LmdbEventLogStorage, run_id: str) -> None:
    storage.wipe_asset_partitions(ASSET, ["c", "d"])
    entry = storage.get_asset_records([ASSET])[0].asset_entry
    assert entry.last_materialization
    assert entry.last_materialization.get_dagster_event().partition == "b"
    info = storage.get_latest_planned_materialization_info(ASSET)
    assert info
    assert entry.last_planned_materialization_storage_id == info.storage_id
    plans = storage.get_event_records(
        dg.EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=ASSET)
    )
    assert [record.partition_key for record in plans] == ["b", "a"]
    assert plans[0].storage_id == info.storage_id


def test_tags_and_data_versions_follow_and_other_partitions_stay(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    storage.wipe_asset_partitions(ASSET, ["b"])
    assert storage.get_materialized_partitions(ASSET) == {"a", "c"}
    assert len(storage.get_event_tags_for_asset(ASSET)) == 2
    tags = storage.get_latest_tags_by_partition(
        ASSET, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    assert set(tags) == {"a", "c"}
    assert storage.get_updated_data_version_partitions(ASSET, ["a", "b", "c"], 0) == {"a", "c"}
    assert set(
        storage.get_latest_storage_id_by_partition(ASSET, DagsterEventType.ASSET_MATERIALIZATION)
    ) == {"a", "c"}


def test_the_logs_of_the_run_still_show_the_events(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    before = storage.get_logs_for_run(run_id)
    storage.wipe_asset_partitions(ASSET, list("abcd"))
    assert storage.get_logs_for_run(run_id) == before


def test_any_number_of_partitions_goes_in_one_call(
    storage: LmdbEventLogStorage, run_id: str
) -> None:
    keys = [f"{number}" for number in range(5000)]
    storage.store_event_batch([materialization(run_id, "letters", key) for key in keys])
    storage.wipe_asset_partitions(ASSET, keys)
    assert storage.get_materialized_partitions(ASSET) == {"a", "b", "c"}
