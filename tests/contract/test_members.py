"""Every public member of Dagster's event log is ours, or is inherited for a stated reason."""

import pytest
from dagster._core.storage.event_log import EventLogStorage

from dagster_lmdb import LmdbEventLogStorage

# Not public, but with a default that reads more than it answers.
SLOW_DEFAULTS = ["_get_latest_unpartitioned_materialization_storage_ids"]

INHERITED = {
    "alembic_version": "None is right: there is no SQL schema.",
    "default_run_scoped_event_tailer_offset": "A constant for Dagster's hosted product.",
    "get_asset_tags_to_index": "The keys to index are Dagster's to choose.",
    "get_pool_config": "The instance's own settings are the ones in force.",
    "handles_run_events_in_store_event": "With True, Dagster skips the tagging of run retries.",
    "has_instance": "Belongs to the link to the instance, not to storage.",
    "is_run_sharded": "False is right: one log holds every run.",
    "register_instance": "Belongs to the link to the instance, not to storage.",
    "supports_asset_checks": "True is right.",
    "supports_partition_subset_in_asset_materialization_planned_events": (
        "Left to Dagster's environment variable; both settings are right here."
    ),
}

MEMBERS = sorted(
    [member for member in dir(EventLogStorage) if not member.startswith("_")] + SLOW_DEFAULTS
)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_ours_or_inherited_for_a_stated_reason(member: str) -> None:
    owner = next(cls for cls in LmdbEventLogStorage.__mro__ if member in vars(cls))
    inherited = owner in EventLogStorage.__mro__
    assert inherited == (member in INHERITED), f"{member} comes from {owner.__name__}"


def test_every_stated_reason_is_for_a_member() -> None:
    assert [member for member in INHERITED if member not in MEMBERS] == []
