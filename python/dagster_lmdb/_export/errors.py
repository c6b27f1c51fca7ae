"""What an export refuses; each message says why and what to do. Nothing was written then."""

from dagster_lmdb._core import LmdbStoreError


class NotAnExportError(LmdbStoreError):
    """A destination that exists and is no export, or one that is damaged."""


class ExportMismatchError(LmdbStoreError):
    """A destination with an export of another store, of another past, or with other options."""


class ExportVersionError(LmdbStoreError):
    """A destination that another version of the schema was written to."""


class MissingFilesError(LmdbStoreError):
    """A destination from which files were taken away."""


class ExportRunningError(LmdbStoreError):
    """Another process exports to the destination."""


class MissingPackageError(LmdbStoreError):
    """A package that this needs is not installed."""
