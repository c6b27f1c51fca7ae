"""The argument and the options by which every verb finds its store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
