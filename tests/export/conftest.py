"""An instance with all its storages on one store, and that store's directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from dagster_lmdb import LmdbEventLogStorage
from python.entries import whole_block


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def events(instance: DagsterInstance) -> LmdbEventLogStorage:
    assert isinstance(instance.event_log_storage, LmdbEventLogStorage)
    return instance.event_log_storage


@pytest.fixture
def store(instance: DagsterInstance, tmp_path: Path) -> Path:
    return tmp_path / "history"
