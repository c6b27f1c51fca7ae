"""Ticks: what each evaluation of a schedule or sensor came to.

Ticks are ordered by their timestamp, then by id. A tick is its selector's, or its origin's where it
has no selector. Its terms are its ``owner``, its ``status of owner`` and its ``type and origin``,
each ordered by timestamp, so that a page of ticks, of any statuses, is read from an index, and a
summary is made of terms alone.
"""

from collections.abc import Mapping, Sequence

import dagster._check as check
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.scheduler.instigation import (
    InstigatorTick,
    InstigatorTickSummary,
    TickData,
    TickStatus,
)
from dagster._time import datetime_from_timestamp, get_current_datetime

from dagster_lmdb._arguments import possible_sequences, row_limit, seconds
from dagster_lmdb._core import Document
from dagster_lmdb._rows import Term
from dagster_lmdb._schedule_base import ReadsSchedules

_OWNER, _STATUS, _ORIGIN = "owner", "status of owner", "type and origin"
_SELECTOR = "selector"


class KeepsTicks(ReadsSchedules):
    """The part of ``ScheduleStorage`` that is about ticks."""

    @property
    def supports_batch_queries(self) -> bool:
        return True

    def get_batch_ticks(
        self,
        selector_ids: Sequence[str],
        limit: int | None = None,
        statuses: Sequence[TickStatus] | None = None,
    ) -> Mapping[str, Sequence[InstigatorTick]]:
        """Get the newest ticks of many selectors, of one moment.

        Args:
            selector_ids (Sequence[str]): The selectors.
            limit (Optional[int]): Max number of ticks of each selector; None or 0 for all.
            statuses (Optional[Sequence[TickStatus]]): The statuses to keep.

        Returns:
            Mapping[str, Sequence[InstigatorTick]]: The ticks, newest first, of the selectors that
            have any.
        """
        check.sequence_param(selector_ids, "selector_ids", of_type=str)
        check.opt_sequence_param(statuses, "statuses", of_type=TickStatus)
        name = _STATUS if statuses else _OWNER
        groups = self._log.ordered_document_groups(
            "tick",
            name,
            [_values([_selector(each)], statuses) for each in selector_ids],
            limit=row_limit(limit),
        )
        return {
            selector_id: [_tick_from(document) for document in group]
            for selector_id, group in zip(selector_ids, groups, strict=True)
            if group
        }

    def get_tick(self, tick_id: int) -> InstigatorTick:
        """Get a tick.

        Raises:
            DagsterInvariantViolationError: If there is no such tick.
        """
        check.int_param(tick_id, "tick_id")
        found = self.get_ticks_by_ids([tick_id])
        if not found:
            raise DagsterInvariantViolationError(
                f"InstigatorTick {tick_id} is not present in storage"
            )
        return found[0]

    def get_ticks_by_ids(self, tick_ids: Sequence[int]) -> Sequence[InstigatorTick]:
        """Get the ticks of these ids, each once and in their order; unknown ones are left out."""
        check.sequence_param(tick_ids, "tick_ids", of_type=int)
        wanted = list(dict.fromkeys(possible_sequences(tick_ids)))
        return [_tick_from(document) for document in self._log.documents_by_id("tick", wanted)]

    def get_ticks(
        self,
        origin_id: str,
        selector_id: str,
        before: float | None = None,
        after: float | None = None,
        limit: int | None = None,
        statuses: Sequence[TickStatus] | None = None,
    ) -> Sequence[InstigatorTick]:
        """Get the ticks of an instigator, newest first.

        Args:
            origin_id (str): The instigator's origin, for ticks without a selector.
            selector_id (str): The instigator's selector.
            before (Optional[float]): The time, excluded, that ticks are before.
            after (Optional[float]): The time, excluded, that ticks are after.
            limit (Optional[int]): Max number of ticks to return; None or 0 for all.
            statuses (Optional[Sequence[TickStatus]]): The statuses to keep.
        """
        found = self._ticks(origin_id, selector_id, before, after, limit, statuses)
        return [_tick_from(document) for document in found]

    def get_tick_summaries(
        self,
        origin_id: str,
        selector_id: str,
        before: float | None = None,
        after: float | None = None,
        limit: int | None = None,
        statuses: Sequence[TickStatus] | None = None,
    ) -> Sequence[InstigatorTickSummary]:
        """Get what ``get_ticks`` gives, in short, and without reading a tick's body."""
        found = self._ticks(origin_id, selector_id, before, after, limit, statuses, values=False)
        return [_summary_from(document) for document in found]

    def _ticks(
        self,
        origin_id: str,
        selector_id: str,
        before: float | None,
        after: float | None,
        limit: int | None,
        statuses: Sequence[TickStatus] | None,
        values: bool = True,
    ) -> list[Document]:
        check.str_param(origin_id, "origin_id")
        check.str_param(selector_id, "selector_id")
        check.opt_float_param(before, "before")
        check.opt_float_param(after, "after")
        check.opt_sequence_param(statuses, "statuses", of_type=TickStatus)
        return self._log.ordered_documents(
            "tick",
            _STATUS if statuses else _OWNER,
            _values([_selector(selector_id), _origin(origin_id)], statuses),
            after=_microseconds(after) if after else None,
            before=_microseconds(before) if before else None,
            limit=row_limit(limit),
            values=values,
        )

    def get_instigators_with_ticks(self) -> Sequence[tuple[str, str]]:
        """Get the instigators that have ticks, whether or not they have a state.

        Returns:
            Sequence[Tuple[str, str]]: The origin id and the selector id of each, as ``get_ticks``
            takes them, of which one is empty.
        """
        owners = (owner.partition(":") for owner in self._log.term_values("tick", _OWNER))
        return [
            ("", owner_id) if kind == _SELECTOR else (owner_id, "") for kind, _, owner_id in owners
        ]

    def create_tick(self, tick_data: TickData) -> InstigatorTick:
        check.inst_param(tick_data, "tick_data", TickData)
        [tick_id] = self._log.put_documents(
            "tick",
            [(None, "", None, tick_terms(tick_data), tick_data)],
            "insert",
            seconds(get_current_datetime()),
        )
        return InstigatorTick(tick_id, tick_data)

    def update_tick(self, tick: InstigatorTick) -> InstigatorTick:
        """Bring a tick up to date; one that is gone stays gone."""
        check.inst_param(tick, "tick", InstigatorTick)
        if possible_sequences([tick.tick_id]):
            self._log.put_documents(
                "tick",
                [(tick.tick_id, "", None, tick_terms(tick.tick_data), tick.tick_data)],
                "update_if_present",
                seconds(get_current_datetime()),
            )
        return tick

    def purge_ticks(
        self,
        origin_id: str,
        selector_id: str,
        before: float,
        tick_statuses: Sequence[TickStatus] | None = None,
    ) -> None:
        """Remove the ticks of an instigator that are before a time, the oldest first.

        Many go in several commits, so that other writers have their turn. What a call that is
        interrupted leaves goes with the next one.

        Args:
            origin_id (str): The instigator's origin, for ticks without a selector.
            selector_id (str): The instigator's selector.
            before (float): The time, excluded.
            tick_statuses (Optional[Sequence[TickStatus]]): The statuses to remove; None for all.
        """
        check.float_param(before, "before")
        check.opt_sequence_param(tick_statuses, "tick_statuses", of_type=TickStatus)
        self._log.purge_documents(
            "tick",
            _STATUS if tick_statuses else _OWNER,
            _values([_selector(selector_id), _origin(origin_id)], tick_statuses),
            _microseconds(before),
            seconds(get_current_datetime()),
        )


def _selector(selector_id: str) -> str:
    return f"{_SELECTOR}:{selector_id}"


def _origin(origin_id: str) -> str:
    return f"origin:{origin_id}"


def _values(owners: Sequence[str], statuses: Sequence[TickStatus] | None) -> list[str]:
    """The values that ticks of these owners have, of any status or of one of these."""
    if not statuses:
        return list(owners)
    return [f"{status.value} {owner}" for owner in owners for status in statuses]


def _microseconds(timestamp: float) -> float:
    """A time as exact as Dagster's SQL storages keep and compare it."""
    return seconds(datetime_from_timestamp(timestamp))


def tick_terms(tick: TickData) -> list[Term]:
    """What a tick is found by."""
    if tick.selector_id:
        owner = _selector(tick.selector_id)
    else:
        owner = _origin(tick.instigator_origin_id)
    time = _microseconds(tick.timestamp)
    return [
        (_OWNER, owner, time),
        (_STATUS, f"{tick.status.value} {owner}", time),
        (_ORIGIN, f"{tick.instigator_type.value} {tick.instigator_origin_id}", time),
    ]


def _tick_from(document: Document) -> InstigatorTick:
    return InstigatorTick(document.id, check.inst_param(document.value, "tick", TickData))


def _summary_from(document: Document) -> InstigatorTickSummary:
    terms = {name: (value, order) for name, value, order in document.terms}
    instigator_type, _, origin_id = terms[_ORIGIN][0].partition(" ")
    status, timestamp = terms[_STATUS]
    return InstigatorTickSummary(
        tick_id=document.id,
        instigator_origin_id=origin_id,
        instigator_type=InstigatorType(instigator_type),
        status=TickStatus(status.partition(" ")[0]),
        timestamp=timestamp,
    )
