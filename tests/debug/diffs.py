"""Runs that are made to be compared, and what the command says of two of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from dagster_lmdb.debug.flat import ABSENT, Change
from debug.history import call, execute

LISTS = (
    "config",
    "tags",
    "code",
    "selection",
    "steps",
    "retries",
    "errors",
    "metadata",
    "data_versions",
)


class Measured:
    """A store in which runs of ``measuring_job`` are made and compared."""

    def __init__(self, home: Path, told: Path, instance: DagsterInstance) -> None:
        self.directory = home / "history"
        self.instance = instance
        self._told = told
        self.plain = self.run()

    def run(self, *told: str, tags: Mapping[str, str] | None = None, **config: Any) -> str:
        """A run of the job, told to be slow, to fail or to retry."""
        for name in told:
            (self._told / name).touch()
        try:
            ops = {"ops": {"measure": {"config": config}}} if config else {}
            return execute(self.instance, "measuring_job", ops, tags)
        finally:
            for name in told:
                (self._told / name).unlink()

    def diff(self, a: str, b: str) -> dict[str, Any]:
        result = call("diff", self.directory, a, b, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found


def changed(found: Mapping[str, Any]) -> set[str]:
    """The sections that are not empty; durations on a busy machine are not looked at here."""
    return {name for name in LISTS if found[name]}


def change(path: str, *, a: Any = ABSENT, b: Any = ABSENT) -> dict[str, Any]:
    return Change(path, a, b).as_object()


def diff_of(instance: DagsterInstance, a: str, b: str) -> dict[str, Any]:
    result = call("diff", Path(instance.run_storage._base_dir), a, b, "--json")
    assert result.exit_code == 0, result.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return found
