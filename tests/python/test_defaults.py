"""What replaces a slow default of Dagster's gives what the default would."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterInstance
from dagster._core.storage.event_log import EventLogStorage

from dagster_lmdb import LmdbEventLogStorage
from python.entries import materialization, planned

TYPES = (
    None,
    DagsterEventType.ASSET_MATERIALIZATION,
    {DagsterEventType.ASSET_OBSERVATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED},
    set[DagsterEventType](),
)


@pytest.fixture
def run_ids(instance: DagsterInstance) -> Sequence[str]:
    """Runs that materialize, observe, check, retry and fail."""
    letters_def = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=letters_def, key_prefix=["deep", "down"])
    def letters(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetObservation("seen", partition="a"))

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def shaky(context: dg.AssetExecutionContext) -> None:
        if context.retry_number < 1:
            raise dg.RetryRequested

    @dg.asset(deps=[shaky])
    def broken() -> None:
        raise ValueError("as it should")

    @dg.asset_check(asset=shaky)
    def a_check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    first = dg.materialize([letters], instance=instance, partition_key="b")
    second = dg.materialize([shaky, broken, a_check], instance=instance, raise_on_error=False)
    storage = instance.event_log_storage
    storage.store_event(materialization(first.run_id, "seen"))
    storage.store_event(planned(second.run_id, "planned_only", "a"))
    return [first.run_id, second.run_id, "no-run"]


def asset_keys(storage: LmdbEventLogStorage) -> list[AssetKey]:
    return [*storage.all_asset_keys(), AssetKey("unknown")]


@pytest.mark.parametrize("of_type", TYPES, ids=["any", "one", "two", "none"])
def test_the_assets_of_a_run(
    of_type: Any, storage: LmdbEventLogStorage, run_ids: Sequence[str]
) -> None:
    for run_id in run_ids:
        for member in ("get_asset_partitions_for_run", "get_asset_keys_for_run"):
            theirs = getattr(EventLogStorage, member)(storage, run_id, of_type)
            assert getattr(storage, member)(run_id, of_type) == theirs


def test_the_stats_of_a_run(storage: LmdbEventLogStorage, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        theirs = EventLogStorage.get_stats_for_run(storage, run_id)
        assert storage.get_stats_for_run(run_id) == theirs
        for step_keys in (None, [], ["shaky"], ["shaky", "broken"], ["unknown"]):
            ours = storage.get_step_stats_for_run(run_id, step_keys)
            assert ours == EventLogStorage.get_step_stats_for_run(storage, run_id, step_keys)


def test_the_summaries_of_asset_events(
    storage: LmdbEventLogStorage, run_ids: Sequence[str]
) -> None:
    last = storage.get_maximum_record_id() or 0
    choices: list[dict[str, Any]] = [
        {},
        {"limit": 1},
        {"ascending": True, "limit": 2},
        {"after_storage_id": last // 2},
        {"before_storage_id": last // 2, "ascending": True},
        {"storage_ids": list(range(0, last, 3))},
        *({"asset_key": key} for key in asset_keys(storage)),
        *({"run_id": run_id, "asset_key": AssetKey("shaky")} for run_id in run_ids),
        *({"run_id": run_id, "limit": 1} for run_id in run_ids),
    ]
    for event_type in (
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
    ):
        for choice in choices:
            ours = storage.get_asset_event_summary_records(event_type, **choice)
            theirs = EventLogStorage.get_asset_event_summary_records(storage, event_type, **choice)
            assert ours == theirs, (event_type, choice)


def test_the_keys_of_assets(storage: LmdbEventLogStorage, run_ids: Sequence[str]) -> None:
    for prefix in (None, [], ["deep"], ["deep", "down"], ["dee"], ["deep", "down", "letters"]):
        for limit in (None, 0, 2):
            for cursor in (None, "", '["planned_only"]', '["zzz"]'):
                ours = storage.get_asset_keys(prefix, limit, cursor)
                assert ours == EventLogStorage.get_asset_keys(storage, prefix, limit, cursor)


def test_the_latest_materializations(storage: LmdbEventLogStorage, run_ids: Sequence[str]) -> None:
    keys = asset_keys(storage)
    for member in (
        "get_latest_materialization_storage_ids",
        "_get_latest_unpartitioned_materialization_storage_ids",
    ):
        for some in (keys, keys[:1] * 2, []):
            assert getattr(storage, member)(some) == getattr(EventLogStorage, member)(storage, some)


def test_dynamic_partitions_and_pools(storage: LmdbEventLogStorage) -> None:
    storage.add_dynamic_partitions("letters", ["a", "b"])
    storage.set_concurrency_slots("pool", 2)
    storage.claim_concurrency_slot("pool", "a-run", "a")
    for keys in ([], ["a"], ["a", "c", "a"]):
        ours = storage.get_existing_dynamic_partitions("letters", keys)
        assert ours == EventLogStorage.get_existing_dynamic_partitions(storage, "letters", keys)
    names = ["pool", "other", "pool"]
    theirs = EventLogStorage.get_concurrency_infos(storage, names)
    assert storage.get_concurrency_infos(names) == theirs


def test_an_unpartitioned_materialization_is_newer_for_each_partition_of_a_check(
    storage: LmdbEventLogStorage, run_ids: Sequence[str]
) -> None:
    check_key = AssetCheckKey(AssetKey("shaky"), "a_check")
    last = storage.get_maximum_record_id() or 0
    assert not storage.get_asset_check_partition_info([check_key], after_storage_id=last)
    storage.store_event(materialization("later", "shaky"))
    (info,) = storage.get_asset_check_partition_info([check_key], after_storage_id=last)
    assert info.latest_materialization_storage_id == storage.get_maximum_record_id()
    assert not info.is_current
    assert not storage.get_asset_check_partition_info([check_key], partition_keys=[])
