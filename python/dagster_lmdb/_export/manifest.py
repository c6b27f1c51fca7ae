"""The manifest of an export: what is in it, and whose history that is.

A JSON object in ``manifest.json`` beside the tables; docs/export.md says what its keys mean.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from dagster_lmdb._core import EventLog
from dagster_lmdb._export.errors import (
    ExportMismatchError,
    ExportVersionError,
    MissingFilesError,
    NotAnExportError,
)
from dagster_lmdb._moments import Moment

TABLES = ("events", "runs", "ticks", "asset_checks", "backfills")
PARTITIONINGS = ("date", "event_type")

NAME = "manifest.json"

#: What kind of file it is.
FORMAT = "dagster-lmdb export"

#: Of the layout of files, and of the columns; raised whenever either changes.
SCHEMA_VERSION = 1

#: Records by whose checksums a log is known again; the last of as many increments.
_MARKS = 16


@dataclass(frozen=True)
class Options:
    """What has to be the same in each call. None stands for all."""

    tables: list[str]
    columns: list[str] | None = None
    runs: list[str] | None = None
    assets: list[str] | None = None
    event_types: list[str] | None = None
    partition_by: str | None = None


@dataclass
class Table:
    """What is there of a table."""

    #: The last record that was looked at.
    sequence: int
    rows: int
    files: int
    #: Of the files.
    bytes: int
    columns: list[str]


class Lost(NamedTuple):
    """How much less there is of a table than was written."""

    files: int
    bytes: int


@dataclass
class Manifest:
    """What an export holds."""

    store: str
    epoch: int
    options: Options
    #: The first record that was looked at, and the last.
    first: int
    sequence: int
    tables: dict[str, Table]
    #: What ``first`` was asked for as; None where it was not, or an earlier release wrote it.
    since: Moment | None = None
    #: ``(sequence, checksum)``, ascending.
    marks: list[tuple[int, int]] = field(default_factory=list)
    increments: int = 0

    def dump(self) -> str:
        """The file's text."""
        head = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        since = None
        if self.since is not None:
            named = self.since._asdict().items()
            since = {name: value for name, value in named if value is not None}
        return json.dumps(head | asdict(self) | {"since": since}, indent=2) + "\n"

    def follow(
        self,
        log: EventLog,
        last: int,
        rows: Mapping[str, int],
        draft: Path,
        columns: Mapping[str, list[str]],
    ) -> "Manifest":
        """The manifest once everything up to a record is there too, written into a draft."""
        tables = {}
        for name in self.options.tables:
            before = self.tables.get(name) or Table(last, 0, 0, 0, [])
            files, size = _size_of(_files(draft, name))
            tables[name] = Table(
                sequence=last,
                rows=before.rows + rows[name],
                files=before.files + files,
                bytes=before.bytes + size,
                columns=columns[name],
            )
        checksum = log.checksum(last)
        mark = [] if checksum is None else [(last, checksum)]
        return Manifest(
            store=log.store_id,
            epoch=log.epoch,
            options=self.options,
            first=self.first,
            since=self.since,
            sequence=last,
            tables=tables,
            marks=(self.marks + mark)[-_MARKS:],
            increments=self.increments + 1,
        )

    def check_store(self, log: EventLog, path: Path) -> None:
        """Checks that a store's log goes on from what is there.

        Raises:
            ExportMismatchError: If it is another store, or was taken back.
        """
        if log.store_id != self.store:
            raise ExportMismatchError(
                f"{path} is an export of another store ({self.store}, and this one is"
                f" {log.store_id}); name another directory"
            )
        taken_back = ExportMismatchError(
            f"{path} has records up to {self.sequence} of a history that this store does not have"
            " any more: it was put back to an earlier state, from a backup or by a power cut;"
            " export to another directory"
        )
        if log.head() < self.sequence or log.epoch < self.epoch:
            raise taken_back
        found = [(log.checksum(sequence), checksum) for sequence, checksum in self.marks]
        # What was compacted since has no checksum to compare.
        known = [one == other for one, other in found if one is not None]
        if not all(known) or (not known and log.epoch != self.epoch):
            raise taken_back

    def check_options(self, options: Options, path: Path) -> None:
        """Checks that a call asks for more of the same.

        Raises:
            ExportMismatchError: If it asks for something else.
        """
        for name, there in asdict(self.options).items():
            asked = getattr(options, name)
            if asked != there:
                raise ExportMismatchError(
                    f"{path} was made with {_shown(name, there)}, and is asked for"
                    f" {_shown(name, asked)}; give the same options, or name another directory"
                )

    def check_first(self, first: int, path: Path) -> None:
        """Checks that a call asks for what there is from its first record on.

        Raises:
            ExportMismatchError: If it asks from another record on.
        """
        if first != self.first:
            raise ExportMismatchError(
                f"{path} begins at record {self.first}, and is asked for from record {first} on; it"
                f" goes on after record {self.sequence} by itself"
            )

    def lost(self, path: Path) -> dict[str, Lost]:
        """What is gone or cut off of the tables that lost some, by number and size. O(files)."""
        lost = {}
        for name, table in self.tables.items():
            files, size = _size_of(_files(path, name))
            if files < table.files or size < table.bytes:
                lost[name] = Lost(table.files - files, table.bytes - size)
        return lost

    def check_files(self, path: Path) -> None:
        """Checks that nothing is lost. O(files).

        Raises:
            MissingFilesError: If there are fewer files, or fewer bytes, than were written.
        """
        for name, (files, size) in self.lost(path).items():
            table = self.tables[name]
            raise MissingFilesError(
                f"{NAME} counts {table.files} files of {table.bytes} bytes in {path / name}, and"
                f" {table.files - files} of {table.bytes - size} are there; put back what was taken"
                " away, or export to another directory; or go on with what is left, with"
                " --incomplete (in Python incomplete=True)"
            )

    def recounted(self, path: Path, lost: Iterable[str]) -> "Manifest":
        """The same with the files that there are of tables that lost some. O(files).

        Raises:
            MissingFilesError: If one of them was cut off, so that no reader takes its table.
        """
        tables = dict(self.tables)
        for name in lost:
            there = _files(path, name)
            for file in there:
                _check_readable(file)
            files, size = _size_of(there)
            tables[name] = replace(tables[name], files=files, bytes=size)
        return replace(self, tables=tables)

    def check_columns(self, columns: Mapping[str, list[str]], path: Path) -> None:
        """Checks that the tables have the columns that are there.

        Raises:
            ExportVersionError: If they have not.
        """
        for name, table in self.tables.items():
            if table.columns != columns[name]:
                changed = sorted(set(table.columns) ^ set(columns[name]))
                raise ExportVersionError(
                    f"{path} has a table {name} whose columns differ from this release's:"
                    f" {', '.join(changed) or 'their order'}; export to another directory"
                )


def read(directory: Path) -> Manifest | None:
    """The manifest of a directory; None where there is none.

    Raises:
        NotAnExportError: If it is not one.
        ExportVersionError: If another version of the schema was written.
    """
    path = directory / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NotAnExportError(f"{path} cannot be read: {error}") from error
    try:
        content: dict[str, Any] = json.loads(text)
        if content.pop("format") != FORMAT:
            raise NotAnExportError(f"{directory} is not an export: its {NAME} is another program's")
        version = content.pop("schema_version")
        if type(version) is not int or version != SCHEMA_VERSION:
            raise ExportVersionError(
                f"{directory} was written with version {version!r} of the schema, and this release"
                f" writes version {SCHEMA_VERSION}; export to another directory"
            )
        since = content.pop("since", None)
        tables = {name: Table(**table) for name, table in content.pop("tables").items()}
        manifest = Manifest(
            options=Options(**content.pop("options")),
            tables=tables,
            since=None if since is None else Moment(**since),
            marks=[(int(sequence), int(checksum)) for sequence, checksum in content.pop("marks")],
            **content,
        )
        _check(manifest)
        return manifest
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAnExportError(
            f"{path} is damaged ({error!r}); export to another directory"
        ) from error


def _files(directory: Path, table: str) -> list[Path]:
    return list((directory / table).rglob("*.parquet"))


def _size_of(files: Sequence[Path]) -> tuple[int, int]:
    """How many files there are, and how many bytes."""
    return len(files), sum(file.stat().st_size for file in files)


def _check_readable(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise MissingFilesError(
            f"{file} is cut off or damaged, and readers would refuse its table; put it back, or"
            " remove it to go on without its rows"
        ) from error


def _check(manifest: Manifest) -> None:
    """Checks that values are such as ``dump`` writes, and agree with each other.

    Raises:
        ValueError: If they do not.
    """
    options, tables = manifest.options, manifest.tables

    def is_names(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(name, str) for name in value)

    counts = [manifest.epoch, manifest.first, manifest.sequence, manifest.increments]
    counts += [count for each in tables.values() for count in (each.rows, each.files, each.bytes)]
    counts += [number for mark in manifest.marks for number in mark]
    marks = [sequence for sequence, _ in manifest.marks]
    rules = {
        "store": isinstance(manifest.store, str),
        "numbers": all(type(count) is int and count >= 0 for count in counts),
        "options": is_names(options.tables)
        and all(
            names is None or is_names(names)
            for names in (options.columns, options.runs, options.assets, options.event_types)
        )
        and options.partition_by in (None, *PARTITIONINGS),
        "tables": list(tables) == options.tables and set(tables) <= set(TABLES),
        "columns": all(is_names(table.columns) for table in tables.values()),
        "since": manifest.since is None or _is_one(manifest.since),
    }
    if all(rules.values()):
        rules |= {
            "first": 1 <= manifest.first <= manifest.sequence + 1,
            "sequence": all(table.sequence == manifest.sequence for table in tables.values()),
            "marks": marks == sorted(set(marks)) and (marks or [0])[-1] <= manifest.sequence,
        }
    if wrong := [name for name, holds in rules.items() if not holds]:
        raise ValueError(f"its {wrong[0]}")


def _is_one(moment: Moment) -> bool:
    """Whether a moment is a sequence, a time or the end of a run, and nothing else."""
    kinds = zip(moment, (int, float, str), strict=True)
    named = [(value, kind) for value, kind in kinds if value is not None]
    return len(named) == 1 and all(type(value) is kind for value, kind in named)


def _shown(name: str, value: str | Sequence[str] | None) -> str:
    name = name.replace("_", " ")
    if value is None:
        return f"all {name}" if name.endswith("s") else "no partitioning"
    return f"{name} {value if isinstance(value, str) else ', '.join(value)}"
