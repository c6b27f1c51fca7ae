"""Progress of long work, on standard error where that is a terminal, and nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster_lmdb._progress import Report
from dagster_lmdb.cli.endings import ends_in_order


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Shows a line for each phase: a bar, the rate, and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """How much is done each second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda phase, done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
    phases: dict[str, TaskID] = {}
    # The cursor is hidden meanwhile.
    with ends_in_order(), bar:

        def report(phase: str, done: int, total: int) -> None:
            if phase not in phases:
                phases[phase] = bar.add_task(phase)
            bar.update(phases[phase], completed=done, total=total or None)

        yield report
