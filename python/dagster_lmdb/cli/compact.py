"""``dagster-lmdb compact``: what later records supersede goes from the log."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import click

from dagster_lmdb._core import EventLog
from dagster_lmdb._opening import open_store
from dagster_lmdb.cli.ages import Age
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import store_arguments
from dagster_lmdb.errors import NoSuchMomentError

#: The first record that each holds, and until when.
Leases: TypeAlias = Sequence[tuple[int, float]]

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

    Heartbeats, cursors, states of runs, schedules, sensors, ticks and backfills that were
    overwritten go, and so does what belongs to deleted runs and purged ticks. What Dagster shows
    stays as it is; what goes is how it was before. Writers and readers go on meanwhile. The room is
    used again by later records; the file itself does not shrink. A compaction that was broken off
    is gone on with. What a reader of history or an export has yet to read stays, and is told.
    """
    store = open_store(directory, overrides)
    now = time.time()
    keep_since = None if keep is None else now - keep
    cutoff = _cutoff(store, keep_since, now)
    before = store.leases()
    with progress_bar() as report:
        done = store.compact(keep_since=keep_since, now=now, progress=report)
    click.echo(
        f"Freed {done.records:,} records, {readable(done.bytes)} of the log's content;"
        f" in whole pages it takes {readable(done.log_after)},"
        f" and took {readable(done.log_before)}."
    )
    click.echo(
        f"History is whole from record {done.whole_from:,} on{_earliest(done.whole_from)},"
        f" that of heartbeats and cursors from record {done.registers_from:,} on."
    )
    if left := _left(before, store.leases(), cutoff):
        click.echo(left)


def _cutoff(store: EventLog, keep_since: float | None, now: float) -> int:
    """The last record up to which history need not stay whole."""
    if keep_since is None:
        return store.head()
    try:
        return store.resolve(time=keep_since, now=now)
    except NoSuchMomentError:
        return 0


def _left(before: Leases, after: Leases, cutoff: int) -> str | None:
    """What was left for readers, where one holds or held some of what was to go."""
    for leases, verb in ((after, "holds"), (before, "held")):
        in_the_way = [lease for lease in leases if lease[0] <= cutoff]
        if in_the_way:
            first = min(first for first, _ in in_the_way)
            until = datetime.fromtimestamp(max(until for _, until in in_the_way))
            how_long = (
                f" until {until.isoformat(' ', 'seconds')}, and longer while it reads"
                if verb == "holds"
                else " meanwhile"
            )
            return (
                f"A reader {verb} history from record {first:,} on{how_long}. From there on only"
                " heartbeats and cursors were freed; a later compaction frees the rest."
            )
    return None


def _earliest(whole_from: int) -> str:
    """The first state that is whole, where there are others before it."""
    return f" (fork --at {whole_from - 1} and later)" if whole_from > 1 else ""
