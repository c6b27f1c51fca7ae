"""Concurrency limits, and the slots that steps claim.

A step joins the queue of its pool, is assigned a slot in the order of priority and age, and then
claims it. Each command is decided under the store's writer lock, so that two processes never get
the same slot; a blocked step that asks again changes nothing and costs no flush.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from dagster._core.errors import DagsterInvalidInvocationError
from dagster._core.storage.event_log.base import PoolLimit
from dagster._time import datetime_from_timestamp, get_current_timestamp
from dagster._utils.concurrency import (
    ClaimedSlotInfo,
    ConcurrencyClaimStatus,
    ConcurrencyKeyInfo,
    ConcurrencySlotStatus,
    PendingStepInfo,
    get_max_concurrency_limit_value,
)

from dagster_lmdb._core import Claim, PoolRow
from dagster_lmdb._handle import ReadsEventLog


class LimitsConcurrency(ReadsEventLog):
    """The part of ``EventLogStorage`` that is about concurrency."""

    @property
    def supports_global_concurrency_limits(self) -> bool:
        return True

    def _default_limit(self) -> int | None:
        return self._instance.global_op_concurrency_default_limit if self.has_instance else None

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give a pool the instance's default limit, or a default that has changed.

        Without a default, or without an instance to ask, the pool's limit and slots are dropped.

        Returns:
            bool: Whether there is a default.
        """
        default = self._default_limit()
        if self._drops("initialize_concurrency_limit_to_default"):
            return default is not None
        now = get_current_timestamp()
        if default is None:
            self._log.delete_pool_limit(concurrency_key, now)
            return False
        _refuse_negative(default)
        self._log.set_pool_limit(concurrency_key, default, now, from_default=True)
        return True

    def set_concurrency_slots(self, concurrency_key: str, num: int) -> None:
        """Set a pool's limit and slots; new slots go to the steps that wait.

        Slots that are held when the limit shrinks stay held until they are freed.

        Args:
            concurrency_key (str): The pool.
            num (int): The number of slots.

        Raises:
            DagsterInvalidInvocationError: If ``num`` is negative, or above
                ``DAGSTER_MAX_GLOBAL_OP_CONCURRENCY_LIMIT``.
        """
        most = get_max_concurrency_limit_value()
        if num > most:
            raise DagsterInvalidInvocationError(
                f"Cannot have more than {most} slots per concurrency key."
            )
        _refuse_negative(num)
        self._log.set_pool_limit(concurrency_key, num, get_current_timestamp())

    def delete_concurrency_limit(self, concurrency_key: str) -> None:
        """Delete a pool's limit and its slots; those that are held stay until they are freed."""
        self._log.delete_pool_limit(concurrency_key, get_current_timestamp())

    def get_concurrency_keys(self) -> set[str]:
        return {name for name, _, _ in self._log.pools()}

    def get_pool_limits(self) -> Sequence[PoolLimit]:
        return [
            PoolLimit(name=name, limit=limit, from_default=from_default)
            for name, limit, from_default in self._log.pools()
        ]

    def get_concurrency_info(self, concurrency_key: str) -> ConcurrencyKeyInfo:
        """Get a pool's limit, slots and steps. Cost: the steps that hold or wait."""
        return self.get_concurrency_infos([concurrency_key])[concurrency_key]

    def get_concurrency_infos(
        self, concurrency_keys: Sequence[str]
    ) -> Mapping[str, ConcurrencyKeyInfo]:
        """Get many pools' limits, slots and steps, of one moment.

        A pool without a limit or slots reports the instance's default limit.
        """
        names = list(dict.fromkeys(concurrency_keys))
        if not names:
            return {}
        return {row.name: self._info(row) for row in self._log.pool_rows(names)}

    def _info(self, row: PoolRow) -> ConcurrencyKeyInfo:
        limit, from_default = row.limit, row.from_default
        if limit is None:
            if row.slot_count:
                limit, from_default = row.slot_count, False
            else:
                limit, from_default = self._default_limit(), True
        return ConcurrencyKeyInfo(
            concurrency_key=row.name,
            slot_count=row.slot_count,
            claimed_slots=[
                ClaimedSlotInfo(run_id=run_id, step_key=step_key)
                for run_id, step_key in row.claimed
            ],
            pending_steps=[
                PendingStepInfo(
                    run_id=run_id,
                    step_key=step_key,
                    enqueued_timestamp=datetime_from_timestamp(enqueued),
                    assigned_timestamp=_opt_datetime(assigned),
                    priority=priority,
                )
                for run_id, step_key, enqueued, assigned, priority in row.pending
            ],
            limit=limit,
            using_default_limit=from_default,
        )

    def claim_concurrency_slot(
        self,
        concurrency_key: str,
        run_id: str,
        step_key: str,
        priority: int | None = None,
    ) -> ConcurrencyClaimStatus:
        """Claim a slot for a step, which joins the pool's queue if it is not in it.

        Args:
            concurrency_key (str): The pool.
            run_id (str): The step's run.
            step_key (str): The step.
            priority (Optional[int]): The higher, the sooner; kept from the first claim.

        Returns:
            ConcurrencyClaimStatus: Whether the step holds a slot, with aware times in UTC.
        """
        claim = self._log.claim_slot(
            concurrency_key, run_id, step_key, priority or 0, get_current_timestamp()
        )
        return _claim_status(concurrency_key, claim)

    def check_concurrency_claim(
        self, concurrency_key: str, run_id: str, step_key: str
    ) -> ConcurrencyClaimStatus:
        """Get where a step stands, and change nothing."""
        return _claim_status(
            concurrency_key, self._log.claim_status(concurrency_key, run_id, step_key)
        )

    def get_concurrency_run_ids(self) -> set[str]:
        """Get the runs that have a step in any queue; a step stays in it while it holds a slot."""
        return self._log.pending_run_ids()

    def free_concurrency_slots_for_run(self, run_id: str) -> None:
        """Free a run's slots and take its steps out of the queues; those that wait move up."""
        self._log.free_slots(run_id, None, get_current_timestamp())

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        """Free a step's slots and take it out of the queues; those that wait move up."""
        self._log.free_slots(run_id, step_key, get_current_timestamp())


def _refuse_negative(limit: int) -> None:
    if limit < 0:
        raise DagsterInvalidInvocationError("Cannot have a negative number of slots.")


def _opt_datetime(timestamp: float | None) -> datetime | None:
    return None if timestamp is None else datetime_from_timestamp(timestamp)


def _claim_status(concurrency_key: str, claim: Claim) -> ConcurrencyClaimStatus:
    return ConcurrencyClaimStatus(
        concurrency_key=concurrency_key,
        slot_status=(
            ConcurrencySlotStatus.CLAIMED if claim.claimed else ConcurrencySlotStatus.BLOCKED
        ),
        # Dagster's SQL storages report the priority 0 as none.
        priority=claim.priority or None,
        assigned_timestamp=_opt_datetime(claim.assigned),
        enqueued_timestamp=_opt_datetime(claim.enqueued),
    )
