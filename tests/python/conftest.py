"""Dagster instances with their event log, or with all of their storages, on LMDB."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage, LmdbScheduleStorage
from python.entries import whole_block


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    return tmp_path / "events"


@pytest.fixture
def instance(tmp_path: Path, base_dir: Path) -> Iterator[DagsterInstance]:
    block = {
        "module": "dagster_lmdb",
        "class": "LmdbEventLogStorage",
        "config": {"base_dir": str(base_dir)},
    }
    with instance_for_test({"event_log_storage": block}, temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def storage(instance: DagsterInstance) -> LmdbEventLogStorage:
    assert isinstance(instance.event_log_storage, LmdbEventLogStorage)
    return instance.event_log_storage


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance with all of its storages on one store."""
    with instance_for_test(whole_block(tmp_path), temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def runs(whole: DagsterInstance) -> LmdbRunStorage:
    assert isinstance(whole.run_storage, LmdbRunStorage)
    return whole.run_storage


@pytest.fixture
def schedules(whole: DagsterInstance) -> LmdbScheduleStorage:
    assert isinstance(whole.schedule_storage, LmdbScheduleStorage)
    return whole.schedule_storage
