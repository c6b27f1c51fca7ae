"""Schedules, ticks and evaluations beyond Dagster's suite."""

import time
from collections.abc import Sequence

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.asset_graph_view.serializable_entity_subset import SerializableEntitySubset
from dagster._core.definitions.asset_key import EntityKey
from dagster._core.definitions.declarative_automation.serialized_objects import (
    AutomationConditionEvaluation,
    AutomationConditionEvaluationWithRunIds,
    AutomationConditionNodeSnapshot,
)
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import freeze_time
from dagster._serdes import serialize_value
from dagster._time import create_datetime

from dagster_lmdb import LmdbScheduleStorage
from python.entries import job_origin


def head(schedules: LmdbScheduleStorage) -> int:
    return int(schedules._log.stat()["head"])


def sensor(name: str = "a_sensor", repository: str = "a_repository") -> InstigatorState:
    origin = RemoteInstigatorOrigin(job_origin(repository).repository_origin, name)
    return InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData()
    )


def moved(state: InstigatorState) -> InstigatorState:
    """The state with the same selector and another origin."""
    repository = state.origin.repository_origin
    target = repository.code_location_origin.loadable_target_origin
    location = repository.code_location_origin._replace(
        loadable_target_origin=target._replace(module_name="elsewhere")
    )
    repository = repository._replace(code_location_origin=location)
    return state._replace(origin=state.origin._replace(repository_origin=repository))


class TestInstigators:
    def test_an_origin_is_added_once_and_a_selector_gives_way(
        self, schedules: LmdbScheduleStorage
    ) -> None:
        first = schedules.add_instigator_state(sensor())
        with pytest.raises(DagsterInvariantViolationError):
            schedules.add_instigator_state(first)
        second = schedules.add_instigator_state(moved(first).with_status(InstigatorStatus.STOPPED))
        assert second.selector_id == first.selector_id
        assert second.instigator_origin_id != first.instigator_origin_id
        assert schedules.all_instigator_state() == [second]
        assert schedules.get_instigator_state("any", first.selector_id) == second
        for known in (first, second):
            with pytest.raises(DagsterInvariantViolationError):
                schedules.add_instigator_state(known)

    def test_filters(self, schedules: LmdbScheduleStorage) -> None:
        added = [
            schedules.add_instigator_state(sensor(name, repository))
            for name, repository in (("a", "one"), ("b", "one"), ("c", "two"))
        ]
        stopped = schedules.update_instigator_state(added[1].with_status(InstigatorStatus.STOPPED))
        everything = schedules.all_instigator_state
        assert everything() == [added[0], stopped, added[2]]
        assert everything(repository_selector_id=added[0].repository_selector_id) == [
            added[0],
            stopped,
        ]
        assert everything(repository_origin_id="not looked at") == everything()
        assert everything(instigator_type=InstigatorType.SCHEDULE) == []
        assert everything(
            repository_selector_id=added[0].repository_selector_id,
            instigator_type=InstigatorType.SENSOR,
            instigator_statuses={InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE},
        ) == [added[0]]

    def test_what_is_not_there(self, schedules: LmdbScheduleStorage) -> None:
        state = sensor()
        with pytest.raises(DagsterInvariantViolationError):
            schedules.update_instigator_state(state)
        with pytest.raises(DagsterInvariantViolationError):
            schedules.delete_instigator_state(state.instigator_origin_id, state.selector_id)
        assert schedules.get_instigator_state(state.instigator_origin_id, state.selector_id) is None
        assert schedules.all_instigator_state() == []

    def test_a_deleted_state_can_be_added_again(self, schedules: LmdbScheduleStorage) -> None:
        state = sensor()
        for _ in range(2):
            schedules.add_instigator_state(state)
            schedules.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
            schedules.delete_instigator_state(state.instigator_origin_id, state.selector_id)
            assert schedules.all_instigator_state() == []

    def test_a_state_stays_while_an_origin_that_was_updated_keeps_it(
        self, schedules: LmdbScheduleStorage
    ) -> None:
        first = schedules.add_instigator_state(sensor())
        schedules.update_instigator_state(first)
        second = schedules.add_instigator_state(moved(first))
        schedules.delete_instigator_state(second.instigator_origin_id, second.selector_id)
        assert schedules.all_instigator_state() == [second]
        schedules.delete_instigator_state(first.instigator_origin_id, first.selector_id)
        assert schedules.all_instigator_state() == []

    def test_a_state_that_is_what_it_was_appends_nothing(
        self, schedules: LmdbScheduleStorage
    ) -> None:
        state = schedules.add_instigator_state(sensor())
        schedules.update_instigator_state(state)
        before = head(schedules)
        schedules.update_instigator_state(state)
        assert head(schedules) == before


def tick(
    timestamp: float,
    status: TickStatus = TickStatus.SKIPPED,
    selector_id: str | None = "a_selector",
    origin_id: str = "an_origin",
) -> TickData:
    return TickData(
        instigator_origin_id=origin_id,
        instigator_name="a_sensor",
        instigator_type=InstigatorType.SENSOR,
        status=status,
        timestamp=timestamp,
        run_ids=["a_run"] if status == TickStatus.SUCCESS else [],
        selector_id=selector_id,
    )


def times(ticks: Sequence[InstigatorTick]) -> list[float]:
    return [each.timestamp for each in ticks]


class TestTicks:
    def test_are_ordered_by_time_and_not_by_id(self, schedules: LmdbScheduleStorage) -> None:
        for at in (3.0, 1.0, 2.0):
            schedules.create_tick(tick(at))
        assert times(schedules.get_ticks("an_origin", "a_selector")) == [3.0, 2.0, 1.0]
        assert times(schedules.get_ticks("an_origin", "a_selector", limit=2)) == [3.0, 2.0]
        bounded = schedules.get_ticks("an_origin", "a_selector", before=3.0, after=1.0)
        assert times(bounded) == [2.0]

    def test_match_their_selector_or_their_origin_where_there_is_none(
        self, schedules: LmdbScheduleStorage
    ) -> None:
        schedules.create_tick(tick(1.0))
        schedules.create_tick(tick(2.0, selector_id=None))
        schedules.create_tick(tick(3.0, selector_id="other"))
        schedules.create_tick(tick(4.0, selector_id=None, origin_id="other"))
        schedules.create_tick(tick(5.0, origin_id="other"))
        assert times(schedules.get_ticks("an_origin", "a_selector")) == [5.0, 2.0, 1.0]
        statuses = [TickStatus.SKIPPED, TickStatus.FAILURE]
        assert times(schedules.get_ticks("an_origin", "none", statuses=statuses)) == [2.0]
        assert list(schedules.get_batch_ticks(["a_selector", "an_origin"], 5)) == ["a_selector"]

    def test_may_move_in_time_and_status(self, schedules: LmdbScheduleStorage) -> None:
        first, second = (schedules.create_tick(tick(at, TickStatus.STARTED)) for at in (1.0, 2.0))
        later = schedules.update_tick(first._replace(tick_data=tick(9.0, TickStatus.SUCCESS)))
        assert later.tick_id == first.tick_id
        assert schedules.get_ticks("an_origin", "a_selector") == [later, second]
        for status, found in ((TickStatus.STARTED, [second]), (TickStatus.SUCCESS, [later])):
            assert schedules.get_ticks("an_origin", "a_selector", statuses=[status]) == found
        [summary] = schedules.get_tick_summaries(
            "an_origin", "a_selector", statuses=[TickStatus.SUCCESS]
        )
        assert (summary.tick_id, summary.timestamp) == (later.tick_id, 9.0)
        assert summary.status == TickStatus.SUCCESS
        assert summary.instigator_type == InstigatorType.SENSOR
        assert summary.instigator_origin_id == "an_origin"

    def test_many_are_purged_in_several_commits(self, schedules: LmdbScheduleStorage) -> None:
        for number in range(1_110):
            schedules.create_tick(tick(float(number)))
        word = schedules._log.commit_word()
        schedules.purge_ticks("an_origin", "a_selector", 1_100.0)
        assert schedules._log.commit_word() - word == 3
        left = schedules.get_ticks("an_origin", "a_selector")
        assert [each.timestamp for each in left] == [
            float(time) for time in range(1_109, 1_099, -1)
        ]

    def test_that_were_purged_stay_gone(self, schedules: LmdbScheduleStorage) -> None:
        old, kept, new = (
            schedules.create_tick(tick(at, status))
            for at, status in (
                (1.0, TickStatus.SKIPPED),
                (2.0, TickStatus.SUCCESS),
                (3.0, TickStatus.SKIPPED),
            )
        )
        schedules.purge_ticks("an_origin", "a_selector", 3.0, [TickStatus.SKIPPED])
        before = head(schedules)
        schedules.update_tick(old)
        schedules.purge_ticks("an_origin", "a_selector", 3.0, [TickStatus.SKIPPED])
        assert head(schedules) == before
        assert schedules.get_ticks("an_origin", "a_selector") == [new, kept]
        assert schedules.get_ticks_by_ids([new.tick_id, old.tick_id, -1, 2**70, kept.tick_id]) == [
            new,
            kept,
        ]
        with pytest.raises(DagsterInvariantViolationError):
            schedules.get_tick(old.tick_id)
        with pytest.raises(DagsterInvariantViolationError):
            schedules.get_tick(-1)
        assert schedules.get_tick(kept.tick_id) == kept
        schedules.update_tick(old._replace(tick_id=-1))
        schedules.purge_ticks("an_origin", "a_selector", 4.0)
        assert schedules.get_ticks("an_origin", "a_selector") == []

    def test_in_batches(self, schedules: LmdbScheduleStorage) -> None:
        for at in (1.0, 2.0, 3.0, 4.0):
            for selector_id in ("one", "two"):
                status = TickStatus.SUCCESS if at == 2.0 else TickStatus.SKIPPED
                schedules.create_tick(tick(at, status, selector_id))
        batch = schedules.get_batch_ticks(["two", "one", "none"], limit=2)
        assert {key: times(ticks) for key, ticks in batch.items()} == {
            "two": [4.0, 3.0],
            "one": [4.0, 3.0],
        }
        batch = schedules.get_batch_ticks(
            ["one"], limit=3, statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED]
        )
        assert times(batch["one"]) == [4.0, 3.0, 2.0]
        assert len(schedules.get_batch_ticks(["one"])["one"]) == 4


def evaluation(
    key: EntityKey, requested: bool = False
) -> AutomationConditionEvaluationWithRunIds[EntityKey]:
    return AutomationConditionEvaluation(
        condition_snapshot=AutomationConditionNodeSnapshot(
            class_name="AClass", description="a condition", unique_id="an_id"
        ),
        true_subset=SerializableEntitySubset(key=key, value=requested),
        candidate_subset=SerializableEntitySubset(key=key, value=True),
        start_timestamp=1.0,
        end_timestamp=2.0,
        subsets_with_metadata=[],
        child_evaluations=[],
    ).with_run_ids(set())


class TestEvaluations:
    def test_many_are_purged_in_several_commits(self, schedules: LmdbScheduleStorage) -> None:
        keys = [dg.AssetKey(f"asset_{number}") for number in range(1_100)]
        for day in (1, 2):
            with freeze_time(create_datetime(2024, 1, day)):
                evaluations = [evaluation(key) for key in keys]
                schedules.add_auto_materialize_asset_evaluations(day, evaluations)
        word = schedules._log.commit_word()
        schedules.purge_asset_evaluations(create_datetime(2024, 1, 2).timestamp())
        assert schedules._log.commit_word() - word == 3
        assert not schedules.get_auto_materialize_evaluations_for_evaluation_id(1)
        assert len(schedules.get_auto_materialize_evaluations_for_evaluation_id(2)) == 1_100

    def test_keep_their_id_and_time_when_they_are_made_again(
        self, schedules: LmdbScheduleStorage
    ) -> None:
        keys = [dg.AssetKey("a"), dg.AssetCheckKey(dg.AssetKey("a"), "a_check")]
        with freeze_time(create_datetime(2024, 1, 1)):
            schedules.add_auto_materialize_asset_evaluations(7, [evaluation(key) for key in keys])
        first = schedules.get_auto_materialize_evaluations_for_evaluation_id(7)
        assert [each.key for each in first] == keys
        again = evaluation(keys[0], requested=True)
        schedules.add_auto_materialize_asset_evaluations(7, [again])
        [record] = schedules.get_auto_materialize_asset_evaluations(keys[0], limit=5)
        assert (record.id, record.timestamp) == (first[0].id, first[0].timestamp)
        assert record.serialized_evaluation_body == serialize_value(again)
        assert record.get_evaluation_with_run_ids() == again
        before = head(schedules)
        schedules.add_auto_materialize_asset_evaluations(7, [again])
        schedules.add_auto_materialize_asset_evaluations(7, [])
        assert head(schedules) == before
        schedules.purge_asset_evaluations(create_datetime(2024, 1, 1).timestamp())
        assert head(schedules) == before
        schedules.purge_asset_evaluations(create_datetime(2024, 1, 2).timestamp())
        assert schedules.get_auto_materialize_evaluations_for_evaluation_id(7) == []

    def test_are_paged_by_evaluation_id(self, schedules: LmdbScheduleStorage) -> None:
        key = dg.AssetKey(["a", "b"])
        for evaluation_id in (9, 10, 100, 8):
            schedules.add_auto_materialize_asset_evaluations(evaluation_id, [evaluation(key)])

        def page(limit: int, cursor: int | None = None) -> list[int]:
            found = schedules.get_auto_materialize_asset_evaluations(key, limit, cursor)
            return [each.evaluation_id for each in found]

        assert page(10) == [100, 10, 9, 8]
        assert page(2) == [100, 10]
        assert page(2, cursor=10) == [9, 8]
        assert page(0) == []
        assert schedules.supports_auto_materialize_asset_evaluations


def test_a_wipe_takes_schedules_and_nothing_else(
    whole: DagsterInstance, schedules: LmdbScheduleStorage
) -> None:
    whole.run_storage.set_cursor_values({"a": "b"})
    schedules.add_instigator_state(sensor())
    schedules.create_tick(tick(time.time()))
    schedules.add_auto_materialize_asset_evaluations(1, [evaluation(dg.AssetKey("a"))])
    whole.wipe()
    assert len(schedules.all_instigator_state()) == 1
    assert len(schedules.get_ticks("an_origin", "a_selector")) == 1
    schedules.wipe()
    assert schedules.all_instigator_state() == []
    assert schedules.get_ticks("an_origin", "a_selector") == []
    assert schedules.get_auto_materialize_evaluations_for_evaluation_id(1) == []
    assert whole.run_storage.get_cursor_values({"a"}) == {"a": "b"}
    schedules.add_instigator_state(sensor())


def test_there_is_nothing_to_migrate(schedules: LmdbScheduleStorage) -> None:
    said: list[object] = []
    schedules.upgrade()
    schedules.migrate(said.append)
    schedules.optimize(said.append, force_rebuild_all=True)
    schedules.migrate()
    assert len(said) == 2
