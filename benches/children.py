"""What benches measure in a process of its own.

Usage: python benches/children.py NAME [ARGUMENT ...]
"""

import importlib
import sys
import threading
import time
from pathlib import Path
from typing import Any


def needed() -> None:
    """Prints Dagster's modules that importing the package brings along, beyond ``import dagster``.

    What these bring along is Dagster's own as well; all else is the package's.
    """
    import dagster

    before = set(sys.modules)
    from dagster_lmdb import DagsterLmdbStorage

    assert DagsterLmdbStorage
    assert dagster
    dagsters = ("dagster", "dagster_shared", "dagster_pipes")
    print(*(each for each in sys.modules if each not in before and each.split(".")[0] in dagsters))


def imported(*modules: str) -> None:
    """Prints the seconds that importing the package takes where these modules are imported."""
    for name in modules:
        importlib.import_module(name)
    began = time.perf_counter()
    from dagster_lmdb import DagsterLmdbStorage

    print(time.perf_counter() - began)
    assert DagsterLmdbStorage


def refold(base_dir: str) -> None:
    """Prints how many records a rebuild has folded, and in how many seconds."""
    from dagster_lmdb._core import EventLog

    log = EventLog(base_dir, create=False)
    began = time.perf_counter()
    records = log.rebuild()
    print(records, time.perf_counter() - began)


def entry(run_id: str, message: str) -> Any:
    """A log line."""
    from dagster import EventLogEntry

    return EventLogEntry(
        error_info=None,
        level=20,
        user_message=message,
        run_id=run_id,
        timestamp=time.time(),
        dagster_event=None,
    )


def watch(base_dir: str, count: str) -> None:
    """Prints how many seconds after its commit each event of a run came; ends with its input."""
    from dagster_lmdb import LmdbEventLogStorage

    delays: list[float] = []
    done = threading.Event()

    def seen(event: Any, _cursor: str) -> None:
        delays.append(time.monotonic() - float(event.user_message))
        if len(delays) == int(count):
            done.set()

    storage = LmdbEventLogStorage(base_dir)
    storage.watch("a_run", None, seen)
    print("watching", flush=True)
    if int(count):
        done.wait(120)
    else:
        sys.stdin.read()
    storage.dispose()
    print(*delays)


def store(base_dir: str, count: str) -> None:
    """Stores events of a run, one every few milliseconds, each with the time before its commit."""
    from dagster_lmdb import LmdbEventLogStorage

    storage = LmdbEventLogStorage(base_dir)
    for _ in range(int(count)):
        storage.store_event(entry("a_run", str(time.monotonic())))
        time.sleep(0.005)
    storage.dispose()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    acts = {act.__name__: act for act in (needed, imported, refold, watch, store)}
    acts[sys.argv[1]](*sys.argv[2:])
