"""Random commands to an instance against its model; see ``instance.machine`` and ``profile``."""

import pytest

from model.instance.machine import InstanceMachine
from model.profile import SETTINGS, TIMEOUT

TestInstance = InstanceMachine.TestCase
TestInstance.settings = SETTINGS
TestInstance = pytest.mark.timeout(TIMEOUT)(TestInstance)
