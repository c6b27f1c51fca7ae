"""Moments in the history of a store, as people write them, and what is not there to be seen.

A moment is a record's number, a time, or the end of a run; the engine knows which record that is.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from dagster_lmdb._core import EventLog

#: What of an instance no store holds, and so is not as it was.
OUTSIDE = (
    "compute logs and what I/O managers wrote (local_artifact_storage, compute_logs), definitions"
    " state (defs_state_storage), and the code of the code locations"
)

FORMS = "a record's number, a time such as 2026-11-25T14:30, or run:RUN_ID"

_RUN = "run:"


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
        # No log has as many records as the engine can count.
        return Moment(sequence=min(int(text), 2**63 - 1))
    if text.startswith(_RUN) and len(text) > len(_RUN):
        return Moment(end_of_run=text.removeprefix(_RUN))
    try:
        # Before Python 3.11 "Z" was not understood.
        time = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
    except ValueError:
        raise ValueError(f"{text!r} is not {FORMS}") from None
    return Moment(time=time.timestamp())


def what_is_missing(sequence: int, whole_from: int, registers_from: int) -> list[str]:
    """What a compaction has taken of how an instance was after a record, one line each."""
    missing = []
    if sequence < whole_from - 1:
        missing.append(
            "states of schedules, sensors, ticks, backfills and pools that were overwritten up to"
            f" record {whole_from - 1:,}, and what belonged to runs and ticks that were deleted"
        )
    if sequence < registers_from - 1:
        missing.append(
            "heartbeats and daemon cursors that were overwritten up to record"
            f" {registers_from - 1:,}"
        )
    return missing
