"""The files of one table's part of an increment.

Batches come in the order of sequences. They gather until they are a row group of some size, of each
partition by itself; what has gathered and what is open at a time is bounded, so memory is, whatever
the length of the history and the number of partitions.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: Bytes in Arrow of a row group, and of all rows that wait for one.
_GROUP = 16 << 20
_WAITING = 64 << 20

#: Files of partitions that are open at a time.
_OPEN = 32

#: Bytes after which a file is closed and the next one begun.
_FILE = 512 << 20

#: How Hive, and whoever reads its partitions, names the one of nulls.
_NULL = "__HIVE_DEFAULT_PARTITION__"

DATE, EVENT_TYPE = "date", "event_type"

#: The folder that has the columns of a table where no row is yet; from that of nulls pyarrow tells
#: no type.
_FOLDERS_OF_NO_ROWS = {DATE: "1970-01-01", EVENT_TYPE: "ENGINE_EVENT"}

#: The column that each way of partitioning goes by.
SOURCES = {DATE: "timestamp", EVENT_TYPE: "event_type"}


class Writer:
    """Writes the rows of a table into a directory, in folders by partition if asked for.

    Args:
        directory: Made with the first file.
        schema: The columns to write, but for the one that folders stand for.
        partition_by: ``date`` (of the timestamp, UTC), ``event_type``, or None.
    """

    def __init__(self, directory: Path, schema: pa.Schema, partition_by: str | None) -> None:
        self.directory = directory
        self.schema = schema
        self.partition_by = partition_by
        self.rows = 0
        self._parts: dict[str, _Part] = {}

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes the next rows, which may have more columns than are written."""
        self.rows += batch.num_rows
        for folder, rows in _split(batch, self.partition_by):
            part = self._parts.pop(folder, None) or _Part(self, folder)
            self._parts[folder] = part  # the last used is the last
            part.add(rows.select(self.schema.names))
        while sum(part.waiting for part in self._parts.values()) > _WAITING:
            max(self._parts.values(), key=lambda part: part.waiting).flush()
        open_parts = [folder for folder, part in self._parts.items() if part.is_open]
        for folder in open_parts[:-_OPEN]:
            self._parts[folder].close()

    def close(self) -> None:
        """Ends every file."""
        for part in self._parts.values():
            part.close()

    def write_no_rows(self) -> None:
        """Leaves a file of no rows, so that the columns are there.

        With folders, in one of them: readers take its column, and that column's type, from there.
        """
        by = self.partition_by
        part = _Part(self, f"{by}={_FOLDERS_OF_NO_ROWS[by]}" if by else "")
        part.open()
        part.close()


class _Part:
    """The rows of one folder."""

    def __init__(self, writer: Writer, folder: str) -> None:
        self._writer = writer
        self._folder = writer.directory / folder
        self._number = 0
        self._batches: list[pa.RecordBatch] = []
        self._file: pq.ParquetWriter | None = None
        self._sink: pa.NativeFile | None = None
        #: Bytes of the rows that wait.
        self.waiting = 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def add(self, rows: pa.RecordBatch) -> None:
        self._batches.append(rows)
        self.waiting += rows.nbytes
        if self.waiting >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Writes what waits as a row group."""
        if not self._batches:
            return
        file, sink = self.open()
        rows = pa.Table.from_batches(self._batches, self._writer.schema)
        file.write_table(rows.combine_chunks(), row_group_size=max(rows.num_rows, 1))
        self._batches, self.waiting = [], 0
        if sink.tell() >= _FILE:
            self.close()

    def open(self) -> tuple[pq.ParquetWriter, pa.NativeFile]:
        """The file that is written to."""
        if self._file is None or self._sink is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(self._folder / f"{self._number:04}.parquet"), "wb")
            self._file = pq.ParquetWriter(self._sink, self._writer.schema, compression="zstd")
            self._number += 1
        return self._file, self._sink

    def close(self) -> None:
        self.flush()
        if self._file is not None and self._sink is not None:
            self._file.close()
            self._sink.close()
        self._file = self._sink = None


def _split(batch: pa.RecordBatch, partition_by: str | None) -> Iterable[tuple[str, pa.RecordBatch]]:
    if partition_by is None:
        return [("", batch)]
    return _by_value(batch, partition_by)


def _by_value(batch: pa.RecordBatch, partition_by: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    values = batch.column(SOURCES[partition_by])
    if partition_by == DATE:
        # Arrow's strftime needs a database of time zones; a date of UTC does not.
        values = values.cast(pa.timestamp("us")).cast(pa.date32()).cast(pa.string())
    else:
        values = values.cast(pa.string())
    for value in pc.unique(values):
        text = value.as_py()
        chosen = pc.is_null(values) if text is None else pc.equal(values, value)
        name = _NULL if text is None else quote(text, safe="")
        yield f"{partition_by}={name}", batch.filter(chosen)
