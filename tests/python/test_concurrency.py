"""Limits and slots beyond what Dagster's suite asks of them."""

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from dagster import DagsterInstance
from dagster._core.errors import DagsterInvalidInvocationError
from dagster._core.test_utils import freeze_time

from dagster_lmdb import LmdbEventLogStorage

NOON = datetime(2024, 5, 6, 12, 0, 0, tzinfo=timezone.utc)


@pytest.fixture
def set_default(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int | None], None]:
    def set_default(limit: int | None) -> None:
        settings = {**instance._settings, "concurrency": {"pools": {"default_limit": limit}}}
        monkeypatch.setattr(instance, "_settings", settings)

    return set_default


def test_times_are_aware_and_those_of_the_caller(storage: LmdbEventLogStorage) -> None:
    storage.set_concurrency_slots("pool", 1)
    with freeze_time(NOON):
        claim = storage.claim_concurrency_slot("pool", "a-run", "a")
        storage.claim_concurrency_slot("pool", "a-run", "b", priority=3)
    assert claim.is_claimed
    assert claim.enqueued_timestamp == claim.assigned_timestamp == NOON
    assert claim.enqueued_timestamp.tzinfo is timezone.utc
    waiting = storage.check_concurrency_claim("pool", "a-run", "b")
    assert (waiting.enqueued_timestamp, waiting.assigned_timestamp) == (NOON, None)
    assert (claim.priority, waiting.priority) == (None, 3)
    pending = storage.get_concurrency_info("pool").pending_steps
    assert {step.step_key: step.enqueued_timestamp for step in pending} == {"a": NOON, "b": NOON}


def test_a_step_that_never_asked_is_blocked_and_not_enqueued(storage: LmdbEventLogStorage) -> None:
    claim = storage.check_concurrency_claim("pool", "a-run", "a")
    assert not claim.is_claimed
    assert claim.enqueued_timestamp is claim.assigned_timestamp is claim.priority is None


def test_an_unknown_pool_reports_the_default_limit(
    storage: LmdbEventLogStorage, set_default: Callable[[int | None], None]
) -> None:
    info = storage.get_concurrency_info("nobody")
    assert (info.slot_count, info.limit, info.using_default_limit) == (0, None, True)
    set_default(4)
    info = storage.get_concurrency_info("nobody")
    assert (info.slot_count, info.limit, info.using_default_limit) == (0, 4, True)
    assert storage.get_concurrency_keys() == set()


def test_a_changed_default_is_set_again_and_none_drops_it(
    storage: LmdbEventLogStorage, set_default: Callable[[int | None], None]
) -> None:
    for limit in (2, 5, 1):
        set_default(limit)
        assert storage.initialize_concurrency_limit_to_default("pool")
        info = storage.get_concurrency_info("pool")
        assert (info.slot_count, info.limit, info.using_default_limit) == (limit, limit, True)
        assert [pool.from_default for pool in storage.get_pool_limits()] == [True]
    set_default(None)
    assert not storage.initialize_concurrency_limit_to_default("pool")
    assert storage.get_concurrency_info("pool").slot_count == 0
    assert storage.get_pool_limits() == []


def test_without_an_instance_there_is_no_default(storage: LmdbEventLogStorage) -> None:
    alone = LmdbEventLogStorage(storage._base_dir)
    storage.set_concurrency_slots("pool", 1)
    assert alone.get_concurrency_info("other").limit is None
    assert not alone.initialize_concurrency_limit_to_default("other")
    alone.dispose()


def test_a_limit_out_of_range_is_refused(
    storage: LmdbEventLogStorage,
    set_default: Callable[[int | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_MAX_GLOBAL_OP_CONCURRENCY_LIMIT", "10")
    storage.set_concurrency_slots("pool", 10)
    for refused in (-1, 11):
        with pytest.raises(DagsterInvalidInvocationError):
            storage.set_concurrency_slots("pool", refused)
    set_default(-1)
    with pytest.raises(DagsterInvalidInvocationError):
        storage.initialize_concurrency_limit_to_default("other")
    assert storage.get_concurrency_info("pool").limit == 10
    assert storage.get_concurrency_keys() == {"pool"}


def test_infos_of_many_pools_are_each_there_once(storage: LmdbEventLogStorage) -> None:
    storage.set_concurrency_slots("a", 2)
    infos = storage.get_concurrency_infos(["b", "a", "b"])
    assert list(infos) == ["b", "a"]
    assert infos["a"].limit == 2
    assert storage.get_concurrency_infos([]) == {}
