"""Moments in the history of a store, as people write them, and what is not there to be seen.

A moment is a record's number, a time, or the end of a run; the engine knows which record that is.
"""

import operator
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from dagster_lmdb._core import EventLog
from dagster_lmdb.errors import NoSuchMomentError, SequenceRangeError

#: A moment as callers in Python name it, see ``moment_from``.
MomentLike: TypeAlias = int | datetime | str

#: What of an instance no store holds, and so is not as it was.
OUTSIDE = (
    "compute logs and what I/O managers wrote (local_artifact_storage, compute_logs), definitions"
    " state (defs_state_storage), and the code of the code locations"
)

FORMS = "a record's number, a time such as 2026-11-25T14:30, or run:RUN_ID"

_RUN = "run:"

#: No log has as many records as the engine can count.
_MAX_SEQUENCE = 2**63 - 1


class Moment(NamedTuple):
    """One of the three; ``time`` is in Unix seconds."""

    sequence: int | None = None
    time: float | None = None
    end_of_run: str | None = None

    def resolve(
        self, log: EventLog, now: float, progress: Callable[[str, int, int], None] | None = None
    ) -> int:
        """The last record at this moment.

        Raises:
            NoSuchMomentError: If the store was never there, or is not yet.
        """
        return log.resolve(
            self.sequence,
            time=self.time,
            end_of_run=self.end_of_run,
            now=now,
            progress=progress,
        )


def moment_of(text: str) -> Moment:
    """Reads a moment: digits, ``run:RUN_ID``, or an ISO 8601 date or time.

    A time without a zone is in the time zone of this process.

    Raises:
        ValueError: If it is none of these.
    """
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return Moment(sequence=min(int(text), _MAX_SEQUENCE))
    if text.startswith(_RUN) and len(text) > len(_RUN):
        return Moment(end_of_run=text.removeprefix(_RUN))
    try:
        # Before Python 3.11 "Z" was not understood.
        at = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
    except ValueError:
        raise ValueError(f"{text!r} is not {FORMS}") from None
    return Moment(time=at.timestamp())


def moment_from(value: MomentLike) -> Moment:
    """A moment as callers in Python name it.

    Args:
        value: An integer is a record's sequence; a ``datetime`` a time, in UTC where it names no
            zone, as in Dagster; a text what the commands take, where a time without a zone is in
            the time zone of this process.

    Raises:
        SequenceRangeError: If it is a negative integer.
        ValueError: If it is another text.
        TypeError: If it is something else; a float could be meant for a sequence or for a time.
    """
    if isinstance(value, str):
        return moment_of(value)
    if isinstance(value, datetime):
        # Not above: the command line reads moments without Dagster.
        from dagster_lmdb._arguments import seconds

        return Moment(time=seconds(value))
    try:
        if isinstance(value, bool):
            raise TypeError
        sequence = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{value!r} is no moment: an int, the number of a record; a datetime; or a str: {FORMS}"
        ) from None
    if sequence < 0:
        raise SequenceRangeError(f"there is no record {sequence}: the first one is record 1")
    return Moment(sequence=min(sequence, _MAX_SEQUENCE))


def first_from(log: EventLog, since: Moment) -> int:
    """The first record of a moment on: that record, or the one after a time or the end of a run.

    Raises:
        SequenceRangeError: If it is a record beyond the last one.
        NoSuchMomentError: If it is a time that is still to come, or a run that is not there.
    """
    if since.sequence is not None:
        head = log.head()
        if since.sequence > max(head, 1):
            raise SequenceRangeError(
                f"record {since.sequence} is beyond the last one of the store, which is {head}"
            )
        return max(since.sequence, 1)
    now = time.time()
    try:
        return since.resolve(log, now) + 1
    except NoSuchMomentError:
        # Before the first record, unless it is still to come.
        if since.time is None or since.time > now:
            raise
        return 1


def last_up_to(log: EventLog, until: Moment) -> int:
    """The last record up to a moment; of a sequence, whether or not it is there.

    Raises:
        NoSuchMomentError: If it is a time that is not in the history, or a run that is not there.
    """
    return until.resolve(log, time.time()) if until.sequence is None else until.sequence


def what_is_missing(sequence: int, whole_from: int, registers_from: int) -> list[str]:
    """What a compaction has taken of how an instance was after a record, one line each."""
    missing = []
    if sequence < whole_from - 1:
        missing.append(
            "states and tags of runs, states of schedules, sensors, ticks, backfills and pools that"
            f" were overwritten up to record {whole_from - 1:,}, and what belonged to runs and"
            " ticks that were deleted"
        )
    if sequence < registers_from - 1:
        missing.append(
            "heartbeats and daemon cursors that were overwritten up to record"
            f" {registers_from - 1:,}"
        )
    return missing
