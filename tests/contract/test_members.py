"""Every public member of Dagster's storages is ours, or is inherited for a stated reason."""

from typing import NamedTuple

import pytest
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.daemon_cursor import DaemonCursorStorage
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.schedules import ScheduleStorage

from dagster_lmdb import (
    DagsterLmdbStorage,
    LmdbEventLogStorage,
    LmdbRunStorage,
    LmdbScheduleStorage,
)

LINK = "Belongs to the link to the instance, not to storage."
NO_SCHEMA = "None is right: there is no SQL schema."


class Face(NamedTuple):
    """A storage of ours, the class of Dagster's that it is, and what else callers ask of it."""

    ours: type
    base: type
    beyond: tuple[str, ...]
    inherited: dict[str, str]


FACES = [
    Face(
        LmdbEventLogStorage,
        EventLogStorage,
        # Not public, but with a default that reads more than it answers.
        beyond=("_get_latest_unpartitioned_materialization_storage_ids",),
        inherited={
            "alembic_version": NO_SCHEMA,
            "default_run_scoped_event_tailer_offset": "A constant for Dagster's hosted product.",
            "get_asset_tags_to_index": "The keys to index are Dagster's to choose.",
            "get_pool_config": "The instance's own settings are the ones in force.",
            "handles_run_events_in_store_event": (
                "With True, Dagster skips the tagging of run retries."
            ),
            "has_instance": LINK,
            "is_run_sharded": "False is right: one log holds every run.",
            "register_instance": LINK,
            "supports_asset_checks": "True is right.",
            "supports_partition_subset_in_asset_materialization_planned_events": (
                "Left to Dagster's environment variable; both settings are right here."
            ),
        },
    ),
    Face(
        LmdbRunStorage,
        RunStorage,
        # `dagster instance migrate` and Dagster's telemetry ask for the first two. The others have
        # an empty default that nothing enforces, and daemons depend on them.
        beyond=("upgrade", "get_run_storage_id", "get_cursor_values", "set_cursor_values"),
        inherited={"has_instance": LINK, "register_instance": LINK},
    ),
    Face(
        LmdbScheduleStorage,
        ScheduleStorage,
        beyond=(),
        inherited={
            "alembic_version": NO_SCHEMA,
            "has_instance": LINK,
            "register_instance": LINK,
        },
    ),
    Face(
        DagsterLmdbStorage,
        DagsterStorage,
        beyond=("dispose",),
        inherited={"has_instance": LINK},
    ),
]


def members(face: Face) -> list[str]:
    public = {member for member in dir(face.base) if not member.startswith("_")}
    return sorted(public.union(face.beyond))


@pytest.mark.parametrize(
    ("face", "member"),
    [
        pytest.param(face, member, id=f"{face.ours.__name__}.{member}")
        for face in FACES
        for member in members(face)
    ],
)
def test_a_member_is_ours_or_inherited_for_a_stated_reason(face: Face, member: str) -> None:
    owner = next(cls for cls in face.ours.__mro__ if member in vars(cls))
    inherited = owner in (*face.base.__mro__, DaemonCursorStorage)
    assert inherited == (member in face.inherited), f"{member} comes from {owner.__name__}"


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.ours.__name__)
def test_every_stated_reason_is_for_a_member(face: Face) -> None:
    assert [member for member in face.inherited if member not in members(face)] == []
