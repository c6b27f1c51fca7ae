"""What the player shows: the run in one line, its steps as bars on a time line, its log beneath.

A frame is drawn for a size and from a player alone, so that one moment always looks the same.
"""

from collections import deque
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from dagster_lmdb._texts import printable
from dagster_lmdb.debug.lines import clock, error_lines, length, message_of, own_error
from dagster_lmdb.debug.player import Moment, Player
from dagster_lmdb.debug.runs import shown_type
from dagster_lmdb.debug.timeline import Kind, Outcome, Span, Step

FAILURE_KEY = "f"
KEYS = (
    ("space", "pause"),
    ("n →", "next event"),
    (FAILURE_KEY, "next failure"),
    ("+ -", "speed"),
    ("e", "end"),
    ("q", "quit"),
)

_OUTCOMES = {
    Outcome.RUNNING: ("▶", "cyan"),
    Outcome.SUCCESS: ("✓", "green"),
    Outcome.FAILURE: ("✗", "red"),
    Outcome.RETRY: ("↻", "yellow"),
    Outcome.SKIPPED: ("-", "dim"),
    Outcome.CANCELED: ("■", "magenta"),
    Outcome.INTERRUPTED: ("■", "magenta"),
}
#: What a span is drawn with where it is no attempt.
_WAITS = {
    Kind.QUEUE: ("·", "dim"),
    Kind.SLOT: ("·", "yellow"),
    Kind.RETRY: ("·", "dim"),
    Kind.STARTUP: ("╌", "blue"),
    Kind.PROCESS: ("╌", "blue"),
    Kind.RESOURCES: ("╌", "blue"),
}
_WORK = (Kind.ATTEMPT, Kind.EXECUTION)
_DRAWN = "━"

_STACK_LINES = 40


class Frame:
    """One moment of a replay, for a console of any size.

    Args:
        player: The replay.
        height: Lines to draw; None for as many as there are.
    """

    def __init__(self, player: Player, height: int | None = None) -> None:
        self._player = player
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        height = self._height or options.height
        head: list[RenderableType] = [self._title(), Text("")]
        steps = list(self._player.timeline.steps.values())
        rows = len(steps) + 1
        if height is not None:
            rows = max(min(rows, (height - 4) // 2), 2)
        head += [self._bars(self._shown(steps, rows - 1), len(steps), width), Text("")]
        drawn = console.render_lines(Group(*head), options.update(height=None), pad=False)
        foot = console.render_lines(self._keys(), options.update(height=None), pad=False)
        room = None if height is None else max(height - len(drawn) - len(foot), 1)
        log = self._log(console, options, room)
        lines = [*drawn, *log]
        if room is not None:
            lines += [[Segment("")]] * (room - len(log))
        lines += foot
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line

    def _title(self) -> Text:
        player = self._player
        outcome = player.timeline.outcome
        sign, style = _OUTCOMES[outcome] if outcome else ("·", "dim")
        phase = outcome.value if outcome else "not started"
        if outcome is None and player.timeline.phases:
            phase = player.timeline.phases[-1].label
        if player.ended:
            state = "stopped" if player.place < len(player.moments) else self._end()[0]
        else:
            state = f"{'paused ' if player.paused else ''}{player.speed:.3g}x"
        return Text.assemble(
            (f"{sign} {phase}", f"bold {style}"),
            "  ",
            (f" {state} ", "reverse"),
            "  ",
            (printable(player.history.job_name) or "a run", "bold"),
            (f"  {printable(player.history.run_id[:8])}", "cyan"),
            f"  {clock(player.start + player.now)}  ",
            (f"{length(player.now)} of {length(player.length)}", "bold"),
            (f"  {player.place} of {len(player.moments)} events", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )

    def _shown(self, steps: list[Step], rows: int) -> list[Step]:
        """The steps that fit: where they do not all, those around what happened last."""
        if len(steps) <= rows:
            return steps
        keys = [step.key for step in steps]
        latest = len(steps) - 1
        for moment in reversed(self._player.happened):
            if moment.entry.step_key in self._player.timeline.steps:
                latest = keys.index(moment.entry.step_key or "")
                break
        first = min(max(latest - rows // 2, 0), len(steps) - rows)
        return steps[first : first + rows]

    def _bars(self, steps: list[Step], count: int, width: int) -> Table:
        player = self._player
        now = player.start + player.now
        hidden = count - len(steps)
        label = f"run (+{hidden} steps)" if hidden else "run"
        names = max([len(printable(step.key)) + 2 for step in steps] + [len(label)])
        names = min(names, max(width // 3, 8))
        bar = max(width - names - 14, 8)
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(width=names, no_wrap=True, overflow="ellipsis")
        table.add_column(width=bar, no_wrap=True)
        table.add_column(width=10, no_wrap=True, justify="right")
        table.add_row(
            Text(label, "bold"), self._lane(player.timeline.phases, bar, now), length(player.now)
        )
        for step in steps:
            sign, style = _OUTCOMES[step.outcome] if step.outcome else ("·", "dim")
            spent = sum(span.seconds(now) for span in step.attempts)
            table.add_row(
                Text(f"{sign} {printable(step.key)}", style),
                self._lane(step.spans, bar, now),
                Text(length(spent) if step.attempts else "waits", style),
            )
        return table

    def _lane(self, spans: Iterable[Span], width: int, now: float) -> Text:
        start = self._player.start
        scale = width / max(self._player.length, 1e-9)
        cells: list[tuple[str, str]] = [(" ", "")] * width
        # An attempt shorter than a cell is not hidden by the wait after it.
        for span in sorted(spans, key=lambda span: span.kind in _WORK):
            end = now if span.end is None else span.end
            if span.kind in _WORK:
                drawn = (_DRAWN, _OUTCOMES[span.outcome][1])
            else:
                drawn = _WAITS[span.kind]
            first = min(max(int((span.start - start) * scale), 0), width - 1)
            last = min(max(int((end - start) * scale), first + 1), width)
            cells[first:last] = [drawn] * (last - first)
        here = min(max(int((now - start) * scale), 0), width - 1)
        if cells[here][0] == " ":
            cells[here] = ("│", "dim")
        return Text.assemble(*cells, no_wrap=True)

    def _log(
        self, console: Console, options: ConsoleOptions, room: int | None
    ) -> list[list[Segment]]:
        """The last lines of the log that fit, each event whole or cut at its top."""
        moments = self._player.happened
        if room is None:
            texts = [text for moment in moments for text in _log_lines(moment)]
        else:
            found: deque[Text] = deque()
            for moment in reversed(moments):
                found.extendleft(reversed(_log_lines(moment)))
                if len(found) >= room:
                    break
            texts = list(found)[-room:]
        rendered: list[list[Segment]] = []
        for text in texts:
            text.no_wrap, text.overflow = True, "ellipsis"
            rendered += console.render_lines(text, options.update(height=None), pad=False)
        return rendered

    def _keys(self) -> Text:
        if self._player.ended:
            left = len(self._player.moments) - self._player.place
            text = f"{left} more events in the run" if left else self._end()[1]
            return Text(text, Style(dim=True))
        return Text("   ").join(
            Text.assemble((key, "bold"), (f" {meaning}", "dim"))
            for key, meaning in KEYS
            if key != FAILURE_KEY or self._player.has_failure_ahead
        )

    def _end(self) -> tuple[str, str]:
        """What it is called that there are no more events, in a word and in a line."""
        if self._player.timeline.outcome in (None, Outcome.RUNNING):
            return "so far", "all that the run has stored so far"
        return "ended", "end of the run"


def _log_lines(moment: Moment) -> list[Text]:
    entry = moment.entry
    style = "red" if moment.is_failure else "dim" if entry.dagster_event else ""
    first = Text.assemble(
        (f"{moment.elapsed:>9.3f}  ", "dim"),
        (f"{printable(shown_type(entry)):<22} ", "bold red" if moment.is_failure else "blue"),
        (f"{printable(entry.step_key)}  " if entry.step_key else "", "green"),
        (message_of(entry), style),
    )
    error = own_error(entry)
    if error is None:
        return [first]
    stack = [Text(f"{'':>9}  │ {line}", "red") for line in error_lines(error)]
    if len(stack) > _STACK_LINES:
        # What raised stands at the end.
        cut = len(stack) - _STACK_LINES
        stack = [Text(f"{'':>9}  │ ... {cut} lines", "dim red"), *stack[cut:]]
    return [first, *stack]
