"""What the model test has found, each as short as it gets."""

from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

from model.drafts import Draft, T
from model.instance.machine import InstanceMachine
from model.instance.objects import RunDraft
from model.machine import EventLogMachine


def planned_check(number: int, *subset: str, run: str = "run-1") -> Draft:
    return Draft(number, T.ASSET_CHECK_EVALUATION_PLANNED, run, subset=subset)


def evaluated(number: int, run: str = "run-1", partition: str | None = None) -> Draft:
    return Draft(number, T.ASSET_CHECK_EVALUATION, run, partition=partition)


def materialized(number: int, partition: str | None = None, time: int = 0) -> Draft:
    return Draft(number, T.ASSET_MATERIALIZATION, "run-1", time=time, partition=partition)


def test_rows_of_a_planned_check_go_with_its_run_once_its_event_is_a_husk(
    state: EventLogMachine,
) -> None:
    state.store(0, [planned_check(1, "p", "q")], 0)
    event = state.history.events[0].id
    state.delete_events(0, "run-1", 0)
    assert state.husk_of(0, [event]) == [event]
    state.verify()
    state.rebuild(0)


def test_a_deleted_limit_leaves_the_same_pool_whichever_steps_are_husks(
    state: EventLogMachine,
) -> None:
    state.limit(0, "pool-1", 1, 0)
    state.claim(0, "pool-1", "run-1", "step-1", 0, 0)
    state.limit(0, "pool-1", None, 0)
    state.husk(0, 1, 0)
    state.verify()
    state.rebuild(0)


def test_wiping_a_partition_without_events_clears_what_is_cached_of_it(
    state: EventLogMachine,
) -> None:
    state.store(0, [materialized(1, "p")], 0)
    state.cache(0, '["a"]', 1)
    state.delete_events(0, "run-1", 0)
    state.wipe_partitions(0, '["a"]', ("p",), 0)
    (record,) = state.storage.get_asset_records()
    assert record.asset_entry.cached_status is None


def test_a_batch_meets_the_executions_that_its_own_evaluations_made(
    state: EventLogMachine,
) -> None:
    batch = [evaluated(1), planned_check(2), evaluated(3)]
    assert state.history.refuses(batch)
    state.store(0, batch, 0)
    assert not state.history.events


def test_a_run_that_was_tagged_with_a_label_gets_that_of_its_new_origin(
    instance_state: InstanceMachine,
) -> None:
    instance_state.do(0, "add_run", draft=RunDraft("run-1", repository="one"))
    for _ in range(2):
        tags = ((REPOSITORY_LABEL_TAG, "one@a_location"),)
        instance_state.do(0, "add_run_tags", run="run-1", tags=tags)
        instance_state.do(0, "replace_job_origin", run="run-1", repository="two")
        instance_state.every_answer_is_the_models()


def test_a_run_without_an_origin_is_not_queued_for_a_label_that_it_is_tagged_with(
    instance_state: InstanceMachine,
) -> None:
    tags = ((REPOSITORY_LABEL_TAG, "one@a_location"),)
    instance_state.do(0, "add_run", draft=RunDraft("run-1", tags=tags))
    instance_state.do(0, "store", drafts=[Draft(1, T.RUN_ENQUEUED, "run-1", time=1)])
    instance_state.every_answer_is_the_models()
    instance_state.do(0, "replace_job_origin", run="run-1", repository="two")
    instance_state.do(0, "store", drafts=[Draft(1, T.RUN_ENQUEUED, "run-1", time=2)])
    instance_state.every_answer_is_the_models()
