//! Concurrency pools: `_core.pyi`, "Concurrency".

use std::collections::{BTreeSet, HashSet};

use eventlog::command::{self, Command, Reply};
use eventlog::query::pools as query;
use eventlog::record::SlotClaim;
use pyo3::prelude::{PyResult, Python};
use pyo3::{pyclass, pymethods};

use super::EventLog;
use crate::errors::LmdbStoreError;

/// The projection of one concurrency pool.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct PoolRow {
    name: String,
    limit: Option<i64>,
    from_default: bool,
    slot_count: i64,
    claimed: Vec<(String, String)>,
    pending: Vec<(String, String, f64, Option<f64>, i64)>,
}

/// Where a step stands in a pool.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct Claim {
    claimed: bool,
    enqueued: Option<f64>,
    assigned: Option<f64>,
    priority: Option<i64>,
}

impl From<command::Claim> for Claim {
    fn from(claim: command::Claim) -> Self {
        let command::Claim {
            claimed,
            enqueued,
            assigned,
            priority,
        } = claim;
        Self {
            claimed,
            enqueued,
            assigned,
            priority,
        }
    }
}

#[pymethods]
impl EventLog {
    #[pyo3(signature = (pool, limit, now, *, from_default=false))]
    fn set_pool_limit(
        &self,
        py: Python<'_>,
        pool: String,
        limit: i64,
        now: f64,
        from_default: bool,
    ) -> PyResult<()> {
        self.execute(
            py,
            &Command::SetPoolLimit {
                pool,
                limit,
                from_default,
                now,
            },
        )
        .map(drop)
    }

    fn delete_pool_limit(&self, py: Python<'_>, pool: String, now: f64) -> PyResult<()> {
        self.execute(py, &Command::DeletePoolLimit { pool, now })
            .map(drop)
    }

    fn claim_slot(
        &self,
        py: Python<'_>,
        pool: String,
        run_id: String,
        step_key: String,
        priority: i64,
        now: f64,
    ) -> PyResult<Claim> {
        let command = Command::ClaimSlot {
            pool,
            run_id,
            step_key,
            priority,
            now,
        };
        match self.execute(py, &command)? {
            Reply::Claim(claim) => Ok(claim.into()),
            reply => Err(LmdbStoreError::new_err(format!(
                "unexpected reply: {reply:?}"
            ))),
        }
    }

    #[pyo3(signature = (run_id, step_key, now))]
    fn free_slots(
        &self,
        py: Python<'_>,
        run_id: String,
        step_key: Option<String>,
        now: f64,
    ) -> PyResult<()> {
        self.execute(
            py,
            &Command::FreeSlots {
                run_id,
                step_key,
                now,
            },
        )
        .map(drop)
    }

    fn pools(&self, py: Python<'_>) -> PyResult<Vec<(String, i64, bool)>> {
        let pools = self.query(py, query::limited)?;
        let limit = |pool: eventlog::projection::rows::Pool| {
            pool.limit
                .map(|limit| (pool.name, limit, pool.from_default))
        };
        Ok(pools.into_iter().filter_map(limit).collect())
    }

    fn pool_rows(&self, py: Python<'_>, names: Vec<String>) -> PyResult<Vec<PoolRow>> {
        self.query(py, |reader| {
            names
                .iter()
                .map(|name| {
                    let (pool, steps) = query::pool(reader, name)?;
                    let held = steps.iter().filter(|step| step.claim != SlotClaim::No);
                    Ok(PoolRow {
                        claimed: held
                            .map(|s| (s.run_id.clone(), s.step_key.clone()))
                            .collect(),
                        name: pool.name,
                        limit: pool.limit,
                        from_default: pool.from_default,
                        slot_count: pool.slot_count,
                        pending: steps
                            .into_iter()
                            .map(|s| (s.run_id, s.step_key, s.enqueued, s.assigned, s.priority))
                            .collect(),
                    })
                })
                .collect()
        })
    }

    fn claim_status(
        &self,
        py: Python<'_>,
        pool: &str,
        run_id: &str,
        step_key: &str,
    ) -> PyResult<Claim> {
        Ok(self
            .query(py, |reader| query::claim(reader, pool, run_id, step_key))?
            .into())
    }

    fn pending_run_ids(&self, py: Python<'_>) -> PyResult<HashSet<String>> {
        let runs: BTreeSet<String> = self.query(py, query::queued_runs)?;
        Ok(runs.into_iter().collect())
    }
}
