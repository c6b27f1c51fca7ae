"""``dagster-lmdb diff``: what changed between two runs."""

from pathlib import Path

import click

from dagster_lmdb._texts import json_text
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_arguments

# The width of tables where there is no terminal to ask.
_WIDTH = 120

_EXAMPLES = """\b
Examples:
  dagster-lmdb diff /var/lib/dagster/history 0f1e2d3c-... 4b5a6978-...
  dagster-lmdb diff /var/lib/dagster/history 0f1e2d3c-... 4b5a6978-... --json | jq .parting
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(
    directory: Path, overrides: tuple[str, ...], run_a: str, run_b: str, as_json: bool
) -> None:
    """Show what changed between two runs of the store of DIR.

    Config, tags, where the code came from, what was selected; steps that ran, failed or were tried
    again; metadata and data versions; durations that differ beyond noise, by the last runs of the
    job; and the first event at which the runs part. Ends with 0 whether or not anything changed.
    """
    from rich.console import Console

    from dagster_lmdb.debug.comparison import as_object, tables
    from dagster_lmdb.debug.diff import diff as compare
    from dagster_lmdb.debug.runs import Source, read_run

    source = Source(directory, overrides)
    with progress_bar() as report:
        a, b = (read_run(source, run_id, report) for run_id in (run_a, run_b))
        found = compare(source, a, b, report)
    if as_json:
        click.echo(json_text(as_object(found), indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for number, table in enumerate(tables(found)):
        if number:
            console.print()
        console.print(table)
