"""Questions about instigators, ticks and evaluations."""

from typing import Any

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._serdes import serialize_value

from dagster_lmdb import DagsterLmdbStorage
from model.instance.instance import Instance
from model.instance.objects import KEYS, SELECTORS, SENSORS, StateDraft, entity_key
from model.instance.questions.asking import Probe, ScheduleProbe, question, refused, time_of
from model.instance.schedules import Evaluation, Tick
from python.test_schedules import evaluation

NUMBERS = [1, 2, 10]


def _repository(probe: ScheduleProbe) -> str | None:
    """The selector of the repository to keep."""
    if probe.repository is None:
        return None
    return StateDraft(("any", probe.repository, False)).state().repository_selector_id


def _true_states(instance: Instance, probe: Probe) -> Any:
    of = probe.schedules
    return [
        draft.state()
        for draft in instance.schedules.states.values()
        if (of.repository is None or draft.sensor[1] == of.repository)
        and not of.is_schedule
        and (not of.state_statuses or draft.status in of.state_statuses)
    ]


@question(_true_states)
def states(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.schedules
    return storage.schedule_storage.all_instigator_state(
        repository_selector_id=_repository(of),
        instigator_type=InstigatorType.SCHEDULE if of.is_schedule else None,
        instigator_statuses={InstigatorStatus(each) for each in of.state_statuses} or None,
    )


def _true_states_by_selector(instance: Instance, probe: Probe) -> Any:
    drafts = [StateDraft(sensor).state() for sensor in SENSORS]
    found = [instance.schedules.states.get(each.selector_id) for each in drafts]
    return [draft and draft.state() for draft in found]


@question(_true_states_by_selector)
def states_by_selector(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    drafts = [StateDraft(sensor).state() for sensor in SENSORS]
    get = storage.schedule_storage.get_instigator_state
    return [get(each.instigator_origin_id, each.selector_id) for each in drafts]


def _true_ticks(instance: Instance, probe: Probe) -> list[Tick]:
    of = probe.schedules
    after, before = of.times
    found = instance.schedules.ticks_of(of.origin, of.selector, before, after, of.statuses)
    return found[: of.limit or None]


def _arguments(probe: Probe) -> Any:
    of = probe.schedules
    return {
        "origin_id": of.origin,
        "selector_id": of.selector,
        "after": time_of(of.times[0]),
        "before": time_of(of.times[1]),
        "limit": of.limit,
        "statuses": _statuses(of),
    }


def _statuses(probe: ScheduleProbe) -> list[TickStatus]:
    return [TickStatus(each) for each in probe.statuses]


@question(lambda instance, probe: [(t.id, t.draft.tick()) for t in _true_ticks(instance, probe)])
def ticks(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    found = storage.schedule_storage.get_ticks(**_arguments(probe))
    return [(tick.tick_id, tick.tick_data) for tick in found]


@question(
    lambda instance, probe: [
        (tick.id, tick.draft.origin, "SENSOR", tick.draft.status, time_of(tick.draft.time))
        for tick in _true_ticks(instance, probe)
    ]
)
def tick_summaries(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return [
        (
            each.tick_id,
            each.instigator_origin_id,
            each.instigator_type.value,
            each.status.value,
            each.timestamp,
        )
        for each in storage.schedule_storage.get_tick_summaries(**_arguments(probe))
    ]


def _true_batches(instance: Instance, probe: Probe) -> Any:
    of = probe.schedules
    found = {
        selector: instance.schedules.ticks_of(None, selector, statuses=of.statuses)
        for selector in SELECTORS
    }
    return {
        selector: [(tick.id, tick.draft.tick()) for tick in own[: of.limit or None]]
        for selector, own in found.items()
        if own
    }


@question(_true_batches)
def tick_batches(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.schedules
    found = storage.schedule_storage.get_batch_ticks(SELECTORS, of.limit, _statuses(of))
    return {
        selector: [(tick.tick_id, tick.tick_data) for tick in own]
        for selector, own in found.items()
    }


def _true_ticks_by_id(instance: Instance, probe: Probe) -> Any:
    ids = probe.schedules.ids
    found = [instance.schedules.tick(each) for each in dict.fromkeys(ids)]
    one = [instance.schedules.tick(each) for each in ids]
    return [
        [(tick.id, tick.draft.tick()) for tick in found if tick],
        [tick.draft.tick() if tick else "DagsterInvariantViolationError" for tick in one],
    ]


@question(_true_ticks_by_id)
def ticks_by_id(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    ids = list(probe.schedules.ids)
    schedules = storage.schedule_storage
    return [
        [(tick.tick_id, tick.tick_data) for tick in schedules.get_ticks_by_ids(ids)],
        [refused(lambda each=each: schedules.get_tick(each).tick_data) for each in ids],  # type: ignore[misc]
    ]


def _true_evaluation(found: Evaluation) -> Any:
    key = entity_key(found.key)
    body = serialize_value(evaluation(key, found.requested))
    return key, found.number, time_of(found.created), body


def _evaluation(record: Any) -> Any:
    return (
        record.key,
        record.evaluation_id,
        record.timestamp,
        record.serialized_evaluation_body,
    )


def _true_evaluations(instance: Instance, probe: Probe) -> Any:
    of = probe.schedules
    of_keys = [instance.schedules.of_key(key, of.before)[: of.key_limit] for key in KEYS]
    of_numbers = [instance.schedules.of_number(number) for number in NUMBERS]
    return [[_true_evaluation(each) for each in found] for found in (*of_keys, *of_numbers)]


@question(_true_evaluations)
def evaluations(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.schedules
    schedules = storage.schedule_storage
    of_keys = [
        schedules.get_auto_materialize_asset_evaluations(entity_key(key), of.key_limit, of.before)
        for key in KEYS
    ]
    of_numbers = [
        schedules.get_auto_materialize_evaluations_for_evaluation_id(number) for number in NUMBERS
    ]
    return [[_evaluation(record) for record in found] for found in (*of_keys, *of_numbers)]
