"""The table ``runs``: how each run was, after each record that changed it."""

import itertools
import random
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.events import RunFailureReason
from dagster._core.utils import make_new_run_id

import dagster_lmdb
from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage
from export import oracle, samples
from export.oracle import Row
from export.reading import assert_same, rows
from python.entries import job_origin, log_line, run, status_event

#: As docs/export.md has it.
LATEST = """
    select * from h where sequence > coalesce((select max(sequence) from h where run_id is null), 0)
    qualify row_number() over (partition by run_id order by sequence desc) = 1 and not deleted
"""

STATUSES = [
    DagsterEventType.RUN_ENQUEUED,
    DagsterEventType.RUN_STARTING,
    DagsterEventType.RUN_START,
    DagsterEventType.RUN_CANCELING,
    DagsterEventType.RUN_SUCCESS,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
]


def now_of(instance: DagsterInstance, run_id: str) -> Row:
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return oracle.run(record)


def test_a_list_is_empty_where_dagsters_is_and_null_where_there_is_none(
    instance: DagsterInstance, store: Path
) -> None:
    for selection in (None, frozenset(), {dg.AssetKey("a")}):
        instance.add_run(run(asset_selection=selection))
    found = rows(dagster_lmdb.history(store, "runs"))
    assert [row["asset_selection"] for row in found] == [None, [], [["a"]]]


def test_each_record_that_changes_a_run_is_a_row(instance: DagsterInstance, store: Path) -> None:
    added = run(
        remote_job_origin=job_origin(),
        tags={"é": samples.UNICODE, "dagster/partition": "2026-01-01|a"},
        root_run_id=make_new_run_id(),
        parent_run_id=make_new_run_id(),
        asset_selection={dg.AssetKey(["a", "b/c"])},
        step_keys_to_execute=["one", "two"],
    )
    instance.add_run(added)
    versions = [now_of(instance, added.run_id)]
    storage = instance.run_storage
    for change in (
        lambda: instance.event_log_storage.store_event(log_line(added.run_id, "no change")),
        lambda: store_status(instance, added.run_id, DagsterEventType.RUN_ENQUEUED),
        lambda: instance.add_run_tags(added.run_id, {"later": "1", "é": "another"}),
        lambda: store_status(instance, added.run_id, DagsterEventType.RUN_START),
        lambda: storage.replace_job_origin(added, job_origin("another")),  # type: ignore[attr-defined]
        lambda: store_status(
            instance, added.run_id, DagsterEventType.RUN_FAILURE, RunFailureReason.STEP_FAILURE
        ),
        lambda: store_status(instance, added.run_id, DagsterEventType.RUN_SUCCESS),
        lambda: instance.add_run_tags(added.run_id, {"after": "the end"}),
    ):
        change()
        now = now_of(instance, added.run_id)
        if now != versions[-1]:
            versions.append(now)
    found = rows(dagster_lmdb.history(store, "runs"))
    assert_same(
        found,
        [row | {"sequence": each["sequence"]} for row, each in zip(versions, found, strict=True)],
    )
    assert set(found[0]) == {*versions[0], "sequence", "timestamp"}
    assert [row["status"] for row in versions] == [
        *("NOT_STARTED", "QUEUED", "QUEUED", "STARTED", "STARTED", "FAILURE", "FAILURE"),
    ]
    instance.delete_run(added.run_id)
    (gone,) = rows(dagster_lmdb.history(store, "runs"))
    assert (gone["run_id"], gone["deleted"], gone["run"]) == (added.run_id, True, None)
    assert gone["created"] == versions[0]["created"]


def store_status(
    instance: DagsterInstance,
    run_id: str,
    event_type: DagsterEventType,
    reason: RunFailureReason | None = None,
    timestamp: float | None = None,
) -> None:
    event = status_event(run_id, event_type, reason, timestamp)
    instance.event_log_storage.store_event(event)


class Life:
    """What happens to runs, drawn from a seed."""

    def __init__(self, instance: DagsterInstance, seed: int) -> None:
        self.instance = instance
        self.draw = random.Random(seed)
        self.ids: list[str] = []

    def act(self) -> None:
        instance, draw = self.instance, self.draw
        kind = draw.choices(
            ["add", "status", "tags", "origin", "told", "delete", "events", "again", "wipe"],
            [6, 14, 4, 3, 3, 2, 1, 1, 0.2],
        )[0]
        if kind == "add" or not self.ids:
            origin = job_origin() if draw.random() < 0.8 else None
            added = run(remote_job_origin=origin, tags={"n": str(len(self.ids))})
            self.ids.append(instance.add_run(added).run_id)
            return
        run_id = draw.choice(self.ids)
        found = instance.get_run_by_id(run_id)
        if kind == "wipe":
            instance.run_storage.wipe()
        elif kind == "again" and found is None:
            instance.add_run(run(run_id=run_id, status=DagsterRunStatus.NOT_STARTED))
        elif kind == "events":
            instance.event_log_storage.delete_events(run_id)
        elif kind == "status":
            early = time.time() - 3600 if draw.random() < 0.1 else None
            store_status(instance, run_id, draw.choice(STATUSES), timestamp=early)
        elif found is None:
            return
        elif kind == "tags":
            instance.add_run_tags(run_id, {f"tag {draw.randrange(3)}": str(draw.random())})
        elif kind == "origin":
            assert isinstance(instance.run_storage, LmdbRunStorage)
            instance.run_storage.replace_job_origin(found, job_origin(f"r{draw.random()}"))
        elif kind == "told":
            event = status_event(run_id, draw.choice(STATUSES))
            instance.handle_run_event(run_id, event.dagster_event)
        elif kind == "delete":
            instance.delete_run(run_id)


@pytest.mark.parametrize("seed", range(8))
def test_from_every_record_on_the_rows_are_those_of_the_whole(
    instance: DagsterInstance, store: Path, seed: int
) -> None:
    life = Life(instance, seed)
    then: list[tuple[int, dict[str, Row]]] = []
    log = instance.event_log_storage
    assert isinstance(log, LmdbEventLogStorage)
    for _ in range(80):
        life.act()
        now = {
            record.dagster_run.run_id: oracle.run(record) for record in instance.get_run_records()
        }
        then.append((log._log.head(), now))
    found = rows(dagster_lmdb.history(store, "runs"))
    for since in range(1, log._log.head() + 2):
        later = rows(dagster_lmdb.history(store, "runs", since=since))
        assert later == [row for row in found if row["sequence"] >= since]
    # Runs that are still there were as the rows say, at each record.
    left = {row["run_id"]: row["created"] for row in then[-1][1].values()}
    for head, now in then:
        latest = {row["run_id"]: row for row in found if row["sequence"] <= head}
        for run_id, created in left.items():
            if run_id in now and now[run_id]["created"] == created:
                assert_same(
                    [latest[run_id]], [now[run_id] | {"sequence": latest[run_id]["sequence"]}]
                )
    assert_latest(store, then[-1][1])


def assert_latest(store: Path, expected: dict[str, Row]) -> None:
    h = dagster_lmdb.history(store, "runs")
    latest = rows(duckdb.sql(LATEST).arrow())
    assert h.head
    for row in latest:
        assert_same([row], [expected[row["run_id"]] | {"sequence": row["sequence"]}])
    assert len(latest) == len(expected)


def test_the_latest_versions_outlive_a_compaction(instance: DagsterInstance, store: Path) -> None:
    life = Life(instance, 100)
    log = instance.event_log_storage
    assert isinstance(log, LmdbEventLogStorage)
    for step in range(120):
        life.act()
        if step % 40 == 39:
            log._log.compact(now=time.time())
            now = instance.get_run_records()
            assert_latest(store, {each.dagster_run.run_id: oracle.run(each) for each in now})
    assert log._log.verify().differences == []


def test_rows_are_of_the_runs_asked_for(instance: DagsterInstance, store: Path) -> None:
    ids = [instance.add_run(run()).run_id for _ in range(3)]
    for run_id in ids:
        store_status(instance, run_id, DagsterEventType.RUN_START)
    found = rows(dagster_lmdb.history(store, "runs", run=ids[1]))
    assert [row["status"] for row in found] == ["NOT_STARTED", "STARTED"]
    assert {row["run_id"] for row in found} == {ids[1]}
    assert rows(dagster_lmdb.history(store, "runs", since=found[1]["sequence"], run=ids[1])) == [
        found[1]
    ]


def test_a_wipe_is_a_row_without_a_run(instance: DagsterInstance, store: Path) -> None:
    instance.add_run(run())
    instance.run_storage.wipe()
    (wiped,) = rows(dagster_lmdb.history(store, "runs"))
    assert (wiped["run_id"], wiped["deleted"], wiped["created"]) == (None, True, None)


def test_what_is_deleted_later_is_in_it(instance: DagsterInstance, store: Path) -> None:
    ids = [instance.add_run(run()).run_id for _ in range(6)]
    log = instance.event_log_storage
    assert isinstance(log, LmdbEventLogStorage)
    since = log._log.head() + 1
    for run_id in ids:
        store_status(instance, run_id, DagsterEventType.RUN_START)
        instance.add_run_tags(run_id, {"a": "tag"})
        store_status(instance, run_id, DagsterEventType.RUN_SUCCESS)
    history = dagster_lmdb.history(store, "runs")
    later = dagster_lmdb.history(store, "runs", since=since)
    expected = rows(history), rows(later)
    assert len(expected[1]) == 18
    instance.delete_run(ids[0])
    instance.add_run(run(run_id=ids[0]))
    instance.delete_run(ids[1])
    assert (rows(history), rows(later)) == expected
    instance.run_storage.wipe()
    assert (rows(history), rows(later)) == expected


def test_runs_of_a_storage_without_their_events(instance: DagsterInstance, store: Path) -> None:
    """Statuses that Dagster tells of are records of their own."""
    run_id = instance.add_run(run()).run_id
    for event_type in itertools.chain(STATUSES[2:3], STATUSES[4:5]):
        instance.run_storage.handle_run_event(
            run_id, status_event(run_id, event_type).dagster_event
        )
    found = rows(dagster_lmdb.history(store, "runs"))
    assert [row["status"] for row in found] == ["NOT_STARTED", "STARTED", "SUCCESS"]
    assert found[-1]["ended"] is not None
