"""The shapes of what the engine returns in tuples."""

from typing import Literal, TypeAlias

from dagster import EventLogEntry

#: ``(sequence, entry)``
Event: TypeAlias = tuple[int, EventLogEntry]
#: Events, and ``(sequence, reason)`` of those that could not be decoded, which the first omits.
Events: TypeAlias = tuple[list[Event], list[tuple[int, str]]]
#: ``(sequence, run_id, asset_key, partition, timestamp)``
AssetEventSummary: TypeAlias = tuple[int, str, str, str | None, float]
#: ``(row_id, run_id, status, planned or evaluation entry, created, partition)``;
#: status is PLANNED, SUCCEEDED or FAILED.
CheckExecution: TypeAlias = tuple[int, str, str, EventLogEntry, float, str | None]
#: ``(partition, status, target materialization, run_id, check event sequence, materialization)``
CheckPartition: TypeAlias = tuple[str | None, str, int | None, str, int, int | None]
#: ``(sequence, kind, timestamp, run_id, event_type, step_key, subject)``; the subject is
#: what the record is about, or the message of an event that is about a run.
RecordLine: TypeAlias = tuple[
    int, str, float | None, str | None, str | None, str | None, str | None
]
#: ``(name, value, order)``
Term: TypeAlias = tuple[str, str, float]
#: What to do where a document is there, or is not.
Put: TypeAlias = Literal["insert", "insert_if_absent", "update", "update_if_present", "upsert"]
