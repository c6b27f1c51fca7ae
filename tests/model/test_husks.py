"""Records that may go leave husks, and nothing that anybody can ask notices.

The end of each test compares every answer with the model's, and the projections with the fold of
the log that is left; see ``conftest``.
"""

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.drafts import ASSETS, CHECKS, Draft, T
from model.machine import EventLogMachine

A = ASSETS[0]


def records(state: EventLogMachine, *kinds: str) -> list[int]:
    """Sequences of the records of these kinds; of all but shapes where none is given."""
    lines, _ = state.storage._log.tail(limit=1_000_000)
    wanted = set(kinds) or {line[1] for line in lines} - {"shape_defined"}
    return [line[0] for line in lines if line[1] in wanted]


def husk_all(state: EventLogMachine) -> list[int]:
    return state.husk_of(0, records(state))


def agree(state: EventLogMachine) -> None:
    state.every_answer_is_the_models()
    state.verify()


def materialized(run: str, asset: str = A, partition: str | None = None, time: int = 0) -> Draft:
    return Draft(0, T.ASSET_MATERIALIZATION, run, time, asset=asset, partition=partition)


def line(run: str) -> Draft:
    return Draft(0, None, run)


def planned(run: str, *subset: str) -> Draft:
    return Draft(0, T.ASSET_CHECK_EVALUATION_PLANNED, run, subset=subset)


def evaluated(run: str, partition: str | None = None) -> Draft:
    return Draft(0, T.ASSET_CHECK_EVALUATION, run, partition=partition)


def test_events_of_a_deleted_run_go_and_those_that_stand_stay(state: EventLogMachine) -> None:
    state.store(0, [line("run-1"), line("run-2"), materialized("run-1"), materialized("run-2")], 0)
    assert husk_all(state) == []
    state.delete_events(0, "run-1", 0)
    events = records(state, "event")
    assert husk_all(state) == [events[0], events[2]]
    assert len(records(state, "husk")) == 2


def test_a_run_that_is_stored_again_stands(state: EventLogMachine) -> None:
    state.store(0, [line("run-1"), materialized("run-1")], 0)
    state.delete_events(0, "run-1", 0)
    state.store(0, [line("run-1"), materialized("run-1", partition="p")], 0)
    assert len(husk_all(state)) == 2
    agree(state)
    state.delete_events(0, "run-1", 0)
    assert len(husk_all(state)) == 2


def test_what_is_wiped_from_its_asset_stays_in_its_run(state: EventLogMachine) -> None:
    state.store(0, [materialized("run-1", partition="p")], 0)
    state.wipe_partitions(0, A, ("p",), 0)
    state.wipe_asset(0, A, 5)
    assert husk_all(state) == []


def test_everything_goes_after_the_log_is_wiped_but_what_says_so(state: EventLogMachine) -> None:
    state.store(0, [line("run-1"), materialized("run-1"), planned("run-1", "p", "q")], 0)
    state.add_partitions(0, "letters", ["k1"])
    state.limit(0, "pool-1", 1, 0)
    state.claim(0, "pool-1", "run-1", "step-1", 0, 0)
    before = set(records(state))
    state.wipe(0, 0)
    assert set(husk_all(state)) == before
    agree(state)
    state.store(0, [materialized("run-1"), planned("run-1", "p")], 0)


@pytest.mark.parametrize(
    "kind", ["run_events_deleted", "asset_wiped", "asset_partitions_wiped", "event_log_wiped"]
)
def test_tombstones_stay(state: EventLogMachine, kind: str) -> None:
    state.store(0, [materialized("run-1", partition="p"), materialized("run-2")], 0)
    state.wipe_partitions(0, A, ("p",), 0)
    state.wipe_asset(0, A, 0)
    state.delete_events(0, "run-1", 0)
    state.wipe(0, 0)
    state.wipe_asset(0, A, 0)
    (tombstone,) = records(state, kind)
    assert state.husk_of(0, [tombstone]) == []


def test_shapes_stay(state: EventLogMachine) -> None:
    state.store(0, [materialized("run-1")], 0)
    state.wipe(0, 0)
    shapes = records(state, "shape_defined")
    assert shapes
    assert state.storage._log.husk(shapes) == []


def test_what_is_no_record_or_a_husk_already_is_left_out(state: EventLogMachine) -> None:
    assert state.storage._log.husk([0, 1, 7, 2**63]) == []
    state.store(0, [line("run-1")], 0)
    state.delete_events(0, "run-1", 0)
    (event,) = records(state, "event")
    assert state.storage._log.husk([event, event]) in ([event], [event, event])
    assert state.storage._log.husk([event]) == []


def test_a_dynamic_partition_keeps_its_last_record(state: EventLogMachine) -> None:
    state.add_partitions(0, "letters", ["k1", "k2"])
    state.delete_partition(0, "letters", "k1")
    state.add_partitions(0, "letters", ["k1"])
    state.delete_partition(0, "letters", "k2")
    added_1, added_2, deleted_1, *_ = records(state, "dynamic_partition")
    assert husk_all(state) == [added_1, added_2, deleted_1]


def test_a_pool_keeps_its_last_limit(state: EventLogMachine) -> None:
    for limit in (1, 2, None, 3):
        state.limit(0, "pool-1", limit, 0)
    *superseded, last = records(state, "pool_limit")
    gone = husk_all(state)
    assert set(gone) == set(superseded)
    assert last not in gone


def test_a_pool_without_a_limit_keeps_the_record_that_says_so(state: EventLogMachine) -> None:
    state.limit(0, "pool-1", 1, 0)
    state.limit(0, "pool-1", None, 0)
    limited, unlimited = records(state, "pool_limit")
    assert husk_all(state) == [limited]
    assert state.husk_of(0, [unlimited]) == []


def test_a_step_keeps_its_last_state(state: EventLogMachine) -> None:
    state.limit(0, "pool-1", 1, 0)
    state.claim(0, "pool-1", "run-1", "step-1", 0, 0)
    state.claim(0, "pool-1", "run-1", "step-2", 0, 0)
    state.free(0, "run-1", "step-1", 3)
    state.claim(0, "pool-1", "run-1", "step-2", 0, 4)
    steps = records(state, "pool_step")
    # step-1: in, out; step-2: in, assigned, claimed.
    assert len(steps) == 5
    assert set(husk_all(state)) == {steps[0], steps[1], steps[3]}
    agree(state)
    state.free(0, "run-1", None, 5)
    assert set(husk_all(state)) == {steps[4]}


def test_rows_of_a_planned_check_stay_until_a_tombstone_covers_them(
    state: EventLogMachine,
) -> None:
    state.store(0, [planned("run-1", "p", "q", "x"), evaluated("run-1", "p")], 0)
    rows = records(state, "check_execution_planned")
    assert len(rows) == 2
    assert husk_all(state) == []
    state.wipe_asset(0, CHECKS[0][0], 0)
    assert husk_all(state) == rows
    agree(state)
    state.store(0, [evaluated("run-1", "q")], 0)


def test_an_asset_stays_known_when_its_only_events_are_husks(state: EventLogMachine) -> None:
    state.store(0, [materialized("run-1", ASSETS[2])], 0)
    state.delete_events(0, "run-1", 0)
    husk_all(state)
    state.rebuild(0)
    assert state.storage.has_asset_key(state.storage.all_asset_keys()[0])


def test_an_asset_that_a_wipe_made_unknown_stays_so(state: EventLogMachine) -> None:
    state.store(0, [planned("run-1")], 0)
    state.wipe_asset(0, A, 7)
    state.store(0, [materialized("run-1", time=3)], 0)
    state.delete_events(0, "run-1", 0)
    husk_all(state)
    state.rebuild(0)
    assert not state.storage.all_asset_keys()


def test_names_that_husks_brought_first_are_used_again(state: EventLogMachine) -> None:
    state.store(0, [materialized("run-1", partition="p"), planned("run-1", "p", "q")], 0)
    state.store(0, [materialized("run-2")], 0)
    (record,) = state.storage.get_asset_records()
    state.delete_events(0, "run-1", 0)
    husk_all(state)
    state.rebuild(0)
    assert state.storage.get_asset_records()[0].storage_id == record.storage_id
    state.store(0, [materialized("run-1"), planned("run-1", "q"), evaluated("run-1", "q")], 0)
    agree(state)
    state.rebuild(0)


@pytest.fixture(scope="module")
def story() -> Iterator[EventLogMachine]:
    """A store where every kind of record may go, and of every kind one has to stay."""
    machine = EventLogMachine()
    machine.start()
    for run in ("run-1", "run-2"):
        machine.store(0, [line(run), materialized(run, partition="p"), materialized(run, A)], 0)
        machine.store(0, [planned(run, "p", "q"), evaluated(run, "q"), evaluated("")], 0)
        machine.store(
            0, [Draft(0, T.ASSET_MATERIALIZATION_PLANNED, run, subset=("p", "x"), asset=A)], 1
        )
    for key in ("k1", "k2", "k1"):
        machine.add_partitions(0, "letters", [key])
        machine.delete_partition(0, "letters", key)
    machine.add_partitions(0, "letters", ["k1", "k3"])
    for limit in (1, 2, None, 1):
        machine.limit(0, "pool-1", limit, 0)
        machine.claim(0, "pool-1", "run-1", "step-1", 0, 0)
        machine.claim(0, "pool-1", "run-1", "step-2", 0, 0)
        machine.claim(0, "pool-1", "run-2", "step-1", 1, 0)
    machine.wipe_partitions(0, A, ("p",), 0)
    machine.delete_events(0, "run-1", 2)
    machine.store(0, [materialized("run-1", partition="x"), planned("run-1", "q")], 3)
    machine.wipe_asset(0, ASSETS[1], 3)
    yield machine
    machine.sound = True
    machine.teardown()


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(picks=st.lists(st.sets(st.integers(0, 60)), min_size=1, max_size=3))
def test_any_records_that_may_go_leave_the_same_projections(
    story: EventLogMachine, picks: list[set[int]]
) -> None:
    """Each example begins with a copy of the story's store."""
    with tempfile.TemporaryDirectory() as copy:
        story.storage.dispose()
        state = EventLogMachine()
        state.start_on_copy(story, copy)
        try:
            for pick in picks:
                asked = [number for place, number in enumerate(records(state)) if place in pick]
                state.husk_of(0, asked)
                agree(state)
            state.rebuild(0)
            state.every_answer_is_the_models()
        finally:
            state.storage.dispose()
