"""What looking into runs refuses; each message says why and what to do."""

from dagster_lmdb._core import DestinationExistsError, LmdbStoreError


class UnknownRunError(LmdbStoreError):
    """A run that the store has neither a record nor an event of."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"there is no run {run_id} in this store; `dagster-lmdb tail` and Dagster's UI show the"
            " ids of runs"
        )


class NotInRunError(LmdbStoreError):
    """A step, an event or a time that the run does not have."""


def destination_exists(path: object) -> DestinationExistsError:
    """A file that is in the way of the one to be written."""
    return DestinationExistsError(f"{path} exists; remove it, or give --force to write over it")


class DestinationError(LmdbStoreError):
    """A file that cannot be written; nothing of it is left."""


class UnfinishedRunError(LmdbStoreError):
    """A run that has not ended, which a daemon would take for one of its own."""


class RedactionError(LmdbStoreError):
    """Values to be redacted that cannot be taken out of what they stand in."""


class NotACapsuleError(LmdbStoreError):
    """A file that is neither a capsule nor one of ``dagster debug export``."""


class DamagedCapsuleError(LmdbStoreError):
    """A capsule that is cut off, or whose content is not what its checksums say."""


class CapsuleVersionError(LmdbStoreError):
    """A capsule of a newer version, or of a Dagster whose objects this one cannot read."""


class ConflictingRunError(LmdbStoreError):
    """A run that is here already, and is another one than the capsule's."""


class AbsorbRunningError(LmdbStoreError):
    """Another process absorbs into the store."""
