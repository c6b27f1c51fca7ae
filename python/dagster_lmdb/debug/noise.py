"""When a step's duration is another one, and not the same one measured twice.

A step's duration is that of its last attempt. Two of them differ beyond noise where they are
further apart than two runs of the step usually are. With a history, of the newest successful runs
of the same job, "usually" is three standard deviations of the difference of two runs, estimated by
the median absolute deviation from the median (1.4826 of it is a standard deviation where durations
are normal), which a single slow run does not move. Without one it is a quarter of the longer
duration. In both cases it is no less than a floor, below which a scheduler's whims lie.

Source: P. J. Rousseeuw, C. Croux, "Alternatives to the Median Absolute Deviation", JASA 88 (1993).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Literal

from dagster._core.execution.stats import StepEventStatus
from dagster._core.storage.dagster_run import DagsterRunStatus, RunsFilter

from dagster_lmdb._progress import Report
from dagster_lmdb.debug.runs import Source

#: The most runs that are a history, and the fewest durations that make one.
RUNS, FEWEST = 20, 5
DEVIATIONS = 3.0
_NORMAL = 1.4826
#: Without a history: a part of the longer duration.
SHARE = 0.25
#: Seconds.
FLOOR_WITH, FLOOR_WITHOUT = 0.05, 0.25


@dataclass(frozen=True)
class Noise:
    """How far apart two durations of a step may be, in seconds, and what says so."""

    seconds: float
    by: Literal["deviations", "share", "floor"]
    #: Durations in the history; 0 where it is too short.
    runs: int
    #: The history's median, in seconds.
    median: float | None

    @property
    def basis(self) -> str:
        if self.runs:
            rule = f"{DEVIATIONS:g} deviations over {self.runs} runs"
        else:
            rule = f"{SHARE:.0%} of the longer one, without a history"
        if self.by == "floor":
            return f"the floor of {self.seconds * 1000:g} ms, above {rule}"
        return rule


def noise(a: float, b: float, history: Sequence[float]) -> Noise:
    """The noise of a step's durations, of which two are to be compared."""
    if len(history) < FEWEST:
        share = SHARE * max(a, b)
        if share < FLOOR_WITHOUT:
            return Noise(FLOOR_WITHOUT, "floor", 0, None)
        return Noise(share, "share", 0, None)
    middle = median(history)
    deviation = _NORMAL * median(abs(each - middle) for each in history)
    apart = DEVIATIONS * sqrt(2) * deviation
    if apart < FLOOR_WITH:
        return Noise(FLOOR_WITH, "floor", len(history), middle)
    return Noise(apart, "deviations", len(history), middle)


def durations(
    source: Source, job_name: str, without: Collection[str], report: Report | None = None
) -> Mapping[str, Sequence[float]]:
    """The durations, by step, in the newest successful runs of a job other than some.

    Cost: the events of these runs that tell of steps.
    """
    if not job_name:
        return {}
    filters = RunsFilter(job_name=job_name, statuses=[DagsterRunStatus.SUCCESS])
    run_ids = [
        run_id
        for run_id in source.runs.get_run_ids(filters, limit=RUNS + len(without))
        if run_id not in without
    ][:RUNS]
    found: dict[str, list[float]] = defaultdict(list)
    for done, run_id in enumerate(run_ids, 1):
        for step in source.events.get_step_stats_for_run(run_id):
            attempts = step.attempts_list
            if step.status == StepEventStatus.SUCCESS and attempts:
                last = attempts[-1]
                if last.start_time is not None and last.end_time is not None:
                    found[step.step_key].append(last.end_time - last.start_time)
        if report is not None:
            report("runs for comparison", done, len(run_ids))
    return found
