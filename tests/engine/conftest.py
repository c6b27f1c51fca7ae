from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_lmdb import LmdbEventLogStorage


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def storage(directory: Path) -> Iterator[LmdbEventLogStorage]:
    storage = LmdbEventLogStorage(str(directory))
    yield storage
    storage.dispose()
