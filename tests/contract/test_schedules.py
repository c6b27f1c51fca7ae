"""Dagster's own suite for schedule storages, with every capability answered with yes."""

import pytest
from dagster import DagsterInstance
from dagster._core.storage.schedules import ScheduleStorage
from dagster._utils.test.schedule_storage import TestScheduleStorage


@pytest.mark.dagsters_own
class TestLmdbScheduleStorage(TestScheduleStorage):
    __test__ = True

    @pytest.fixture(name="storage")
    def schedule_storage(self, instance: DagsterInstance) -> ScheduleStorage:
        return instance.schedule_storage

    def can_delete(self) -> bool:
        return True

    def can_get_single_tick(self) -> bool:
        return True

    def can_purge(self) -> bool:
        return True

    def can_store_auto_materialize_asset_evaluations(self) -> bool:
        return True
