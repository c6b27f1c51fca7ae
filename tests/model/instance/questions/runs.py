"""Questions about runs."""

from typing import Any

from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import JobBucket, TagBucket

from dagster_lmdb import DagsterLmdbStorage
from model.instance.instance import Instance
from model.instance.objects import RUN_TAGS, RUNS, job_snapshot_id
from model.instance.questions.asking import (
    Probe,
    RunProbe,
    datetime_of,
    have_tags,
    question,
    refused,
    tags_filter,
    time_of,
    within,
)
from model.instance.runs import Refused, Run


def _filter(probe: RunProbe) -> RunsFilter:
    return RunsFilter(
        run_ids=list(probe.ids) or None,
        job_name=probe.job,
        statuses=[DagsterRunStatus(each) for each in probe.statuses],
        tags=tags_filter(probe.tags),
        snapshot_id=probe.snapshot and job_snapshot_id(probe.snapshot),
        created_after=datetime_of(probe.created[0]),
        created_before=datetime_of(probe.created[1]),
        updated_after=datetime_of(probe.updated[0]),
        updated_before=datetime_of(probe.updated[1]),
        exclude_subruns=probe.exclude_subruns,
    )


def _matching(instance: Instance, probe: RunProbe) -> list[Run]:
    """The runs that a filter keeps, in the order in which they were added."""
    return [
        run
        for run in instance.runs.runs
        if (not probe.ids or run.run_id in probe.ids)
        and (probe.job is None or run.draft.job == probe.job)
        and (not probe.statuses or run.status in probe.statuses)
        and have_tags(run.indexed, probe.tags)
        and (probe.snapshot is None or run.draft.snapshot == probe.snapshot)
        and within(run.created, probe.created)
        and within(run.updated, probe.updated)
        and not (probe.exclude_subruns and instance.runs.of_backfill(run))
    ]


def _after_cursor(instance: Instance, probe: RunProbe) -> list[Run]:
    found = _matching(instance, probe)
    if probe.cursor is None:
        return found
    runs = instance.runs.runs
    places = [place for place, run in enumerate(runs) if run.run_id == probe.cursor]
    if not places:
        return []
    beyond = runs[places[0] + 1 :] if probe.ascending else runs[: places[0]]
    return [run for run in found if run in beyond]


def _page(instance: Instance, probe: RunProbe, order_by: str | None) -> list[Run]:
    found = _after_cursor(instance, probe)
    if probe.bucket is not None:
        tag, values, limit = probe.bucket
        newest: list[Run] = []
        for value in dict.fromkeys(values):
            own = [
                run
                for run in found
                if (run.draft.job if tag is None else run.indexed.get(tag)) == value
            ]
            newest.extend(own[-limit:] if limit else own)
        found = [run for run in found if run in newest]
    # Sorted as the whole order reversed, ids included.
    places = {run.run_id: place for place, run in enumerate(instance.runs.runs)}
    found.sort(
        key=lambda run: (run.time(order_by), places[run.run_id]), reverse=not probe.ascending
    )
    return found[: probe.limit or None]


def _bucket(probe: RunProbe) -> JobBucket | TagBucket | None:
    if probe.bucket is None:
        return None
    tag, values, limit = probe.bucket
    if tag is None:
        return JobBucket(list(values), bucket_limit=limit)
    return TagBucket(tag, list(values), bucket_limit=limit)


@question(lambda instance, probe: [run.run for run in _page(instance, probe.runs, None)])
def runs(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.runs
    return storage.run_storage.get_runs(_filter(of), of.cursor, of.limit, _bucket(of), of.ascending)


def _true_records(instance: Instance, probe: Probe) -> Any:
    return [
        (
            run.run,
            datetime_of(run.created),
            datetime_of(run.updated),
            time_of(run.started),
            time_of(run.ended),
        )
        for run in _page(instance, probe.runs, probe.runs.order_by)
    ]


@question(_true_records)
def run_records(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.runs
    found = storage.run_storage.get_run_records(
        _filter(of), of.limit, of.order_by, of.ascending, of.cursor, _bucket(of)
    )
    return [
        (
            record.dagster_run,
            record.create_timestamp,
            record.update_timestamp,
            record.start_time,
            record.end_time,
        )
        for record in found
    ]


def _true_ids(instance: Instance, probe: Probe) -> Any:
    found = _after_cursor(instance, _newest_first(probe.runs))[::-1]
    return [run.run_id for run in found[: probe.runs.limit or None]]


def _newest_first(probe: RunProbe) -> RunProbe:
    return RunProbe(**{**vars(probe), "ascending": False})


@question(_true_ids)
def run_ids(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    of = probe.runs
    return storage.run_storage.get_run_ids(_filter(of), of.cursor, of.limit)


@question(lambda instance, probe: len(_matching(instance, probe.runs)))
def runs_count(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return storage.run_storage.get_runs_count(_filter(probe.runs))


@question(lambda instance, probe: [instance.runs.get(run) is not None for run in RUNS])
def has_run(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return [storage.run_storage.has_run(run) for run in RUNS]


def _true_groups(instance: Instance, probe: Probe) -> Any:
    groups = [instance.runs.group(run) for run in RUNS]
    return [group.error if isinstance(group, Refused) else group for group in groups]


@question(_true_groups)
def run_groups(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    group = storage.run_storage.get_run_group
    return [refused(lambda run=run: group(run)) for run in RUNS]  # type: ignore[misc]


_TAG_KEYS = list(dict(RUN_TAGS))


@question(
    lambda instance, probe: [
        instance.runs.tag_keys(),
        instance.runs.tag_values(_TAG_KEYS, probe.runs.prefix, probe.runs.limit),
        instance.runs.tag_values(["team", "nothing"], probe.runs.prefix, None),
    ]
)
def run_tags(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    values = storage.run_storage.get_run_tags
    return [
        storage.run_storage.get_run_tag_keys(),
        values(_TAG_KEYS, probe.runs.prefix, probe.runs.limit),
        values(["team", "nothing"], probe.runs.prefix),
    ]


def _true_partitions(instance: Instance, probe: Probe) -> Any:
    matching = _matching(instance, probe.runs)
    return [
        (run, partition, status, time_of(started), time_of(ended))
        for run, partition, status, started, ended in instance.runs.partitions(
            lambda run: run in matching
        )
    ]


@question(_true_partitions)
def run_partitions(storage: DagsterLmdbStorage, probe: Probe) -> Any:
    return [
        (each.run_id, each.partition, each.status.value, each.start_time, each.end_time)
        for each in storage.run_storage.get_run_partition_data(_filter(probe.runs))
    ]
