"""The base of the mixins that answer for runs and what is kept with them, one file a subject."""

from dagster import DagsterInstance
from dagster._core.storage.runs.base import RunStorage

from dagster_lmdb._handle import OpensStore


class ReadsRuns(OpensStore, RunStorage[DagsterInstance]):
    """A run storage on its store."""
