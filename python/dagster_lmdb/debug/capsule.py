"""The file that carries runs from one store to another; docs/debugging.md specifies it.

A capsule is a zip archive of JSON lines. ``capsule.json`` says what it holds, with the SHA-256 and
the number of lines of every other member; the archive's comment has its own SHA-256.
Objects are as Dagster serializes them. A file of ``dagster debug export`` (a serialized
``DebugRunPayload`` under gzip) is read too.
"""

import gzip
import hashlib
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import dagster
from dagster import EventLogEntry
from dagster._core.debug import DebugRunPayload
from dagster._core.events import DagsterEventType
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import TickData
from dagster._core.snap import ExecutionPlanSnapshot, JobSnap
from dagster._core.storage.dagster_run import DagsterRun
from dagster._serdes import deserialize_value

from dagster_lmdb import __version__
from dagster_lmdb.debug.errors import (
    CapsuleVersionError,
    DamagedCapsuleError,
    NotACapsuleError,
)

FORMAT, VERSION = "dagster-lmdb capsule", 1
MANIFEST = "capsule.json"
RUNS, SNAPSHOTS, TICKS, BACKFILLS = (
    "runs.jsonl",
    "snapshots.jsonl",
    "ticks.jsonl",
    "backfills.jsonl",
)

#: What Dagster keeps elsewhere, and what is another thing than the runs' history.
ABSENT = (
    "compute logs (stdout and stderr of steps)",
    "values of inputs and outputs, which I/O managers keep",
    "code and definitions state",
    "states of schedules and sensors, dynamic partitions, concurrency limits",
)

_COMMENT = f"{FORMAT}; sha256 of {MANIFEST}: "
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"

# How the message of such an engine event begins.
_UNREAD = "Could not deserialize event of type"

T = TypeVar("T")


@dataclass(frozen=True)
class CapsuleRun:
    """A run with its times, in Unix seconds, and its events in the order of the log.

    Events are read when they are first asked for, which takes most of the time that a capsule
    takes. Where a store has the same texts it need not be.
    """

    run: DagsterRun
    created: float
    updated: float
    started: float | None
    ended: float | None
    read_events: Callable[[], Sequence[EventLogEntry]]
    #: The events as Dagster serializes them; None where the file has them in another form.
    texts: Sequence[str] | None = None

    @cached_property
    def events(self) -> Sequence[EventLogEntry]:
        """The events.

        Raises:
            CapsuleVersionError: If the Dagster that is installed cannot read them.
        """
        return self.read_events()


@dataclass(frozen=True)
class Contents:
    """What a capsule holds."""

    runs: Sequence[CapsuleRun]
    snapshots: Mapping[str, JobSnap | ExecutionPlanSnapshot]
    #: By the ids that they had where they come from, which runs' tags name.
    ticks: Mapping[int, TickData] = field(default_factory=dict)
    backfills: Sequence[PartitionBackfill] = ()


def events_name(run_id: str) -> str:
    """The member that holds a run's events."""
    return f"events/{run_id}.jsonl"


class CapsuleWriter:
    """Writes a capsule into a file, a member after the other; a context."""

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self._members: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "CapsuleWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        # What is broken off is no capsule, and its end need not be written.
        with suppress(OSError) if error else nullcontext():
            self._archive.close()

    def add(self, name: str, lines: Iterable[str]) -> int:
        """Adds a member of lines of JSON without a break of line; returns how many they are."""
        digest, count = hashlib.sha256(), 0
        with self._archive.open(_entry(name), "w", force_zip64=True) as member:
            for line in lines:
                text = f"{line}\n".encode()
                digest.update(text)
                member.write(text)
                count += 1
        self._members[name] = {"sha256": digest.hexdigest(), "lines": count}
        return count

    def finish(self, run_ids: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Writes what the capsule holds, which makes it one."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "made": time.time(),
            "dagster": dagster.__version__,
            "dagster_lmdb": __version__,
            "runs": list(run_ids),
            "absent": list(ABSENT),
            **facts,
            "members": self._members,
        }
        text = json.dumps(manifest, indent=2).encode()
        self._archive.writestr(_entry(MANIFEST), text)
        self._archive.comment = (_COMMENT + hashlib.sha256(text).hexdigest()).encode()


def _entry(name: str) -> zipfile.ZipInfo:
    """A member without a date, so that equal content makes equal files."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def read_capsule(path: Path) -> Contents:
    """Reads a capsule, or a file of ``dagster debug export``, whole, and checks all of it.

    The events of a capsule's runs are checked by their checksum, and decoded when asked for.

    Raises:
        NotACapsuleError: If it is neither.
        DamagedCapsuleError: If it is cut off, or not what its checksums say.
        CapsuleVersionError: If it is of a newer version, or has objects that cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
            if beginning == _ZIP:
                return _read_archive(path, file)
            if beginning.startswith(_GZIP):
                return _read_debug_file(path)
    except OSError as error:
        raise NotACapsuleError(f"{path} cannot be read: {error.strerror}") from error
    raise NotACapsuleError(
        f"{path} is no capsule of `dagster-lmdb extract`, and no file of `dagster debug export`"
    )


def _read_archive(path: Path, file: BinaryIO) -> Contents:
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(path, archive)
            members = {name: _Member(path, archive, name, manifest) for name in manifest["members"]}
            return _contents(path, manifest, members)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DamagedCapsuleError(f"{path} is cut off or damaged: {error}") from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Mapping[str, Any]:
    if MANIFEST not in archive.namelist():
        raise NotACapsuleError(f"{path} is an archive without {MANIFEST}, and so no capsule")
    text = archive.read(MANIFEST)
    try:
        manifest = json.loads(text)
        is_ours = manifest.get("format") == FORMAT
    except (ValueError, AttributeError):
        is_ours = False
    if not is_ours:
        raise NotACapsuleError(f"{path} has a {MANIFEST} that is not a capsule's")
    if manifest["version"] > VERSION:
        raise CapsuleVersionError(
            f"{path} is a capsule of version {manifest['version']}, made by dagster-lmdb"
            f" {manifest['dagster_lmdb']}; this one reads up to version {VERSION}: upgrade it"
        )
    if archive.comment != (_COMMENT + hashlib.sha256(text).hexdigest()).encode():
        raise DamagedCapsuleError(f"{path}: {MANIFEST} is not what its checksum says")
    found: Mapping[str, Any] = manifest
    return found


class _Member:
    """A member's lines, which are checked as they are read."""

    def __init__(
        self, path: Path, archive: zipfile.ZipFile, name: str, manifest: Mapping[str, Any]
    ) -> None:
        self._path = path
        self._archive = archive
        self._name = name
        self._wanted = manifest["members"][name]
        self._dagster = manifest["dagster"]

    def read(self, decode: Callable[[str], T]) -> Iterator[T]:
        return self.decoded(self.texts(), decode)

    def texts(self) -> Sequence[str]:
        digest, count = hashlib.sha256(), 0
        try:
            with self._archive.open(self._name) as member:
                lines = []
                for line in member:
                    digest.update(line)
                    count += 1
                    lines.append(line)
        except KeyError as error:
            raise DamagedCapsuleError(f"{self._path} lacks {self._name}") from error
        if {"sha256": digest.hexdigest(), "lines": count} != self._wanted:
            raise DamagedCapsuleError(
                f"{self._path}: {self._name} is not what its checksum says; ask for it again"
            )
        return [line.decode().removesuffix("\n") for line in lines]

    def decoded(self, texts: Iterable[str], decode: Callable[[str], T]) -> Iterator[T]:
        for number, text in enumerate(texts, 1):
            # What is in there is right, by its checksum: a reader's trouble is the versions'.
            with _readable(self._path, f"{self._name}, line {number}", self._dagster):
                value = decode(text)
            yield value


def _events(member: _Member, texts: Sequence[str]) -> Sequence[EventLogEntry]:
    return list(
        member.decoded(
            texts, lambda text: _known(json.loads(text), deserialize_value(text, EventLogEntry))
        )
    )


class _readable:
    """Says of objects that cannot be read which Dagster wrote them."""

    def __init__(self, path: Path, where: str, version: str) -> None:
        self._path, self._where, self._version = path, where, version

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise CapsuleVersionError(
                f"{self._path}: Dagster {dagster.__version__} cannot read {self._where}, which was"
                f" written with Dagster {self._version}: {' '.join(str(error).split())}"
            ) from error


def _contents(
    path: Path, manifest: Mapping[str, Any], members: Mapping[str, "_Member"]
) -> Contents:
    missing = {RUNS, SNAPSHOTS, TICKS, BACKFILLS, *map(events_name, manifest["runs"])} - set(
        members
    )
    if missing:
        raise DamagedCapsuleError(f"{path} lacks {', '.join(sorted(missing))}")
    runs = []
    for row in members[RUNS].read(json.loads):
        with _readable(path, RUNS, manifest["dagster"]):
            run = _object(row["run"], DagsterRun)
        member = members[events_name(run.run_id)]
        texts = member.texts()
        times = {name: row[name] for name in ("created", "updated", "started", "ended")}
        read = partial(_events, member, texts)
        runs.append(CapsuleRun(run=run, read_events=read, texts=texts, **times))
    snapshots = members[SNAPSHOTS].read(
        lambda text: _identified(text, "snapshot", (JobSnap, ExecutionPlanSnapshot))
    )
    ticks = members[TICKS].read(lambda text: _identified(text, "tick", TickData))
    backfills = members[BACKFILLS].read(lambda text: deserialize_value(text, PartitionBackfill))
    return Contents(runs, dict(snapshots), dict(ticks), list(backfills))


def _known(packed: Any, entry: EventLogEntry) -> EventLogEntry:
    """An event that was read as what it is: Dagster puts an engine event for one it cannot read.

    Raises:
        ValueError: If it did.
    """
    event = entry.dagster_event
    if (
        event is not None
        and event.event_type_value == DagsterEventType.ENGINE_EVENT
        and packed["dagster_event"]["event_type_value"] != DagsterEventType.ENGINE_EVENT
        and (event.message or "").startswith(_UNREAD)
    ):
        raise ValueError(event.message)
    return entry


def _identified(text: str, name: str, kind: Any) -> tuple[Any, Any]:
    row = json.loads(text)
    return row["id"], _object(row[name], kind)


def _object(packed: Any, kind: Any) -> Any:
    return deserialize_value(json.dumps(packed), kind)


def _read_debug_file(path: Path) -> Contents:
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedCapsuleError(f"{path} is cut off or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise NotACapsuleError(f"{path} is no file of `dagster debug export`") from error
    try:
        is_payload = json.loads(text)["__class__"] == DebugRunPayload.__name__
    except (ValueError, KeyError, TypeError):
        is_payload = False
    if not is_payload:
        raise NotACapsuleError(f"{path} is no file of `dagster debug export`")
    packed = json.loads(text)
    with _readable(path, "it", str(packed.get("version"))):
        payload = deserialize_value(text, DebugRunPayload)
        for pair in zip(packed["event_list"], payload.event_list, strict=True):
            _known(*pair)
    run = payload.dagster_run
    snapshots: dict[str, JobSnap | ExecutionPlanSnapshot] = {}
    if run.job_snapshot_id is not None:
        snapshots[run.job_snapshot_id] = payload.job_snapshot
    if run.execution_plan_snapshot_id is not None:
        snapshots[run.execution_plan_snapshot_id] = payload.execution_plan_snapshot
    return Contents([_run_of_debug_file(run, payload.event_list)], snapshots)


def _run_of_debug_file(run: DagsterRun, events: Sequence[EventLogEntry]) -> CapsuleRun:
    """A run with the times that its events tell: such a file has no others."""
    times = [entry.timestamp for entry in events] or [time.time()]

    def last(*types: DagsterEventType) -> float | None:
        wanted = {each.value for each in types}
        found = [
            entry.timestamp
            for entry in events
            if entry.dagster_event and entry.dagster_event.event_type_value in wanted
        ]
        # As exact as storages keep them.
        return round(found[-1], 6) if found else None

    started = last(DagsterEventType.RUN_START)
    ended = last(
        DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED
    )
    return CapsuleRun(run, min(times), ended or max(times), started, ended, lambda: events)
