"""Dagster's own suite for the cached status of partitions, over our event log."""

import pytest
from dagster import DagsterInstance
from dagster_tests.storage_tests.utils import partition_status_cache as suite


@pytest.mark.dagsters_own
class TestLmdbPartitionStatusCache(suite.TestPartitionStatusCache):
    @pytest.fixture(name="instance")
    def instance(self, instance: DagsterInstance) -> DagsterInstance:
        return instance
