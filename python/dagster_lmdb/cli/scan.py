"""The scan of ``verify``, as a process: ``python -m dagster_lmdb.cli.scan DIR [OVERRIDE...]``.

Prints one JSON value a line: ``[phase, done, total]`` as it goes on, and at the end an object,
which has ``refused`` where the store could not be opened, and ``damage`` where it could not be read
through.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from dagster_lmdb._core import DamagedRecordError, DamagedStoreError, LmdbStoreError
from dagster_lmdb._opening import open_store

# Seconds between two lines about one phase.
_INTERVAL = 0.1


class _Progress:
    def __init__(self) -> None:
        self._phase = ""
        self._due = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase != self._phase or now >= self._due or done == total:
            self._phase, self._due = phase, now + _INTERVAL
            _say([phase, done, total])


def scan(directory: Path, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Verifies a store; damage is a finding, any other refusal is not."""
    try:
        found = open_store(directory, overrides).verify(_Progress())
    except (DamagedStoreError, DamagedRecordError) as error:
        return {"damage": error.finding}
    except LmdbStoreError as error:
        return {"refused": str(error)}
    return {
        "differences": found.differences,
        "records": found.records,
        "head": found.head,
        "rows": found.rows,
    }


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    _say(scan(Path(sys.argv[1]), tuple(sys.argv[2:])))
