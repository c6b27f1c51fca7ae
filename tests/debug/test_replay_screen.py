"""A run is played on a screen with keys, which leaves the terminal as it was."""

import json
import os
import re
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo

from debug.history import Store, call
from debug.terminals import Terminal
from python.entries import event, log_line


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


def test_the_speed_is_shown_as_keys_change_it(slow: Terminal) -> None:
    slow.until("q quit", " 0.001x ")
    for key, shown in (
        ("+", "0.002x"),
        ("=", "0.004x"),
        ("\x1b[A", "0.008x"),
        ("\x1bOA", "0.016x"),
        ("\x1bOk", "0.032x"),
        ("-", "0.016x"),
        ("_", "0.008x"),
        ("\x1b[B", "0.004x"),
        ("\x1bOB", "0.002x"),
        ("\x1bOm", "0.001x"),
        (" ", "paused 0.001x"),
        ("+", "paused 0.002x"),
        # Keys that have no use: with a modifier, and of functions.
        ("\x1b[1;5C\x1b[15~\x1bOP-", "paused 0.001x"),
        (" ", " 0.001x "),
    ):
        slow.press(key)
        slow.until(f"{shown} ")


def test_the_end_is_reached_from_a_pause(slow: Terminal) -> None:
    slow.until("q quit")
    slow.press(" ")
    slow.until("paused")
    slow.press("e")
    assert slow.ended() == 0
    assert "end of the run" in "\n".join(slow.lines)


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
    for columns, rows in ((80, 16), (110, 50)):
        slow.resize(columns, rows)
        deadline = time.monotonic() + 60
        while "q quit" not in slow.lines[-1] or "paused" not in slow.lines[0]:
            assert time.monotonic() < deadline, slow.lines
            slow.wrote(b"q", len(slow.written))
        assert slow.lines[0].endswith("…") == (columns == 80)


def test_the_last_picture_leaves_room_for_the_shell(slow: Terminal) -> None:
    slow.until("q quit")
    slow.resize(20, 5)
    slow.press("q")
    assert slow.ended() == 0
    _, left, stays = slow.written.decode().rpartition("\x1b[?1049l")
    assert left
    assert stays.count("\n") == 5 - 1


def test_keys_pressed_before_the_first_picture_count(slow: Terminal) -> None:
    slow.press(" +")
    slow.until("paused 0.002x")


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
