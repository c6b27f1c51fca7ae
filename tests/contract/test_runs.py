"""Dagster's own suites for run storages, with every capability answered with yes."""

import pytest
from dagster import DagsterInstance
from dagster._core.storage.runs import RunStorage
from dagster_tests.storage_tests.utils.daemon_cursor_storage import TestDaemonCursorStorage
from dagster_tests.storage_tests.utils.run_storage import TestRunStorage


@pytest.mark.dagsters_own
class TestLmdbRunStorage(TestRunStorage):
    __test__ = True

    @pytest.fixture(name="instance")
    def instance(self, instance: DagsterInstance) -> DagsterInstance:
        return instance

    @pytest.fixture(name="storage")
    def run_storage(self, instance: DagsterInstance) -> RunStorage:
        return instance.run_storage

    def can_delete_runs(self) -> bool:
        return True

    def supports_add_historical_run(self) -> bool:
        return True

    def supports_backfill_id_filtering_queries(self) -> bool:
        return True

    def supports_backfill_job_name_filtering_queries(self) -> bool:
        return True

    def supports_backfill_tags_filtering_queries(self) -> bool:
        return True

    def supports_backfills_count(self) -> bool:
        return True


@pytest.mark.dagsters_own
class TestLmdbDaemonCursorStorage(TestDaemonCursorStorage):
    __test__ = True

    @pytest.fixture(name="storage")
    def cursor_storage(self, instance: DagsterInstance) -> RunStorage:
        return instance.run_storage
