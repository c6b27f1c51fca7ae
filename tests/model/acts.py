"""What a process is asked to do to its storage."""

from typing import Any
from unittest.mock import patch

from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._core.test_utils import freeze_time

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import EPOCH, Act, asset_key


def perform(storage: LmdbEventLogStorage, act: Act) -> Any:
    """Does what ``act`` says, at its time."""
    # A set's order differs between processes, and with it the row that each partition gets.
    in_order = patch.object(
        DefaultPartitionsSubset, "get_partition_keys", lambda subset: sorted(subset.subset)
    )
    with freeze_time(EPOCH + act.now), in_order:
        return _DO[act.name](storage, **act.arguments)


def _store(storage, drafts, batch):
    entries = [draft.entry() for draft in drafts]
    if batch:
        storage.store_event_batch(entries)
    else:
        (entry,) = entries
        storage.store_event(entry)


def _initialize_limit(storage, pool, default):
    # What the instance's setting says; the storage here has no instance.
    storage._default_limit = lambda: default
    try:
        return storage.initialize_concurrency_limit_to_default(pool)
    finally:
        del storage._default_limit


def _claim(storage, pool, run, step, priority):
    status = storage.claim_concurrency_slot(pool, run, step, priority)
    return status.is_claimed


def _free(storage, run, step):
    if step is None:
        storage.free_concurrency_slots_for_run(run)
    else:
        storage.free_concurrency_slot_for_step(run, step)


def _cache(storage, asset, number):
    if number is None:
        storage.wipe_asset_cached_status(asset_key(asset))
    else:
        storage.update_asset_cached_status_data(asset_key(asset), AssetStatusCacheValue(number))


def _ask(storage, probe):
    from model.questions import ask

    return ask(storage, probe)


_DO = {
    "store": _store,
    "delete_events": lambda storage, run: storage.delete_events(run),
    "wipe": lambda storage: storage.wipe(),
    "wipe_asset": lambda storage, asset: storage.wipe_asset(asset_key(asset)),
    "wipe_partitions": lambda storage, asset, partitions: storage.wipe_asset_partitions(
        asset_key(asset), partitions
    ),
    "cache": _cache,
    "add_partitions": lambda storage, definition, keys: storage.add_dynamic_partitions(
        definition, keys
    ),
    "delete_partition": lambda storage, definition, key: storage.delete_dynamic_partition(
        definition, key
    ),
    "set_limit": lambda storage, pool, limit: storage.set_concurrency_slots(pool, limit),
    "delete_limit": lambda storage, pool: storage.delete_concurrency_limit(pool),
    "initialize_limit": _initialize_limit,
    "claim": _claim,
    "free": _free,
    "reopen": lambda storage: storage.dispose(),
    "husk": lambda storage, sequences: storage._log.husk(sequences),
    "rebuild": lambda storage: storage._log.rebuild(),
    "differences": lambda storage: storage._log.verify().differences,
    "ask": _ask,
}
