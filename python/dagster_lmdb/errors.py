"""What a store can refuse or fail with; each message says why and what to do.

A command that raises one of these has stored nothing, nor has one that raises Python's
``UnicodeEncodeError``: for a lone surrogate in what rows are found by (a run id, a step key, a
partition, a tag), as Dagster's SQLite storages do. All of them are subclasses of
``LmdbStoreError``:

- the directory: ``NotAStoreError``, ``StorePermissionError``, ``NetworkFileSystemError``
- who else has it open: ``OtherPidNamespaceError``, ``IncompatibleHostError``
- the versions: ``FormatTooNewError``, ``FoldVersionError``
- the room: ``MapFullError`` (``dagster-lmdb resize``), ``ReadersFullError``, ``DiskFullError``,
  ``DiskFailedError``
- the content: ``DamagedStoreError``, ``DamagedRecordError``, ``UndecodableEventError``
- the history asked for: ``SequenceRangeError``, ``NotThereError``, ``LeaseLostError``
- the command: ``AlreadyThereError``, ``NotThereError``, ``DuplicatePlannedCheckError``,
  ``RebuildRunningError``, ``MaintenanceRunningError``, ``ReadOnlyError``
- the moment: ``NoSuchMomentError``, ``BelowHorizonError``
- an instance as of a moment: ``ReadOnlyInstanceError``, ``ForkCacheError``
- looking into runs: ``UnknownRunError``, ``NotInRunError``
- carrying runs: ``NotACapsuleError``, ``DamagedCapsuleError``, ``CapsuleVersionError``,
  ``ConflictingRunError``, ``UnfinishedRunError``, ``RedactionError``, ``AbsorbRunningError``
- what is to be written: ``DestinationExistsError``, ``DestinationError``
- exports: ``NotAnExportError``, ``ExportMismatchError``, ``ExportVersionError``,
  ``ExportRunningError``, ``MissingFilesError``, ``MissingPackageError``
"""

from dagster_lmdb._core import (
    AlreadyThereError,
    BelowHorizonError,
    DamagedRecordError,
    DamagedStoreError,
    DestinationExistsError,
    DiskFailedError,
    DiskFullError,
    DuplicatePlannedCheckError,
    FoldVersionError,
    FormatTooNewError,
    IncompatibleHostError,
    LeaseLostError,
    LmdbStoreError,
    MaintenanceRunningError,
    MapFullError,
    NetworkFileSystemError,
    NoSuchMomentError,
    NotAStoreError,
    NotThereError,
    OtherPidNamespaceError,
    ReadersFullError,
    ReadOnlyError,
    RebuildRunningError,
    SequenceRangeError,
    StorePermissionError,
    UndecodableEventError,
)
from dagster_lmdb._export.errors import (
    ExportMismatchError,
    ExportRunningError,
    ExportVersionError,
    MissingFilesError,
    MissingPackageError,
    NotAnExportError,
)
from dagster_lmdb.as_of.errors import ForkCacheError, ReadOnlyInstanceError
from dagster_lmdb.debug.errors import (
    AbsorbRunningError,
    CapsuleVersionError,
    ConflictingRunError,
    DamagedCapsuleError,
    DestinationError,
    NotACapsuleError,
    NotInRunError,
    RedactionError,
    UnfinishedRunError,
    UnknownRunError,
)

__all__ = [
    "AbsorbRunningError",
    "AlreadyThereError",
    "BelowHorizonError",
    "CapsuleVersionError",
    "ConflictingRunError",
    "DamagedCapsuleError",
    "DamagedRecordError",
    "DamagedStoreError",
    "DestinationError",
    "DestinationExistsError",
    "DiskFailedError",
    "DiskFullError",
    "DuplicatePlannedCheckError",
    "ExportMismatchError",
    "ExportRunningError",
    "ExportVersionError",
    "FoldVersionError",
    "ForkCacheError",
    "FormatTooNewError",
    "IncompatibleHostError",
    "LeaseLostError",
    "LmdbStoreError",
    "MaintenanceRunningError",
    "MapFullError",
    "MissingFilesError",
    "MissingPackageError",
    "NetworkFileSystemError",
    "NoSuchMomentError",
    "NotACapsuleError",
    "NotAStoreError",
    "NotAnExportError",
    "NotInRunError",
    "NotThereError",
    "OtherPidNamespaceError",
    "ReadOnlyError",
    "ReadOnlyInstanceError",
    "ReadersFullError",
    "RebuildRunningError",
    "RedactionError",
    "SequenceRangeError",
    "StorePermissionError",
    "UndecodableEventError",
    "UnfinishedRunError",
    "UnknownRunError",
]
