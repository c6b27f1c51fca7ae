"""A trace says what Perfetto needs, and what it says is what the log tells."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    TickData,
    TickStatus,
)
from dagster._core.utils import make_new_run_id

from debug.history import Store, call, refused
from debug.trace_format import BrokenTraceError, Event, Parsed, end_of
from python.entries import event, job_origin, run


def categories(slices: list[Event]) -> list[str]:
    return [each["cat"] for each in slices]


def traced(directory: Path, *arguments: object) -> Parsed:
    result = call("trace", directory, *arguments, "-o", "-")
    assert result.exit_code == 0, result.output
    return Parsed(result.stdout)


def test_a_run_has_a_lane_for_itself_and_for_each_step(store: Store) -> None:
    found = traced(store.directory, store.runs["everything"])
    steps = {entry.step_key for entry in store.instance.all_logs(store.runs["everything"])}
    assert set(found.lanes.values()) == {"run", *(step for step in steps if step)}
    [whole] = found.lane("everything_job", "run")
    assert (whole["cat"], whole["name"]) == ("execution", "everything_job")
    assert whole["args"]["run_id"] == store.runs["everything"]
    assert whole["args"]["status"] == "SUCCESS"
    record = store.instance.get_run_record_by_id(store.runs["everything"])
    begin, end = (found.origin + at / 1e6 for at in (whole["ts"], end_of(whole)))
    assert begin == pytest.approx(record.start_time, abs=1e-5)
    assert end == pytest.approx(record.end_time, abs=1e-5)


def test_the_slices_of_a_step_are_what_its_events_tell(store: Store) -> None:
    run_id = store.runs["everything"]
    found = traced(store.directory, run_id)
    flaky = found.lane("everything_job", "flaky")
    assert categories(flaky) == [
        "process start-up",
        "resources",
        "attempt",
        "retry wait",
        "process start-up",
        "resources",
        "attempt",
    ]
    first, second = (each for each in flaky if each["cat"] == "attempt")
    assert first["name"] == "flaky"
    assert first["args"]["outcome"] == "up for retry"
    assert "not the first time" in first["args"]["error"]
    assert second["name"] == "flaky (attempt 2)"
    pids = [
        entry.dagster_event.pid
        for entry in store.instance.all_logs(
            run_id, of_type={DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}
        )
        if entry.step_key == "flaky"
    ]
    assert [each["args"]["process"] for each in (first, second)] == pids
    stats = {each.step_key: each for each in store.instance.get_run_step_stats(run_id)}
    attempts = stats["flaky"].attempts_list
    for each, attempt in zip((first, second), attempts, strict=True):
        assert found.origin + each["ts"] / 1e6 == pytest.approx(attempt.start_time, abs=1e-5)
        assert found.origin + end_of(each) / 1e6 == pytest.approx(attempt.end_time, abs=1e-5)


def test_inputs_outputs_and_slots_are_slices_of_their_own(store: Store) -> None:
    found = traced(store.directory, store.runs["everything"])
    [attempt] = [
        each for each in found.lane("everything_job", "record") if each["cat"] == "attempt"
    ]
    assert [each["name"] for each in attempt["within"]] == [
        "load input numbers",
        "load input numbers",
        "compute",
        "handle output result",
        "after output",
    ]
    waits = [
        each
        for step in ("drive[0]", "drive[1]")
        for each in found.lane("everything_job", step)
        if each["cat"] == "slot wait"
    ]
    assert [each["name"] for each in waits] == ["slot of lane"]


def test_materializations_and_failures_are_instants(store: Store) -> None:
    found = traced(store.directory, store.runs["everything"], store.runs["failing"])
    by_type = {each["args"]["type"]: each for each in found.instants}
    assert by_type["ASSET_MATERIALIZATION"]["name"] == "totals [a]"
    assert by_type["ASSET_OBSERVATION"]["name"] == "totals"
    assert "KeyError: 'the cause'" in by_type["STEP_FAILURE"]["args"]["error"]
    assert by_type["STEP_UP_FOR_RETRY"]["pid"] == by_type["ASSET_MATERIALIZATION"]["pid"]
    [attempt] = found.lane("failing_job", "fails")
    assert attempt["cname"] == "terrible"
    assert by_type["STEP_FAILURE"]["ts"] == end_of(attempt)


def test_several_runs_stand_side_by_side(store: Store) -> None:
    names = ("everything", "failing", "letters")
    run_ids = [store.runs[name] for name in names]
    found = traced(store.directory, *run_ids, run_ids[0])
    assert list(found.processes.values()) == [
        f"{name}_job {run_id[:8]}" for name, run_id in zip(names, run_ids, strict=True)
    ]
    begins = [found.lane(f"{name}_job", "run")[0]["ts"] for name in names]
    assert begins == sorted(begins)
    assert begins[-1] > 0


def test_aligned_runs_count_from_their_creation(store: Store) -> None:
    names = ("everything", "failing", "letters")
    run_ids = [store.runs[name] for name in names]
    aligned = traced(store.directory, *run_ids, "--align")
    assert aligned.origin == 0
    for name, run_id in zip(names, run_ids, strict=True):
        created = store.instance.get_run_record_by_id(run_id).create_timestamp.timestamp()
        [started] = store.instance.all_logs(run_id, of_type=DagsterEventType.RUN_START)
        [whole] = aligned.lane(f"{name}_job", "run")
        assert whole["ts"] / 1e6 == pytest.approx(started.timestamp - created, abs=1e-5)
        assert whole["ts"] > 0


def tick(state: InstigatorState, at: float, status: TickStatus, **fields: Any) -> TickData:
    return TickData(
        instigator_origin_id=state.instigator_origin_id,
        instigator_name=state.instigator_name,
        instigator_type=state.instigator_type,
        status=status,
        timestamp=at,
        selector_id=state.selector_id,
        **fields,
    )


def report(instance: DagsterInstance, run_id: str, at: float, of_type: DagsterEventType) -> None:
    instance.handle_new_event(event(run_id, of_type, timestamp=at))


@pytest.fixture
def day(instance: DagsterInstance) -> Mapping[str, str]:
    """Runs, a tick and a backfill at known seconds, and the runs' ids."""
    runs = {}
    for name, seconds in {"early": (10, 20), "across": (90, 110), "goes_on": (95, None)}.items():
        at = run(job_name=name)
        instance.run_storage.add_historical_run(at, datetime_at(seconds[0]))
        report(instance, at.run_id, float(seconds[0]), DagsterEventType.RUN_ENQUEUED)
        report(instance, at.run_id, seconds[0] + 2.0, DagsterEventType.RUN_STARTING)
        report(instance, at.run_id, seconds[0] + 3.0, DagsterEventType.RUN_START)
        if seconds[1]:
            report(instance, at.run_id, float(seconds[1]), DagsterEventType.RUN_SUCCESS)
        runs[name] = at.run_id
    origin = job_origin().repository_origin.get_instigator_origin("a_sensor")
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, None)
    instance.add_instigator_state(state)
    instance.create_tick(tick(state, 50.0, TickStatus.SKIPPED, end_timestamp=51.0))
    instance.create_tick(
        tick(state, 100.0, TickStatus.SUCCESS, end_timestamp=102.5, run_ids=["x"], cursor="c")
    )
    for backfill_id, ended in (("old", 80.0), ("lasting", None)):
        instance.add_backfill(
            PartitionBackfill(
                backfill_id,
                BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={"a": "b"},
                backfill_timestamp=70.0,
                backfill_end_timestamp=ended,
            )
        )
    return runs


def datetime_at(seconds: float) -> Any:
    from dagster._time import datetime_from_timestamp

    return datetime_from_timestamp(float(seconds))


def window(begin: float, end: float) -> str:
    return "..".join(datetime_at(at).isoformat() for at in (begin, end))


def test_a_window_has_the_runs_ticks_and_backfills_of_its_time(
    day: Mapping[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "history"
    found = traced(directory, "--window", window(99, 120))
    assert list(found.processes.values()) == [
        f"across {day['across'][:8]}",
        f"goes_on {day['goes_on'][:8]}",
        "sensors, schedules, backfills",
    ]
    assert categories(found.lane("across", "run")) == ["queue wait", "start-up", "execution"]
    queued, starting, running = found.lane("across", "run")
    assert (queued["dur"], starting["dur"], running["dur"]) == (2e6, 1e6, 17e6)
    # What goes on ends where the window does.
    assert found.origin + end_of(found.lane("goes_on", "run")[-1]) / 1e6 == 120
    [ticked] = found.lane("sensors", "sensor a_sensor")
    assert (ticked["name"], ticked["dur"]) == ("tick: success", 2.5e6)
    assert ticked["args"]["runs"] == ["x"]
    [lasting] = found.lane("sensors", "backfill lasting")
    assert lasting["dur"] == 50e6
    assert "backfill old" not in found.lanes.values()
    everything = traced(directory, "--window", "..")
    assert len(everything.processes) == 4


def test_a_window_has_runs_that_wait_and_none_that_ended_before(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    waiting = run(job_name="waits")
    instance.run_storage.add_historical_run(waiting, datetime_at(30))
    report(instance, waiting.run_id, 30.0, DagsterEventType.RUN_ENQUEUED)
    instance.add_run_tags(day["early"], {"looked": "at"})
    record = instance.get_run_record_by_id(day["early"])
    assert record.update_timestamp.timestamp() > 120
    found = traced(tmp_path / "history", "--window", window(99, 120))
    assert [name.split()[0] for name in found.processes.values()] == [
        *("across", "goes_on", "waits"),
        "sensors,",
    ]
    [queued] = found.lane("waits", "run")
    assert (queued["cat"], queued["dur"]) == ("queue wait", 90e6)


def test_a_tick_that_goes_on_ends_where_the_window_does(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    [state] = instance.all_instigator_state()
    instance.create_tick(tick(state, 110.0, TickStatus.STARTED))
    found = traced(tmp_path / "history", "--window", window(105, 120))
    [ticked] = found.lane("sensors", "sensor a_sensor")
    assert (ticked["name"], ticked["dur"]) == ("tick: started", 10e6)


def test_ticks_that_caught_up_stand_one_after_the_other(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    # A schedule's tick has the time at which it was due.
    [state] = instance.all_instigator_state()
    for due, ended in ((200.0, 500.0), (300.0, 501.0), (400.0, 502.5)):
        instance.create_tick(tick(state, due, TickStatus.SUCCESS, end_timestamp=ended, run_ids=[]))
    found = traced(tmp_path / "history", "--window", window(190, 600))
    ticks = found.lane("sensors", "sensor a_sensor")
    assert [found.origin + end_of(each) / 1e6 for each in ticks] == [500.0, 501.0, 502.5]
    assert [each["dur"] for each in ticks] == [300e6, 1e6, 1.5e6]
    assert [each["args"]["due"] for each in ticks] == [200.0, 300.0, 400.0]


def names(slices: Sequence[Event]) -> list[str]:
    return [each["name"] for each in slices]


def times(found: Parsed, slices: Sequence[Event]) -> list[tuple[float, float]]:
    return [tuple(found.origin + at / 1e6 for at in (each["ts"], end_of(each))) for each in slices]


def test_aligned_runs_show_how_long_each_waited(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    late = run(job_name="late")
    instance.run_storage.add_historical_run(late, datetime_at(1000))
    for at, of_type in (
        (1001.0, DagsterEventType.RUN_ENQUEUED),
        (1060.0, DagsterEventType.RUN_DEQUEUED),
        (1061.0, DagsterEventType.RUN_START),
    ):
        report(instance, late.run_id, at, of_type)
    found = traced(tmp_path / "history", day["across"], late.run_id, "--align")
    assert times(found, found.lane("across", "run"))[:2] == [(0.0, 2.0), (2.0, 3.0)]
    assert times(found, found.lane("late", "run"))[0] == (1.0, 60.0)


def test_a_window_has_the_ticks_that_went_on_in_it_from_their_beginning(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    [state] = instance.all_instigator_state()
    for place in range(40):  # short ones, long before
        at = 60.0 + place / 10
        instance.create_tick(tick(state, at, TickStatus.SKIPPED, end_timestamp=at + 0.05))
    found = traced(tmp_path / "history", "--window", window(101, 120))
    ticks = found.lane("sensors", "sensor a_sensor")
    assert (names(ticks), times(found, ticks)) == (["tick: success"], [(100.0, 102.5)])
    found = traced(tmp_path / "history", "--window", window(102.5, 120))
    assert "sensor a_sensor" not in found.lanes.values()


def test_a_window_has_ticks_that_caught_up_in_it_though_they_were_due_before(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    [state] = instance.all_instigator_state()
    for place in range(40):
        due, ended = 200.0 + place, 500.0 + place
        instance.create_tick(tick(state, due, TickStatus.SUCCESS, end_timestamp=ended, run_ids=[]))
    found = traced(tmp_path / "history", "--window", window(503, 506))
    ticks = found.lane("sensors", "sensor a_sensor")
    assert times(found, ticks) == [(503.0, 504.0), (504.0, 505.0), (505.0, 506.0)]
    assert [each["args"]["due"] for each in ticks] == [204.0, 205.0, 206.0]


def test_a_tick_that_never_ended_goes_on_to_the_next_one(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    """As where the daemon was killed."""
    [state] = instance.all_instigator_state()
    instance.create_tick(tick(state, 104.0, TickStatus.STARTED))
    instance.create_tick(tick(state, 110.0, TickStatus.SKIPPED, end_timestamp=111.0))
    found = traced(tmp_path / "history", "--window", window(105, 120))
    ticks = found.lane("sensors", "sensor a_sensor")
    assert names(ticks) == ["tick: started", "tick: skipped"]
    assert times(found, ticks) == [(104.0, 110.0), (110.0, 111.0)]
    found = traced(tmp_path / "history", "--window", window(112, 120))
    assert "sensor a_sensor" not in found.lanes.values()


def test_a_window_has_the_ticks_of_instigators_without_a_state(
    day: Mapping[str, str], instance: DagsterInstance, tmp_path: Path
) -> None:
    [state] = instance.all_instigator_state()
    instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
    # Dagster's automation has no state; older ticks have no selector.
    for fields in (
        {"instigator_name": "asset_daemon", "instigator_type": InstigatorType.AUTO_MATERIALIZE},
        {"selector_id": None},
    ):
        made = tick(state, 101.0, TickStatus.SKIPPED, end_timestamp=103.0)
        other = {"selector_id": "another", "instigator_origin_id": "another", **fields}
        instance.create_tick(made._replace(**other))
    found = traced(tmp_path / "history", "--window", window(99, 120))
    of_ticks = [name for name in found.lanes.values() if not name.startswith(("run", "backfill"))]
    assert sorted(of_ticks) == [
        "auto_materialize asset_daemon",
        "sensor a_sensor",
        "sensor a_sensor (2)",
    ]
    assert len(found.lane("sensors", "sensor a_sensor (2)")) == 1


def first(phase: str, name: str | None = None) -> Callable[[list[Event]], Event]:
    return lambda events: next(
        each for each in events if each["ph"] == phase and name in (None, each["name"])
    )


@pytest.mark.parametrize(
    ("which", "change"),
    [
        (first("X"), {"ts": "0"}),
        (first("X"), {"ts": -1}),
        (first("X"), {"ts": float("nan")}),
        (first("X"), {"dur": 1.5}),
        (first("X"), {"dur": None}),
        (first("X"), {"tid": 999}),
        (first("X"), {"pid": True}),
        (first("X"), {"cname": "crimson"}),
        (first("X"), {"args": []}),
        (first("X"), {"ph": "B"}),
        (first("X", "fails"), {"dur": 10**9}),
        (first("X", "fails"), {"name": ""}),
        (first("i"), {"s": "lane"}),
        (first("i"), {"dur": 1}),
        (first("M", "thread_name"), {"args": {"name": 1}}),
        (first("M", "thread_name"), {"name": "thread_title"}),
        (first("M", "process_sort_index"), {"args": {"sort_index": "1"}}),
        (first("M", "thread_sort_index"), {"name": "thread_name", "args": {"name": "twice"}}),
    ],
)
def test_a_trace_that_breaks_a_rule_is_told(
    store: Store, which: Callable[[list[Event]], Event], change: dict[str, Any]
) -> None:
    text = call("trace", store.directory, store.runs["failing"], "-o", "-").stdout
    Parsed(text)
    whole = json.loads(text)
    which(whole["traceEvents"]).update(change)
    if change == {"dur": 10**9}:
        # What overlaps with the next one of its lane.
        events = whole["traceEvents"]
        events.append(first("X", "fails")(events) | {"ts": 10**9 - 1, "dur": 10**9})
    with pytest.raises(BrokenTraceError):
        Parsed(json.dumps(whole))


def test_a_trace_is_a_file_that_is_there_whole(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    result = call("trace", store.directory, store.runs["failing"], "-o", path)
    assert result.exit_code == 0, result.output
    assert "Wrote 1 run " in result.stdout
    before = path.read_text()
    assert Parsed(before).processes
    assert "exists" in refused(call("trace", store.directory, store.runs["letters"], "-o", path))
    assert path.read_text() == before
    result = call("trace", store.directory, store.runs["letters"], "-o", path, "--force")
    assert result.exit_code == 0, result.output
    assert Parsed(path.read_text()).processes != Parsed(before).processes
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]


def test_nothing_is_left_of_a_trace_that_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    run_id = make_new_run_id()
    assert f"no run {run_id}" in refused(
        call("trace", store.directory, store.runs["failing"], run_id, "-o", path)
    )
    nowhere = tmp_path / "nowhere" / "trace.json"
    assert "cannot be written: No such file" in refused(
        call("trace", store.directory, store.runs["failing"], "-o", nowhere)
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Name either runs or a --window"),
        (["RUN", "--window", "1h"], "Name either runs or a --window"),
        (["--window", "1h", "--align"], "--align is for runs"),
        (["--window", "yesterday"], "is not a length of time"),
        (["--window", "2026-01-01..now"], "is not a window of time"),
        (["--window", "2026-01-02..2026-01-01"], "ends before it begins"),
    ],
)
def test_what_says_nothing_to_trace_is_refused(
    store: Store, arguments: list[str], says: str
) -> None:
    named = [store.runs["failing"] if each == "RUN" else each for each in arguments]
    result = call("trace", store.directory, *named, "-o", "-")
    assert result.exit_code == 2
    assert says in result.stderr
