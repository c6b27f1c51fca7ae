"""Every question that Dagster asks an event log, for the storage and for the model."""

from typing import Any

from dagster_lmdb import LmdbEventLogStorage
from model.history import History
from model.questions import assets, checks, concurrency, events, partitions
from model.questions.asking import QUESTIONS, Probe
from model.questions.concurrency import POOLS
from model.questions.partitions import DEFINITIONS, KEYS

__all__ = [
    "DEFINITIONS",
    "KEYS",
    "POOLS",
    "Probe",
    "ask",
    "assets",
    "checks",
    "concurrency",
    "events",
    "expected",
    "partitions",
]


def ask(storage: LmdbEventLogStorage, probe: Probe) -> dict[str, Any]:
    """What the storage says."""
    return {name: answer(storage, probe) for name, (answer, _) in QUESTIONS.items()}


def expected(history: History, probe: Probe) -> dict[str, Any]:
    """What it has to say."""
    return {name: truth(history, probe) for name, (_, truth) in QUESTIONS.items()}
