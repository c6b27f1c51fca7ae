//! Concurrency pools: their limits, and the steps that wait for or hold a slot.

use super::key::pool as keys;
use super::rows::{Pool, PoolStep};
use super::{Table, Target};
use crate::error::Result;
use crate::record::{self, SlotClaim};
use crate::sequence::Sequence;

pub(super) fn fold_limit(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    limit: &record::PoolLimit,
) -> Result<()> {
    let mut pool = read_pool(target, &limit.pool)?;
    pool.limit = limit.limit;
    pool.from_default = limit.from_default;
    pool.slot_count = limit.slot_count;
    // Without limit and slots the row says no more than that of a pool that never had any, which is
    // what it is where the steps of the moment are husks.
    let bare = limit.limit.is_none() && limit.slot_count == 0;
    pool.set_by = if bare { Sequence::ZERO } else { sequence };
    write_pool(target, &pool)
}

pub(super) fn fold_step(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    step: &record::PoolStep,
) -> Result<()> {
    let key = keys::step(&step.pool, &step.run_id, &step.step_key);
    let by_run = keys::run_step(&step.run_id, &step.pool, &step.step_key);
    let mut pool = read_pool(target, &step.pool)?;
    if let Some(old) = target.row::<PoolStep>(Table::Pools, &key)? {
        pool.assigned -= i64::from(old.assigned.is_some());
        pool.held -= i64::from(old.claim == SlotClaim::Held);
        let waiting = keys::waiting_step(&step.pool, old.priority, old.enqueued, old.queued_by);
        target.delete(Table::Pools, waiting.bytes())?;
    }
    match &step.state {
        None => {
            target.delete(Table::Pools, key.bytes())?;
            target.delete(Table::Pools, by_run.bytes())?;
        }
        Some(state) => {
            let queued_by = Sequence::new(state.queued_by).known().unwrap_or(sequence);
            let row = PoolStep {
                run_id: step.run_id.clone(),
                step_key: step.step_key.clone(),
                priority: state.priority,
                enqueued: state.enqueued,
                queued_by,
                assigned: state.assigned,
                claim: state.claim,
                set_by: sequence,
            };
            pool.assigned += i64::from(row.assigned.is_some());
            pool.held += i64::from(row.claim == SlotClaim::Held);
            if row.assigned.is_none() {
                let waiting = keys::waiting_step(&step.pool, row.priority, row.enqueued, queued_by);
                target.put(Table::Pools, &waiting, key.bytes())?;
            }
            target.put_row(Table::Pools, &key, &row)?;
            target.put_row(Table::Pools, &by_run, &(&step.pool, &step.step_key))?;
        }
    }
    write_pool(target, &pool)
}

fn read_pool(target: &Target<'_, '_>, name: &str) -> Result<Pool> {
    let pool = target.row(Table::Pools, &keys::row(name))?;
    Ok(pool.unwrap_or_else(|| Pool {
        name: name.to_owned(),
        ..Default::default()
    }))
}

/// A pool without limit, slots and steps has no row.
fn write_pool(target: &mut Target<'_, '_>, pool: &Pool) -> Result<()> {
    let key = keys::row(&pool.name);
    let idle = pool.limit.is_none()
        && pool.slot_count == 0
        && target
            .last_key(Table::Pools, &keys::steps(&pool.name))?
            .is_none();
    if idle {
        target.delete(Table::Pools, key.bytes())?;
        return Ok(());
    }
    target.put_row(Table::Pools, &key, pool)
}
