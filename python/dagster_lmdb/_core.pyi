"""The engine: one append-only event log in LMDB, and the projections folded from it.

Sequences are positive integers, dense over all records of a store and assigned in commit order; an
event's sequence is Dagster's ``storage_id``. Asset keys cross as ``AssetKey.to_string()``, event
types as ``DagsterEventType.value``, times as Unix seconds. Every query reads one snapshot; every
command is one commit, and one that changes nothing appends nothing. All methods release the GIL
while they wait, flush or scan, raise a subclass of ``LmdbStoreError`` on failure, and are safe to
call from any thread and after a fork.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from os import PathLike
from typing import Any, Literal, final

from dagster import EventLogEntry
from typing_extensions import Self

from dagster_lmdb._rows import (
    AssetEventSummary,
    CheckExecution,
    CheckPartition,
    Event,
    Events,
    Put,
    RecordLine,
)

__all__ = [
    "FOLD_VERSION",
    "FORMAT_VERSION",
    "AlreadyThereError",
    "AssetRow",
    "Batch",
    "Batches",
    "BelowHorizonError",
    "Claim",
    "Compacted",
    "DamagedRecordError",
    "DamagedStoreError",
    "DestinationExistsError",
    "DiskFailedError",
    "DiskFullError",
    "Document",
    "DuplicatePlannedCheckError",
    "EventLog",
    "FoldVersionError",
    "Fork",
    "FormatTooNewError",
    "History",
    "Hold",
    "IncompatibleHostError",
    "LeaseLostError",
    "LmdbStoreError",
    "MaintenanceRunningError",
    "MapFullError",
    "NetworkFileSystemError",
    "NoSuchMomentError",
    "NotAStoreError",
    "NotThereError",
    "OtherPidNamespaceError",
    "PoolRow",
    "ReadOnlyError",
    "ReadersFullError",
    "RebuildRunningError",
    "SequenceRangeError",
    "ShapeTable",
    "StorePermissionError",
    "UndecodableEventError",
    "Verification",
]

FORMAT_VERSION: int
FOLD_VERSION: int

class LmdbStoreError(Exception): ...
class NotAStoreError(LmdbStoreError): ...
class FormatTooNewError(LmdbStoreError): ...
class FoldVersionError(LmdbStoreError): ...
class NetworkFileSystemError(LmdbStoreError): ...
class OtherPidNamespaceError(LmdbStoreError): ...
class StorePermissionError(LmdbStoreError): ...
class DiskFullError(LmdbStoreError): ...
class DiskFailedError(LmdbStoreError): ...
class IncompatibleHostError(LmdbStoreError): ...
class AlreadyThereError(LmdbStoreError): ...
class NotThereError(LmdbStoreError): ...
class MapFullError(LmdbStoreError): ...
class ReadersFullError(LmdbStoreError): ...

class DamagedStoreError(LmdbStoreError):
    #: The message as ``dagster-lmdb verify`` shows it, without the advice to run that.
    finding: str

class DamagedRecordError(LmdbStoreError):
    #: The message as ``dagster-lmdb verify`` shows it, without the advice to run that.
    finding: str

class UndecodableEventError(LmdbStoreError):
    sequence: int

class RebuildRunningError(LmdbStoreError): ...
class MaintenanceRunningError(LmdbStoreError): ...
class SequenceRangeError(LmdbStoreError): ...
class LeaseLostError(LmdbStoreError): ...
class NoSuchMomentError(LmdbStoreError): ...
class BelowHorizonError(LmdbStoreError): ...
class DestinationExistsError(LmdbStoreError): ...
class ReadOnlyError(LmdbStoreError): ...

class DuplicatePlannedCheckError(LmdbStoreError):
    """An evaluation met several planned executions of its run."""

    asset_key: str
    check: str
    #: How many planned executions it met.
    rows: int

@final
class AssetRow:
    """The projection of one asset. Sequences are None where no surviving event qualifies."""

    id: int
    asset_key: str
    last_materialization: Event | None
    last_observation: Event | None
    last_failed: Event | None
    last_skipped: Event | None
    #: ``(sequence, run_id)``
    last_planned: tuple[int, str] | None
    last_run_id: str | None
    wiped_at: float | None
    #: JSON text as given to ``set_cached_status``
    cached_status: str | None

@final
class PoolRow:
    """The projection of one concurrency pool."""

    name: str
    #: None where no limit is set.
    limit: int | None
    from_default: bool
    #: Slots that may be held, not counting those a lower limit retires once they are freed.
    slot_count: int
    #: ``(run_id, step_key)`` of each held slot, retired ones included.
    claimed: list[tuple[str, str]]
    #: ``(run_id, step_key, enqueued, assigned, priority)``, in the order of assignment.
    pending: list[tuple[str, str, float, float | None, int]]

@final
class Claim:
    """Where a step stands in a pool."""

    claimed: bool
    #: None where the step is not in the pool's queue.
    enqueued: float | None
    assigned: float | None
    priority: int | None

@final
class ShapeTable:
    """Shapes held in memory, to encode and decode without a store."""

    def __new__(cls, whitelist_map: Any = None) -> Self: ...
    def seen_by(self, whitelist_map: Any = None) -> Self:
        """A table of the same shapes for a process with another registry."""
    def encode(self, obj: Any, facets: Sequence[str | float | None] | None = None) -> bytes: ...
    def decode(self, body: bytes, facets: Sequence[str | float | None] | None = None) -> Any: ...
    def decode_page(
        self, bodies: Sequence[bytes], facets: Sequence[str | float | None] | None = None
    ) -> list[Any]:
        """The values of many bodies with the same facets."""
    def packed_json(
        self, body: bytes, facets: Sequence[str | float | None] | None = None
    ) -> str: ...
    def shapes(self) -> list[dict[str, Any]]:
        """The shapes by ordinal; ``native`` says that reading one needs none of Dagster's hooks."""
    @staticmethod
    def recognises(function: Any) -> bool:
        """Whether the codec knows what a hook of Dagster's does, by its source."""

@final
class Document:
    """An object with terms to find it by: a run, a backfill, a tick, a heartbeat, ..."""

    id: int
    key: str
    #: When it was made, Unix seconds.
    created: float
    #: ``(name, value, order)`` as they are now, a run's state and added tags included
    terms: list[tuple[str, str, float]]
    #: For a run that changed since its body was written:
    #: ``(status, updated, started, ended, tags added or changed)``
    run: tuple[str, float, float | None, float | None, dict[str, str]] | None
    #: The object; None where values were not asked for.
    value: Any

@final
class Compacted:
    """What a compaction did; where it went on with one that was broken off, what both did."""

    #: Records that left husks.
    records: int
    #: Bytes of frames that the log lost, husks counted.
    bytes: int
    #: Bytes of the log's pages when it began, and after it.
    log_before: int
    log_after: int
    #: First sequence from which on no event, run or instigator record is missing.
    whole_from: int
    #: The same of heartbeats and cursor values.
    registers_from: int

@final
class Fork:
    """A store that was made from another's history."""

    store_id: str
    #: Its head, and the last record of the source that it has.
    sequence: int
    #: Frames that were copied.
    records: int
    #: The source's horizons: a fork whose ``sequence`` is at least ``whole_from`` - 1 shows all
    #: that the source did; with ``registers_from`` also heartbeats and cursor values.
    whole_from: int
    registers_from: int

@final
class Verification:
    """What ``EventLog.verify`` found. ``differences`` is empty for a sound store."""

    records: int
    head: int
    rows: int
    #: One line each: a damaged record, or ``table key`` that differs.
    differences: list[str]

@final
class History:
    """A table of history, as one moment has it. Speaks the Arrow PyCapsule stream interface.

    Each stream begins anew and gives the same rows; they are read while the consumer goes on.
    """

    #: The last record of that moment.
    head: int
    #: The last record that is looked at.
    end: int
    def batches(self) -> Batches: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Hold:
    """A lease on the log from a record on, which is renewed."""

    def close(self) -> None: ...

@final
class Batches:
    """An iterator of batches, some of which may be empty. Not to be carried through a fork."""

    #: The record up to which rows have come, or nearly.
    position: int
    def __iter__(self) -> Self: ...
    def __next__(self) -> Batch: ...

@final
class Batch:
    """A record batch. Speaks the Arrow PyCapsule array interface."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]: ...

@final
class EventLog:
    def __new__(
        cls,
        directory: str | PathLike[str],
        *,
        create: bool = True,
        map_size: int | None = None,
        max_readers: int | None = None,
        durability: Literal["durable", "relaxed"] | None = None,
        allow_network_file_system: bool = False,
        allow_other_pid_namespaces: bool = False,
        for_rebuild: bool = False,
        read_only: bool = False,
    ) -> Self:
        """``for_rebuild`` opens a store whose projections another fold version left behind.

        ``read_only`` refuses every write of this handle with ReadOnlyError.
        """
    @property
    def store_id(self) -> str: ...
    @property
    def epoch(self) -> int:
        """Rises when history may have been taken back."""
    def close(self) -> None:
        """Gives up this handle's claim on the environment; idempotent, and a later call reopens."""

    # Commands
    def store_events(
        self, entries: Sequence[EventLogEntry], tags_to_index: Callable[[set[str]], set[str]]
    ) -> list[int]:
        """Stores the entries in one commit, all or none, and returns their sequences."""
    def delete_run_events(self, run_id: str, now: float) -> None:
        """Also frees the run's concurrency slots."""
    def wipe(self, now: float) -> None: ...
    def wipe_asset(self, asset_key: str, now: float) -> None: ...
    def wipe_asset_partitions(
        self, asset_key: str, partitions: Sequence[str], now: float
    ) -> None: ...
    def set_cached_status(self, asset_key: str, status: str) -> None: ...
    def clear_cached_status(self, asset_key: str) -> None: ...
    def add_dynamic_partitions(self, definition: str, keys: Sequence[str], now: float) -> None: ...
    def delete_dynamic_partition(self, definition: str, key: str, now: float) -> None: ...
    def set_pool_limit(
        self, pool: str, limit: int, now: float, *, from_default: bool = False
    ) -> None:
        """Sets limit and slots. An explicit limit assigns new slots to pending steps.

        ``from_default=True`` inserts the default, or changes a limit that differs from it while
        keeping how it was set; it assigns nothing, as Dagster's SQL storages.
        """
    def delete_pool_limit(self, pool: str, now: float) -> None: ...
    def claim_slot(
        self, pool: str, run_id: str, step_key: str, priority: int, now: float
    ) -> Claim: ...
    def free_slots(self, run_id: str, step_key: str | None, now: float) -> None: ...

    # Events
    def run_events(
        self,
        run_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        offset: int = 0,
        types: Set[str] | None = None,
        step_keys: Set[str] | None = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> list[Event]:
        """Raises UndecodableEventError where an event of the page does not decode.

        ``step_keys`` keeps events of these steps; an empty set keeps events of any step.
        """
    def run_event_counts(
        self, run_id: str, types: Set[str] | None = None
    ) -> dict[str, tuple[int, float]]:
        """Per event type: how many, and the latest timestamp. Log messages are left out."""
    def run_asset_partitions(
        self, run_id: str, types: Set[str] | None = None
    ) -> list[tuple[str, str | None]]:
        """Distinct ``(asset_key, partition)`` of the run's asset events."""
    def events(
        self,
        event_type: str,
        *,
        asset_key: str | None = None,
        partitions: Sequence[str] | None = None,
        job_names: Sequence[str] | None = None,
        sequences: Sequence[int] | None = None,
        after: int | None = None,
        before: int | None = None,
        after_timestamp: float | None = None,
        before_timestamp: float | None = None,
        limit: int | None = None,
        ascending: bool = False,
    ) -> Events:
        """Events of one type, ordered by sequence; bounds exclude.

        ``job_names`` keeps those of these jobs, for the types that change a run's status.
        """
    def events_after(
        self, after: int, types: Set[str] | None = None, limit: int | None = None
    ) -> Events:
        """Events of all runs, ascending, up to the first that does not decode."""
    def asset_event_summaries(
        self,
        event_type: str,
        *,
        asset_key: str | None = None,
        run_id: str | None = None,
        sequences: Sequence[int] | None = None,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        ascending: bool = False,
    ) -> list[AssetEventSummary]: ...
    def last_event_sequence(self) -> int | None:
        """The last event that is not deleted; a long stretch without any is looked through once."""

    # History
    def history(
        self,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        since: int | float | None = None,
        until: int | float | None = None,
        runs: Sequence[str] | None = None,
        assets: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        incomplete: bool = False,
        head: int | None = None,
        known: bool = False,
    ) -> History:
        """A table as it is at this moment: events, runs, asset_checks, ticks or backfills.

        Integers are sequences, included; floats are Unix seconds, ``until`` excluded.
        ``incomplete`` begins below the horizon with what is left there. ``head`` is the last record
        of an earlier moment, for tables that are to be of one; ``hold`` before it. Where runs and
        assets are ``known``, those that are not there any more are no error.
        """
    def hold(self, sequence: int) -> Hold:
        """Keeps compactions from the records from one on, until it is closed."""

    # Assets
    def has_asset(self, asset_key: str) -> bool: ...
    def asset_keys(
        self, prefix: str | None = None, after: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Known asset keys whose text begins with ``prefix``, in the order of their text."""
    def asset_rows(self, asset_keys: Sequence[str] | None = None) -> list[AssetRow]:
        """Known assets; unknown keys are left out."""
    def latest_materializations(self, asset_keys: Sequence[str]) -> dict[str, Event | None]: ...
    def latest_materialization_sequences(
        self, asset_keys: Sequence[str]
    ) -> dict[str, int | None]: ...
    def latest_unpartitioned_materialization_sequences(
        self, asset_keys: Sequence[str]
    ) -> dict[str, int]:
        """Only assets whose latest materialization has no partition."""
    def latest_freshness_changes(self, asset_keys: Sequence[str]) -> list[EventLogEntry]: ...
    def latest_planned(self, asset_key: str, partition: str | None) -> tuple[int, str] | None: ...
    def event_tags(
        self, asset_key: str, tags: Mapping[str, str] | None, sequence: int | None
    ) -> list[dict[str, str]]: ...
    def materialized_partitions(
        self, asset_key: str, *, after: int | None = None, before: int | None = None
    ) -> set[str]: ...
    def latest_sequences_by_partition(
        self,
        asset_key: str,
        event_type: str,
        *,
        partitions: Set[str] | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> dict[str, int]: ...
    def latest_tags_by_partition(
        self,
        asset_key: str,
        event_type: str,
        tag_keys: Sequence[str],
        *,
        partitions: Sequence[str] | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> dict[str, dict[str, str]]: ...
    def unmaterialized_attempts(
        self, asset_key: str, after: int | None = None
    ) -> dict[str, tuple[str, int]]: ...
    def changed_data_versions(
        self, asset_key: str, partitions: Sequence[str], since: int, tag_key: str
    ) -> set[str]: ...

    # Checks
    def check_executions(
        self,
        asset_key: str,
        check: str,
        *,
        limit: int,
        before: int | None = None,
        statuses: Set[str] | None = None,
        partition: tuple[str | None] | None = None,
    ) -> list[CheckExecution]:
        """Newest first. ``partition=(None,)`` keeps executions without a partition."""
    def latest_check_executions(
        self, checks: Sequence[tuple[str, str]], partition: tuple[str | None] | None = None
    ) -> list[CheckExecution | None]: ...
    def check_partitions(
        self,
        asset_key: str,
        check: str,
        *,
        after: int | None = None,
        partitions: Sequence[str] | None = None,
    ) -> list[CheckPartition]:
        """The latest execution per partition, with the partition's latest materialization.

        ``after`` keeps those whose check event or materialization is newer.
        """

    # Dynamic partitions
    def dynamic_partitions(self, definition: str) -> list[str]: ...
    def dynamic_partitions_page(
        self, definition: str, *, limit: int, ascending: bool, cursor: int | None = None
    ) -> list[tuple[int, str]]:
        """``(id, key)``, ordered by id, beyond ``cursor``."""
    def existing_dynamic_partitions(self, definition: str, keys: Sequence[str]) -> set[str]: ...

    # Concurrency
    def pools(self) -> list[tuple[str, int, bool]]:
        """``(name, limit, from_default)`` of every pool that has a limit."""
    def pool_rows(self, names: Sequence[str]) -> list[PoolRow]:
        """One row a name, also for pools that nobody knows."""
    def claim_status(self, pool: str, run_id: str, step_key: str) -> Claim: ...
    def pending_run_ids(self) -> set[str]: ...

    # Documents. A space is one of: run, snapshot, backfill, heartbeat, cursor_value, instance_fact,
    # instigator, tick, evaluation, telemetry. A term is (name, value, order): documents with a term
    # are found by name and value, ordered by order (a time, or 0.0) and then by id. For runs, terms
    # named status, @updated, @started, @ended and tag:KEY follow the run's state. An id is the
    # sequence of the record that first held the document, and stays.
    def put_documents(
        self,
        space: str,
        documents: Sequence[
            tuple[int | None, str, float | None, Sequence[tuple[str, str, float]], Any]
        ],
        put: Put | Sequence[Put],
        now: float,
    ) -> list[int]:
        """Puts ``(id, key, created, terms, value)``, all or none, and returns their ids.

        An id names the document to update where it has no key (key ""). ``created`` None means
        now. ``insert`` raises AlreadyThereError, ``update`` NotThereError; ``update_if_present``
        passes over, and leaves out of the result, what is not there. One way to put, or one for
        each. What does not change is not appended. A term ``@created`` is ordered by when the
        document was made.
        """
    def remove_documents(
        self,
        space: str,
        removals: Sequence[tuple[str, bool, tuple[str, str] | None]],
        now: float,
    ) -> None:
        """Removes ``(key, required, kept_by)``, in their order, all or none.

        Where a required one is not there, raises NotThereError. One that is kept by a term's name
        and value stays while a document of the space has that term and does not go itself.
        """
    def add_run(
        self,
        run_id: str,
        created: float,
        terms: Sequence[tuple[str, str, float]],
        value: Any,
        snapshot_id: str | None,
        now: float,
    ) -> None:
        """Inserts a run's document.

        Raises AlreadyThereError where the run is there, and NotThereError where its job's snapshot
        is not.
        """
    def purge_documents(
        self, space: str, name: str, term_values: Sequence[str], before: float, now: float
    ) -> None:
        """Removes documents with one of the values of ``name`` that it orders before a bound.

        The first in the order go first, in commits of at most 500, between which other writers have
        their turn. A call that is interrupted has removed some; the next one goes on.
        """
    def wipe_spaces(self, spaces: Sequence[str], now: float) -> None: ...
    def delete_run(self, run_id: str, now: float) -> None:
        """Hides the run, its events, its telemetry and its slots in one commit."""
    def handle_run_event(
        self,
        run_id: str,
        *,
        event_type: str,
        timestamp: float,
        status: str,
        failure_reason: str | None,
        starts: bool,
        ends: bool,
        now: float,
    ) -> None:
        """Does nothing where the run is unknown, or where storing the event has done it.

        Storing it has, where the run's log holds this type at this time, unless the run is younger
        than the event. A finished run goes on to be told of another end that is not older.
        """
    def add_run_tags(self, run_id: str, tags: Sequence[tuple[str, str]], now: float) -> None:
        """Raises NotThereError for an unknown run. Sets the run's update time to now."""
    def find_documents(
        self,
        space: str,
        *,
        any_of: Sequence[tuple[str, Sequence[str]]] | None = None,
        ranges: Sequence[tuple[str, float | None, float | None]] | None = None,
        keys: Sequence[str] | None = None,
        after: int | None = None,
        before: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
        limit: int | None = None,
        values: bool = True,
    ) -> list[Document]:
        """Documents with one of the values of each name, sorted by id, or by a time and then by id.

        ``ranges``: a time, its lower and upper bound (excluded). A time is ``@created``,
        ``@updated``, ``@started`` or ``@ended``, of a run or a backfill; another raises ValueError.
        ``after``, ``before``: ids, excluded. ``order_by``: a time; documents without it come as if
        it were the earliest. O(documents returned and the gaps of the rarest set, times the
        logarithm of all).
        """
    def count_documents(
        self,
        space: str,
        *,
        any_of: Sequence[tuple[str, Sequence[str]]] | None = None,
        ranges: Sequence[tuple[str, float | None, float | None]] | None = None,
        keys: Sequence[str] | None = None,
    ) -> int: ...
    def document_buckets(
        self,
        space: str,
        name: str,
        bucket_values: Sequence[str],
        *,
        any_of: Sequence[tuple[str, Sequence[str]]] | None = None,
        ranges: Sequence[tuple[str, float | None, float | None]] | None = None,
        keys: Sequence[str] | None = None,
        after: int | None = None,
        before: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
        bucket_limit: int | None = None,
        limit: int | None = None,
    ) -> list[Document]:
        """The newest documents of each value of ``name``, at most ``bucket_limit`` of each.

        Of these the first ``limit`` in the order asked for, as ``find_documents``.
        """
    def newest_documents_of_each(
        self,
        space: str,
        name: str,
        *,
        any_of: Sequence[tuple[str, Sequence[str]]] | None = None,
        ranges: Sequence[tuple[str, float | None, float | None]] | None = None,
        keys: Sequence[str] | None = None,
    ) -> list[Document]:
        """The newest document, without its object, of each value of ``name``, newest first."""
    def ordered_documents(
        self,
        space: str,
        name: str,
        term_values: Sequence[str],
        *,
        after: float | None = None,
        before: float | None = None,
        ascending: bool = False,
        limit: int | None = None,
        values: bool = True,
    ) -> list[Document]:
        """Documents with one of the values of ``name``, by its order within bounds, then id."""
    def ordered_document_groups(
        self,
        space: str,
        name: str,
        groups: Sequence[Sequence[str]],
        *,
        limit: int | None = None,
    ) -> list[list[Document]]:
        """For each group of values of ``name``: the last ``limit`` documents, last first."""
    def documents_by_id(
        self, space: str, ids: Sequence[int], *, values: bool = True
    ) -> list[Document]:
        """Unknown ids are left out."""
    def document_id(self, space: str, key: str) -> int | None: ...
    def term_names(self, space: str, prefix: str = "") -> list[str]: ...
    def term_values(
        self, space: str, name: str, prefix: str = "", limit: int | None = None
    ) -> list[str]: ...

    # Following
    def commit_word(self) -> int: ...
    def wait_for_commit(self, seen: int, timeout: float) -> int:
        """Blocks until a commit after ``seen`` or the timeout (seconds); returns the word now."""
    def wake(self) -> None:
        """Ends every ``wait_for_commit`` on the store, as a commit that stores nothing would."""

    # The store
    def stat(self, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
        """Sizes in bytes, versions, and what the store holds; costs the length of the log.

        ``head`` is the last record's sequence, 0 in an empty store. ``records`` maps each kind to
        ``(records, bytes)``, and ``tables`` each table to ``(rows, bytes, depth)``; every other
        value is a number or a text. ``leases`` and ``leased_from`` are there while readers hold
        history against a compaction.
        """
    def leases(self) -> list[tuple[int, float]]:
        """What readers hold against a compaction: the first record, and until when (Unix seconds).

        A reader renews its leases for as long as it reads. Those that have expired are left out.
        """
    def resize(self, map_size: int) -> None: ...
    def tail(
        self, *, after: int = 0, run_id: str | None = None, limit: int = 1000
    ) -> tuple[list[RecordLine], int]:
        """Records after a sequence, and the sequence to go on after.

        A call looks at a bounded number of records, and may return none before the end of the log,
        where the sequence to go on after is the one given.
        """
    def before_last_of_run(self, run_id: str, count: int) -> int:
        """The sequence after which the last ``count`` records of a run stand, found by its index.

        That of its first record where it has fewer events; 0 for a run that is not there.
        """
    def head(self) -> int:
        """The last record's sequence, 0 in an empty store."""
    def checksum(self, sequence: int) -> int | None:
        """The checksum of a record; None where there is a husk, or nothing."""
    def packed_json(self, sequence: int) -> str:
        """The stored event as Dagster's packed JSON."""
    def verify(self, progress: Callable[[str, int, int], None] | None = None) -> Verification:
        """``progress(phase, done, total)``."""
    def rebuild(self, progress: Callable[[str, int, int], None] | None = None) -> int:
        """Refolds the log into the other projection set, switches to it; returns the head."""
    def compact(
        self,
        *,
        keep_since: float | None = None,
        now: float,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Compacted:
        """Replaces records that later ones supersede or cover by husks, beside live writers.

        History since ``keep_since`` stays whole but for heartbeats and cursor values; both times
        are in Unix seconds. Costs the length of the log, and 16 bytes of memory for each thing that
        the log holds the state of. A compaction that died is ended first. What a reader of history
        has a lease on stays whole too.

        Raises:
            MaintenanceRunningError: Beside another compaction, a verification or a rebuild.
        """
    def husk(self, sequences: Sequence[int]) -> list[int]:
        """Replaces the records of these sequences that may go by husks; returns those replaced."""

    # Time travel
    def resolve(
        self,
        sequence: int | None = None,
        *,
        time: float | None = None,
        end_of_run: str | None = None,
        now: float,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> int:
        """The last record at a moment, which is one of a sequence, a time and the end of a run.

        *At a time* (Unix seconds) is before the first record whose time is after it; one that was
        ahead of the host's clock as it was committed counts for nothing. *The end of a run* is its
        last event so far, or where its events are stored elsewhere the last record of its state.
        ``now`` is what the clock shows. Costs the records of about a second.

        Raises:
            NoSuchMomentError: For a record beyond the head, a time before the first record or after
                now, and an unknown run.
        """
    def fork(
        self,
        destination: str | PathLike[str],
        sequence: int,
        *,
        incomplete: bool = False,
        allow_network_file_system: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Fork:
        """Makes a store with the history up to a record, that one included, beside live writers.

        Nothing is at ``destination`` until all is. ``incomplete`` goes on below ``whole_from``,
        with what a compaction has left. Costs the length of the log up to there.

        Raises:
            NoSuchMomentError: Beyond the head.
            BelowHorizonError: Below ``whole_from``, unless ``incomplete``.
            DestinationExistsError: If there is anything at the destination.
            MaintenanceRunningError: Beside a compaction of this store.
        """
    def horizons(self) -> tuple[int, int]:
        """``(whole_from, registers_from)``, as ``stat`` has them."""
    def forked_from(self) -> tuple[str, int, int] | None:
        """For a fork: the source's id, the last record taken from it, and its checksum."""
    def record_checksum(self, sequence: int) -> int | None:
        """The CRC-32C of a record or husk; None where no frame of its own is."""
