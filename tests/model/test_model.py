"""Random commands from several processes against the model; see ``machine`` and ``profile``."""

import pytest

from model.machine import EventLogMachine
from model.profile import SETTINGS, TIMEOUT

TestEventLog = EventLogMachine.TestCase
TestEventLog.settings = SETTINGS
TestEventLog = pytest.mark.timeout(TIMEOUT)(TestEventLog)
# An integer cursor warns each time.
TestEventLog = pytest.mark.filterwarnings("ignore:Integer cursor values")(TestEventLog)
