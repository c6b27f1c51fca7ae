"""What the processes leave. Collected last: it ends them."""

from pathlib import Path

import dagster_lmdb
from deployment.deployment import Deployment

PROCESSES = ["code-server", "daemon", "webserver"]
PACKAGE = Path(dagster_lmdb.__file__).parent


def test_the_store_is_sound_and_no_process_complained_of_it(deployment: Deployment) -> None:
    deployment.stop()
    verified = deployment.verify()
    assert (verified.returncode, verified.stdout[:5]) == (0, "sound"), verified
    assert sorted(log.stem for log in deployment.logs.iterdir()) == PROCESSES
    for process in PROCESSES:
        assert complaints(deployment.log(process)) == [], process


def complaints(log: str) -> list[str]:
    """The lines of tracebacks that are of this package: its frames, and its errors."""
    return [
        line
        for line in log.splitlines()
        if f'File "{PACKAGE}' in line or line.startswith("dagster_lmdb.")
    ]


def test_a_traceback_through_the_package_counts_as_a_complaint() -> None:
    frame = f'  File "{PACKAGE / "runs.py"}", line 1, in get_runs'
    error = "dagster_lmdb.errors.StoreFullError: no room"
    assert complaints("\n".join(["Traceback", frame, error, "done"])) == [frame, error]
