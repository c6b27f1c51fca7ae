"""An event-sourced storage engine for Dagster on LMDB."""

from dagster_lmdb.event_log_storage import LmdbEventLogStorage as LmdbEventLogStorage

__version__ = "0.1.0"
