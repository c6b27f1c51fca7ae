"""``dagster-lmdb verify``: the log against its checksums, the projections against the log.

The scan runs in a process of its own. A page that cannot be read, or one whose header is not what
LMDB wrote, kills the process that looks at it; that death is then a finding like any other.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

from dagster_lmdb._progress import Report
from dagster_lmdb.cli.pipes import may_stay_unread
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.store import store_arguments

_MOST_FINDINGS = 50

_EXAMPLES = """\b
Example:
  dagster-lmdb verify /var/lib/dagster/history && echo sound
"""


class Findings(NamedTuple):
    """What a scan found: differences, one line each, and a line about what it looked at."""

    differences: list[str]
    summary: str


class ScanFailedError(click.ClickException):
    """The scan could not be made."""

    exit_code = 2


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.option("--all", "show_all", is_flag=True, help="List every difference, not the first 50.")
@click.pass_context
def verify(ctx: click.Context, directory: Path, overrides: tuple[str, ...], show_all: bool) -> None:
    """Check the store of DIR, and change nothing.

    Reads each record and its checksum, folds the log anew, and compares the result with what
    Dagster reads. Writers may go on meanwhile. Ends with 0 for a sound store, with 1 and one line
    a difference for one that is not, and with 2 where there is no store to check.
    """
    with progress_bar() as report:
        differences, summary = scan_in_child(directory, overrides, report)
    shown = differences if show_all else differences[:_MOST_FINDINGS]
    # The status tells of the store, not of who reads this.
    with may_stay_unread():
        for difference in shown:
            click.echo(difference)
        if len(shown) < len(differences):
            click.echo(f"... and {len(differences) - len(shown)} more (--all lists them)")
        click.echo(summary)
    ctx.exit(1 if differences else 0)


def scan_in_child(directory: Path, overrides: tuple[str, ...], report: Report) -> Findings:
    """Runs the scan and passes its progress on.

    Raises:
        ScanFailedError: If the store cannot be opened, or the scan ends without a result.
    """
    command = [sys.executable, "-m", "dagster_lmdb.cli.scan", str(directory), *overrides]
    phase, done, total = "opening the store", 0, 0
    result = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = json.loads(line)
            if isinstance(message, list):
                phase, done, total = message
                report(phase, done, total)
            else:
                result = message
    if child.returncode < 0:
        name = _signal_name(-child.returncode)
        where = f"{phase}, after {done} of {total or '?'}"
        return Findings(
            [f"the scan was killed by {name} during: {where}"],
            "The data file cannot be read through; restore it from a backup.",
        )
    if result is None:
        raise ScanFailedError("the scan ended without a result")
    if "refused" in result:
        raise ScanFailedError(result["refused"])
    if "damage" in result:
        return Findings([result["damage"]], "Not compared: the store cannot be read through.")
    count = len(result["differences"])
    verdict = f"{count} difference{'s' if count > 1 else ''}" if count else "sound"
    return Findings(
        result["differences"],
        f"{verdict}: {result['records']:,} records up to {result['head']:,},"
        f" {result['rows']:,} rows of projections",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
