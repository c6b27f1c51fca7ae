"""A Dagster instance whose event log is on LMDB, and what the tests store in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.test_utils import instance_for_test

from dagster_lmdb import LmdbEventLogStorage


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
