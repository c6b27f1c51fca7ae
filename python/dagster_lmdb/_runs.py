"""Queries for runs.

A run's document holds the run as it was added; its status, its times and the tags added since are
kept beside it and change with its events. A run is read back as the one with the other. It is found
by its terms:

- ``status``, ``job``, ``snapshot``, and ``tag:KEY`` for each tag that Dagster stores
- ``own tag``, for each tag of its own that Dagster would index it by as well without that
- ``originless``, for a run with a label of a repository and without an origin
- ``@created``, ``@updated``, ``@started``, ``@ended``, by which it can be bounded and ordered

Cursors are run ids and compare by storage id, whatever the order; nothing follows an unknown one.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import dagster._check as check
from dagster._core.errors import DagsterRunNotFoundError
from dagster._core.storage.dagster_run import (
    DagsterRun,
    DagsterRunStatus,
    JobBucket,
    RunPartitionData,
    RunRecord,
    RunsFilter,
    TagBucket,
)
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    PARTITION_SET_TAG,
    POOL_TAG_PREFIX,
    REPOSITORY_LABEL_TAG,
    ROOT_RUN_ID_TAG,
)
from dagster._time import datetime_from_timestamp

from dagster_lmdb._arguments import opt_seconds, row_limit
from dagster_lmdb._core import Document
from dagster_lmdb._rows import Term
from dagster_lmdb._run_base import ReadsRuns

CREATED, UPDATED, STARTED, ENDED = "@created", "@updated", "@started", "@ended"
TAG = "tag:"

_ORDERS = {
    "create_timestamp": CREATED,
    "update_timestamp": UPDATED,
    "start_time": STARTED,
    "end_time": ENDED,
}
#: Further columns of SQL's table of runs. No index has them, and Dagster itself orders by none.
_COLUMNS: dict[str, Callable[[DagsterRun], str | None]] = {
    "run_id": lambda run: run.run_id,
    "snapshot_id": lambda run: run.job_snapshot_id,
    "pipeline_name": lambda run: run.job_name,
    "status": lambda run: run.status.value,
    "partition": lambda run: run.tags.get(PARTITION_NAME_TAG),
    "partition_set": lambda run: run.tags.get(PARTITION_SET_TAG),
    "backfill_id": lambda run: run.tags.get(BACKFILL_ID_TAG),
}


class Filters(TypedDict):
    """What a filter is to the engine."""

    any_of: list[tuple[str, Sequence[str]]]
    ranges: list[tuple[str, float | None, float | None]]
    keys: Sequence[str] | None


def run_terms(run: DagsterRun, created: float, updated: float) -> list[Term]:
    """What a run is found by."""
    terms = [
        ("status", run.status.value, 0.0),
        ("job", run.job_name, 0.0),
        (CREATED, "", created),
        (UPDATED, "", updated),
    ]
    if run.remote_job_origin is None and REPOSITORY_LABEL_TAG in run.tags:
        # Its label does not say, as others do, that it can be queued.
        terms.append(("originless", "", 0.0))
    indexed = (REPOSITORY_LABEL_TAG, POOL_TAG_PREFIX)
    terms.extend(("own tag", key, 0.0) for key in run.tags if key.startswith(indexed))
    if run.job_snapshot_id:
        terms.append(("snapshot", run.job_snapshot_id, 0.0))
    terms.extend((TAG + key, value, 0.0) for key, value in run.tags_for_storage().items())
    return terms


def tag_terms(
    tags: Mapping[str, str | Sequence[str]] | None,
) -> list[tuple[str, Sequence[str]]]:
    """What has all of these tags, each with the value or with one of the values."""
    return [
        (TAG + key, [value] if isinstance(value, str) else list(value))
        for key, value in (tags or {}).items()
    ]


class QueriesRuns(ReadsRuns):
    """The part of ``RunStorage`` that reads runs."""

    def get_runs(
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
        ascending: bool = False,
    ) -> Sequence[DagsterRun]:
        """Return all the runs present in the storage that match the given filters.

        Args:
            filters (Optional[RunsFilter]): The runs to keep.
            cursor (Optional[str]): The run id to begin after.
            limit (Optional[int]): Max number of runs to return; None or 0 for all.
            bucket_by (Optional[Union[JobBucket, TagBucket]]): The jobs, or the values of a tag, of
                each of which the newest runs are wanted, up to the bucket's limit.
            ascending (bool): Whether the oldest comes first.
        """
        return [
            run_from(document)
            for document in self._find(filters, cursor, limit, None, ascending, bucket_by)
        ]

    def get_run_ids(
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Sequence[str]:
        return [document.key for document in self._find(filters, cursor, limit, values=False)]

    def get_runs_count(self, filters: RunsFilter | None = None) -> int:
        return self._log.count_documents("run", **_filters(filters))

    def get_run_records(
        self,
        filters: RunsFilter | None = None,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
        cursor: str | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
    ) -> Sequence[RunRecord]:
        """Return a list of run records stored in the run storage, sorted in the given order.

        Args:
            filters (Optional[RunsFilter]): The runs to keep.
            limit (Optional[int]): Max number of records to return; None or 0 for all.
            order_by (Optional[str]): ``id``, ``create_timestamp``, ``update_timestamp``,
                ``start_time`` or ``end_time``; None for ``id``. Also ``run_id``, ``snapshot_id``,
                ``pipeline_name``, ``status``, ``partition``, ``partition_set`` or ``backfill_id``,
                at the cost of all that match. Runs without a value come as if it were the least.
            ascending (bool): Whether the least comes first.
            cursor (Optional[str]): The run id to begin after, by storage id whatever the order.
            bucket_by (Optional[Union[JobBucket, TagBucket]]): See ``get_runs``.

        Raises:
            CheckError: If there is no such order, or none for buckets.
        """
        if order_by in _COLUMNS:
            check.invariant(bucket_by is None, f"Buckets of runs are not ordered by {order_by}")
            column, limit = _COLUMNS[order_by], row_limit(limit)
            found = self._find(filters, cursor, None, None, ascending)
            records = [_record_from(document) for document in found]
            records.sort(key=lambda record: column(record.dagster_run) or "", reverse=not ascending)
            return records[:limit]
        return [
            _record_from(document)
            for document in self._find(filters, cursor, limit, order_by, ascending, bucket_by)
        ]

    def _find(
        self,
        filters: RunsFilter | None,
        cursor: str | None,
        limit: int | None,
        order_by: str | None = None,
        ascending: bool = False,
        bucket_by: JobBucket | TagBucket | None = None,
        values: bool = True,
    ) -> list[Document]:
        check.opt_str_param(cursor, "cursor")
        check.opt_str_param(order_by, "order_by")
        check.opt_bool_param(ascending, "ascending")
        wanted = _filters(filters)
        after = before = None
        if cursor:
            place = self._log.document_id("run", cursor)
            if place is None:
                return []
            after, before = (place, None) if ascending else (None, place)
        order = None
        if order_by and order_by != "id":
            orders = ", ".join(["id", *_ORDERS, *_COLUMNS])
            check.invariant(order_by in _ORDERS, f"Runs are ordered by {orders}, not {order_by}")
            order = _ORDERS[order_by]
        if bucket_by is None:
            return self._log.find_documents(
                "run",
                **wanted,
                after=after,
                before=before,
                order_by=order,
                ascending=ascending,
                limit=row_limit(limit),
                values=values,
            )
        if isinstance(bucket_by, JobBucket):
            name, bucket_values = "job", bucket_by.job_names
        else:
            name, bucket_values = TAG + bucket_by.tag_key, bucket_by.tag_values
        return self._log.document_buckets(
            "run",
            name,
            bucket_values,
            **wanted,
            after=after,
            before=before,
            order_by=order,
            ascending=ascending,
            bucket_limit=row_limit(bucket_by.bucket_limit),
            limit=row_limit(limit),
        )

    @property
    def supports_bucket_queries(self) -> bool:
        return True

    def has_run(self, run_id: str) -> bool:
        check.str_param(run_id, "run_id")
        return self._log.document_id("run", run_id) is not None

    def get_run_group(self, run_id: str) -> tuple[str, Sequence[DagsterRun]]:
        """Get the runs that descend from the same root as a run, the root first.

        Args:
            run_id (str): Any run of the group.

        Returns:
            Tuple[str, Sequence[DagsterRun]]: The root's id, and the runs.

        Raises:
            DagsterRunNotFoundError: If the run or its root is not in storage.
        """
        check.str_param(run_id, "run_id")
        run = self._run(run_id)
        root_id = run.root_run_id or run_id
        root = self._run(
            root_id,
            f"Run id {root_id} set as root run id for run {run_id} was not found in instance.",
        )
        members = self._log.find_documents(
            "run", any_of=[(TAG + ROOT_RUN_ID_TAG, [root_id])], ascending=True
        )
        return root_id, [root, *(run_from(each) for each in members if each.key != root_id)]

    def _run(self, run_id: str, otherwise: str | None = None) -> DagsterRun:
        found = self._log.find_documents("run", keys=[run_id])
        if not found:
            raise run_not_found(run_id, otherwise)
        return run_from(found[0])

    def get_run_tags(
        self,
        tag_keys: Sequence[str],
        value_prefix: str | None = None,
        limit: int | None = None,
    ) -> Sequence[tuple[str, set[str]]]:
        """Get the values that runs have of the given tags, by tag key.

        Args:
            tag_keys (Sequence[str]): The tags.
            value_prefix (Optional[str]): What a value begins with.
            limit (Optional[int]): Max number of values over all tags; None or 0 for all.
        """
        check.sequence_param(tag_keys, "tag_keys", of_type=str)
        left = row_limit(limit)
        found: dict[str, set[str]] = defaultdict(set)
        for key in sorted(set(tag_keys)):
            values = self._log.term_values("run", TAG + key, value_prefix or "", left)
            if values:
                found[key].update(values)
            if left is not None:
                left -= len(values)
                if left == 0:
                    break
        return list(found.items())

    def get_run_tag_keys(self) -> Sequence[str]:
        return sorted(name.removeprefix(TAG) for name in self._log.term_names("run", TAG))

    def get_run_partition_data(self, runs_filter: RunsFilter) -> Sequence[RunPartitionData]:
        """Get the newest run of each partition among the runs that match a filter."""
        check.inst_param(runs_filter, "runs_filter", RunsFilter)
        found = self._log.newest_documents_of_each(
            "run", TAG + PARTITION_NAME_TAG, **_filters(runs_filter)
        )
        partitions = []
        for document in found:
            terms = {name: (value, order) for name, value, order in document.terms}
            partition, _ = terms[TAG + PARTITION_NAME_TAG]
            if partition:
                data = RunPartitionData(
                    run_id=document.key,
                    partition=partition,
                    status=DagsterRunStatus(terms["status"][0]),
                    start_time=terms[STARTED][1] if STARTED in terms else None,
                    end_time=terms[ENDED][1] if ENDED in terms else None,
                )
                partitions.append(data)
        return partitions


_STATUS, _TAGS = (DagsterRun._fields.index(name) for name in ("status", "tags"))  # type: ignore[attr-defined]


def run_from(document: Document) -> DagsterRun:
    """The run as it is now."""
    run: DagsterRun = check.inst_param(document.value, "run", DagsterRun)
    if document.run is None:
        return run
    status, _, _, _, tags = document.run
    # In the order of their keys, as the tags of a body that is read back.
    tags = dict(sorted({**run.tags, **tags}.items()))
    # As a named tuple replaces fields: the constructor would check all others again.
    fields = list(run)
    fields[_STATUS], fields[_TAGS] = DagsterRunStatus(status), tags
    now: DagsterRun = DagsterRun._make(fields)  # type: ignore[attr-defined]
    return now


def run_not_found(run_id: str, message: str | None = None) -> DagsterRunNotFoundError:
    """What Dagster raises for a run that is not in storage."""
    message = message or f"Run {run_id} was not found in instance."
    return DagsterRunNotFoundError(message, invalid_run_id=run_id)  # type: ignore[no-untyped-call]


def _record_from(document: Document) -> RunRecord:
    orders = {name: order for name, _, order in document.terms}
    return RunRecord(
        storage_id=document.id,
        dagster_run=run_from(document),
        create_timestamp=datetime_from_timestamp(orders[CREATED]),
        update_timestamp=datetime_from_timestamp(orders[UPDATED]),
        start_time=orders.get(STARTED),
        end_time=orders.get(ENDED),
    )


def _filters(filters: RunsFilter | None) -> Filters:
    filters = check.opt_inst_param(filters, "filters", RunsFilter, default=RunsFilter())
    wanted = Filters(any_of=tag_terms(filters.tags), ranges=[], keys=filters.run_ids or None)
    if filters.job_name:
        wanted["any_of"].append(("job", [filters.job_name]))
    if filters.exclude_subruns:
        # What runs of backfills do not have; so this is one term, also with statuses.
        statuses = filters.statuses or list(DagsterRunStatus)
        wanted["any_of"].append(("root_status", [status.value for status in statuses]))
    elif filters.statuses:
        wanted["any_of"].append(("status", [status.value for status in filters.statuses]))
    if filters.snapshot_id:
        wanted["any_of"].append(("snapshot", [filters.snapshot_id]))
    for name, after, before in (
        (UPDATED, filters.updated_after, filters.updated_before),
        (CREATED, filters.created_after, filters.created_before),
    ):
        if after or before:
            wanted["ranges"].append((name, opt_seconds(after), opt_seconds(before)))
    return wanted
