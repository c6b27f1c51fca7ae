"""A run launcher whose workers' health can be asked for, as run monitoring needs it.

Dagster's default launcher has the code server start each worker, and the code server itself fails
the run of a worker that dies: run monitoring never has anything to find.
"""

import subprocess
from pathlib import Path

from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    ResumeRunContext,
    WorkerStatus,
)
from dagster._core.storage.dagster_run import DagsterRun
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs

OWN_WORKER = {"worker": "own"}
WORKER_TAG = "worker/process"


class WatchfulRunLauncher(DefaultRunLauncher):
    """Starts the workers of runs with the tag ``worker: own``; others are the code server's."""

    def launch_run(self, context: LaunchRunContext) -> None:
        if OWN_WORKER.items() <= context.dagster_run.tags.items():
            self._start(context.dagster_run, ExecuteRunArgs)
        else:
            super().launch_run(context)

    @property
    def supports_resume_run(self) -> bool:
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        self._start(context.dagster_run, ResumeRunArgs)

    def _start(
        self, run: DagsterRun, arguments: type[ExecuteRunArgs] | type[ResumeRunArgs]
    ) -> None:
        assert run.job_code_origin is not None
        asked = arguments(run.job_code_origin, run.run_id, self._instance.get_ref())
        worker = subprocess.Popen(asked.get_command_args(), stdin=subprocess.DEVNULL)
        self._instance.add_run_tags(
            run.run_id, {WORKER_TAG: f"{worker.pid} {started_at(worker.pid)}"}
        )

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if WORKER_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server watches it")
        pid, started = run.tags[WORKER_TAG].split()
        lives = started_at(int(pid)) == started
        return CheckRunHealthResult(
            WorkerStatus.RUNNING if lives else WorkerStatus.NOT_FOUND,
            f"process {pid} {'lives' if lives else 'is gone'}",
            run_worker_id=pid,
        )


def started_at(pid: int) -> str | None:
    """When a living process started, in the kernel's ticks: a pid alone may be another's by now."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]
