from collections.abc import Iterator

import pytest

from model.machine import EventLogMachine


@pytest.fixture
def state() -> Iterator[EventLogMachine]:
    """The machine of the model test, in this process alone; steps are called by hand.

    What it found is written down as it prints it. The end compares every answer, and verifies.
    """
    machine = EventLogMachine()
    machine.start()
    yield machine
    machine.teardown()
