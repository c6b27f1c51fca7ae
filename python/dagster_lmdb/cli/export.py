"""``dagster-lmdb export``: history into Parquet files, and what is new into more of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_lmdb._export.manifest import PARTITIONINGS, TABLES
from dagster_lmdb._moments import Moment
from dagster_lmdb._opening import open_store
from dagster_lmdb.cli.counts import counted
from dagster_lmdb.cli.moments import MomentType
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import store_arguments

if TYPE_CHECKING:
    from dagster_lmdb._export.export import Exported

_EXAMPLES = """\b
Examples:
  dagster-lmdb export /var/lib/dagster/history /srv/history
  dagster-lmdb export /var/lib/dagster/history failures --table events --type STEP_FAILURE
  dagster-lmdb export /var/lib/dagster/history by-day --since 2026-11-01 --partition-by date
"""

_ONE_OF = {
    "events": "event",
    "runs": "version of runs",
    "ticks": "version of ticks",
    "asset_checks": "check",
    "backfills": "version of backfills",
}


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option(
    "--table",
    "tables",
    type=click.Choice(TABLES),
    multiple=True,
    help="Write this table. May be given several times; without it all are written that the other"
    " options leave a choice of.",
)
@click.option(
    "--since",
    type=MomentType(),
    metavar="SEQUENCE|TIME|run:RUN_ID",
    help="Begin with this record; or with the first record that came later than this time, in local"
    " time where it names no zone; or after the end of this run. Only the first call needs it; a"
    " further one with the same goes on, whatever it would mean by then.",
)
@click.option(
    "--until",
    type=MomentType(),
    metavar="SEQUENCE|TIME|run:RUN_ID",
    help="End with this record, or with the last one up to this time or the end of this run. A"
    " further call goes on behind it.",
)
@click.option("--run", "runs", metavar="RUN_ID", multiple=True, help="Only of this run.")
@click.option("--asset", "assets", metavar="KEY", multiple=True, help="Only of this asset: a/b.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only events of this type.")
@click.option(
    "--partition-by",
    type=click.Choice(PARTITIONINGS),
    help="Put the rows into folders, by the day of their timestamp (UTC) or, for events, by their"
    " type.",
)
@click.option(
    "--columns",
    metavar="NAME,...",
    help="Write these columns of the tables that have them, and the sequence.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="Go on with what is left, although a compaction has taken states since the last call, or"
    " files of earlier calls are gone.",
)
def export(
    directory: Path,
    overrides: tuple[str, ...],
    destination: Path,
    tables: tuple[str, ...],
    since: Moment | None,
    until: Moment | None,
    runs: tuple[str, ...],
    assets: tuple[str, ...],
    types: tuple[str, ...],
    partition_by: str | None,
    columns: str | None,
    incomplete: bool,
) -> None:
    """Write the history of DIR into Parquet files (zstd) at DEST, or add what is new.

    The first call writes all there is; a further one, with the same options, what came since.
    Dagster goes on meanwhile. The tables are DEST/events/**/*.parquet and so on; runs, ticks and
    backfills have a row for each state that they had. What is added comes into sight at once, and a
    call that dies leaves nothing half: the next one goes on. docs/export.md says what the columns
    mean.
    """
    from dagster_lmdb._export.export import export_of, options_of
    from dagster_lmdb._history import asset_texts, type_names

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    options = options_of(
        tables=tables or None,
        columns=names,
        runs=runs or None,
        assets=asset_texts(assets) if assets else None,
        event_types=type_names(types) if types else None,
        partition_by=partition_by,
    )
    store = open_store(directory, overrides)
    with progress_bar() as report:
        done = export_of(
            store,
            directory,
            destination,
            options=options,
            since=since,
            until=until,
            incomplete=incomplete,
            progress=report,
        )
    click.echo(_summary(done, destination))
    for table, lost in done.lost.items():
        click.echo(
            f"Missing of {table}, although earlier calls wrote it: {counted(lost.files, 'file')},"
            f" {readable(lost.bytes)}."
        )


def _summary(done: "Exported", destination: Path) -> str:
    if done.last < done.first:
        return f"Nothing new: {destination} has all up to record {done.first - 1:,}."
    rows = ", ".join(counted_rows(table, number) for table, number in done.rows.items())
    return (
        f"Exported records {done.first:,} to {done.last:,} to {destination},"
        f" {readable(done.size)}: {rows}."
    )


def counted_rows(table: str, number: int) -> str:
    """``2 events``, ``1 version of runs``."""
    one, of, what = _ONE_OF[table].partition(" of ")
    return counted(number, one) + of + what
