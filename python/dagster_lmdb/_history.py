"""History as Arrow, for pyarrow, polars, DuckDB and whatever else takes the PyCapsule interface."""

from collections.abc import Sequence
from os import PathLike

import dagster._check as check
from dagster import AssetKey, DagsterEventType

from dagster_lmdb._arguments import asset_key_texts
from dagster_lmdb._core import EventLog, History
from dagster_lmdb._moments import Moment, MomentLike, first_from, last_up_to, moment_from


def history(
    directory: str | PathLike[str],
    table: str = "events",
    *,
    columns: Sequence[str] | None = None,
    since: MomentLike | None = None,
    until: MomentLike | None = None,
    run: str | Sequence[str] | None = None,
    asset: AssetKey | str | Sequence[AssetKey | str] | None = None,
    event_type: DagsterEventType | str | Sequence[DagsterEventType | str] | None = None,
    incomplete: bool = False,
) -> History:
    """A table of a store's history, as it is at this moment.

    The result speaks the Arrow PyCapsule stream interface, so that ``pyarrow.table(...)``,
    ``polars.DataFrame(...)`` and DuckDB take it as it is. It may be read any number of times, and
    gives the same rows each time: what is stored later is not in it, and what is deleted later
    still is. Rows come in the order of their sequences and are read from the store while the
    consumer goes on, in short read transactions, so memory does not grow with the history. A lease
    keeps compactions from what is yet to be read; it lasts for a minute, and is renewed while rows
    are being read, however slowly.

    Args:
        directory: The directory that dagster.yaml names as ``base_dir``.
        table: ``events``, ``runs``, ``asset_checks``, ``ticks`` or ``backfills``.
        columns: The columns to read; None for all. Those of facets alone are read several times
            as fast as those that need an event's body.
        since: The first record, by sequence (``int``); or the time that no row is before, as
            ``datetime`` (in UTC where it names no zone). A ``str`` is what the commands take: a
            sequence, a time (local where it names no zone), or ``run:RUN_ID``, for what came after
            the end of this run. Rows are in the order in which they were stored, so a time is
            looked for in every row.
        until: The last record, by sequence or as the end of a run; or the time that rows are
            before.
        run: The run, or the runs, whose rows to read; of ``events``, ``runs`` and
            ``asset_checks``.
        asset: The asset, or the assets, whose rows to read; of ``events`` and ``asset_checks``.
            A text is an asset key as Dagster's UI shows it: ``a/b``.
        event_type: The type, or the types, of events to read; of ``events``.
        incomplete: Begin below the horizon too, with what a compaction has left from there on.

    Raises:
        NotThereError: If there is no such run or asset.
        SequenceRangeError: If a sequence is negative or beyond the last record (``since``: the next
            one), or ``since`` is below the horizon, from which on the history is whole.
        LeaseLostError: While rows are read, if the reader was stopped for longer than its lease
            lasts, and a compaction took what it had yet to read.
        NoSuchMomentError: If there is no such run in ``since`` or ``until``.
        ValueError: If there is no such table, or ``since`` or ``until`` is another text.
        TypeError: If ``since`` or ``until`` is something else, such as a ``float``.
        LmdbStoreError: If the store cannot be opened, or has no such column, event type or filter.
    """
    return history_of(
        EventLog(directory, create=False),
        table,
        columns=columns,
        since=since,
        until=until,
        run=run,
        asset=asset,
        event_type=event_type,
        incomplete=incomplete,
    )


def history_of(
    log: EventLog,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    since: MomentLike | None = None,
    until: MomentLike | None = None,
    run: str | Sequence[str] | None = None,
    asset: AssetKey | str | Sequence[AssetKey | str] | None = None,
    event_type: DagsterEventType | str | Sequence[DagsterEventType | str] | None = None,
    incomplete: bool = False,
) -> History:
    """The same of a store that is open."""
    return log.history(
        table,
        columns=None if columns is None else list(columns),
        since=None if since is None else _first(log, since),
        until=None if until is None else _last(log, until),
        runs=[run] if isinstance(run, str) else run,
        assets=None if asset is None else asset_texts(asset),
        event_types=None if event_type is None else type_names(event_type),
        incomplete=incomplete,
    )


def asset_texts(asset: AssetKey | str | Sequence[AssetKey | str]) -> list[str]:
    """Assets as the engine names them."""
    keys = [asset] if isinstance(asset, (AssetKey, str)) else asset
    return asset_key_texts(
        [AssetKey.from_user_string(key) if isinstance(key, str) else key for key in keys]
    )


def type_names(types: DagsterEventType | str | Sequence[DagsterEventType | str]) -> list[str]:
    """Types of events as they are stored: ``RUN_SUCCESS`` is ``PIPELINE_SUCCESS`` there."""
    if isinstance(types, (DagsterEventType, str)):
        types = [types]
    found = [DagsterEventType.__members__.get(each, each) for each in types]
    return [each.value if isinstance(each, DagsterEventType) else each for each in found]


def _first(log: EventLog, since: MomentLike) -> int | float:
    moment = moment_from(since)
    if moment.end_of_run is not None:
        return first_from(log, moment)
    return _place(moment)


def _last(log: EventLog, until: MomentLike) -> int | float:
    moment = moment_from(until)
    return _place(moment) if moment.end_of_run is None else last_up_to(log, moment)


def _place(moment: Moment) -> int | float:
    """A bound on sequences, or one on the times of rows."""
    return check.not_none(moment.sequence if moment.time is None else moment.time)
