"""Backfills.

A cursor is a backfill's id and compares by the order in which backfills were added; nothing follows
an unknown one. The daemon updates a backfill on every turn: an update that changes nothing is not
written.
"""

from collections.abc import Sequence

import dagster._check as check
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._time import datetime_from_timestamp, get_current_datetime

from dagster_lmdb._arguments import opt_seconds, row_limit, seconds
from dagster_lmdb._core import AlreadyThereError, NotThereError
from dagster_lmdb._rows import Put, Term
from dagster_lmdb._run_base import ReadsRuns
from dagster_lmdb._runs import TAG, Filters, tag_terms

_CREATED = "@created"


class KeepsBackfills(ReadsRuns):
    """The part of ``RunStorage`` that is about backfills."""

    def get_backfills(
        self,
        filters: BulkActionsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        status: BulkActionStatus | None = None,
    ) -> Sequence[PartitionBackfill]:
        """Get backfills, newest first.

        Args:
            filters (Optional[BulkActionsFilter]): The backfills to keep.
            cursor (Optional[str]): The backfill id to begin after.
            limit (Optional[int]): Max number of backfills to return; None or 0 for all.
            status (Optional[BulkActionStatus]): The status to keep; not together with filters.

        Raises:
            DagsterInvariantViolationError: If both filters and a status are given.
        """
        check.opt_inst_param(status, "status", BulkActionStatus)
        if status and filters:
            raise DagsterInvariantViolationError(
                "Cannot provide status and filters to get_backfills. Please use filters rather than"
                " status."
            )
        if status is not None:
            filters = BulkActionsFilter(statuses=[status])
        before = None
        if cursor:
            before = self._log.document_id("backfill", cursor)
            if before is None:
                return []
        found = self._log.find_documents(
            "backfill", **_filters(filters), before=before, limit=row_limit(limit)
        )
        return [check.inst_param(each.value, "backfill", PartitionBackfill) for each in found]

    def get_backfills_count(self, filters: BulkActionsFilter | None = None) -> int:
        return self._log.count_documents("backfill", **_filters(filters))

    def get_backfill(self, backfill_id: str) -> PartitionBackfill | None:
        check.str_param(backfill_id, "backfill_id")
        found = self._log.find_documents("backfill", keys=[backfill_id])
        return check.inst_param(found[0].value, "backfill", PartitionBackfill) if found else None

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Add a backfill.

        Raises:
            DagsterInvariantViolationError: If there is a backfill of this id.
        """
        try:
            self._put_backfill(partition_backfill, "insert")
        except AlreadyThereError as error:
            raise DagsterInvariantViolationError(
                f"Backfill {partition_backfill.backfill_id} is already present in storage"
            ) from error

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Bring a backfill up to date.

        Raises:
            DagsterInvariantViolationError: If there is no backfill of this id.
        """
        try:
            self._put_backfill(partition_backfill, "update")
        except NotThereError as error:
            raise DagsterInvariantViolationError(
                f"Backfill {partition_backfill.backfill_id} is not present in storage"
            ) from error

    def _put_backfill(self, backfill: PartitionBackfill, put: Put) -> None:
        check.inst_param(backfill, "partition_backfill", PartitionBackfill)
        made = seconds(datetime_from_timestamp(backfill.backfill_timestamp))
        terms: list[Term] = [("status", backfill.status.value, 0.0), (_CREATED, "", made)]
        if backfill.job_name:
            terms.append(("job", backfill.job_name, 0.0))
        if backfill.selector_id:
            terms.append(("selector", backfill.selector_id, 0.0))
        terms.extend((TAG + key, value, 0.0) for key, value in (backfill.tags or {}).items())
        self._log.put_documents(
            "backfill",
            [(None, backfill.backfill_id, made, terms, backfill)],
            put,
            seconds(get_current_datetime()),
        )


def _filters(filters: BulkActionsFilter | None) -> Filters:
    filters = check.opt_inst_param(
        filters, "filters", BulkActionsFilter, default=BulkActionsFilter()
    )
    wanted = Filters(any_of=tag_terms(filters.tags), ranges=[], keys=filters.backfill_ids or None)
    if filters.statuses:
        wanted["any_of"].append(("status", [status.value for status in filters.statuses]))
    if filters.job_name:
        wanted["any_of"].append(("job", [filters.job_name]))
    if filters.selector_id:
        wanted["any_of"].append(("selector", [filters.selector_id]))
    if filters.created_after or filters.created_before:
        bounds = opt_seconds(filters.created_after), opt_seconds(filters.created_before)
        wanted["ranges"].append((_CREATED, *bounds))
    return wanted
