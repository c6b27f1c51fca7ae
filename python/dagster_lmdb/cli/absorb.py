"""``dagster-lmdb absorb``: runs of a file taken into a store."""

from pathlib import Path

import click

from dagster_lmdb.cli.counts import counted
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_options

_EXAMPLES = """\b
Examples:
  dagster-lmdb absorb run.capsule /tmp/look
  dagster-lmdb absorb debug.gz /tmp/look
"""


@click.command(epilog=_EXAMPLES)
@click.argument("capsule", type=click.Path(path_type=Path))
@click.argument(
    "directory", metavar="DIR", type=click.Path(file_okay=False, readable=False, path_type=Path)
)
@click.option("--unfinished", is_flag=True, help="Take runs that had not ended too.")
@store_options
def absorb(capsule: Path, directory: Path, overrides: tuple[str, ...], unfinished: bool) -> None:
    """Take the runs of CAPSULE into the store of DIR, which is made if there is none.

    CAPSULE is a file of `dagster-lmdb extract`, or of `dagster debug export`. What is there already
    is not added again, and what is not is: also the tick or the backfill of a run that is there.
    A run that is there with other content is refused. Whoever lists the runs of DIR sees none of
    those that are new, or all of them.

    Sensors and daemons on DIR take what is absorbed for news, so a store of its own is best.
    """
    from dagster_lmdb.debug.absorb import absorb as take
    from dagster_lmdb.debug.capsule import read_capsule

    with progress_bar() as report:
        contents = read_capsule(capsule)
        done = take(contents, directory, overrides, unfinished=unfinished, report=report)
    added = [f"{counted(len(done.added), 'run')} with {counted(done.events, 'event')}"]
    # The snapshots of runs that were added go without saying.
    if done.snapshots and not done.added:
        added.append(counted(done.snapshots, "snapshot"))
    added += _kinds(done.ticks.added, done.backfills.added)
    click.echo(f"Added {_listed(added)} to {directory}.")
    present = [counted(len(done.present), "run")] if done.present else []
    present += _kinds(done.ticks.present, done.backfills.present)
    if present:
        click.echo(f"There already: {_listed(present)}.")
    if done.named:
        click.echo(f"Of the runs that were there, {len(done.named):,} got the id of their tick.")
    for backfill in done.canceled_backfills:
        click.echo(f"Backfill {backfill} had not ended; here it is canceled.")
    for kind, ids in (("Tick", done.ticks.other), ("Backfill", done.backfills.other)):
        for each in ids:
            click.echo(f"{kind} {each} is there with other content, and was left as it is.")


def _kinds(ticks: int, backfills: int) -> list[str]:
    found = ((ticks, "tick"), (backfills, "backfill"))
    return [counted(number, thing) for number, thing in found if number]


def _listed(things: list[str]) -> str:
    """``1 run, 2 ticks and 1 backfill``."""
    *others, last = things
    return f"{', '.join(others)} and {last}" if others else last
