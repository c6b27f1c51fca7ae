"""A store opened by its directory, and by what its user has agreed to."""

from pathlib import Path

from dagster_lmdb._core import EventLog


def open_store(
    directory: Path,
    overrides: tuple[str, ...],
    *,
    create: bool = False,
    for_rebuild: bool = False,
) -> EventLog:
    """Opens a store that exists, or makes one; for a rebuild, also one of another fold version.

    Raises:
        LmdbStoreError: If there is none, or it cannot be opened.
    """
    return EventLog(
        directory,
        create=create,
        allow_network_file_system="allow_network_file_system" in overrides,
        allow_other_pid_namespaces="allow_other_pid_namespaces" in overrides,
        for_rebuild=for_rebuild,
    )
