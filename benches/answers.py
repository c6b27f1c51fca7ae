"""What two storages that are asked the same have to say alike."""

from collections.abc import Mapping, Set
from typing import Any

from dagster import AssetKey, DagsterRun, EventLogEntry, EventLogRecord
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.dagster_run import RunRecord


def answer_size(answer: Any) -> int:
    """How many things an answer has."""
    return len(answer) if hasattr(answer, "__len__") else 1


def content(answer: Any) -> Any:
    """What an answer says that every storage says alike, in any order.

    That is not the number by which a storage finds an event or a run, nor when it was stored. Of
    objects that are little else, only the class is left.
    """
    match answer:
        case RunRecord():
            return content(answer.dagster_run)
        case DagsterRun():
            return answer.run_id, answer.status.value, sorted(answer.tags.items())
        case PartitionBackfill():
            return answer.backfill_id, answer.status.value
        case EventLogRecord():
            return content(answer.event_log_entry)
        case EventLogEntry():
            return answer.run_id, answer.timestamp, answer.user_message, answer.step_key
        case AssetKey():
            return answer.to_string()
        case str() | bool() | None:
            return answer
        case Mapping():
            return sorted((repr(content(key)), repr(content(answer[key]))) for key in answer)
        case list() | Set():
            return sorted(repr(content(each)) for each in answer)
        case tuple() if type(answer) is tuple:
            return [content(each) for each in answer]
    return type(answer).__name__
