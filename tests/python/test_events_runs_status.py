"""What Dagster expects of events, runs and statuses, rule by rule.

Rules that other modules test:

- an imported run is never seen with an old status: ``test_run_status``,
  ``test_command_line_of_dagster``
- a status, its times and the reason of a failure change in one commit, that of the event; telling
  of a stored event writes nothing; both orders, two processes, and canceling against canceled;
  unknown runs and events without a status; tags for retries: ``test_run_status``, ``test_races``
- a commit of unknown outcome is settled before the call raises: ``engine/errors/test_room``
- waits release the GIL and answer signals: ``engine/test_processes``
- replaced origins, groups of runs, backfills: ``test_runs``
- events that cannot be decoded: ``contract/test_event_log_twins``, ``test_cursors``
"""

import random
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    EventLogEntry,
    RunsFilter,
)
from dagster._core.events import (
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    DagsterEventBatchMetadata,
    RunFailureReason,
    StepMaterializationData,
)
from dagster._core.storage.dagster_run import RunOpConcurrency, RunRecord
from dagster._core.utils import make_new_run_id
from dagster._time import datetime_from_timestamp
from dagster_shared.check import CheckError
from dagster_shared.serdes.errors import SerializationError

from dagster_lmdb import LmdbEventLogStorage, LmdbRunStorage
from python.entries import (
    event,
    job_origin,
    log_line,
    materialization,
    planned,
    run,
    status_event,
    store_a_stranger,
)

ENDS = (
    DagsterEventType.RUN_SUCCESS,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
)

#: Later than any run is made.
AT = 4e9


def told(runs: dg._core.storage.runs.RunStorage, entry: EventLogEntry) -> None:
    runs.handle_run_event(
        entry.run_id, entry.dagster_event, datetime_from_timestamp(entry.timestamp)
    )


def as_it_stands(record: RunRecord) -> tuple[object, ...]:
    """A run's record without what another storage gives it."""
    return (
        record.dagster_run,
        record.update_timestamp,
        record.start_time,
        record.end_time,
    )


def standing(instance: DagsterInstance, run_id: str) -> tuple[object, ...]:
    record = instance.get_run_record_by_id(run_id)
    assert record
    return as_it_stands(record)


def draw(
    choice: random.Random, run_id: str, types: tuple[DagsterEventType, ...], at: float
) -> EventLogEntry:
    event_type = choice.choice(types)
    reason = choice.choice(list(RunFailureReason))
    reason = reason if event_type == DagsterEventType.RUN_FAILURE else None
    return status_event(run_id, event_type, reason, at)


@pytest.mark.parametrize("event_type", EVENT_TYPE_TO_PIPELINE_RUN_STATUS)
def test_an_event_leaves_what_dagsters_storage_leaves(
    whole: DagsterInstance, event_type: DagsterEventType
) -> None:
    added = run(remote_job_origin=job_origin(), tags={"team": "a"})
    entry = status_event(added.run_id, event_type, timestamp=AT)
    with DagsterInstance.ephemeral() as theirs:
        for instance in (theirs, whole):
            instance.add_run(added)
        told(theirs.run_storage, entry)
        whole.event_log_storage.store_event(entry)
        assert standing(whole, added.run_id) == standing(theirs, added.run_id)
        told(whole.run_storage, entry)
        assert standing(whole, added.run_id) == standing(theirs, added.run_id)
    status = EVENT_TYPE_TO_PIPELINE_RUN_STATUS[event_type]
    assert whole.get_run_ids(RunsFilter(statuses=[status])) == [added.run_id]


@pytest.mark.parametrize("seed", range(10))
def test_without_stored_events_a_run_does_as_it_is_told(whole: DagsterInstance, seed: int) -> None:
    """Beside another event log, in any order, back from an end too, as Dagster's storage does."""
    choice = random.Random(seed)
    added = run(remote_job_origin=job_origin())
    with DagsterInstance.ephemeral() as theirs:
        for instance in (theirs, whole):
            instance.add_run(added)
        for number in range(12):
            entry = draw(
                choice, added.run_id, tuple(EVENT_TYPE_TO_PIPELINE_RUN_STATUS), AT + number
            )
            for instance in (theirs, whole):
                told(instance.run_storage, entry)
            assert standing(whole, added.run_id) == standing(theirs, added.run_id)


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_is_reported_in_order_stands_as_in_dagsters_storage(
    whole: DagsterInstance, seed: int
) -> None:
    """Any events up to its end, and any other ends after it."""
    choice = random.Random(seed)
    added = run(remote_job_origin=job_origin())
    before = tuple(each for each in EVENT_TYPE_TO_PIPELINE_RUN_STATUS if each not in ENDS)
    with DagsterInstance.ephemeral() as theirs:
        for instance in (theirs, whole):
            instance.add_run(added)
        for number in range(12):
            entry = draw(choice, added.run_id, before if number < 8 else ENDS, AT + number)
            for instance in (theirs, whole):
                instance.handle_new_event(entry)
            assert standing(whole, added.run_id) == standing(theirs, added.run_id)
        assert whole.all_logs(added.run_id) == theirs.all_logs(added.run_id)


def test_of_two_ends_the_earlier_does_not_undo_the_later(whole: DagsterInstance) -> None:
    """Dagster's SQL storages take the one that is reported last, whenever it happened."""
    run_id = whole.add_run(run(DagsterRunStatus.STARTED)).run_id
    later = status_event(run_id, DagsterEventType.RUN_SUCCESS, timestamp=AT + 2)
    earlier = status_event(run_id, DagsterEventType.RUN_FAILURE, timestamp=AT + 1)
    for entry in (later, earlier):
        whole.handle_new_event(entry)
    record = whole.get_run_record_by_id(run_id)
    assert record.dagster_run.status == DagsterRunStatus.SUCCESS
    assert record.end_time == AT + 2


def test_an_event_of_the_same_type_at_another_time_is_another(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    stored = status_event(run_id, DagsterEventType.RUN_START, timestamp=AT)
    whole.event_log_storage.store_event(stored)
    told(whole.run_storage, status_event(run_id, DagsterEventType.RUN_START, timestamp=AT + 1))
    assert whole.get_run_record_by_id(run_id).start_time == AT + 1


def test_events_of_a_run_that_is_not_here_wait_for_no_run(whole: DagsterInstance) -> None:
    added = run()
    started = status_event(added.run_id, DagsterEventType.RUN_START, timestamp=time.time() - 5)
    whole.event_log_storage.store_event(started)
    assert whole.get_runs() == []
    whole.add_run(added)
    assert whole.get_run_by_id(added.run_id).status == DagsterRunStatus.NOT_STARTED
    told(whole.run_storage, started)
    assert whole.get_run_by_id(added.run_id).status == DagsterRunStatus.STARTED


def test_events_of_a_deleted_run_do_not_bring_it_back(whole: DagsterInstance) -> None:
    run_id = whole.add_run(run()).run_id
    whole.delete_run(run_id)
    late = status_event(run_id, DagsterEventType.RUN_SUCCESS)
    whole.handle_new_event(late)
    assert whole.get_runs() == []
    assert whole.all_logs(run_id) == [late]
    assert whole.run_storage._log.verify().differences == []


def needs_more(event_type: DagsterEventType) -> bool:
    """Whether an event of a type has to say more than that it happened."""
    if event_type.value.startswith(("ASSET_", "FRESHNESS_")):
        return True
    try:
        event("a_run", event_type)
    except CheckError:
        return True
    return False


class TestBatch:
    def test_one_that_raises_leaves_the_runs_status(self, whole: DagsterInstance) -> None:
        run_id = whole.add_run(run()).run_id
        started, ended = (
            status_event(run_id, event_type)
            for event_type in (DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS)
        )
        broken = event(run_id, DagsterEventType.STEP_START, object())
        with pytest.raises(SerializationError):
            whole.event_log_storage.store_event_batch([started, broken, ended])
        assert whole.all_logs(run_id) == []
        assert whole.get_run_by_id(run_id).status == DagsterRunStatus.NOT_STARTED

    def test_what_dagster_stores_again_one_by_one_is_there_once(
        self,
        whole: DagsterInstance,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "10")
        run_id = whole.add_run(run()).run_id
        entries = [
            materialization(run_id, "an_asset", "a"),
            event(run_id, DagsterEventType.STEP_START, object()),
        ]
        whole.handle_new_event(entries[0], batch_metadata=DagsterEventBatchMetadata("a", False))
        assert whole.all_logs(run_id) == []
        with pytest.raises(SerializationError):
            whole.handle_new_event(entries[1], batch_metadata=DagsterEventBatchMetadata("a", True))
        assert "Falling back" in capsys.readouterr().err
        assert whole.all_logs(run_id) == entries[:1]

    def test_any_event_type_may_come_in_one(self, whole: DagsterInstance) -> None:
        def entries(run_id: str) -> list[EventLogEntry]:
            made = [
                log_line(run_id, "a line", AT),
                materialization(run_id, "an_asset", "a"),
                planned(run_id, "an_asset", "a"),
            ]
            made.extend(
                event(run_id, event_type, step_key="a_step", timestamp=AT)
                for event_type in DagsterEventType
                if not needs_more(event_type)
            )
            return made

        together, apart = (
            whole.add_run(run(remote_job_origin=job_origin())).run_id for _ in range(2)
        )
        types = {entry.dagster_event_type for entry in entries(together)}
        assert types > set(EVENT_TYPE_TO_PIPELINE_RUN_STATUS)
        assert len(types) > len(DagsterEventType) / 2
        batch = entries(together)
        whole.event_log_storage.store_event_batch(batch)
        for entry in entries(apart):
            whole.event_log_storage.store_event(entry)
        assert whole.all_logs(together) == batch
        one, other = (whole.get_run_record_by_id(run_id) for run_id in (together, apart))
        assert one.dagster_run.status == other.dagster_run.status
        assert one.dagster_run.is_finished
        assert as_it_stands(one)[1:] == as_it_stands(other)[1:]


def test_pools_are_found_as_tags_and_not_read_back(
    whole: DagsterInstance, runs: LmdbRunStorage
) -> None:
    pools = RunOpConcurrency(
        root_key_counts={"a_pool": 1},
        has_unconstrained_root_nodes=False,
        all_pools={"a_pool", "b_pool"},
    )
    added = runs.add_run(run(run_op_concurrency=pools, tags={"team": "a"}))
    whole.handle_new_event(status_event(added.run_id, DagsterEventType.RUN_START))
    for pool in ("a_pool", "b_pool"):
        [found] = runs.get_runs(RunsFilter(tags={f".dagster/pool/{pool}": "true"}))
        assert found.run_id == added.run_id
        assert found.tags == {"team": "a"}
    assert runs.get_runs(RunsFilter(tags={".dagster/pool/c_pool": "true"})) == []


def test_tags_that_a_run_has_leave_its_time_of_update(runs: LmdbRunStorage) -> None:
    """Dagster's SQL storages set it to now; nothing of the run is newer than it was."""
    run_id = runs.add_run(run(remote_job_origin=job_origin(), tags={"team": "a"})).run_id

    def updated() -> object:
        [record] = runs.get_run_records()
        return record.update_timestamp

    before = updated()
    runs.add_run_tags(run_id, {"team": "a"})
    assert updated() == before
    runs.add_run_tags(run_id, {"team": "a", "size": "1"})
    assert updated() > before
    before = updated()
    runs.add_run_tags(run_id, {"size": "1", "team": "a"})
    assert updated() == before
    runs.add_run_tags(run_id, {"team": "b"})
    runs.add_run_tags(run_id, {"team": "a"})
    [record] = runs.get_run_records()
    assert record.update_timestamp > before
    assert record.dagster_run.tags == {"team": "a", "size": "1"}


def test_a_hidden_tag_that_only_the_index_has_is_added(runs: LmdbRunStorage) -> None:
    run_id = runs.add_run(run(remote_job_origin=job_origin())).run_id
    label = {".dagster/repository": "a_repository@a_location"}
    assert runs.get_runs(RunsFilter(tags=label))[0].tags == {}
    runs.add_run_tags(run_id, label)
    assert runs.get_runs(RunsFilter(tags=label))[0].tags == label


class TestNoRun:
    def test_a_missing_run_has_no_logs_and_empty_stats(self, whole: DagsterInstance) -> None:
        run_id = make_new_run_id()
        log = whole.event_log_storage
        assert log.get_logs_for_run(run_id) == []
        page = log.get_records_for_run(run_id)
        assert (page.records, page.has_more) == ([], False)
        assert log.get_step_stats_for_run(run_id) == []
        with DagsterInstance.ephemeral() as theirs:
            assert log.get_stats_for_run(run_id) == theirs.get_run_stats(run_id)

    def test_events_of_no_run_are_a_log_like_any_other(self, whole: DagsterInstance) -> None:
        log = whole.event_log_storage
        for _ in range(4):
            log.store_event_batch([materialization("", "an_asset", str(n)) for n in range(500)])
        kept = whole.add_run(run()).run_id
        log.store_event(log_line(kept, "a line"))
        page = log.get_records_for_run("", limit=3, ascending=False)
        newest = [record.event_log_entry.asset_materialization for record in page.records]
        assert [each.partition for each in newest] == ["499", "498", "497"]
        assert log.get_stats_for_run("").materializations == 2000
        whole.delete_run(kept)
        assert len(log.get_logs_for_run("")) == 2000
        assert whole.get_runs() == []


def test_an_event_that_cannot_be_decoded_is_still_of_its_type(
    storage: LmdbEventLogStorage, base_dir: Path
) -> None:
    run_id = make_new_run_id()
    store_a_stranger(base_dir, run_id)
    assert storage.get_stats_for_run(run_id).materializations == 3
    assert storage.get_materialized_partitions(dg.AssetKey("strange")) == {"a", "b", "c"}
    with pytest.raises(dg.DagsterEventLogInvalidForRun):
        storage.get_records_for_run(run_id)
    failures = storage.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE)
    assert failures.records == []


def test_the_storage_chooses_the_tags_to_index_when_it_writes(tmp_path: Path) -> None:
    class Choosy(LmdbEventLogStorage):
        def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
            return tag_keys & {"team"}

    storage = Choosy(str(tmp_path / "events"))
    key = dg.AssetKey("an_asset")
    for team in ("a", "b"):
        storage.store_event(materialization("a_run", "an_asset", tags={"team": team, "size": "1"}))
    assert storage.get_event_tags_for_asset(key) == [{"team": "a"}, {"team": "b"}]
    assert storage.get_event_tags_for_asset(key, filter_tags={"team": "b"}) == [{"team": "b"}]
    assert storage.get_event_tags_for_asset(key, filter_tags={"size": "1"}) == []
    [first, _] = storage.get_logs_for_run("a_run")
    assert first.asset_materialization.tags == {"team": "a", "size": "1"}
    storage.dispose()


def test_tags_of_a_batch_are_chosen_for_each_set_of_keys(tmp_path: Path) -> None:
    asked = []

    class Choosy(LmdbEventLogStorage):
        def get_asset_tags_to_index(self, tag_keys: set[str]) -> set[str]:
            asked.append(tag_keys)
            return tag_keys & ({"team", "size"} if len(tag_keys) == 2 else {"team"})

    storage = Choosy(str(tmp_path / "events"))
    tags = [
        {"team": "a", "size": "1"},
        {"team": "b", "size": "2"},
        {"size": "3", "team": "c"},
        {"team": "d", "size": "4", "unit": "cm"},
        {"size": "5"},
        {},
        {"size": "6"},
        {"team": "e"},
    ]
    batch = [materialization("a_run", f"asset_{n}", tags=each) for n, each in enumerate(tags)]
    storage.store_event_batch(batch)
    indexed = [
        storage.get_event_tags_for_asset(dg.AssetKey(f"asset_{number}"))
        for number in range(len(tags))
    ]
    first = [[each] for each in tags[:3]]
    assert indexed == [*first, [{"team": "d"}], [], [], [], [{"team": "e"}]]
    two, three = {"team", "size"}, {"team", "size", "unit"}
    assert asked == [two, two, three, {"size"}, {"team"}]
    storage.dispose()


@pytest.mark.parametrize(
    "parts",
    [
        ["a"],
        ["gauges", "gauge_01"],
        ["a/b", "", " "],
        ['a"quote', "back\\slash", "new\nline", "\x00\x1f\x7f\u2028"],
        ["\xe9", "\u6c34", "\U0001f30a"],
        ["lone \ud800 surrogate"],
    ],
)
def test_an_asset_is_found_by_any_key_that_dagster_writes(
    storage: LmdbEventLogStorage, parts: list[str]
) -> None:
    key = dg.AssetKey(parts)
    data = StepMaterializationData(dg.AssetMaterialization(key))
    storage.store_event(event("a_run", DagsterEventType.ASSET_MATERIALIZATION, data))
    assert storage.has_asset_key(key)
    assert storage.all_asset_keys() == [key]
    assert len(storage.fetch_materializations(key, limit=2).records) == 1
