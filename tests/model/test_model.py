"""Random commands from several processes against the model; see ``machine``.

``MODEL_EXAMPLES`` and ``MODEL_STEPS`` make it longer; the examples are random then.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from model.machine import EventLogMachine

_EXAMPLES = os.environ.get("MODEL_EXAMPLES")

TestEventLog = EventLogMachine.TestCase
TestEventLog.settings = settings(
    max_examples=int(_EXAMPLES or 50),
    stateful_step_count=int(os.environ.get("MODEL_STEPS", 30)),
    derandomize=_EXAMPLES is None,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestEventLog = pytest.mark.timeout(0 if _EXAMPLES else 300)(TestEventLog)
# An integer cursor warns each time.
TestEventLog = pytest.mark.filterwarnings("ignore:Integer cursor values")(TestEventLog)
