"""``dagster-lmdb fork``: the history up to a moment, as a store of its own."""

import time
from pathlib import Path

import click

from dagster_lmdb._moments import OUTSIDE, Moment, what_is_missing
from dagster_lmdb._opening import open_store
from dagster_lmdb.cli.moments import MomentType
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_arguments
from dagster_lmdb.debug.destination import check_outside_stores

_EXAMPLES = """\b
Examples:
  dagster-lmdb fork /var/lib/dagster/history /tmp/then --at 2026-11-25T14:30
  dagster-lmdb fork /var/lib/dagster/history /tmp/then --at run:0f1e2d3c-...
  dagster-lmdb fork /var/lib/dagster/history /tmp/then --at 1234567
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option(
    "--at",
    "moment",
    type=MomentType(),
    required=True,
    metavar="SEQUENCE|TIME|run:RUN_ID",
    help="Take the history up to this record; or up to before the first record that came later than"
    " this time, in local time where it names no zone; or up to the last event that this run has so"
    " far.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="Go on before the record from which on the history is whole, with what a compaction has"
    " left of it.",
)
def fork(
    directory: Path,
    overrides: tuple[str, ...],
    destination: Path,
    moment: Moment,
    incomplete: bool,
) -> None:
    """Make a store at DEST with the history of DIR up to a moment.

    A Dagster instance whose base_dir is DEST shows the one of DIR as it was: runs still in
    progress, assets not yet materialized, cursors of that moment. The two go their own ways from
    there. Writers and readers of DIR go on meanwhile, and nothing is at DEST until all of it is.

    Schedules and sensors that ran then are on in the copy, and runs that waited are in its queue:
    a daemon on it would start them. To look, a webserver is enough.
    """
    store = open_store(directory, overrides)
    if not destination.exists():
        check_outside_stores(destination)
    with progress_bar() as report:
        sequence = moment.resolve(store, time.time(), report)
        made = store.fork(
            destination,
            sequence,
            incomplete=incomplete,
            allow_network_file_system="allow_network_file_system" in overrides,
            progress=report,
        )
    click.echo(f"Forked {directory} up to record {made.sequence:,} to {destination}.")
    for missing in what_is_missing(made.sequence, made.whole_from, made.registers_from):
        click.echo(f"Missing, since a compaction took them: {missing}.")
    click.echo(f"Not in a store, and so not as they were: {OUTSIDE}.")
