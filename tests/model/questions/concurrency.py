"""Questions about concurrency pools."""

from typing import Any

from dagster_lmdb import LmdbEventLogStorage
from model.drafts import RUNS, STEPS
from model.history import History
from model.questions.asking import Probe, question

POOLS = ["pool-1", "pool-2"]


def _true_pools(history: History, probe: Probe) -> Any:
    found: list[Any] = []
    limited = {name: pool for name, pool in history.pools.items() if pool.limit is not None}
    found.append(sorted((name, p.limit, p.from_default) for name, p in limited.items()))
    for name in POOLS:
        pool, queue = history.pool(name), history.queue(name)
        found.append(
            (
                pool.slots,
                pool.limit,
                pool.from_default if pool.limit is not None else True,
                [(each.run, each.key) for each in queue if each.slot],
                [(s.run, s.key, s.enqueued, s.assigned, s.priority) for s in queue],
            )
        )
        for run in RUNS:
            for key in STEPS:
                step = next((s for s in queue if (s.run, s.key) == (run, key)), None)
                found.append(
                    step and (bool(step.slot), step.priority or None, step.enqueued, step.assigned)
                )
    found.append({step.run for step in history.steps})
    return found


@question(_true_pools)
def pools(storage: LmdbEventLogStorage, probe: Probe) -> Any:
    found: list[Any] = []
    found.append(
        sorted((each.name, each.limit, each.from_default) for each in storage.get_pool_limits())
    )
    infos = storage.get_concurrency_infos(POOLS)
    for name in POOLS:
        info = infos[name]
        found.append(
            (
                info.slot_count,
                info.limit,
                info.using_default_limit,
                [(slot.run_id, slot.step_key) for slot in info.claimed_slots],
                [
                    (
                        step.run_id,
                        step.step_key,
                        step.enqueued_timestamp.timestamp(),
                        step.assigned_timestamp and step.assigned_timestamp.timestamp(),
                        step.priority,
                    )
                    for step in info.pending_steps
                ],
            )
        )
        for run in RUNS:
            for key in STEPS:
                status = storage.check_concurrency_claim(name, run, key)
                found.append(
                    (
                        status.is_claimed,
                        status.priority,
                        status.enqueued_timestamp.timestamp(),
                        status.assigned_timestamp and status.assigned_timestamp.timestamp(),
                    )
                    if status.enqueued_timestamp
                    else None
                )
    found.append(storage.get_concurrency_run_ids())
    return found
