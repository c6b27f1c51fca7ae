"""Questions about what Dagster keeps with runs: backfills, snapshots, heartbeats, cursor values."""

from typing import Any

from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from dagster_lmdb import DagsterLmdbStorage
from model.instance.instance import Instance
from model.instance.objects import (
    BACKFILLS,
    CURSORS,
    SNAPSHOTS,
    BackfillDraft,
    job_snapshot,
    job_snapshot_id,
    plan_snapshot,
    plan_snapshot_id,
)
from model.instance.questions.asking import (
    BackfillProbe,
    Probe,
    datetime_of,
    have_tags,
    question,
    tags_filter,
    time_of,
    within,
)


def _selector(probe: BackfillProbe) -> str | None:
    if not probe.by_selector or probe.job is None:
        return None
    return BackfillDraft("any", job=probe.job).backfill().selector_id


def _filter(probe: BackfillProbe) -> BulkActionsFilter:
    return BulkActionsFilter(
        statuses=[BulkActionStatus[each] for each in probe.statuses],
        created_after=datetime_of(probe.created[0]),
        created_before=datetime_of(probe.created[1]),
        tags=tags_filter(probe.tags),
        job_name=probe.job,
        backfill_ids=list(probe.ids) or None,
        selector_id=_selector(probe),
    )


def _matching(instance: Instance, probe: BackfillProbe) -> list[BackfillDraft]:
    """The backfills that a filter keeps, the newest first."""
    return [
        each.draft
        for each in reversed(instance.runs.backfills)
        if (not probe.ids or each.draft.id in probe.ids)
        and (probe.job is None or each.draft.job == probe.job)
        and (not probe.statuses or each.draft.status in probe.statuses)
        and have_tags(dict(each.draft.tags), probe.tags)
        and within(each.created, probe.created)
    ]


def _true_backfills(instance: Instance, probe: Probe) -> Any:
    of = probe.backfills
    found = _matching(instance, of)
    if of.cursor is not None:
        ids = [each.draft.id for each in instance.runs.backfills]
        older = ids[: ids.index(of.cursor)] if of.cursor in ids else []
        found = [draft for draft in found if draft.id in older]
    return [draft.backfill() for draft in found[: of.limit or None]]


@question(_true_backfills)
def backfills(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.backfills
    return storage.run_storage.get_backfills(_filter(of), of.cursor, of.limit)


@question(lambda instance, probe: len(_matching(instance, probe.backfills)))
def backfills_count(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return storage.run_storage.get_backfills_count(_filter(probe.backfills))


def _true_backfills_by_id(instance: Instance, probe: Probe) -> Any:
    found = [instance.runs.backfill(each) for each in BACKFILLS]
    return [each and each.draft.backfill() for each in found]


@question(_true_backfills_by_id)
def backfills_by_id(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return [storage.run_storage.get_backfill(each) for each in BACKFILLS]


def _true_snapshots(instance: Instance, probe: Probe) -> Any:
    found = []
    for name in SNAPSHOTS:
        job, plan = name in instance.runs.snapshots, name in instance.runs.plans
        found.append((job, job_snapshot(name) if job else None))
        found.append((plan, plan_snapshot(name) if plan else None))
    return found


@question(_true_snapshots)
def snapshots(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    found: list[Any] = []
    runs = storage.run_storage
    for name in SNAPSHOTS:
        job = job_snapshot_id(name)
        plan = plan_snapshot_id(name)
        found.append((runs.has_job_snapshot(job), runs.get_job_snapshot(job)))
        found.append(
            (runs.has_execution_plan_snapshot(plan), runs.get_execution_plan_snapshot(plan))
        )
    return found


def _true_daemons(instance: Instance, probe: Probe) -> Any:
    runs = instance.runs
    wanted = CURSORS[:1] if probe.runs.ascending else CURSORS
    return [
        {daemon: time_of(time) for daemon, time in runs.heartbeats.items()},
        {key: value for key, value in runs.cursors.items() if key in wanted},
    ]


@question(_true_daemons)
def daemons(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    runs = storage.run_storage
    wanted = CURSORS[:1] if probe.runs.ascending else CURSORS
    heartbeats = runs.get_daemon_heartbeats()
    return [
        {daemon: heartbeat.timestamp for daemon, heartbeat in heartbeats.items()},
        runs.get_cursor_values(set(wanted)),
    ]


@question(lambda instance, probe: instance.runs.telemetry)
def telemetry(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    """Dagster has no question about it; what is kept is the latest of each run."""
    found = storage.run_storage._log.find_documents("telemetry")
    return {each.key: each.value.datapoints["cpu"] for each in found}
