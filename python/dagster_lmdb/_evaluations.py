"""Evaluations of automation conditions, for assets and for asset checks.

An evaluation is the one of its evaluation id and key: evaluated again, it keeps its id and the time
it was first stored. It is found by its ``key``, in the order of evaluation ids, and by its
``evaluation``.
"""

from collections.abc import Sequence
from typing import Any

import dagster._check as check
from dagster._core.definitions.asset_key import EntityKey, entity_key_from_db_string
from dagster._core.definitions.declarative_automation.serialized_objects import (
    AutomationConditionEvaluationWithRunIds,
)
from dagster._core.scheduler.instigation import AutoMaterializeAssetEvaluationRecord
from dagster._serdes import serialize_value
from dagster._time import get_current_datetime

from dagster_lmdb._arguments import exact_limit, seconds
from dagster_lmdb._core import Document
from dagster_lmdb._schedule_base import ReadsSchedules

_KEY, _EVALUATION, _CREATED = "key", "evaluation", "@created"


class KeepsEvaluations(ReadsSchedules):
    """The part of ``ScheduleStorage`` that is about evaluations."""

    @property
    def supports_auto_materialize_asset_evaluations(self) -> bool:
        return True

    def add_auto_materialize_asset_evaluations(
        self,
        evaluation_id: int,
        asset_evaluations: Sequence[AutomationConditionEvaluationWithRunIds[EntityKey]],
    ) -> None:
        """Store the evaluations of one id, all in one commit.

        Args:
            evaluation_id (int): The evaluation's id, the same for many keys.
            asset_evaluations (Sequence[AutomationConditionEvaluationWithRunIds]): The evaluation of
                each key.
        """
        check.int_param(evaluation_id, "evaluation_id")
        if not asset_evaluations:
            return
        now = seconds(get_current_datetime())
        documents = []
        for evaluation in asset_evaluations:
            key = evaluation.key.to_db_string()
            terms = [
                (_KEY, key, float(evaluation_id)),
                (_EVALUATION, str(evaluation_id), 0.0),
                (_CREATED, "", now),
            ]
            name = f"{evaluation_id} {key}"
            documents.append((None, name, now, terms, serialize_value(evaluation)))
        self._log.put_documents("evaluation", documents, "upsert", now)

    def get_auto_materialize_asset_evaluations(
        self, key: EntityKey, limit: int, cursor: int | None = None
    ) -> Sequence[AutoMaterializeAssetEvaluationRecord[Any]]:
        """Get the evaluations of a key, newest first.

        Args:
            key (Union[AssetKey, AssetCheckKey]): The key.
            limit (int): Max number of evaluations to return.
            cursor (Optional[int]): The evaluation id, excluded, that they are before.

        Raises:
            CheckError: If the limit is negative.
        """
        found = self._log.ordered_documents(
            "evaluation",
            _KEY,
            [key.to_db_string()],
            before=None if cursor is None else float(cursor),
            limit=exact_limit(limit),
        )
        return [_record_from(document) for document in found]

    def get_auto_materialize_evaluations_for_evaluation_id(
        self, evaluation_id: int
    ) -> Sequence[AutoMaterializeAssetEvaluationRecord[Any]]:
        """Get the evaluations of all keys that have this id, in the order they were stored."""
        check.int_param(evaluation_id, "evaluation_id")
        found = self._log.find_documents(
            "evaluation", any_of=[(_EVALUATION, [str(evaluation_id)])], ascending=True
        )
        return [_record_from(document) for document in found]

    def purge_asset_evaluations(self, before: float) -> None:
        """Remove the evaluations that were first stored before a time, the oldest first.

        Many go in several commits, so that other writers have their turn. What a call that is
        interrupted leaves goes with the next one.
        """
        check.float_param(before, "before")
        self._log.purge_documents(
            "evaluation", _CREATED, [""], before, seconds(get_current_datetime())
        )


def _record_from(document: Document) -> AutoMaterializeAssetEvaluationRecord[Any]:
    evaluation_id, _, key = document.key.partition(" ")
    return AutoMaterializeAssetEvaluationRecord(
        id=document.id,
        serialized_evaluation_body=check.str_param(document.value, "evaluation"),
        evaluation_id=int(evaluation_id),
        timestamp=document.created,
        key=entity_key_from_db_string(key),
    )
