//! Deciding on concurrency pools, by the rules of Dagster's SQL storages.
//!
//! A step is enqueued, assigned when the pool has more slots than assigned steps, and claims a slot
//! at its next poll. Freeing an assigned step assigns the next one waiting.

use std::collections::{HashMap, HashSet};

use super::{Claim, Decided, Decision, Reply};
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::pool as keys;
use crate::projection::rows::{self, Pool, PoolStep};
use crate::query::Reader;
use crate::record::{self, PoolStepState, Record, SlotClaim};

pub(super) fn claim(
    state: &Reader<'_>,
    pool_name: &str,
    run_id: &str,
    step_key: &str,
    priority: i64,
    now: f64,
) -> Result<Decision<'static>> {
    let pool = read_pool(state, pool_name)?;
    let old: Option<PoolStep> =
        state.row(Table::Pools, &keys::step(pool_name, run_id, step_key))?;
    let mut new = match &old {
        Some(step) => state_of(step),
        None => PoolStepState {
            priority,
            enqueued: now,
            queued_by: 0,
            assigned: (pool.slot_count > pool.assigned).then_some(now),
            claim: SlotClaim::No,
        },
    };
    let free_slots = pool.slot_count - pool.held;
    if new.assigned.is_some() && new.claim == SlotClaim::No && free_slots > 0 {
        new.claim = SlotClaim::Held;
    }
    let reply = Reply::Claim(Claim {
        claimed: new.claim != SlotClaim::No,
        enqueued: Some(new.enqueued),
        assigned: new.assigned,
        priority: Some(new.priority),
    });
    if old.as_ref().is_some_and(|step| state_of(step) == new) {
        return Ok(Decision {
            records: Vec::new(),
            reply,
        });
    }
    let record = step_record(pool_name, run_id, step_key, Some(new), now);
    Ok(Decision {
        records: vec![Decided::from(&record)],
        reply,
    })
}

pub(super) fn set_limit(
    state: &Reader<'_>,
    pool_name: &str,
    limit: i64,
    from_default: bool,
    now: f64,
) -> Result<Decision<'static>> {
    let pool = read_pool(state, pool_name)?;
    // A default changes the limit of a pool, leaves the way it was set, and assigns nothing.
    let stays_default = from_default && (pool.limit.is_none() || pool.from_default);
    let mut records = resize(state, &pool, Some(limit), stays_default, limit, now)?;
    if !from_default && limit > pool.slot_count {
        let count = limit - pool.slot_count;
        records.extend(assign(state, pool_name, count, &HashSet::new(), now)?);
    }
    Ok(Decision::of(records))
}

pub(super) fn delete_limit(
    state: &Reader<'_>,
    pool_name: &str,
    now: f64,
) -> Result<Decision<'static>> {
    let pool = read_pool(state, pool_name)?;
    Ok(Decision::of(resize(state, &pool, None, false, 0, now)?))
}

/// Takes steps out of their pools and assigns the next ones where assigned steps went.
pub(super) fn free(
    state: &Reader<'_>,
    run_id: &str,
    step_key: Option<&str>,
    now: f64,
) -> Result<Vec<Record<'static>>> {
    let mut records = Vec::new();
    let mut assigned_gone: HashMap<String, i64> = HashMap::new();
    let mut gone = HashSet::new();
    let mut pools = Vec::new();
    for row in state.prefix(Table::Pools, &keys::of_run(run_id))? {
        let (pool_name, step): (String, String) = rows::read(row?.1)?;
        if step_key.is_some_and(|wanted| wanted != step) {
            continue;
        }
        let key = keys::step(&pool_name, run_id, &step);
        let Some(row) = state.row::<PoolStep>(Table::Pools, &key)? else {
            continue;
        };
        gone.insert(key.bytes().to_vec());
        if row.assigned.is_some() {
            let count = assigned_gone.entry(pool_name.clone()).or_insert_with(|| {
                pools.push(pool_name.clone());
                0
            });
            *count += 1;
        }
        records.push(step_record(&pool_name, run_id, &step, None, now));
    }
    for pool_name in pools {
        records.extend(assign(
            state,
            &pool_name,
            assigned_gone[&pool_name],
            &gone,
            now,
        )?);
    }
    Ok(records)
}

/// Assigns the next `count` waiting steps, but for those that are going.
fn assign(
    state: &Reader<'_>,
    pool_name: &str,
    count: i64,
    going: &HashSet<Vec<u8>>,
    now: f64,
) -> Result<Vec<Record<'static>>> {
    let mut records = Vec::new();
    for row in state.prefix(Table::Pools, &keys::waiting(pool_name))? {
        if records.len() as i64 >= count {
            break;
        }
        let (_, step) = row?;
        if going.contains(step) {
            continue;
        }
        let Some(step) = state.pool_step(step)? else {
            continue;
        };
        let assigned = PoolStepState {
            assigned: Some(now),
            ..state_of(&step)
        };
        records.push(step_record(
            pool_name,
            &step.run_id,
            &step.step_key,
            Some(assigned),
            now,
        ));
    }
    Ok(records)
}

/// Sets limit and slots. Slots in use beyond the new number are retired: they go when freed.
fn resize(
    state: &Reader<'_>,
    pool: &Pool,
    limit: Option<i64>,
    from_default: bool,
    slot_count: i64,
    now: f64,
) -> Result<Vec<Record<'static>>> {
    let mut records = Vec::new();
    if (pool.limit, pool.from_default, pool.slot_count) != (limit, from_default, slot_count) {
        records.push(Record::PoolLimit(record::PoolLimit {
            timestamp: now,
            pool: pool.name.clone(),
            limit,
            from_default,
            slot_count,
        }));
    }
    let retire = pool.held - slot_count;
    if retire > 0 {
        let mut held = Vec::new();
        for row in state.prefix(Table::Pools, &keys::steps(&pool.name))? {
            let step: PoolStep = rows::read(row?.1)?;
            if step.claim == SlotClaim::Held {
                held.push(step);
            }
        }
        held.sort_by_key(|step| std::cmp::Reverse(step.set_by));
        for step in held.into_iter().take(retire as usize) {
            let retired = PoolStepState {
                claim: SlotClaim::Retired,
                ..state_of(&step)
            };
            records.push(step_record(
                &pool.name,
                &step.run_id,
                &step.step_key,
                Some(retired),
                now,
            ));
        }
    }
    Ok(records)
}

fn read_pool(state: &Reader<'_>, name: &str) -> Result<Pool> {
    let pool = state.row(Table::Pools, &keys::row(name))?;
    Ok(pool.unwrap_or_else(|| Pool {
        name: name.to_owned(),
        ..Default::default()
    }))
}

fn state_of(step: &PoolStep) -> PoolStepState {
    PoolStepState {
        priority: step.priority,
        enqueued: step.enqueued,
        queued_by: step.queued_by.get(),
        assigned: step.assigned,
        claim: step.claim,
    }
}

fn step_record(
    pool: &str,
    run_id: &str,
    step_key: &str,
    state: Option<PoolStepState>,
    now: f64,
) -> Record<'static> {
    Record::PoolStep(record::PoolStep {
        timestamp: now,
        pool: pool.to_owned(),
        run_id: run_id.to_owned(),
        step_key: step_key.to_owned(),
        state,
    })
}
