"""``dagster-lmdb trace``: runs as a trace for Perfetto."""

import time
from contextlib import ExitStack
from pathlib import Path

import click

from dagster_lmdb.cli.counts import counted
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_arguments
from dagster_lmdb.cli.windows import TimeSpan, Window

_EXAMPLES = """\b
Examples:
  dagster-lmdb trace /var/lib/dagster/history 0f1e2d3c-... -o trace.json
  dagster-lmdb trace /var/lib/dagster/history 0f1e2d3c-... 4b5a6978-... --align -o two.json
  dagster-lmdb trace /var/lib/dagster/history --window 2h -o afternoon.json
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@click.option(
    "--output",
    "-o",
    "destination",
    type=click.Path(allow_dash=True, path_type=Path),
    required=True,
    help="The file to write; - for standard output.",
)
@click.option(
    "--window",
    type=Window(),
    help="Every run, tick and backfill of a time: 2h for the last two hours, or FROM..TO,"
    " such as 2026-01-31T08:00..2026-01-31T12:00.",
)
@click.option(
    "--align", is_flag=True, help="Count times from each run's creation, to compare them."
)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def trace(
    directory: Path,
    overrides: tuple[str, ...],
    run_ids: tuple[str, ...],
    destination: Path,
    window: TimeSpan | None,
    align: bool,
    force: bool,
) -> None:
    """Write runs of the store of DIR as a trace, which https://ui.perfetto.dev opens.

    Each run is a process of the trace, with a lane for the run and one for each step: queue wait,
    start-up, slot waits, each attempt with its process, the loading of inputs and the handling of
    outputs; materializations and failures are instants. With --window also ticks and backfills.
    """
    from dagster_lmdb.debug.destination import whole_file
    from dagster_lmdb.debug.runs import Source, read_run
    from dagster_lmdb.debug.trace import Trace
    from dagster_lmdb.debug.window import backfills_within, runs_within, ticks_within

    if bool(run_ids) == (window is not None):
        raise click.UsageError("Name either runs or a --window.")
    if window is not None and align:
        raise click.UsageError("--align is for runs that are named, not for a --window.")
    source = Source(directory, overrides)
    until = min(window.end, time.time()) if window else time.time()
    made = Trace(aligned=align)
    with progress_bar() as report, ExitStack() as stack:
        file = None
        if str(destination) != "-":
            file = stack.enter_context(whole_file(destination, force=force))
        wanted = run_ids if window is None else runs_within(source, *window)
        for done, run_id in enumerate(dict.fromkeys(wanted), 1):
            made.add_run(read_run(source, run_id), until)
            report("runs", done, len(wanted))
        if window is not None:
            for evaluations in ticks_within(source, window.begin, until):
                made.add_ticks(evaluations)
            for backfill in backfills_within(source, *window):
                made.add_backfill(backfill, until)
        for text in made.written():
            if file is None:
                click.echo(text, nl=False)
            else:
                file.write(text.encode())
    if file is not None:
        click.echo(
            f"Wrote {counted(made.runs, 'run')} to {destination}; https://ui.perfetto.dev opens it."
        )
