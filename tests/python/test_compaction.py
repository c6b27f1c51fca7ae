"""What Dagster shows is the same after a compaction, and an idle deployment stays small."""

import time
from datetime import timedelta

from benches.idle import BEGIN, DAEMONS, idle, left, sensors
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import TickStatus

from dagster_lmdb import LmdbEventLogStorage
from python.entries import log_line, materialization, run


def compact(instance: DagsterInstance) -> int:
    """Compacts; how many records went. What is left folds to what Dagster sees."""
    storage = instance.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    freed = storage._log.compact(now=time.time()).records
    assert storage._log.verify().differences == []
    return freed


def test_an_idle_deployment_grows_by_nothing_once_as_many_ticks_go_as_come(
    whole: DagsterInstance,
) -> None:
    storage = whole.event_log_storage
    assert isinstance(storage, LmdbEventLogStorage)
    states = [whole.add_instigator_state(state) for state in sensors(3)]
    length = timedelta(minutes=20)
    sizes = []
    for turn in range(5):
        idle(whole, states, BEGIN + length * turn, length, retention=length)
        head = storage._log.stat()["head"]
        assert compact(whole) > 0
        assert storage._log.stat()["head"] == head
        sizes.append(left(storage._log))
        for state in states:
            ticks = whole.get_ticks(state.instigator_origin_id, state.selector_id)
            assert {tick.status for tick in ticks} == {TickStatus.SKIPPED}
            assert len(ticks) == 40 + (turn > 0)
    assert sizes[1].pages < 2 * sizes[0].pages
    # A page or two more or less, by where the pages' borders fall; a turn's records take hundreds.
    assert abs(sizes[4].pages - sizes[2].pages) < 64 * 1024
    assert sizes[4].file <= sizes[2].file + 64 * 1024
    heartbeats = whole.get_daemon_heartbeats()
    assert set(heartbeats) == set(DAEMONS)
    assert len({heartbeat.timestamp for heartbeat in heartbeats.values()}) == 1


def test_deleted_runs_go_and_the_others_show_what_they_did(whole: DagsterInstance) -> None:
    gone, stays = (whole.add_run(run()).run_id for _ in range(2))
    for run_id in (gone, stays):
        for number in range(50):
            whole.store_event(log_line(run_id, f"line {number}"))
        whole.store_event(materialization(run_id, "an_asset", run_id))
    whole.delete_run(gone)
    shown = whole.all_logs(stays), whole.get_runs(), whole.get_asset_records()
    assert compact(whole) == 51 + len(("added", "deleted"))
    assert (whole.all_logs(stays), whole.get_runs(), whole.get_asset_records()) == shown
    assert whole.all_logs(gone) == []
    assert compact(whole) == 0
