"""A run's events as lines of text, and as objects for programs."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from dagster import EventLogEntry
from dagster._core.events import JobFailureData
from dagster_shared.error import SerializableErrorInfo

from dagster_lmdb._texts import printable
from dagster_lmdb.debug.player import Moment
from dagster_lmdb.debug.runs import asset_of, error_of, shown_type


def length(seconds: float) -> str:
    """A length of time, as exact as it is short."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m {rest:02}s" if hours else f"{minutes}m {rest:02}s"


def clock(timestamp: float) -> str:
    """A time of day where the viewer is."""
    return datetime.fromtimestamp(timestamp).strftime("%H:%M:%S.%f")[:-3]


def message_of(entry: EventLogEntry) -> str:
    """What an entry says, in one line, for a terminal."""
    return printable(" ".join(entry.message.split()))


def own_error(entry: EventLogEntry) -> SerializableErrorInfo | None:
    """The error that an entry is the first to tell: a run's failure repeats its step's."""
    data = entry.dagster_event.event_specific_data if entry.dagster_event else None
    if isinstance(data, JobFailureData) and data.first_step_failure_event is not None:
        return None
    return error_of(entry)


def error_lines(error: SerializableErrorInfo) -> Iterator[str]:
    """The error with its stack, then what caused it or what it occurred in, for a terminal."""
    return map(printable, error.to_string().rstrip().splitlines())


def plain(moment: Moment) -> Iterator[str]:
    """An event in one line, and the error that it tells beneath it."""
    entry = moment.entry
    fields = [f"{moment.elapsed:>10.3f}", f"{printable(shown_type(entry)):<24}"]
    if entry.step_key:
        fields.append(printable(entry.step_key))
    fields.append(message_of(entry))
    yield "  ".join(field for field in fields if field).rstrip()
    error = own_error(entry)
    if error is not None:
        for line in error_lines(error):
            yield f"{'':>10}  | {line}"


def as_object(moment: Moment) -> dict[str, Any]:
    """An event for programs: times in Unix seconds and in seconds since the run's first moment."""
    entry = moment.entry
    event = entry.dagster_event
    error = error_of(entry)
    asset = asset_of(entry)
    return {
        "sequence": moment.sequence,
        "timestamp": entry.timestamp,
        "time": datetime.fromtimestamp(entry.timestamp, timezone.utc).isoformat(),
        "elapsed": round(moment.elapsed, 6),
        "run_id": entry.run_id,
        "event_type": event.event_type_value if event else None,
        "level": entry.level,
        "step_key": entry.step_key,
        "pid": event.pid if event else None,
        "message": entry.message,
        "failure": moment.is_failure,
        "asset_key": None if asset is None else list(asset[0].path),
        "partition": None if asset is None else asset[1],
        "error": None if error is None else _error_object(error),
    }


def _error_object(error: SerializableErrorInfo) -> dict[str, Any]:
    return {
        "class": error.cls_name,
        "message": error.message,
        "stack": list(error.stack),
        "cause": _error_object(error.cause) if error.cause else None,
        "context": _error_object(error.context) if error.context else None,
    }
