"""What the measurements share: the events, a place on a real disk, and the order of storages."""

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
from benches.events import endless, events_of_a_run
from benches.storages import CLASSES, open_storage, size_of, sqlite_without_flushes
from dagster import EventLogEntry
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.utils import make_new_run_id

# Not the system's directory for temporary files, which may be in memory.
DATA = Path(__file__).parents[1] / ".cache" / "benches"

RUN_LENGTH = 10_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="fewer rounds and shorter histories")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The storages take turns, several times over, so that a slow moment of the machine hits all.
    if "turn" in metafunc.fixturenames:
        passes = 2 if metafunc.config.getoption("--quick") else 3
        turns = [(number, name) for number in range(passes) for name in CLASSES]
        ids = [f"{number}-{name}" for number, name in turns]
        metafunc.parametrize("turn", turns, ids=ids, scope="session")


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--quick")


@pytest.fixture(scope="session")
def run_events() -> Sequence[EventLogEntry]:
    return events_of_a_run()


class History(NamedTuple):
    """An event log with one long run in it, and what it took up on the disk when closed."""

    storage: EventLogStorage
    run_id: str
    length: int
    bytes_per_event: float


@pytest.fixture(scope="session")
def histories(quick: bool, run_events: Sequence[EventLogEntry]) -> Iterator[dict[str, History]]:
    shutil.rmtree(DATA, ignore_errors=True)
    length = 10_000 if quick else 20_000
    histories = {name: fill(name, run_events, length) for name in CLASSES}
    yield histories
    for history in histories.values():
        history.storage.dispose()
    shutil.rmtree(DATA)


def fill(name: str, run_events: Sequence[EventLogEntry], length: int) -> History:
    """Stores runs of 10,000 events, one event at a time, into a new event log."""
    base_dir = DATA / name
    base_dir.mkdir(parents=True)
    storage = open_storage(name, base_dir)
    with sqlite_without_flushes():
        for _ in range(length // RUN_LENGTH):
            run_id = make_new_run_id()
            for event in islice(endless(run_events, run_id), RUN_LENGTH):
                storage.store_event(event)
    storage.dispose()
    return History(open_storage(name, base_dir), run_id, RUN_LENGTH, size_of(base_dir) / length)
