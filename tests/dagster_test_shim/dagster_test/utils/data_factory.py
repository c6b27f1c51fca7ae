"""The one helper that Dagster's storage suites import from a package that is not published."""

from typing import Any

from dagster import DagsterRun
from dagster._core.utils import make_new_run_id


def dagster_run(run_id: str | None = None, job_name: str = "a_job", **fields: Any) -> DagsterRun:
    """A run as the suites ask for it.

    Args:
        run_id: The run's id; a new random one when it is None.
        job_name: The name of the run's job.
        **fields: Any other field of ``DagsterRun``.
    """
    return DagsterRun(run_id=run_id or make_new_run_id(), job_name=job_name, **fields)
