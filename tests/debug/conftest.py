"""One store of real runs for all tests that only read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from debug.history import Store, execute
from python.entries import whole_block


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home = tmp_path_factory.mktemp("debug")
    with instance_for_test(whole_block(home), temp_dir=str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("lane", 1)
        runs = {
            "everything": execute(instance, "everything_job", tags={"team": "blue"}),
            "failing": execute(instance, "failing_job"),
            "letters": execute(instance, "letters_job", tags={"dagster/partition": "a"}),
        }
        yield Store(home / "history", instance, runs)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance of the test's own, with all of its storages on one store."""
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as instance:
        yield instance
