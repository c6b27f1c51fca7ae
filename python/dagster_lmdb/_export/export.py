"""An increment of an export, from the store to the destination."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dagster import AssetKey, DagsterEventType

from dagster_lmdb._core import EventLog, History
from dagster_lmdb._export import destination as destinations
from dagster_lmdb._export import manifest as manifests
from dagster_lmdb._export.destination import Destination, telling
from dagster_lmdb._export.errors import MissingPackageError
from dagster_lmdb._export.manifest import PARTITIONINGS, TABLES, Lost, Manifest, Options
from dagster_lmdb._history import asset_texts, type_names
from dagster_lmdb._moments import Moment, MomentLike, first_from, last_up_to, moment_from
from dagster_lmdb._progress import Report
from dagster_lmdb.debug.destination import check_outside_stores
from dagster_lmdb.errors import BelowHorizonError, LmdbStoreError, SequenceRangeError

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_lmdb._export.parquet import Writer

#: Tables whose rows later ones supersede, so that a compaction takes some.
_VERSIONS = ("runs", "ticks", "backfills")

#: Tables that can be filtered.
_BY_RUN = ("events", "runs", "asset_checks")
_BY_ASSET = ("events", "asset_checks")
_BY_TYPE = ("events",)


class Exported(NamedTuple):
    """What a call to ``export`` added."""

    #: The first record that was looked at, and the last. ``last`` is below ``first`` where nothing
    #: was new.
    first: int
    last: int
    #: Rows by table.
    rows: dict[str, int]
    #: Bytes of the files that were added.
    size: int
    #: By table: what is gone of earlier increments, where ``incomplete`` went on without it.
    lost: dict[str, Lost]


def export(
    directory: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    tables: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    since: MomentLike | None = None,
    until: MomentLike | None = None,
    run: str | Sequence[str] | None = None,
    asset: AssetKey | str | Sequence[AssetKey | str] | None = None,
    event_type: DagsterEventType | str | Sequence[DagsterEventType | str] | None = None,
    partition_by: str | None = None,
    incomplete: bool = False,
    progress: Report | None = None,
) -> Exported:
    """Writes history into Parquet files, or adds to what was written there before.

    All tables end at one record. Readers and writers of the store go on meanwhile; a lease keeps
    compactions from what is yet to be written. The rows come into sight of whoever reads the
    destination all at once, a table at a time; a call that raises, or dies, leaves nothing half.

    Args:
        directory: The directory that dagster.yaml names as ``base_dir``.
        destination: A directory that is an export of this store with the same options, or is empty,
            or is not there.
        tables: ``events``, ``runs``, ``ticks``, ``asset_checks``, ``backfills``; None for all that
            the other arguments leave a choice of.
        columns: The columns to write, each of the tables that have it, and ``sequence``; None for
            all.
        since: The first record, by sequence (``int``); or a time, as ``datetime`` (in UTC where it
            names no zone), for the first record that came later; or a ``str`` as the command takes
            it: a sequence, a time (local where it names no zone), or ``run:RUN_ID``, for what came
            after the end of this run. Only an export that begins needs it; a further call with the
            same one goes on, whatever it would mean by then.
        until: The last record, by sequence; or a time or the end of a run, as in ``since``, for the
            last record up to there. None for the last one now.
        run: The run, or the runs, whose rows to write; as ``history`` has it. A further call takes
            those of the first one for known, whether or not they were deleted since.
        asset: The asset, or the assets; likewise.
        event_type: The type, or the types, of events.
        partition_by: ``date`` (of the timestamp, UTC) or, for ``events``, ``event_type``: puts the
            rows into a folder for each, named as Hive does.
        incomplete: Go on although a compaction has taken states of runs, ticks and backfills since
            the last increment, or files of earlier increments are gone.
        progress: Called with the table, the records that were looked at and how many there are.

    Raises:
        NotAnExportError: If something else is at the destination.
        ExportMismatchError: If it is an export of another store, of one that was taken back, or
            with other options.
        ExportVersionError: If it has other columns than this release writes.
        MissingFilesError: If it has fewer files than its manifest counts, or, with ``incomplete``,
            one that was cut off.
        ExportRunningError: If another process exports to it.
        DestinationError: If it cannot be written, as on a full disk.
        BelowHorizonError: If a compaction has taken what was new.
        SequenceRangeError: If a record is negative, beyond the last one, or below the horizon.
        NoSuchMomentError: If a time or a run in ``since`` or ``until`` is not in the history.
        NotThereError: If there is no such run or asset, where the export begins.
        ValueError: If ``since`` or ``until`` is a text that names no moment.
        TypeError: If it is something else, such as a ``float``.
        LmdbStoreError: If the store cannot be opened, or a table, column or filter is not there.
    """
    log = EventLog(directory, create=False)
    return export_of(
        log,
        Path(directory),
        Path(destination),
        options=options_of(
            tables=tables,
            columns=columns,
            runs=[run] if isinstance(run, str) else run,
            assets=None if asset is None else asset_texts(asset),
            event_types=None if event_type is None else type_names(event_type),
            partition_by=partition_by,
        ),
        since=None if since is None else moment_from(since),
        until=None if until is None else moment_from(until),
        incomplete=incomplete,
        progress=progress,
    )


def options_of(
    *,
    tables: Iterable[str] | None = None,
    columns: Iterable[str] | None = None,
    runs: Iterable[str] | None = None,
    assets: Iterable[str] | None = None,
    event_types: Iterable[str] | None = None,
    partition_by: str | None = None,
) -> Options:
    """What is asked for, in one form whatever its order.

    Raises:
        LmdbStoreError: If there is no such table or partitioning, or nothing is left to write.
    """
    if unknown := sorted(set(tables or ()) - set(TABLES)):
        raise LmdbStoreError(f"there is no table {unknown[0]}; tables are {', '.join(TABLES)}")
    if partition_by is not None and partition_by not in PARTITIONINGS:
        raise LmdbStoreError(
            f"rows cannot be partitioned by {partition_by}, but by {' or '.join(PARTITIONINGS)}"
        )
    filters = ((runs, _BY_RUN), (assets, _BY_ASSET), (event_types, _BY_TYPE))
    chosen = [
        table
        for table in TABLES
        if (table in tables if tables else all(of is None or table in has for of, has in filters))
    ]

    if partition_by == "event_type" and "events" not in chosen:
        raise LmdbStoreError("only events can be partitioned by event_type, and none are asked for")

    def ordered(values: Iterable[str] | None) -> list[str] | None:
        return None if values is None else sorted(set(values))

    return Options(
        tables=chosen,
        columns=ordered(columns),
        runs=ordered(runs),
        assets=ordered(assets),
        event_types=ordered(event_types),
        partition_by=partition_by,
    )


def export_of(
    log: EventLog,
    directory: Path,
    path: Path,
    *,
    options: Options,
    since: Moment | None = None,
    until: Moment | None = None,
    incomplete: bool = False,
    progress: Report | None = None,
) -> Exported:
    """The same of a store that is open."""
    _need_pyarrow()
    destinations.check_place(path)
    check_outside_stores(path)
    # What is asked for is looked at before anything is made.
    _Increment(log, path, manifests.read(path), options, since, until, incomplete).close()
    with destinations.opened(path) as destination:
        increment = _Increment(log, path, destination.manifest, options, since, until, incomplete)
        with closing(increment):
            return increment.write(destination, progress)


class _Increment:
    """What is to be added: tables of one moment, on which there is a lease."""

    def __init__(
        self,
        log: EventLog,
        path: Path,
        manifest: Manifest | None,
        options: Options,
        since: Moment | None,
        until: Moment | None,
        incomplete: bool,
    ) -> None:
        self._log = log
        self._manifest = manifest
        self._options = options
        self._lost: dict[str, Lost] = {}
        if manifest is not None:
            manifest.check_store(log, path)
            manifest.check_options(options, path)
            if incomplete:
                self._lost = manifest.lost(path)
                self._manifest = manifest.recounted(path, self._lost)
            else:
                manifest.check_files(path)
        self.first = self._begin(since, path)
        self._hold = log.hold(self.first)
        try:
            head = log.head()
            end = head if until is None else last_up_to(log, until)
            if end > head:
                raise SequenceRangeError(
                    f"record {end} is beyond the last one of the store, which is {head}"
                )
            if manifest is None and until is not None and end < self.first:
                raise SequenceRangeError(
                    f"record {end} comes before record {self.first}, from which on is asked for"
                )
            self.last = max(end, self.first - 1)
            self._histories = self._open(head, manifest is not None, incomplete)
            if manifest is not None:
                manifest.check_columns(self._columns(), path)
        except BaseException:
            self.close()
            raise

    def _begin(self, since: Moment | None, path: Path) -> int:
        """The first record to look at.

        An export that is there goes on by itself. What it began with is not looked up again: a
        compaction takes times, and runs go on or are deleted.
        """
        self._since = since
        if self._manifest is None:
            return 1 if since is None else first_from(self._log, since)
        if since is not None and since != self._manifest.since:
            self._manifest.check_first(first_from(self._log, since), path)
        self._since = self._manifest.since or since
        return self._manifest.sequence + 1

    def close(self) -> None:
        self._hold.close()

    def _open(self, head: int, goes_on: bool, incomplete: bool) -> "dict[str, History]":
        options = self._options
        self._check_columns_asked()
        begins = not goes_on and self.first == 1
        # Where nothing is new, nothing can be missing of it.
        incomplete = incomplete or (goes_on and self.last < self.first)
        histories = {}
        for table in options.tables:
            try:
                histories[table] = self._log.history(
                    table,
                    columns=self._wanted(table),
                    # From the very beginning on is what is left, and no error.
                    since=None if begins else self.first,
                    until=self.last,
                    runs=options.runs,
                    assets=options.assets,
                    event_types=options.event_types,
                    incomplete=incomplete or table not in _VERSIONS,
                    head=head,
                    known=goes_on,
                )
            except SequenceRangeError as error:
                if not goes_on:
                    raise
                raise BelowHorizonError(
                    f"a compaction has taken states of {table} that came after record"
                    f" {self.first - 1}, the last one there ({error}); export to another directory,"
                    " or have what is left with --incomplete (in Python incomplete=True); to keep"
                    " it from happening, export before each compaction, or compact with --keep"
                ) from error
        return histories

    def _check_columns_asked(self) -> None:
        there = {name for table in self._options.tables for name in self._names(table)}
        if unknown := sorted(set(self._options.columns or ()) - there):
            raise LmdbStoreError(
                f"no table that is exported has a column {unknown[0]}; there are"
                f" {', '.join(sorted(there))}"
            )

    def _names(self, table: str) -> list[str]:
        return list(_schema(self._log.history(table, until=0)).names)

    def _wanted(self, table: str) -> list[str] | None:
        """The columns to read of a table: to write, and to partition by."""
        if self._options.columns is None:
            return None
        there = self._names(table)
        wanted = [name for name in there if name in {"sequence", *self._options.columns}]
        source = self._source(table)
        return [name for name in there if name in {*wanted, source}]

    def _source(self, table: str) -> str | None:
        from dagster_lmdb._export.parquet import EVENT_TYPE, SOURCES

        by = self._options.partition_by
        return None if by is None or (by == EVENT_TYPE and table != "events") else SOURCES[by]

    def _schemas(self) -> "dict[str, pa.Schema]":
        """The columns of the files of each table."""
        import pyarrow as pa

        columns = self._options.columns
        schemas = {}
        for table, history in self._histories.items():
            fields = [
                field
                for field in _schema(history)
                if columns is None or field.name in {"sequence", *columns}
                # A folder says it.
                if not (self._source(table) == field.name == "event_type")
            ]
            schemas[table] = pa.schema(fields)
        return schemas

    def _columns(self) -> dict[str, list[str]]:
        return {table: list(schema.names) for table, schema in self._schemas().items()}

    def write(self, destination: Destination, progress: Report | None) -> Exported:
        """Writes and commits it."""
        if self._manifest is not None and self.last < self.first:
            if self._lost:
                with telling(destination.path):
                    destination.draft.mkdir()
                destination.commit(self._manifest)
            nothing = dict.fromkeys(self._options.tables, 0)
            return Exported(self.first, self.last, nothing, 0, self._lost)
        writers = {}
        for table, schema in self._schemas().items():
            writers[table] = self._write_table(destination, table, schema, progress)
        files = [each for each in destination.draft.rglob("*") if each.is_file()]
        size = sum(each.stat().st_size for each in files)
        rows = {table: writer.rows for table, writer in writers.items()}
        begun = self._manifest or Manifest(
            store=self._log.store_id,
            epoch=self._log.epoch,
            options=self._options,
            first=self.first,
            sequence=0,
            tables={},
        )
        begun = replace(begun, since=self._since)
        new = begun.follow(self._log, self.last, rows, destination.draft, self._columns())
        destination.commit(new)
        return Exported(self.first, self.last, rows, size, self._lost)

    def _write_table(
        self,
        destination: Destination,
        table: str,
        schema: "pa.Schema",
        progress: Report | None,
    ) -> "Writer":
        import pyarrow as pa

        from dagster_lmdb._export.parquet import Writer

        directory = destination.draft / table / f"{self.first:012}-{self.last:012}"
        by = self._options.partition_by if self._source(table) else None
        total = self.last - self.first + 1
        with telling(destination.path):
            destination.draft.mkdir(exist_ok=True)
            writer = Writer(directory, schema, by)
            batches = self._histories[table].batches()
            for batch in batches:
                if len(batch):
                    writer.write(pa.record_batch(batch))
                if progress is not None:
                    progress(table, min(max(batches.position - self.first + 1, 0), total), total)
            writer.close()
            if self._manifest is None and not writer.rows:
                writer.write_no_rows()
        if progress is not None:
            progress(table, total, total)
        return writer


def _schema(history: History) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(history)


def _need_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"Parquet is written with pyarrow, which cannot be imported here ({error}); run:"
            " pip install 'dagster-lmdb[export]'"
        ) from error
