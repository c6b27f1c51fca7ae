"""What a store can refuse or fail with; each message says why and what to do.

A command that raises one of these has stored nothing. All of them are subclasses of
``LmdbStoreError``:

- the directory: ``NotAStoreError``, ``StorePermissionError``, ``NetworkFileSystemError`` and
  ``OtherPidNamespaceError`` (a store that another PID namespace holds open)
- the versions: ``FormatTooNewError``, ``FoldVersionError``
- the room: ``DiskFullError``, ``MapFullError`` (``dagster-lmdb resize``), ``ReadersFullError``
- the content: ``DamagedStoreError``, ``DamagedRecordError``, ``UndecodableEventError``
- the command: ``DuplicatePlannedCheckError``, ``RebuildRunningError``
"""

from dagster_lmdb._core import (
    DamagedRecordError,
    DamagedStoreError,
    DiskFullError,
    DuplicatePlannedCheckError,
    FoldVersionError,
    FormatTooNewError,
    LmdbStoreError,
    MapFullError,
    NetworkFileSystemError,
    NotAStoreError,
    OtherPidNamespaceError,
    ReadersFullError,
    RebuildRunningError,
    StorePermissionError,
    UndecodableEventError,
)

__all__ = [
    "DamagedRecordError",
    "DamagedStoreError",
    "DiskFullError",
    "DuplicatePlannedCheckError",
    "FoldVersionError",
    "FormatTooNewError",
    "LmdbStoreError",
    "MapFullError",
    "NetworkFileSystemError",
    "NotAStoreError",
    "OtherPidNamespaceError",
    "ReadersFullError",
    "RebuildRunningError",
    "StorePermissionError",
    "UndecodableEventError",
]
