"""The command ``dagster-lmdb``: one verb, one file.

A verb's answer goes to standard output, everything about its progress to standard error. The exit
status is 0 for success and 2 for a store or an argument that cannot be worked with, and for an
answer that cannot be written, with one line that says why; ``verify`` ends with 1 where it finds
something. A command whose reader goes away, as ``head`` does, ends quietly with 141, like a program
that SIGPIPE ends; ``verify`` with what it found, whoever reads it.
"""

import sys
from collections.abc import Callable
from typing import Any

import click

from dagster_lmdb import __version__
from dagster_lmdb._texts import printable
from dagster_lmdb.cli.absorb import absorb
from dagster_lmdb.cli.compact import compact
from dagster_lmdb.cli.diff import diff
from dagster_lmdb.cli.export import export
from dagster_lmdb.cli.extract import extract
from dagster_lmdb.cli.fork import fork
from dagster_lmdb.cli.pipes import ends_with_its_output, may_stay_untold
from dagster_lmdb.cli.rebuild import rebuild
from dagster_lmdb.cli.replay import replay
from dagster_lmdb.cli.resize import resize
from dagster_lmdb.cli.stat import stat
from dagster_lmdb.cli.tail import tail
from dagster_lmdb.cli.trace import trace
from dagster_lmdb.cli.verify import verify
from dagster_lmdb.errors import LmdbStoreError

INTERRUPTED = 130

_EXAMPLES = """\b
Examples:
  dagster-lmdb stat /var/lib/dagster/history
  dagster-lmdb tail /var/lib/dagster/history --follow
  dagster-lmdb verify /var/lib/dagster/history
"""


class CannotGoOnError(click.ClickException):
    """A refusal of the store, in one line."""

    exit_code = 2


class _Verbs(click.Group):
    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            status = run(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            with may_stay_untold():
                error.show()
            status = error.exit_code
        except click.Abort:
            status = INTERRUPTED
        sys.exit(status)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        # --help and --version print here.
        with ends_with_its_output():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with ends_with_its_output():
                return super().invoke(ctx)
        except LmdbStoreError as error:
            raise CannotGoOnError(printable(str(error))) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(cls=_Verbs, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dagster-lmdb")
def main() -> None:
    """Look into a store of dagster-lmdb, check it, mend it, and go back in its history.

    DIR is the directory that dagster.yaml names as base_dir.
    """


for _verb in (
    verify,
    rebuild,
    compact,
    stat,
    tail,
    resize,
    fork,
    export,
    replay,
    trace,
    diff,
    extract,
    absorb,
):
    main.add_command(_verb)
