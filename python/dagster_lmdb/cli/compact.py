"""``dagster-lmdb compact``: what later records supersede goes from the log."""

import time
from pathlib import Path

import click

from dagster_lmdb.cli.ages import Age
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import open_store, store_arguments

_EXAMPLES = """\b
Examples:
  dagster-lmdb compact /var/lib/dagster/history
  dagster-lmdb compact /var/lib/dagster/history --keep 7d
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.option(
    "--keep",
    type=Age(),
    help="Leave history of this age and younger whole: 30m, 12h, 7d, 2w. Without it all goes that"
    " nothing shows any more.",
)
def compact(directory: Path, overrides: tuple[str, ...], keep: float | None) -> None:
    """Take from the log of DIR what later records supersede.

    Heartbeats, cursors, states of schedules, sensors, ticks and backfills that were overwritten go,
    and so does what belongs to deleted runs and purged ticks. What Dagster shows stays as it is;
    what goes is how it was before. Writers and readers go on meanwhile. The room is used again by
    later records; the file itself does not shrink. A compaction that was broken off is gone on
    with.
    """
    store = open_store(directory, overrides)
    now = time.time()
    with progress_bar() as report:
        done = store.compact(
            keep_since=None if keep is None else now - keep, now=now, progress=report
        )
    click.echo(
        f"Freed {done.records:,} records, {readable(done.bytes)} of the log's content;"
        f" in whole pages it takes {readable(done.log_after)},"
        f" and took {readable(done.log_before)}."
    )
    click.echo(
        f"History is whole from record {done.whole_from:,} on{_earliest(done.whole_from)},"
        f" that of heartbeats and cursors from record {done.registers_from:,} on."
    )


def _earliest(whole_from: int) -> str:
    """The first state that is whole, where there are others before it."""
    return f" (fork --at {whole_from - 1} and later)" if whole_from > 1 else ""
