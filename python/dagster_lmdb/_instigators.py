"""The states of schedules and sensors.

A state is found by its selector. Which origins were added is kept beside the states, since an
origin is added once, also where another origin's state of the same selector is there already.

Documents of this space are states, under ``selector:ID``, and origins, under ``origin:ID``. Terms
of a state are its ``status``, ``type`` and ``repository``; an origin whose state was updated has
its ``selector``, and keeps the state while another origin of the selector is deleted.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import dagster._check as check
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._time import get_current_datetime

from dagster_lmdb._arguments import seconds
from dagster_lmdb._core import AlreadyThereError, NotThereError
from dagster_lmdb._rows import Put, Term
from dagster_lmdb._schedule_base import ReadsSchedules

_EVERY_TYPE = [instigator_type.value for instigator_type in InstigatorType]


class KeepsInstigators(ReadsSchedules):
    """The part of ``ScheduleStorage`` that is about instigators."""

    def all_instigator_state(
        self,
        repository_origin_id: str | None = None,
        repository_selector_id: str | None = None,
        instigator_type: InstigatorType | None = None,
        instigator_statuses: AbstractSet[InstigatorStatus] | None = None,
    ) -> Sequence[InstigatorState]:
        """Get the states, oldest first.

        Args:
            repository_origin_id (Optional[str]): Not looked at: a repository is found by its
                selector, as in Dagster's SQL storages.
            repository_selector_id (Optional[str]): The repository to keep.
            instigator_type (Optional[InstigatorType]): The type to keep.
            instigator_statuses (Optional[Set[InstigatorStatus]]): The statuses to keep.
        """
        check.opt_inst_param(instigator_type, "instigator_type", InstigatorType)
        types = [instigator_type.value] if instigator_type else _EVERY_TYPE
        any_of: list[tuple[str, Sequence[str]]] = [("type", types)]
        if repository_selector_id:
            any_of.append(("repository", [repository_selector_id]))
        if instigator_statuses:
            any_of.append(("status", [status.value for status in instigator_statuses]))
        found = self._log.find_documents("instigator", any_of=any_of, ascending=True)
        return [check.inst_param(each.value, "state", InstigatorState) for each in found]

    def get_instigator_state(self, origin_id: str, selector_id: str) -> InstigatorState | None:
        check.str_param(origin_id, "origin_id")
        check.str_param(selector_id, "selector_id")
        found = self._log.find_documents("instigator", keys=[_selector_key(selector_id)])
        return check.inst_param(found[0].value, "state", InstigatorState) if found else None

    def add_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Add the state of an origin; a state of the same selector gives way to it.

        Args:
            state (InstigatorState): The state.

        Raises:
            DagsterInvariantViolationError: If the origin was added before.
        """
        check.inst_param(state, "state", InstigatorState)
        try:
            self._put_state(state, [], ["insert", "upsert"])
        except AlreadyThereError as error:
            raise DagsterInvariantViolationError(
                f"InstigatorState {state.instigator_origin_id} is already present in storage"
            ) from error
        return state

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Change the state of a selector.

        Args:
            state (InstigatorState): The state.

        Raises:
            DagsterInvariantViolationError: If the selector has no state.
        """
        check.inst_param(state, "state", InstigatorState)
        try:
            self._put_state(
                state, [("selector", state.selector_id, 0.0)], ["update_if_present", "update"]
            )
        except NotThereError as error:
            raise DagsterInvariantViolationError(
                f"InstigatorState {state.instigator_origin_id} is not present in storage"
            ) from error
        return state

    def _put_state(
        self, state: InstigatorState, origin_terms: Sequence[Term], put: Sequence[Put]
    ) -> None:
        selector_id, origin_id = state.selector_id, state.instigator_origin_id
        terms = [
            ("status", state.status.value, 0.0),
            ("type", state.instigator_type.value, 0.0),
            ("repository", state.repository_selector_id, 0.0),
        ]
        self._log.put_documents(
            "instigator",
            [
                (None, _origin_key(origin_id), None, origin_terms, None),
                (None, _selector_key(selector_id), None, terms, state),
            ],
            put,
            seconds(get_current_datetime()),
        )

    def delete_instigator_state(self, origin_id: str, selector_id: str) -> None:
        """Delete the state of an origin, and of its selector unless another origin keeps it.

        Args:
            origin_id (str): The origin.
            selector_id (str): Its selector.

        Raises:
            DagsterInvariantViolationError: If the selector has no state.
        """
        check.str_param(origin_id, "origin_id")
        check.str_param(selector_id, "selector_id")
        kept_by = ("selector", selector_id)
        try:
            self._log.remove_documents(
                "instigator",
                [
                    (_origin_key(origin_id), False, None),
                    (_selector_key(selector_id), True, kept_by),
                ],
                seconds(get_current_datetime()),
            )
        except NotThereError as error:
            raise DagsterInvariantViolationError(
                f"InstigatorState {origin_id} is not present in storage"
            ) from error


def _origin_key(origin_id: str) -> str:
    return f"origin:{origin_id}"


def _selector_key(selector_id: str) -> str:
    return f"selector:{selector_id}"
