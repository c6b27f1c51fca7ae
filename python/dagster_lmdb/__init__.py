"""An event-sourced storage engine for Dagster on LMDB.

Names are imported at first use, so that importing the package costs nothing where only the command
line or an error type is wanted.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_lmdb._export.export import Exported as Exported
    from dagster_lmdb._export.export import export as export
    from dagster_lmdb._history import history as history
    from dagster_lmdb.errors import LmdbStoreError as LmdbStoreError
    from dagster_lmdb.event_log_storage import LmdbEventLogStorage as LmdbEventLogStorage
    from dagster_lmdb.run_storage import LmdbRunStorage as LmdbRunStorage
    from dagster_lmdb.schedule_storage import LmdbScheduleStorage as LmdbScheduleStorage
    from dagster_lmdb.storage import DagsterLmdbStorage as DagsterLmdbStorage

__version__ = "0.1.0"

__all__ = [
    "DagsterLmdbStorage",
    "Exported",
    "LmdbEventLogStorage",
    "LmdbRunStorage",
    "LmdbScheduleStorage",
    "LmdbStoreError",
    "__version__",
    "export",
    "history",
]

_HOMES = {
    "DagsterLmdbStorage": "dagster_lmdb.storage",
    "Exported": "dagster_lmdb._export.export",
    "LmdbEventLogStorage": "dagster_lmdb.event_log_storage",
    "LmdbRunStorage": "dagster_lmdb.run_storage",
    "LmdbScheduleStorage": "dagster_lmdb.schedule_storage",
    "LmdbStoreError": "dagster_lmdb.errors",
    "export": "dagster_lmdb._export.export",
    "history": "dagster_lmdb._history",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
