"""The argument and the options by which every verb finds its store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dagster_lmdb._core import EventLog

Verb = TypeVar("Verb", bound=Callable[..., Any])


def store_arguments(verb: Verb) -> Verb:
    """Gives a verb its arguments ``directory`` and ``overrides``, those of ``open_store``."""
    # The store itself says what is wrong with its permissions, and what to do.
    argument = click.argument(
        "directory",
        metavar="DIR",
        type=click.Path(file_okay=False, readable=False, path_type=Path),
    )
    return argument(store_options(verb))


def store_options(verb: Verb) -> Verb:
    """Gives a verb the options that are ``overrides``."""
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
    ):
        verb = decorate(verb)
    return verb


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
