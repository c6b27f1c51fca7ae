"""``dagster-lmdb extract``: runs written into a file for somebody else."""

from pathlib import Path

import click

from dagster_lmdb.cli.counts import counted
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import store_arguments

_EXAMPLES = """\b
Examples:
  dagster-lmdb extract /var/lib/dagster/history 0f1e2d3c-... -o run.capsule
  dagster-lmdb extract /var/lib/dagster/history 0f1e2d3c-... -o run.capsule \\
      --redact-config '*password*' --redact-tags 'customer*' --redact-metadata path
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    "destination",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write.",
)
@click.option(
    "--redact-tags",
    metavar="GLOB",
    multiple=True,
    help="Take out the values of tags with such a key. May be given several times.",
)
@click.option(
    "--redact-config",
    metavar="GLOB",
    multiple=True,
    help="Take out what is at such a path of run config, such as ops.load.config.token, and the"
    " defaults of fields at such paths.",
)
@click.option(
    "--redact-metadata", metavar="GLOB", multiple=True, help="Take out metadata of such a label."
)
@click.option(
    "--without-parents",
    is_flag=True,
    help="Leave out the runs that these are re-executions of.",
)
@click.option("--unfinished", is_flag=True, help="Take runs that have not ended too, as they are.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def extract(
    directory: Path,
    overrides: tuple[str, ...],
    run_ids: tuple[str, ...],
    destination: Path,
    redact_tags: tuple[str, ...],
    redact_config: tuple[str, ...],
    redact_metadata: tuple[str, ...],
    without_parents: bool,
    unfinished: bool,
    force: bool,
) -> None:
    """Write runs of the store of DIR into a file, with which others open them in their own UI.

    It holds the runs and those that they are re-executions of, their events, their snapshots, and
    the ticks and backfills that caused them. `dagster-lmdb absorb` takes it into another store.

    What is redacted is replaced by REDACTED before anything is written: where it stands by name,
    and, for texts of four characters and more, wherever else such a text stands, also in messages
    and stacks. docs/debugging.md says exactly what is covered.
    """
    from dagster_lmdb.debug.capsule import ABSENT
    from dagster_lmdb.debug.extract import Extraction
    from dagster_lmdb.debug.extract import extract as write
    from dagster_lmdb.debug.redact import Redaction
    from dagster_lmdb.debug.runs import Source

    extraction = Extraction(
        Source(directory, overrides), run_ids, parents=not without_parents, unfinished=unfinished
    )
    redaction = Redaction(
        redact_tags, redact_config, redact_metadata, kept=frozenset(extraction.records)
    )
    with progress_bar() as report:
        events = write(extraction, destination, redaction, force=force, report=report)
    held = [
        counted(len(extraction.records), "run"),
        counted(events, "event"),
        counted(len(extraction.snapshots), "snapshot"),
        counted(len(extraction.ticks), "tick"),
        counted(len(extraction.backfills), "backfill"),
    ]
    click.echo(f"Wrote {', '.join(held)} to {destination}, {readable(destination.stat().st_size)}.")
    click.echo(f"Not in it: {'; '.join(ABSENT)}.")
