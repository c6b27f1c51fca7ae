"""Which error types have a test, and what those tests share."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dagster_lmdb import LmdbEventLogStorage
from dagster_lmdb.errors import LmdbStoreError

Test = TypeVar("Test", bound=Callable[..., Any])

TESTED: set[type] = set()


def of(*types: type[LmdbStoreError]) -> Callable[[Test], Test]:
    """Says which errors a test is about."""
    TESTED.update(types)
    return lambda test: test


def messages(storage: LmdbEventLogStorage, run_id: str = "run") -> list[str]:
    return [entry.user_message for entry in storage.get_logs_for_run(run_id)]


def allowed(*command: str) -> bool:
    """Whether this machine lets us run a command."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def shim(folder: Path, source: str) -> str:
    """A library that stands before the system's calls."""
    path = folder / "shim.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(path), "-", "-ldl"],
        input=source.encode(),
        check=True,
    )
    return str(path)
