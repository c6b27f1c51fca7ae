"""``dagster-lmdb replay``: a run played again, as it happened."""

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_lmdb._texts import json_text
from dagster_lmdb.cli.endings import ends_in_order
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.speeds import Speed
from dagster_lmdb.cli.store import store_arguments

if TYPE_CHECKING:
    from rich.console import Console

    from dagster_lmdb.debug.keys import Keyboard
    from dagster_lmdb.debug.player import Player

# Seconds between two pictures: while something moves, and else, for a window that is resized.
_FRAME, _IDLE = 1 / 15, 0.5
# Lines are printed at once where the next event is nearer than this.
_SOON = 0.002

_EXAMPLES = """\b
Examples:
  dagster-lmdb replay /var/lib/dagster/history 0f1e2d3c-...
  dagster-lmdb replay /var/lib/dagster/history 0f1e2d3c-... --speed 10x --from train
  dagster-lmdb replay /var/lib/dagster/history 0f1e2d3c-... --until STEP_FAILURE | less
  dagster-lmdb replay /var/lib/dagster/history 0f1e2d3c-... --json | jq .message
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.argument("run_id", metavar="RUN_ID")
@click.option(
    "--speed",
    type=Speed(),
    help="How fast: 10x, 0.5x. On a terminal 1x where not given; elsewhere all at once.",
)
@click.option("--from", "from_step", metavar="STEP", help="Begin with the first event of a step.")
@click.option(
    "--until",
    metavar="EVENT",
    help="End with the first event of a type, such as STEP_FAILURE, or with a storage id.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--plain", is_flag=True, help="Print lines on a terminal too.")
def replay(
    directory: Path,
    overrides: tuple[str, ...],
    run_id: str,
    speed: float | None,
    from_step: str | None,
    until: str | None,
    as_json: bool,
    plain: bool,
) -> None:
    """Play the run RUN_ID of the store of DIR again.

    On a terminal its steps are bars on a time line with its log beneath, failures with their stack.
    Keys: space pauses, n or the right arrow shows the next event, f goes on to the next failure,
    + and - change the speed, e goes to the end, q quits. Elsewhere each event is a line.
    """
    from rich.console import Console

    from dagster_lmdb.debug.player import Player, place_after, place_of_step
    from dagster_lmdb.debug.runs import Source, read_run

    source = Source(directory, overrides)
    with progress_bar() as report:
        history = read_run(source, run_id, report)
    begin = place_of_step(history, from_step) if from_step is not None else 0
    end = place_after(history, until, begin) if until is not None else None
    player = Player(history, speed or 1.0, begin, end)
    console = Console()
    is_screen = console.is_terminal and not console.is_dumb_terminal
    if is_screen and not as_json and not plain:
        _play_on_screen(console, player)
    else:
        _print(player, at_once=speed is None, as_json=as_json)


def _print(player: "Player", *, at_once: bool, as_json: bool) -> None:
    from dagster_lmdb.debug.lines import as_object, plain

    if at_once:
        moments = player.go_to_end()
    while True:
        if not at_once:
            before = time.monotonic()
            time.sleep(player.pending or 0.0)
            moments = player.advance(max(time.monotonic() - before, _SOON / player.speed))
        for moment in moments:
            for line in [json_text(as_object(moment))] if as_json else plain(moment):
                click.echo(line)
        sys.stdout.flush()
        if player.ended:
            return


def _play_on_screen(console: "Console", player: "Player") -> None:
    from dagster_lmdb.debug.screen import Frame

    with ends_in_order(), _hung_up_is_unread():
        _play(console, player)
        # The last picture stays.
        console.print(Frame(player, max(console.height - 1, 1)))
        console.line()


def _play(console: "Console", player: "Player") -> None:
    from rich.live import Live

    from dagster_lmdb.debug import keys
    from dagster_lmdb.debug.screen import Frame

    # Standard input may be closed.
    with (
        keys.keyboard(sys.stdin.fileno() if sys.stdin else None) as pressed,
        Live(
            Frame(player), console=console, screen=True, auto_refresh=False, redirect_stderr=False
        ) as live,
    ):
        seen = time.monotonic()
        while not player.ended:
            live.update(Frame(player, console.height), refresh=True)
            # A bar that grows is drawn at each frame; while paused only a key changes anything.
            key = _next_key(pressed, _FRAME if not player.paused else _IDLE)
            now = time.monotonic()
            if key == keys.CONTINUE:
                # While the process is stopped no time passes for the run.
                console.show_cursor(False)
                seen = now
            player.advance(now - seen)
            seen = now
            if key == keys.STOP:
                _show_screen(console, False)
                pressed.stop()
                _show_screen(console, True)
                seen = time.monotonic()
            elif key is not None and not _press(player, key):
                break


def _show_screen(console: "Console", shown: bool) -> None:
    """Goes to the terminal's other screen, or back to the one with the shell."""
    console.set_alt_screen(shown)
    console.show_cursor(not shown)


@contextmanager
def _hung_up_is_unread() -> Iterator[None]:
    """Makes of a terminal that is gone a reader that is."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise BrokenPipeError from error


def _next_key(keys: "Keyboard", seconds: float) -> str | None:
    try:
        return keys.wait(seconds)
    except EOFError:
        return "q"


def _press(player: "Player", key: str) -> bool:
    """Does what a key stands for; False where that is to end."""
    if key == "q":
        return False
    if key in (" ", "p"):
        player.paused = not player.paused
    elif key in ("n", ".", "right"):
        player.step()
    elif key == "f":
        player.go_to_failure()
    elif key in ("+", "=", "up"):
        player.change_speed(2)
    elif key in ("-", "_", "down"):
        player.change_speed(1 / 2)
    elif key == "e":
        player.go_to_end()
    return True
