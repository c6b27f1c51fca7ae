"""How long the machines run.

``MODEL_EXAMPLES`` and ``MODEL_STEPS`` make it longer; the examples are random then.
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("MODEL_EXAMPLES")
#: Seconds that pytest waits for a machine to end.
TIMEOUT = 0 if EXAMPLES else 300

SETTINGS = settings(
    max_examples=int(EXAMPLES or 50),
    stateful_step_count=int(os.environ.get("MODEL_STEPS", 30)),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
