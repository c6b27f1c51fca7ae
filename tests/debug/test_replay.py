"""A run is played as it happened: on a screen with keys, as lines, as objects."""

import io
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

import pyte
import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepFailureData, StepRetryData, StepSuccessData
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console

from dagster_lmdb.debug.player import Player
from dagster_lmdb.debug.runs import RunHistory, Source, read_run
from dagster_lmdb.debug.screen import Frame
from dagster_lmdb.debug.timeline import Outcome
from debug.history import Store, call, refused
from python.entries import event, log_line, run

COLUMNS, ROWS = 120, 40
SIZES = ("COLUMNS", "LINES")


def replay(store: Store, name: str, *options: object) -> list[str]:
    result = call("replay", store.directory, store.runs[name], *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def replay_json(store: Store, name: str, *options: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in replay(store, name, "--json", *options)]


def test_every_event_is_a_line_in_the_order_of_the_log(store: Store) -> None:
    stored = store.instance.all_logs(store.runs["everything"])
    lines = [line for line in replay(store, "everything") if "  | " not in line]
    assert len(lines) == len(stored)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert lines[0].split()[1] == "RUN_START"
    assert any("WARNING" in line and "drove 1" in line for line in lines)
    assert "RUN_SUCCESS" in "".join(lines[-3:])


def test_a_failure_has_its_stack_and_its_causes_beneath(store: Store) -> None:
    lines = replay(store, "failing")
    [place] = [number for number, line in enumerate(lines) if "STEP_FAILURE" in line]
    beneath = "\n".join(lines[place + 1 :])
    assert beneath.index("RuntimeError: the consequence") < beneath.index("KeyError: 'the cause'")
    assert beneath.count("in deep") == 4
    assert "in fails" in beneath
    # The run's failure repeats its step's error, which is told once.
    assert beneath.count("KeyError: 'the cause'") == 1


def test_json_has_one_object_for_each_event(store: Store) -> None:
    stored = store.instance.all_logs(store.runs["failing"])
    rows = replay_json(store, "failing")
    assert [row["message"] for row in rows] == [entry.message for entry in stored]
    assert [row["timestamp"] for row in rows] == [entry.timestamp for entry in stored]
    [failure] = [row for row in rows if row["event_type"] == "STEP_FAILURE"]
    assert failure["failure"] is True
    assert failure["step_key"] == "fails"
    assert failure["error"]["cause"]["cause"]["class"] == "KeyError"
    materialized = [
        row
        for row in replay_json(store, "everything")
        if row["event_type"] == "ASSET_MATERIALIZATION"
    ]
    assert [(row["asset_key"], row["partition"]) for row in materialized] == [(["totals"], "a")]


def test_a_replay_begins_with_a_step_and_ends_with_an_event(store: Store) -> None:
    whole = replay_json(store, "everything")
    rows = replay_json(store, "everything", "--from", "flaky", "--until", "STEP_UP_FOR_RETRY")
    assert rows[0]["step_key"] == "flaky"
    assert rows[0]["event_type"] == "STEP_WORKER_STARTING"
    assert rows[-1]["event_type"] == "STEP_UP_FOR_RETRY"
    assert rows == whole[whole.index(rows[0]) : whole.index(rows[-1]) + 1]
    until = replay_json(store, "everything", "--until", whole[5]["sequence"])
    assert until == whole[:6]
    # The UI's names of a run's events, and the stored ones.
    for name in ("RUN_START", "pipeline_start"):
        assert replay_json(store, "everything", "--until", name) == whole[:1]


def test_a_speed_is_kept_where_it_is_asked_for(store: Store) -> None:
    rows = replay_json(store, "everything", "--until", "STEP_START")
    begun = time.monotonic()
    assert replay_json(store, "everything", "--until", "STEP_START", "--speed", "5x") == rows
    length = rows[-1]["elapsed"] - rows[0]["elapsed"]
    assert length > 0.1
    assert time.monotonic() - begun >= 0.95 * length / 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "nowhere"], "no event of a step 'nowhere'; its steps are: source, fails"),
        (["--until", "NEVER"], "neither a type of event"),
        (["--until", "RUN_SUCCESS"], "has no event RUN_SUCCESS"),
        (["--from", "fails", "--until", "RUN_START"], "has no event RUN_START"),
        (["--until", "999999999"], "no event of the storage id"),
    ],
)
def test_what_a_run_does_not_have_is_refused(store: Store, options: list[str], says: str) -> None:
    assert says in refused(call("replay", store.directory, store.runs["failing"], *options))


@pytest.mark.parametrize("speed", ["0x", "-1", "fast", ""])
def test_what_is_no_speed_is_refused(store: Store, speed: str) -> None:
    result = call("replay", store.directory, store.runs["failing"], f"--speed={speed}")
    assert result.exit_code == 2
    assert "is not a speed" in result.stderr


def test_an_unknown_run_is_refused(store: Store) -> None:
    run_id = make_new_run_id()
    assert f"no run {run_id}" in refused(call("replay", store.directory, run_id))


def test_a_run_of_a_store_that_holds_events_alone_is_played(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    run_id = make_new_run_id()
    instance.event_log_storage.store_event_batch(
        [log_line(run_id, "alone", 5.0), event(run_id, DagsterEventType.RUN_SUCCESS, timestamp=6.0)]
    )
    result = call("replay", tmp_path / "history", run_id)
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["0.000", "DEBUG"],
        ["1.000", "RUN_SUCCESS"],
    ]


def test_a_run_without_events_has_nothing_to_show(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    run_id = instance.add_run(run()).run_id
    result = call("replay", tmp_path / "history", run_id)
    assert (result.exit_code, result.stdout) == (0, "")


# The player


def player_of(*seconds: float) -> Player:
    history = RunHistory(
        "r",
        None,
        [(number, log_line("r", f"line {number}", float(at))) for number, at in enumerate(seconds)],
    )
    return Player(history)


def test_time_passes_at_a_speed() -> None:
    player = player_of(100, 101, 103)
    player.speed = 2.0
    assert [moment.sequence for moment in player.advance(0.4)] == [0]
    assert player.pending == pytest.approx(0.1)
    assert [moment.sequence for moment in player.advance(0.2)] == [1]
    assert not player.ended
    assert [moment.sequence for moment in player.advance(5)] == [2]
    assert player.ended
    assert player.now == player.length == 3


def test_events_out_of_order_happen_together() -> None:
    player = player_of(100, 105, 102, 106)
    assert [moment.elapsed for moment in player.moments] == [0, 5, 5, 6]


def test_nothing_happens_while_it_is_paused() -> None:
    player = player_of(100, 101, 102)
    player.paused = True
    assert not player.advance(10)
    assert player.pending is None
    assert [moment.sequence for moment in player.step()] == [0]
    assert [moment.sequence for moment in player.step()] == [1]
    player.paused = False
    assert [moment.sequence for moment in player.advance(10)] == [2]
    assert not player.step()


def test_it_goes_on_to_the_next_failure_and_no_further(store: Store) -> None:
    player = Player(read_run(Source(store.directory), store.runs["failing"]))
    seen = player.go_to_failure()
    assert seen[-1].entry.dagster_event_type == DagsterEventType.STEP_FAILURE
    assert player.timeline.steps["fails"].outcome is Outcome.FAILURE
    assert player.paused
    assert player.go_to_failure()[-1].entry.dagster_event_type == DagsterEventType.RUN_FAILURE
    place = player.place
    assert not player.has_failure_ahead
    assert player.go_to_failure() == []
    assert player.place == place


# The screen


def drawn(player: Player, width: int = 160) -> list[str]:
    """The lines of a picture."""
    console = Console(width=width, height=24, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(Frame(player, 24))
    return capture.get().splitlines()


def test_the_key_to_the_next_failure_is_named_while_there_is_one(store: Store) -> None:
    player = Player(read_run(Source(store.directory), store.runs["failing"]))
    assert "f next failure" in drawn(player)[-1]
    player.go_to_failure()
    player.go_to_failure()
    player.end += 1  # as if something came after it
    assert "n → next event" in drawn(player)[-1]
    assert "f next failure" not in drawn(player)[-1]


def test_a_run_in_progress_has_not_ended(store: Store) -> None:
    whole = read_run(Source(store.directory), store.runs["everything"])
    for events, state, end in (
        (whole.events, " ended ", "end of the run"),
        (whole.events[:20], " so far ", "all that the run has stored so far"),
    ):
        player = Player(RunHistory(whole.run_id, whole.record, events))
        player.go_to_end()
        picture = drawn(player)
        assert state in picture[0]
        assert end in picture[-1]


def test_an_attempt_is_drawn_where_it_is_shorter_than_a_cell() -> None:
    failure = SerializableErrorInfo("not yet", [], None)
    at = [
        (100.0, DagsterEventType.STEP_WORKER_STARTING, EngineEventData()),
        (150.0, DagsterEventType.STEP_START, None),
        (150.1, DagsterEventType.STEP_UP_FOR_RETRY, StepRetryData(failure, 40)),
        (190.0, DagsterEventType.STEP_RESTARTED, None),
        (200.0, DagsterEventType.STEP_SUCCESS, StepSuccessData(10_000.0)),
    ]
    events = [
        (number, event("r", event_type, data, timestamp=seconds, step_key="tries"))
        for number, (seconds, event_type, data) in enumerate(at)
    ]
    player = Player(RunHistory("r", None, events))
    player.go_to_end()
    [lane] = [line for line in drawn(player, 80) if "tries" in line and "━" in line]
    assert re.search("╌━·+━+", lane), lane


class Terminal:
    """The command in a terminal of its own, whose screen is read."""

    def __init__(self, *arguments: object, by: Sequence[str] = ()) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            words = [*by, sys.executable, "-m", "dagster_lmdb", *map(str, arguments)]
            # Not what C libraries have set since: readline makes the terminal's size a constant.
            named = {name: os.environ[name] for name in os.environ if name not in SIZES}
            os.execvpe(words[0], words, {**named, "TERM": "xterm-256color"})
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._status: int | None = None
        #: All that was written.
        self.written = b""
        self.resize(COLUMNS, ROWS)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def modes(self) -> int:
        """The terminal's local modes."""
        return termios.tcgetattr(self._descriptor)[3]

    @property
    def is_in_order(self) -> bool:
        """Whether the screen is the shell's again, and has its cursor."""
        shown, cursor = (
            re.findall(rb"\x1b\[\?%d([hl])" % mode, self.written) for mode in (1049, 25)
        )
        assert shown[0] == b"h"
        assert cursor[0] == b"l"
        return shown[-1] == b"l" and cursor[-1] == b"h"

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    def hang_up(self) -> None:
        """Takes the terminal away."""
        os.close(self._descriptor)
        self._descriptor = -1

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def until(self, *wanted: str, seconds: float = 60) -> list[str]:
        """The screen, once it shows all of these."""
        deadline = time.monotonic() + seconds
        while not all(text in "\n".join(self.lines) for text in wanted):
            assert time.monotonic() < deadline, "\n".join([f"not shown: {wanted}", *self.lines])
            self._read(0.2)
        return self.lines

    def ended(self, seconds: float = 60) -> int:
        """The command's exit status."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            assert time.monotonic() < deadline, "\n".join(["not ended", *self.lines])
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        while self._read(0.1):
            pass
        return self._status

    def wrote(self, wanted: bytes, after: int = 0, seconds: float = 60) -> int:
        """Waits until something is written; returns the place after it."""
        deadline = time.monotonic() + seconds
        while wanted not in self.written[after:]:
            assert time.monotonic() < deadline, "\n".join([f"not written: {wanted!r}", *self.lines])
            self._read(0.2)
        return self.written.index(wanted, after) + len(wanted)

    def _read(self, seconds: float) -> bool:
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        readable, _, _ = select.select([self._descriptor], [], [], seconds)
        if not readable:
            return False
        try:
            text = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.written += text
        self._stream.feed(text)
        return True

    def close(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._descriptor >= 0:
            os.close(self._descriptor)


@pytest.fixture
def slow(store: Store) -> Iterator[Terminal]:
    """The run of every kind of step, so slow that only keys move it."""
    terminal = Terminal(
        "replay", store.directory, store.runs["everything"], "--speed", "0.001x", "--from", "source"
    )
    yield terminal
    terminal.close()


def test_keys_move_the_player(slow: Terminal) -> None:
    slow.until("q quit", "everything_job", "0.001x")
    slow.press(" ")
    slow.until("paused", " events")
    before = place(slow)
    slow.press("n")
    slow.until(f"{before + 1} of ")
    slow.press("\x1b[C")
    slow.until(f"{before + 2} of ")
    slow.press("f")
    shown = slow.until("ValueError: not the first time", "in flaky", "↻ flaky")
    assert any("✓ source" in line for line in shown)
    assert not any("drive[0]" in line for line in shown)
    slow.press(" ")
    slow.until("0.001x")
    slow.press("++")
    slow.until("0.004x")
    slow.press("-")
    slow.until("0.002x")
    slow.press("e")
    assert slow.ended() == 0
    text = "\n".join(slow.lines)
    for wanted in ("✓ success", "✓ flaky", "✓ drive[0]", "✓ drive[1]", "✓ record", "RUN_SUCCESS"):
        assert wanted in text


def place(terminal: Terminal) -> int:
    """How many events have happened, by the first line."""
    found = re.search(r"(\d+) of \d+ events", terminal.lines[0])
    assert found, terminal.lines[0]
    return int(found[1])


def test_quitting_leaves_the_terminal_as_it_was(slow: Terminal) -> None:
    before = termios.ICANON | termios.ECHO
    slow.until("q quit")
    assert not slow.modes & before
    slow.press("q")
    assert slow.ended() == 0
    assert slow.modes & before == before


def test_an_interrupt_ends_it_and_leaves_the_terminal_as_it_was(slow: Terminal) -> None:
    slow.until("q quit")
    slow.press("\x03")
    assert slow.ended() == 130
    assert slow.modes & termios.ICANON


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("paused", [False, True])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(
    slow: Terminal, signum: signal.Signals, paused: bool
) -> None:
    slow.until("q quit")
    if paused:
        slow.press(" ")
        slow.until("paused")
    os.kill(slow.pid, signum)
    assert slow.ended() == -signum
    assert slow.is_in_order
    assert slow.modes & termios.ICANON
    assert slow.modes & termios.ECHO


def test_a_terminal_that_goes_away_ends_it(slow: Terminal) -> None:
    slow.until("q quit")
    slow.hang_up()
    assert slow.ended() == -signal.SIGHUP


def test_a_terminal_that_goes_away_ends_it_also_where_its_signal_is_ignored(store: Store) -> None:
    terminal = Terminal(
        "replay",
        *(store.directory, store.runs["everything"], "--speed", "0.001x"),
        by=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh"),
    )
    try:
        terminal.until("q quit")
        terminal.hang_up()
        assert terminal.ended() == 128 + signal.SIGPIPE
    finally:
        terminal.close()


def test_it_stops_with_the_terminal_in_order_and_goes_on_where_it_was(store: Store) -> None:
    speed = 0.1
    terminal = Terminal(
        "replay",
        *(store.directory, store.runs["everything"], "--speed", f"{speed}x", "--from", "source"),
        by=("bash", "-c", 'set -m; "$@"; echo is-stopped; sleep 3; echo goes-on; fg', "bash"),
    )
    try:
        terminal.until("q quit")
        before = termios.ICANON | termios.ECHO
        assert not terminal.modes & before
        terminal.press("\x1a")
        stopped = terminal.wrote(b"is-stopped")
        assert terminal.is_in_order
        assert terminal.modes & before == before
        then = time.monotonic()
        goes_on = terminal.wrote(b"goes-on", stopped)
        passed = time.monotonic() - then
        on_screen = terminal.wrote(b"\x1b[?1049h", goes_on)
        terminal.wrote(b"quit", on_screen)
        assert not terminal.is_in_order
        assert not terminal.modes & before
        # The run has not gone on meanwhile.
        seen = shown_seconds(terminal.written[:stopped])[-1]
        assert shown_seconds(terminal.written[on_screen:])[0] - seen < speed * passed
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_in_order
    finally:
        terminal.close()


def shown_seconds(written: bytes) -> list[float]:
    """What the first lines of pictures say of how much of the run has passed."""
    found = re.findall(r"([\d.]+) (ms|s) of", re.sub(r"\x1b\[[\d;]*m", "", written.decode()))
    return [float(number) / (1000 if unit == "ms" else 1) for number, unit in found]


def test_a_picture_is_as_large_as_the_terminal(slow: Terminal) -> None:
    slow.until("q quit")
    slow.press(" ")
    slow.until("paused")
    for columns, rows in ((80, 16), (100, 50)):
        slow.resize(columns, rows)
        deadline = time.monotonic() + 60
        while "q quit" not in slow.lines[-1] or "paused" not in slow.lines[0]:
            assert time.monotonic() < deadline, slow.lines
            slow.wrote(b"q", len(slow.written))
        assert slow.lines[0].endswith("…") == (columns == 80)


def test_without_keys_it_plays_to_its_end(store: Store) -> None:
    terminal = Terminal(
        "replay",
        *(store.directory, store.runs["failing"], "--speed", "10x"),
        by=("sh", "-c", 'exec "$@" <&-', "sh"),
    )
    try:
        assert terminal.ended() == 0, terminal.lines
        assert "end of the run" in "\n".join(terminal.lines)
    finally:
        terminal.close()


def test_a_terminal_that_can_do_nothing_gets_lines(store: Store) -> None:
    terminal = Terminal(
        "replay",
        *(store.directory, store.runs["failing"]),
        by=("env", "TERM=dumb"),
    )
    try:
        assert terminal.ended() == 0
        assert b"\x1b" not in terminal.written
        assert b"RUN_FAILURE" in terminal.written
        assert b"quit" not in terminal.written
    finally:
        terminal.close()


OBEYED = "bell\x07 clear\x1b[2J\x9b2J back\x08 turn\u202e grün"
ESCAPED = r"bell\x07 clear\x1b[2J\x9b2J back\x08 turn\u202e grün"


@pytest.mark.parametrize("verb", ["replay", "tail"])
def test_what_an_event_holds_is_shown_and_not_obeyed(
    instance: DagsterInstance, tmp_path: Path, verb: str
) -> None:
    run_id = make_new_run_id()
    entries = [
        log_line(run_id, f"{OBEYED} \ud800", 5.0),
        event(run_id, DagsterEventType.STEP_START, step_key=OBEYED, timestamp=6.0),
        event(run_id, DagsterEventType.RUN_SUCCESS, timestamp=7.0),
    ]
    instance.event_log_storage.store_event_batch(entries)
    words = [verb, tmp_path / "history", *([run_id] if verb == "replay" else [])]
    terminal = Terminal(*words, *(["--speed", "9999x"] if verb == "replay" else []))
    try:
        assert terminal.ended() == 0, terminal.lines
        assert ESCAPED in terminal.written.decode()
        for each in ("\x1b[2J", "\x07", "\x9b", "\x08", "\u202e"):
            assert each.encode() not in terminal.written
    finally:
        terminal.close()
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert ESCAPED in result.stdout
    rows = list(map(json.loads, call(*words, "--json").stdout.splitlines()))
    assert OBEYED in [row["step_key"] for row in rows]


def test_an_error_that_holds_escapes_does_not_reach_the_terminal(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    run_id = make_new_run_id()
    error = SerializableErrorInfo("gone\x1b[2J\n", ['File "\x1b[5m"\n'], "Odd")
    failed = event(
        run_id,
        DagsterEventType.STEP_FAILURE,
        timestamp=5.0,
        step_key="a_step\x1b[1m",
        data=StepFailureData(error, None),
    )
    instance.event_log_storage.store_event_batch([failed])
    terminal = Terminal("replay", tmp_path / "history", run_id, "--speed", "9999x")
    try:
        assert terminal.ended() == 0, terminal.lines
        text = "\n".join(terminal.lines)
        for wanted in (r"gone\x1b[2J", r'File "\x1b[5m"', r"✗ a_step\x1b[1m"):
            assert wanted in text
        assert b"\x1b[5m" not in terminal.written
    finally:
        terminal.close()
    assert "\x1b" not in call("replay", tmp_path / "history", run_id).stdout


def test_a_run_plays_to_its_end_by_itself(store: Store) -> None:
    terminal = Terminal("replay", store.directory, store.runs["failing"], "--speed", "1x")
    try:
        assert terminal.ended() == 0
        text = "\n".join(terminal.lines)
        for wanted in ("✗ failure", "✗ fails", "✓ source", "RUN_FAILURE", "end of the run"):
            assert wanted in text
    finally:
        terminal.close()
