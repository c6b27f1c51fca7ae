from collections.abc import Iterator

import pytest

from model.instance.machine import InstanceMachine
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


@pytest.fixture
def instance_state() -> Iterator[InstanceMachine]:
    """The same of the machine of a whole instance."""
    machine = InstanceMachine()
    machine.start()
    yield machine
    machine.teardown()
