"""Every question that Dagster asks its storages of runs and schedules, and some about events."""

from typing import Any

from dagster_lmdb import DagsterLmdbStorage
from model.instance.instance import Instance
from model.instance.objects import RUNS
from model.instance.questions import kept, runs, schedules
from model.instance.questions.asking import (
    QUESTIONS,
    BackfillProbe,
    Probe,
    RunProbe,
    ScheduleProbe,
)
from model.questions import Probe as EventProbe
from model.questions.asking import QUESTIONS as EVENT_QUESTIONS

__all__ = [
    "BackfillProbe",
    "Probe",
    "RunProbe",
    "ScheduleProbe",
    "ask",
    "expected",
    "kept",
    "runs",
    "schedules",
]

#: Questions about the events beside, once and of each run.
_OF_ALL = ["logs_for_all_runs", "status_changes", "asset_records", "pools"]
_OF_RUN = ["records_for_run", "run_stats"]
_EVENTS = [(name, EventProbe()) for name in _OF_ALL]
_EVENTS += [(name, EventProbe(run=run)) for name in _OF_RUN for run in RUNS]


def ask(storage: DagsterLmdbStorage, probe: Probe) -> dict[str, Any]:
    """What the storages say."""
    answers = {name: answer(storage, probe) for name, (answer, _) in QUESTIONS.items()}
    events = storage.event_log_storage
    for name, of in _EVENTS:
        answers[f"{name} of {of.run}"] = EVENT_QUESTIONS[name][0](events, of)
    return answers


def expected(instance: Instance, probe: Probe) -> dict[str, Any]:
    """What they have to say."""
    truths = {name: truth(instance, probe) for name, (_, truth) in QUESTIONS.items()}
    for name, of in _EVENTS:
        truths[f"{name} of {of.run}"] = EVENT_QUESTIONS[name][1](instance.history, of)
    return truths
