"""Dagster's arguments in the engine's terms, and back.

The engine knows sequences (positive integers), event types and asset keys as text. Dagster's
callers pass cursors of -1, limits of 0 for "all", and storage ids from other databases; they are
brought within bounds here, so that the engine never sees them.
"""

from collections.abc import Iterable, Set
from datetime import datetime, timezone
from functools import lru_cache

import dagster._check as check
from dagster import AssetKey
from dagster._core.event_api import EventCursor, EventLogRecord, RunShardedEventsCursor
from dagster._core.events import DagsterEventType

from dagster_lmdb._rows import Event

_MAX_SEQUENCE = 2**63 - 1


def sequence_bound(cursor: EventCursor | None) -> int | None:
    """An exclusive bound on sequences, where any integer is a legal one for Dagster."""
    if cursor is None:
        return None
    sequence = cursor.id if isinstance(cursor, RunShardedEventsCursor) else cursor
    return min(max(sequence, 0), _MAX_SEQUENCE)


def possible_sequences(storage_ids: Iterable[int]) -> list[int]:
    """The storage ids that can be sequences of a store."""
    return [storage_id for storage_id in storage_ids if 0 < storage_id <= _MAX_SEQUENCE]


def storage_id_from(text: str) -> int | None:
    """The storage id that digits stand for; None for any other text.

    One that no store has, however long, becomes the largest there could be.
    """
    if not (text.isascii() and text.isdecimal()):
        return None
    # Python refuses to read thousands of digits.
    digits = text.lstrip("0")[: len(str(_MAX_SEQUENCE)) + 1]
    return min(int(digits or "0"), _MAX_SEQUENCE)


def row_limit(limit: int | None) -> int | None:
    """A limit on rows; Dagster's SQL storages read 0 as no limit.

    Raises:
        CheckError: If the limit is negative.
    """
    check.opt_int_param(limit, "limit")
    if not limit:
        return None
    check.invariant(limit > 0, f"limit must not be negative, and is {limit}")
    return limit


def exact_limit(limit: int) -> int:
    """A limit on rows of which 0 means none, as where Dagster's SQL storages always pass it on.

    Raises:
        CheckError: If the limit is negative.
    """
    check.int_param(limit, "limit")
    check.invariant(limit >= 0, f"limit must not be negative, and is {limit}")
    return limit


def seconds(time: datetime) -> float:
    """A time as Unix seconds; one without a zone is in UTC."""
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def opt_seconds(time: datetime | None) -> float | None:
    """A time, if there is one, as Unix seconds."""
    return None if time is None else seconds(time)


def type_values(
    of_type: DagsterEventType | Set[DagsterEventType] | None, name: str
) -> set[str] | None:
    """The values of one event type or of a set of them; None, for any type, where there is none.

    Raises:
        CheckError: If it is neither an event type nor a set of them.
    """
    if isinstance(of_type, DagsterEventType):
        return {of_type.value}
    check.invariant(not of_type or isinstance(of_type, (frozenset, set)))
    if not of_type:
        return None
    check.set_param(of_type, name, of_type=DagsterEventType)
    return {event_type.value for event_type in of_type}


def asset_key_texts(asset_keys: Iterable[AssetKey]) -> list[str]:
    """The keys' texts, each once, in the order of their first appearance."""
    return list(dict.fromkeys(asset_key.to_string() for asset_key in asset_keys))


@lru_cache(maxsize=16384)
def asset_key_from(text: str) -> AssetKey:
    """The asset key of a text that ``AssetKey.to_string`` made."""
    return check.not_none(AssetKey.from_db_string(text))


def record_from(event: Event | None) -> EventLogRecord | None:
    """Dagster's record of an event, if there is one."""
    return None if event is None else EventLogRecord(*event)
