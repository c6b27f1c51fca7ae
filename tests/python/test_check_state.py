"""The state of asset checks is what Dagster's own folding of the same rows gives."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster import AssetCheckKey, DagsterInstance, DagsterRunStatus, PartitionsDefinition
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)
from dagster._core.storage.asset_check_state import AssetCheckState
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.test_utils import create_run_for_test

from dagster_lmdb import LmdbEventLogStorage

CHECK = AssetCheckKey(dg.AssetKey("an_asset"), "a_check")
STATUSES = list(AssetCheckExecutionRecordStatus)

DEFINITIONS: Mapping[str, PartitionsDefinition | None] = {
    "none": None,
    "static": dg.StaticPartitionsDefinition([str(n) for n in range(12)]),
    "daily": dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01"),
    "dynamic": dg.DynamicPartitionsDefinition(name="letters"),
    "multi": dg.MultiPartitionsDefinition(
        {
            "day": dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05"),
            "letter": dg.StaticPartitionsDefinition(["a", "b", "c"]),
        }
    ),
}


@contextmanager
def rows(
    storage: LmdbEventLogStorage, infos: Sequence[AssetCheckPartitionInfo]
) -> Iterator[LmdbEventLogStorage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "get_asset_check_partition_info", lambda *_args, **_kwargs: infos)
        yield storage


def random_infos(
    partitions: Sequence[str | None], run_ids: Sequence[str], rng: random.Random
) -> list[AssetCheckPartitionInfo]:
    return [
        AssetCheckPartitionInfo(
            check_key=CHECK,
            partition_key=partition,
            latest_execution_status=rng.choice(STATUSES),
            latest_target_materialization_storage_id=rng.choice([None, 5, 6]),
            latest_planned_run_id=rng.choice(run_ids),
            latest_check_event_storage_id=rng.randrange(10, 100),
            latest_materialization_storage_id=rng.choice([None, 5, 6, 200]),
        )
        for partition in partitions
    ]


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_it_equals_the_fold_of_all_partitions_into_an_empty_state(
    kind: str, instance: DagsterInstance, storage: LmdbEventLogStorage
) -> None:
    partitions_def = DEFINITIONS[kind]
    instance.add_dynamic_partitions("letters", ["x", "y", "z"])
    runs = [
        create_run_for_test(instance, status=status)
        for status in (
            DagsterRunStatus.STARTED,
            DagsterRunStatus.SUCCESS,
            DagsterRunStatus.FAILURE,
            DagsterRunStatus.CANCELED,
        )
    ]
    run_ids = [run.run_id for run in runs]
    rng = random.Random(kind)
    with partition_loading_context(dynamic_partitions_store=instance):
        valid = partitions_def.get_partition_keys() if partitions_def else []
        for _ in range(20):
            picked: list[str | None] = list(rng.sample(valid, rng.randint(0, len(valid))))
            # Also rows from before the asset was partitioned, and of partitions that are gone.
            picked += rng.sample([None, "gone"], rng.randint(0, 2))
            with rows(storage, random_infos(picked, run_ids, rng)):
                ours = storage.get_asset_check_state([(CHECK, partitions_def)])
                theirs = EventLogStorage.get_asset_check_state(storage, [(CHECK, partitions_def)])
            assert ours == theirs


def test_a_check_that_was_never_planned_has_an_empty_state(
    instance: DagsterInstance, storage: LmdbEventLogStorage
) -> None:
    state = storage.get_asset_check_state([(CHECK, None)])[CHECK]
    assert state.latest_storage_id == 0
    assert not state.in_progress_runs
    assert all(subset.is_empty for subset in state.subsets.values())
    assert storage.get_checkpointed_asset_check_state([CHECK]) == {CHECK: AssetCheckState.empty()}
