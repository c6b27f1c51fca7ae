//! Sweeping: the rows of deleted runs, removed in small commits.

use crate::command::{Command, DELETION_STEP};
use crate::commit::apply_in_steps;
use crate::error::Result;
use crate::store::Store;

/// Removes the rows of runs whose deletion goes in steps, one commit a step. Nobody sees them; who dies
/// here leaves the rest to the next one. `told` hears of how many events, about, rows are gone.
pub fn sweep(
    store: &Store,
    now: f64,
    interrupted: &dyn Fn() -> bool,
    told: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let step = DELETION_STEP;
    let command = Command::SweepDeletedRuns { step, now };
    apply_in_steps(store, &command, interrupted, &mut |steps| {
        told(steps * step as u64)
    })
}
