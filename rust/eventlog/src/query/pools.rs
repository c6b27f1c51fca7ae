//! Concurrency pools.

use std::collections::BTreeSet;

use super::reader::Reader;
use crate::command::Claim;
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::{Key, pool as keys};
use crate::projection::rows::{self, Pool, PoolStep};
use crate::record::SlotClaim;

/// Every pool that has a limit.
pub fn limited(reader: &Reader<'_>) -> Result<Vec<Pool>> {
    let mut found = Vec::new();
    for row in reader.prefix(Table::Pools, &keys::rows())? {
        let pool: Pool = rows::read(row?.1)?;
        if pool.limit.is_some() {
            found.push(pool);
        }
    }
    Ok(found)
}

/// A pool, and the steps of its queue in the order they were enqueued. O(steps).
pub fn pool(reader: &Reader<'_>, name: &str) -> Result<(Pool, Vec<PoolStep>)> {
    let pool = reader.row(Table::Pools, &keys::row(name))?;
    let pool = pool.unwrap_or_else(|| Pool {
        name: name.to_owned(),
        ..Default::default()
    });
    let mut steps = Vec::new();
    for row in reader.prefix(Table::Pools, &keys::steps(name))? {
        steps.push(rows::read::<PoolStep>(row?.1)?);
    }
    steps.sort_by_key(|step| step.queued_by);
    Ok((pool, steps))
}

/// Where a step stands in a pool.
pub fn claim(reader: &Reader<'_>, pool: &str, run_id: &str, step_key: &str) -> Result<Claim> {
    let step: Option<PoolStep> = reader.row(Table::Pools, &keys::step(pool, run_id, step_key))?;
    Ok(step.map_or_else(Claim::default, |step| Claim {
        claimed: step.claim != SlotClaim::No,
        enqueued: Some(step.enqueued),
        assigned: step.assigned,
        priority: Some(step.priority),
    }))
}

/// Runs that have a step in a queue. O(steps in queues).
pub fn queued_runs(reader: &Reader<'_>) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for row in reader.prefix(Table::Pools, &Key::new().byte(1))? {
        found.insert(rows::read::<PoolStep>(row?.1)?.run_id);
    }
    Ok(found)
}
