"""What the player shows: the run in one line, its steps as bars on a time line, its log beneath.

A frame is drawn for a size and from a player alone, so that one moment always looks the same. It is
never larger than that: where there is less room, what matters least is left out.
"""

from collections import deque
from collections.abc import Iterable
from itertools import groupby, islice

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

_BETWEEN_KEYS = "   "
# Keys that are not named where the line is too short, the first of them first.
_DISPENSABLE = ("+ -", "e", FAILURE_KEY, "n →", "space")

# Lines from which on there are empty ones between the parts.
_SPACIOUS = 8
# The width of what a step took, and that of the whole below which it, or the bar, is left out.
_TIMES, _WITHOUT_TIMES, _WITHOUT_BARS = 10, 32, 12


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
        steps = self._player.timeline.steps
        head: list[RenderableType] = [self._title()]
        foot: list[RenderableType] = [self._keys(width)]
        rows, room = len(steps) + 1, None
        gap: list[RenderableType] = [Text("")]
        if height is not None:
            if height < _SPACIOUS:
                gap = []
            if height < len(head) + len(foot) + 1:
                foot = []
            left = max(height - len(head) - len(foot) - 2 * len(gap), 0)
            rows = min(rows, left // 2)
            room = left - rows
        head += gap
        if rows:
            head.append(self._bars(self._shown(rows - 1), width))
        head += gap
        drawn, beneath = (
            console.render_lines(Group(*parts), options.update(height=None), pad=False)
            for parts in (head, foot)
        )
        log = self._log(console, options, room)
        lines = [*drawn, *log]
        if room is not None:
            lines += [[Segment("")]] * (room - len(log))
        lines += beneath
        for number, line in enumerate(lines[:height]):
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

    def _shown(self, rows: int) -> list[Step]:
        """The steps that fit: where they do not all, those around what happened last."""
        steps = self._player.timeline.steps
        first = 0
        if len(steps) > rows:
            keys = (moment.entry.step_key for moment in self._player.latest())
            last = next((key for key in keys if key in steps), None)
            place = next((n for n, key in enumerate(steps) if key == last), len(steps) - 1)
            first = min(max(place - rows // 2, 0), len(steps) - rows)
        return list(islice(steps.values(), first, first + rows))

    def _bars(self, steps: list[Step], width: int) -> Table:
        player = self._player
        now = player.start + player.now
        hidden = len(player.timeline.steps) - len(steps)
        label = f"run (+{hidden} steps)" if hidden else "run"
        names = max([len(printable(step.key)) + 2 for step in steps] + [len(label)])
        names = min(names, max(width // 3, 8))
        times = _TIMES
        if width < _WITHOUT_BARS:
            names, bar, times = width, 0, 0
        elif width < _WITHOUT_TIMES:
            bar, times = width - names - 1, 0
        else:
            bar = width - names - times - 4
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(width=names, no_wrap=True, overflow="ellipsis")
        if bar:
            table.add_column(width=bar, no_wrap=True)
        if times:
            table.add_column(width=times, no_wrap=True, justify="right")

        def add(name: Text, spans: Iterable[Span], took: Text) -> None:
            cells = [name]
            if bar:
                cells.append(self._lane(spans, bar, now))
            if times:
                cells.append(took)
            table.add_row(*cells)

        add(Text(label, "bold"), player.timeline.phases, Text(length(player.now)))
        for step in steps:
            sign, style = _OUTCOMES[step.outcome] if step.outcome else ("·", "dim")
            spent = sum(span.seconds(now) for span in step.attempts)
            took = Text(length(spent) if step.attempts else "waits", style)
            add(Text(f"{sign} {printable(step.key)}", style), step.spans, took)
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
        # A piece of text for each cell would be most of what a picture costs.
        pieces = [(sign * len(list(each)), style) for (sign, style), each in groupby(cells)]
        return Text.assemble(*pieces, no_wrap=True)

    def _log(
        self, console: Console, options: ConsoleOptions, room: int | None
    ) -> list[list[Segment]]:
        """The last lines of the log that fit, each event whole or cut at its top."""
        found: deque[Text] = deque()
        for moment in self._player.latest():
            if room is not None and len(found) >= room:
                break
            found.extendleft(reversed(_log_lines(moment)))
        rendered: list[list[Segment]] = []
        for text in islice(found, 0 if room is None else max(len(found) - room, 0), None):
            text.no_wrap, text.overflow = True, "ellipsis"
            rendered += console.render_lines(text, options.update(height=None), pad=False)
        return rendered

    def _keys(self, width: int) -> Text:
        if self._player.ended:
            left = len(self._player.moments) - self._player.place
            text = f"{left} more events in the run" if left else self._end()[1]
            return Text(text, Style(dim=True), no_wrap=True, overflow="ellipsis")
        named = [
            Text.assemble((key, "bold"), (f" {meaning}", "dim"))
            for key, meaning in self._named_keys(width)
        ]
        line = Text(_BETWEEN_KEYS).join(named)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line

    def _named_keys(self, width: int) -> list[tuple[str, str]]:
        """The keys that have a use now, and of these those that fit."""
        named = [each for each in KEYS if each[0] != FAILURE_KEY or self._player.has_failure_ahead]
        for key in _DISPENSABLE:
            if len(_BETWEEN_KEYS.join(map(" ".join, named))) <= width:
                break
            named = [each for each in named if each[0] != key]
        return named

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
