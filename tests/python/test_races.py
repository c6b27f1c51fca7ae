"""Two processes that want the same at the same moment: one gets it, and the other is told.

Both do their part of a round as soon as a barrier lets them go, over many rounds, and answer with
what came of each. A race without collisions proves nothing, so both have to have been within their
calls at once in a quarter of the rounds.
"""

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from dagster._core.errors import DagsterInvariantViolationError, DagsterRunAlreadyExists
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    TickStatus,
)
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp

from dagster_lmdb import DagsterLmdbStorage
from python.entries import run, status_event
from python.test_schedules import moved, sensor, tick

ROUNDS = 200
PATIENCE = 120

Part = Callable[[DagsterLmdbStorage, int, Any], Any]


@dataclass(frozen=True)
class Answer:
    """What a process's part of a round came to, and when it was at it."""

    came: Any
    began: float
    ended: float


def play(place: int, barrier: Any, asked: Connection) -> None:
    """A process's side of every race that it is asked for, until it is asked for none."""
    while (race := asked.recv()) is not None:
        directory, part, rounds = race
        try:
            storage = DagsterLmdbStorage(directory)
            storage.run_storage.get_runs_count()
            answers = []
            for given in rounds:
                barrier.wait(PATIENCE)
                began = time.monotonic()
                came = part(storage, place, given)
                answers.append(Answer(came, began, time.monotonic()))
            storage.dispose()
            asked.send(answers)
        except BaseException:
            barrier.abort()
            asked.send(traceback.format_exc())
            raise


Race = Callable[[Path, Part, list[Any]], list[tuple[Any, Any]]]


@pytest.fixture(scope="module")
def race() -> Iterator[Race]:
    """Has both processes do their parts, round by round; what the parts came to."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    ends = [spawn.Pipe() for _ in range(2)]
    processes = [
        spawn.Process(target=play, args=(place, barrier, theirs), daemon=True)
        for place, (_, theirs) in enumerate(ends)
    ]

    def race(directory: Path, part: Part, rounds: list[Any]) -> list[tuple[Any, Any]]:
        for ours, _ in ends:
            ours.send((str(directory), part, rounds))
        answers = []
        for ours, _ in ends:
            assert ours.poll(PATIENCE), "a process does not answer"
            answers.append(ours.recv())
        for found in answers:
            assert isinstance(found, list), found
        pairs = list(zip(*answers, strict=True))
        met = sum(one.began < other.ended and other.began < one.ended for one, other in pairs)
        assert met >= len(pairs) // 4, f"they met in {met} of {len(pairs)} rounds"
        return [(one.came, other.came) for one, other in pairs]

    for process in processes:
        process.start()
    try:
        yield race
        for ours, _ in ends:
            ours.send(None)
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode == 0
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def storage(directory: Path) -> Iterator[DagsterLmdbStorage]:
    storage = DagsterLmdbStorage(str(directory))
    yield storage
    assert storage.run_storage._log.verify().differences == []
    storage.dispose()


def outcome(act: Callable[[], Any], refusal: type[Exception]) -> str:
    try:
        act()
    except refusal:
        return "refused"
    return "done"


def claim(storage: DagsterLmdbStorage, place: int, pool: str) -> bool:
    run_id = f"{pool}-{place}"
    status = storage.event_log_storage.claim_concurrency_slot(pool, run_id, "a_step")
    return status.is_claimed


def test_the_last_slot_is_given_to_one(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    events = storage.event_log_storage
    pools = [f"pool-{number}" for number in range(ROUNDS)]
    for pool in pools:
        events.set_concurrency_slots(pool, 2)
        assert events.claim_concurrency_slot(pool, "before", "a_step").is_claimed
    for pool, claims in zip(pools, race(directory, claim, pools), strict=True):
        assert sorted(claims) == [False, True]
        info = events.get_concurrency_info(pool)
        holder = f"{pool}-{claims.index(True)}"
        assert {slot.run_id for slot in info.claimed_slots} == {"before", holder}
        assert info.pending_step_count == 1
        events.free_concurrency_slot_for_step(holder, "a_step")
        other = f"{pool}-{claims.index(False)}"
        assert events.claim_concurrency_slot(pool, other, "a_step").is_claimed


def claim_and_free(storage: DagsterLmdbStorage, place: int, pool: str) -> bool:
    """Asks until it has the slot, as blocked steps do, and gives it back."""
    until = time.monotonic() + PATIENCE
    while not claim(storage, place, pool):
        assert time.monotonic() < until
    held = storage.event_log_storage.get_concurrency_info(pool)
    assert {slot.run_id for slot in held.claimed_slots} == {f"pool-{place}"}
    storage.event_log_storage.free_concurrency_slots_for_run(f"pool-{place}")
    return True


def test_a_slot_goes_from_one_to_the_other(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    storage.event_log_storage.set_concurrency_slots("pool", 1)
    found = race(directory, claim_and_free, ["pool"] * ROUNDS)
    assert found == [(True, True)] * ROUNDS
    info = storage.event_log_storage.get_concurrency_info("pool")
    assert (info.claimed_slots, info.pending_steps) == ([], [])


def add_run(storage: DagsterLmdbStorage, place: int, run_id: str) -> str:
    added = run(run_id=run_id, job_name=f"job_{place}", tags={"place": str(place)})
    return outcome(lambda: storage.run_storage.add_run(added), DagsterRunAlreadyExists)


def test_a_run_id_is_one_run(storage: DagsterLmdbStorage, directory: Path, race: Race) -> None:
    run_ids = [make_new_run_id() for _ in range(ROUNDS)]
    for run_id, outcomes in zip(run_ids, race(directory, add_run, run_ids), strict=True):
        assert sorted(outcomes) == ["done", "refused"]
        place = outcomes.index("done")
        [stored] = storage.run_storage.get_runs(RunsFilter(run_ids=[run_id]))
        assert (stored.job_name, stored.tags) == (f"job_{place}", {"place": str(place)})
    counts = [
        storage.run_storage.get_runs_count(RunsFilter(tags={"place": place})) for place in "01"
    ]
    assert sum(counts) == storage.run_storage.get_runs_count() == ROUNDS


def add_backfill(storage: DagsterLmdbStorage, place: int, backfill_id: str) -> str:
    backfill = PartitionBackfill(
        backfill_id,
        BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={"place": str(place)},
        backfill_timestamp=1.0,
    )
    return outcome(
        lambda: storage.run_storage.add_backfill(backfill), DagsterInvariantViolationError
    )


def test_a_backfill_id_is_one_backfill(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    ids = [f"backfill-{number}" for number in range(ROUNDS)]
    for backfill_id, outcomes in zip(ids, race(directory, add_backfill, ids), strict=True):
        assert sorted(outcomes) == ["done", "refused"]
        tags = storage.run_storage.get_backfill(backfill_id).tags
        assert tags == {"place": str(outcomes.index("done"))}
    assert storage.run_storage.get_backfills_count() == ROUNDS


def create_tick(storage: DagsterLmdbStorage, _: int, at: float) -> int:
    return storage.schedule_storage.create_tick(tick(at, TickStatus.STARTED)).tick_id


def test_two_ticks_of_one_time_are_two(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    """Dagster asks nothing else of ``create_tick`` than an id of the tick's own."""
    times = [float(number) for number in range(1, ROUNDS + 1)]
    for at, ids in zip(times, race(directory, create_tick, times), strict=True):
        assert len(set(ids)) == 2
        found = storage.schedule_storage.get_ticks(
            "an_origin", "a_selector", after=at - 0.5, before=at + 0.5
        )
        assert [each.tick_id for each in found] == sorted(ids, reverse=True)


def update_tick(storage: DagsterLmdbStorage, place: int, tick_id: int) -> str:
    status = [TickStatus.SUCCESS, TickStatus.SKIPPED][place]
    storage.schedule_storage.update_tick(InstigatorTick(tick_id, tick(float(tick_id), status)))
    return status.value


def test_a_tick_that_both_update_is_as_one_of_them_left_it(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    schedules = storage.schedule_storage
    ids = [schedules.create_tick(tick(1.0, TickStatus.STARTED)).tick_id for _ in range(ROUNDS)]
    race(directory, update_tick, ids)
    found = Counter(schedules.get_tick(tick_id).status for tick_id in ids)
    assert set(found) <= {TickStatus.SUCCESS, TickStatus.SKIPPED}
    for status in TickStatus:
        of_status = schedules.get_ticks("an_origin", "a_selector", statuses=[status])
        assert len(of_status) == found[status]
        assert all((each.timestamp, each.status) == (each.tick_id, status) for each in of_status)


def purge_or_update(storage: DagsterLmdbStorage, place: int, tick_id: int) -> None:
    if place:
        storage.schedule_storage.purge_ticks("an_origin", "a_selector", float(tick_id) + 0.5)
    else:
        update_tick(storage, 0, tick_id)


def test_a_tick_that_is_purged_while_it_is_updated_does_not_come_back(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    schedules = storage.schedule_storage
    ids = [schedules.create_tick(tick(0.0, TickStatus.STARTED)).tick_id for _ in range(ROUNDS)]
    for tick_id in ids:
        schedules.update_tick(InstigatorTick(tick_id, tick(float(tick_id), TickStatus.STARTED)))
    race(directory, purge_or_update, ids)
    assert schedules.get_ticks("an_origin", "a_selector") == []
    assert schedules.get_ticks_by_ids(ids) == []


def add_partitions(storage: DagsterLmdbStorage, place: int, number: int) -> None:
    keys = ["shared", f"own-{place}", "also shared"]
    keys = keys if place else keys[::-1]
    storage.event_log_storage.add_dynamic_partitions(f"definition-{number}", keys)


def test_a_dynamic_partition_is_added_once(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    race(directory, add_partitions, list(range(ROUNDS)))
    records = storage.event_log_storage._log.stat()["records"]
    for number in range(ROUNDS):
        found = storage.event_log_storage.get_dynamic_partitions(f"definition-{number}")
        assert sorted(found) == ["also shared", "own-0", "own-1", "shared"]
    assert records["dynamic_partition"][0] == 4 * ROUNDS


def report(storage: DagsterLmdbStorage, place: int, run_id: str) -> None:
    """Stores an event and tells the run storage of it, as ``handle_new_event`` does."""
    kinds = [DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED]
    entry = status_event(run_id, kinds[place], timestamp=4e9 + place)
    storage.event_log_storage.store_event(entry)
    storage.run_storage.handle_run_event(
        run_id, entry.dagster_event, datetime_from_timestamp(entry.timestamp)
    )


def report_swapped(storage: DagsterLmdbStorage, place: int, run_id: str) -> None:
    report(storage, 1 - place, run_id)


@pytest.mark.parametrize("part", [report, report_swapped])
def test_a_run_that_is_reported_as_canceled_never_goes_back(
    storage: DagsterLmdbStorage, directory: Path, race: Race, part: Part
) -> None:
    runs = storage.run_storage
    ids = [runs.add_run(run(DagsterRunStatus.STARTED)).run_id for _ in range(ROUNDS)]
    race(directory, part, ids)
    records = runs.get_run_records()
    assert {each.dagster_run.status for each in records} == {DagsterRunStatus.CANCELED}
    assert {each.end_time for each in records} == {4e9 + 1}
    assert set(runs.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.CANCELED]))) == set(ids)
    assert runs.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.CANCELING])) == []
    assert {len(storage.event_log_storage.get_logs_for_run(run_id)) for run_id in ids} == {2}


def end(storage: DagsterLmdbStorage, place: int, run_id: str) -> None:
    kinds = [DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS]
    entry = status_event(run_id, kinds[place], timestamp=4e9 + place)
    storage.event_log_storage.store_event(entry)
    storage.run_storage.handle_run_event(
        run_id, entry.dagster_event, datetime_from_timestamp(entry.timestamp)
    )


def test_of_two_ends_the_later_in_time_stands(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    runs = storage.run_storage
    ids = [runs.add_run(run(DagsterRunStatus.STARTED)).run_id for _ in range(ROUNDS)]
    race(directory, end, ids)
    records = runs.get_run_records()
    assert {each.dagster_run.status for each in records} == {DagsterRunStatus.SUCCESS}
    assert {each.end_time for each in records} == {4e9 + 1}
    assert len(records) == ROUNDS


def add_sensor(storage: DagsterLmdbStorage, _: int, name: str) -> str:
    return outcome(
        lambda: storage.schedule_storage.add_instigator_state(sensor(name)),
        DagsterInvariantViolationError,
    )


def test_an_instigator_is_added_once(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    names = [f"sensor_{number}" for number in range(ROUNDS)]
    for outcomes in race(directory, add_sensor, names):
        assert sorted(outcomes) == ["done", "refused"]
    states = storage.schedule_storage.all_instigator_state()
    assert sorted(state.instigator_name for state in states) == sorted(names)


def add_or_move_sensor(storage: DagsterLmdbStorage, place: int, name: str) -> str:
    state = moved(sensor(name)) if place else sensor(name)
    storage.schedule_storage.add_instigator_state(state)
    return state.instigator_origin_id


def test_two_origins_of_one_selector_leave_one_state(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    names = [f"sensor_{number}" for number in range(ROUNDS)]
    origins = race(directory, add_or_move_sensor, names)
    states = storage.schedule_storage.all_instigator_state()
    found = {state.instigator_name: state.instigator_origin_id for state in states}
    assert len(states) == len(found) == ROUNDS
    assert all(found[name] in pair for name, pair in zip(names, origins, strict=True))


def two_origins(storage: DagsterLmdbStorage, name: str) -> list[InstigatorState]:
    """Two origins of one selector, both in storage."""
    schedules = storage.schedule_storage
    return [schedules.add_instigator_state(each) for each in (sensor(name), moved(sensor(name)))]


def update_or_delete_other(storage: DagsterLmdbStorage, place: int, name: str) -> str:
    state = sensor(name)
    schedules = storage.schedule_storage
    if place:
        origin_id = moved(state).instigator_origin_id
        return outcome(
            lambda: schedules.delete_instigator_state(origin_id, state.selector_id),
            DagsterInvariantViolationError,
        )
    return outcome(
        lambda: schedules.update_instigator_state(state.with_status(InstigatorStatus.STOPPED)),
        DagsterInvariantViolationError,
    )


def test_an_update_is_not_lost_by_the_deletion_of_another_origin(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    names = [f"sensor_{number}" for number in range(ROUNDS)]
    for name in names:
        two_origins(storage, name)
    outcomes = race(directory, update_or_delete_other, names)
    states = storage.schedule_storage.all_instigator_state()
    found = {state.instigator_name: state.status for state in states}
    for name, (updated, deleted) in zip(names, outcomes, strict=True):
        assert deleted == "done"
        assert found.get(name) == (InstigatorStatus.STOPPED if updated == "done" else None)


def delete_own_origin(storage: DagsterLmdbStorage, place: int, name: str) -> str:
    state = moved(sensor(name)) if place else sensor(name)
    return outcome(
        lambda: storage.schedule_storage.delete_instigator_state(
            state.instigator_origin_id, state.selector_id
        ),
        DagsterInvariantViolationError,
    )


def test_a_state_goes_with_its_last_origin(
    storage: DagsterLmdbStorage, directory: Path, race: Race
) -> None:
    names = [f"sensor_{number}" for number in range(ROUNDS)]
    for name in names:
        for state in two_origins(storage, name):
            storage.schedule_storage.update_instigator_state(state)
    assert race(directory, delete_own_origin, names) == [("done", "done")] * ROUNDS
    assert storage.schedule_storage.all_instigator_state() == []
