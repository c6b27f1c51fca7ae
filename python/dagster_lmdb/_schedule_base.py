"""The base of the mixins that answer for schedules and sensors, one file a subject."""

from dagster import DagsterInstance
from dagster._core.storage.schedules.base import ScheduleStorage

from dagster_lmdb._handle import OpensStore


class ReadsSchedules(OpensStore, ScheduleStorage[DagsterInstance]):
    """A schedule storage on its store."""
