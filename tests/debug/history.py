"""A store with real runs in it, made once, and how tests ask the command line about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from click.testing import CliRunner, Result
from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableRepository

from dagster_lmdb.cli import main

DEFINITIONS = Path(__file__).with_name("definitions.py")


class Store(NamedTuple):
    """A store, the instance on it, and the runs of its jobs by name."""

    directory: Path
    instance: DagsterInstance
    runs: Mapping[str, str]


def execute(
    instance: DagsterInstance,
    job: str,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Runs a job of the definitions to its end, however that is, and returns the run's id."""
    repository = ReconstructableRepository.for_file(str(DEFINITIONS), "defs")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.execute_job(
        repository.get_reconstructable_job(job),
        instance,
        run_config={**quiet, **(run_config or {})},
        tags=tags,
    ) as result:
        return result.run_id


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line by which the command refuses; it printed nothing else."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
