"""A run is played as it happened: as lines, as objects, and as pictures."""

import io
import json
import re
import time
from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepRetryData, StepSuccessData
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo
from rich.cells import cell_len
from rich.console import Console

from dagster_lmdb.debug.player import FASTEST, SLOWEST, Moment, Player
from dagster_lmdb.debug.runs import RunHistory, Source, read_run
from dagster_lmdb.debug.screen import Frame
from dagster_lmdb.debug.timeline import Outcome
from debug.history import Store, call, refused
from python.entries import event, log_line, run


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
        (["--from", "fails", "--until", "ASSET_MATERIALIZATION"], "has no event ASSET_MAT"),
        (["--until", "999999999"], "no event of the storage id"),
        (["--until", "9" * 5000], "no event of the storage id"),
        (["--until", "²"], "neither a type of event"),
    ],
)
def test_what_a_run_does_not_have_is_refused(store: Store, options: list[str], says: str) -> None:
    assert says in refused(call("replay", store.directory, store.runs["failing"], *options))


def test_an_end_before_the_start_is_refused_as_that(store: Store) -> None:
    whole = replay_json(store, "failing")
    start = next(each for each in whole if each["step_key"] == "fails")
    ends = {
        str(whole[0]["sequence"]): f"the event of the storage id {whole[0]['sequence']}",
        "RUN_START": "the last event RUN_START",
    }
    for until, named in ends.items():
        says = refused(
            call(
                "replay",
                *(store.directory, store.runs["failing"], "--from", "fails", "--until", until),
            )
        )
        assert says.startswith(
            f"{named} of run {store.runs['failing']} is before the replay's start,"
            f" which is the event {start['sequence']}, STEP_START of the step fails"
        )
    both = replay_json(store, "failing", "--from", "fails", "--until", start["sequence"])
    assert both == [start]


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


def test_the_speed_is_twice_and_half_within_bounds() -> None:
    player = player_of(100, 101)
    player.change_speed(2)
    assert player.speed == 2
    player.change_speed(1 / 2)
    player.change_speed(1 / 2)
    assert player.speed == 0.5
    for _ in range(40):
        player.change_speed(2)
    assert player.speed == FASTEST
    for _ in range(40):
        player.change_speed(1 / 2)
    assert player.speed == SLOWEST


@pytest.mark.parametrize(
    ("speed", "factor"), [(SLOWEST / 10, 1 / 2), (FASTEST * 10, 2)], ids=["slower", "faster"]
)
def test_a_speed_beyond_the_bounds_never_changes_the_other_way(speed: float, factor: float) -> None:
    player = player_of(100, 101)
    player.speed = speed
    player.change_speed(factor)
    assert player.speed == speed
    player.change_speed(1 / factor)
    assert player.speed == pytest.approx(speed / factor)


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


def drawn(player: Player, width: int = 160, height: int = 24) -> list[str]:
    """The lines of a picture."""
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(Frame(player, height))
    return capture.get().splitlines()


def test_the_key_to_the_next_failure_is_named_while_there_is_one(store: Store) -> None:
    player = Player(read_run(Source(store.directory), store.runs["failing"]))
    assert "f next failure" in drawn(player)[-1]
    player.go_to_failure()
    player.go_to_failure()
    player.end += 1  # as if something came after it
    assert "n → next event" in drawn(player)[-1]
    assert "f next failure" not in drawn(player)[-1]


@pytest.mark.parametrize(
    ("width", "height"), [(40, 12), (12, 8), (20, 5), (200, 4), (30, 3), (8, 2), (1, 1)]
)
def test_a_picture_fits_at_every_moment(store: Store, width: int, height: int) -> None:
    player = Player(read_run(Source(store.directory), store.runs["everything"]))
    while True:
        picture = drawn(player, width, height)
        assert len(picture) <= height
        assert max(map(cell_len, picture)) <= width
        assert picture[0][0] in "·▶✓…"
        if player.ended:
            break
        if height >= 3:
            assert len(picture) == height
            assert picture[-1].endswith("q quit")
        player.step()


def test_where_there_is_less_room_what_matters_least_goes_first(store: Store) -> None:
    player = Player(read_run(Source(store.directory), store.runs["failing"]))
    player.go_to_failure()
    player.end += 1  # as if something came after it
    at = {height: drawn(player, 100, height) for height in (8, 7, 5, 4, 3, 2, 1)}
    assert [height for height, picture in at.items() if "" in picture] == [8]
    bars = {height: sum("━" in line for line in picture) for height, picture in at.items()}
    assert bars == {8: 2, 7: 2, 5: 1, 4: 1, 3: 0, 2: 0, 1: 0}
    assert [height for height, picture in at.items() if "q quit" not in picture[-1]] == [2, 1]
    assert "KeyError" in at[7][-2] or "raise" in at[7][-2]
    # The bar of the step that something happened to last.
    assert "✗ fails" in at[8][3]
    keys = {width: drawn(player, width)[-1] for width in (100, 60, 40, 24, 10)}
    assert keys == {
        100: "space pause   n → next event   f next failure   + - speed   e end   q quit",
        60: "space pause   n → next event   f next failure   q quit",
        40: "space pause   n → next event   q quit",
        24: "space pause   q quit",
        10: "q quit",
    }
    took = {width: drawn(player, width)[2].rstrip().endswith("ms") for width in (40, 31, 11)}
    assert took == {40: True, 31: False, 11: False}
    assert "━" in drawn(player, 31)[2]
    assert "━" not in drawn(player, 11)[2]


def test_a_picture_reads_no_more_of_the_log_than_it_shows() -> None:
    class Counted(list[Moment]):
        read = 0

        def __getitem__(self, place):
            found = super().__getitem__(place)
            self.read += len(found) if isinstance(place, slice) else 1
            return found

    player = player_of(*range(10_000))
    player.go_to_end()
    player.moments = moments = Counted(player.moments)
    assert any("line 9999" in line for line in drawn(player))
    assert moments.read < 100


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
