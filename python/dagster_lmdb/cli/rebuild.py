"""``dagster-lmdb rebuild``: the projections made anew from the log."""

from pathlib import Path

import click

from dagster_lmdb._opening import open_store
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_arguments

_EXAMPLES = """\b
Example:
  dagster-lmdb rebuild /var/lib/dagster/history
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
def rebuild(directory: Path, overrides: tuple[str, ...]) -> None:
    """Make what Dagster reads anew from the log of DIR.

    Writers and readers go on meanwhile: the log is folded into a second set of projections, which
    takes the place of the first in one commit. Needed where verify finds that the projections
    differ from the log, or where a release of dagster-lmdb asks for it.
    """
    store = open_store(directory, overrides, for_rebuild=True)
    with progress_bar() as report:
        head = store.rebuild(report)
    click.echo(f"Rebuilt up to record {head}.")
