"""Dagster's own suite for event logs, with every capability it can ask for answered with yes."""

import pytest
from dagster import DagsterInstance
from dagster._core.storage.event_log import EventLogStorage
from dagster_tests.storage_tests.utils.event_log_storage import TestEventLogStorage


@pytest.mark.dagsters_own
class TestLmdbEventLogStorage(TestEventLogStorage):
    __test__ = True

    @pytest.fixture(name="instance")
    def instance(self, instance: DagsterInstance) -> DagsterInstance:
        return instance

    @pytest.fixture(name="storage")
    def event_log_storage(self, instance: DagsterInstance) -> EventLogStorage:
        return instance.event_log_storage

    def can_query_all_asset_records(self) -> bool:
        return True

    def can_set_concurrency_defaults(self) -> bool:
        return True

    def can_watch(self) -> bool:
        return True

    def can_wipe_asset_partitions(self) -> bool:
        return True

    def can_wipe_event_log(self) -> bool:
        return True

    def can_write_cached_status(self) -> bool:
        return True

    def has_asset_partitions_table(self) -> bool:
        return True

    def supports_get_logs_for_all_runs_by_log_id(self) -> bool:
        return True

    def supports_multiple_event_type_queries(self) -> bool:
        return True

    def supports_offset_cursor_queries(self) -> bool:
        return True

    def set_default_op_concurrency(
        self, instance: DagsterInstance, storage: EventLogStorage, limit: int | None
    ) -> None:
        instance._settings = {
            **instance._settings,
            "concurrency": {"pools": {"default_limit": limit}},
        }
