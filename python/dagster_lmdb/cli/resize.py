"""``dagster-lmdb resize``: how large a store may grow."""

from pathlib import Path

import click

from dagster_lmdb._opening import open_store
from dagster_lmdb.cli.sizes import Size, readable
from dagster_lmdb.cli.store import store_arguments

_EXAMPLES = """\b
Examples:
  dagster-lmdb resize /var/lib/dagster/history --map-size 2TiB
  dagster-lmdb resize /var/lib/dagster/history --map-size 2199023255552
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.option(
    "--map-size",
    type=Size(),
    required=True,
    metavar="SIZE",
    help="The most that the data file may grow to: 2TiB, 500GB, or bytes.",
)
def resize(directory: Path, overrides: tuple[str, ...], map_size: int) -> None:
    """Let the store of DIR grow to SIZE.

    The map is address space, and takes disk only as it fills; it cannot be made smaller. Processes
    that have the store open take up the new size by themselves.
    """
    open_store(directory, overrides).resize(map_size)
    click.echo(f"The store may grow to {readable(map_size)}.")
