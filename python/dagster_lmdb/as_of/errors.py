"""What an instance as of a moment refuses; each message says why and what to do."""

from dagster_lmdb._core import LmdbStoreError, ReadOnlyError


class ReadOnlyInstanceError(ReadOnlyError):
    """An instance that is open as of a moment was to be changed; nothing was.

    Attributes:
        as_of (str): The moment, as it is configured.
        sequence (int): The last record that the instance shows.
    """

    def __init__(self, directory: str, as_of: str, sequence: int) -> None:
        super().__init__(
            f"this instance shows {directory} as of record {sequence:,} (as_of: {as_of}), so"
            " nothing can be changed; take as_of out of the storage's configuration to go on from"
            " today, or make a store of its own that may be changed with:"
            f" dagster-lmdb fork {directory} DEST --at {sequence}"
        )
        self.as_of = as_of
        self.sequence = sequence


class ForkCacheError(LmdbStoreError):
    """The directory in which forks are kept cannot be used."""
