//! Sweeping: the rows of deleted runs, removed in small commits.

use std::time::Instant;

use crate::command::{Command, DELETION_STEP, Reply};
use crate::commit::apply;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::maintenance::give_way;

/// Removes the rows of runs whose deletion goes in steps, one commit a step. Nobody sees them; who dies
/// here leaves the rest to the next one.
pub fn sweep(store: &Store, now: f64, interrupted: &dyn Fn() -> bool) -> Result<()> {
    let step = DELETION_STEP;
    let command = Command::SweepDeletedRuns { step, now };
    loop {
        let began = Instant::now();
        let reply = store.write(interrupted, |transaction| apply(transaction, &command))?;
        if reply != Reply::Sweep {
            return Ok(());
        }
        if interrupted() {
            return Err(Error::Interrupted);
        }
        give_way(began);
    }
}
