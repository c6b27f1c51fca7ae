"""The argument and the options by which every verb finds its store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dagster_lmdb._core import EventLog

Verb = TypeVar("Verb", bound=Callable[..., Any])


def store_arguments(verb: Verb) -> Verb:
    """Gives a verb its arguments ``directory`` and ``overrides``, those of ``open_store``."""
    for decorate in (
        click.option(
            "--allow-other-pid-namespaces",
            "overrides",
            flag_value="allow_other_pid_namespaces",
            multiple=True,
            help="Open the store beside processes of another PID namespace all the same.",
        ),
        click.option(
            "--allow-network-file-system",
            "overrides",
            flag_value="allow_network_file_system",
            multiple=True,
            help="Open the store on a network file system all the same.",
        ),
        # The store itself says what is wrong with its permissions, and what to do.
        click.argument(
            "directory",
            metavar="DIR",
            type=click.Path(file_okay=False, readable=False, path_type=Path),
        ),
    ):
        verb = decorate(verb)
    return verb


def open_store(
    directory: Path, overrides: tuple[str, ...], *, for_rebuild: bool = False
) -> EventLog:
    """Opens a store that exists; for a rebuild, also one that another fold version left behind.

    Raises:
        LmdbStoreError: If there is none, or it cannot be opened.
    """
    return EventLog(
        directory,
        create=False,
        allow_network_file_system="allow_network_file_system" in overrides,
        allow_other_pid_namespaces="allow_other_pid_namespaces" in overrides,
        for_rebuild=for_rebuild,
    )
