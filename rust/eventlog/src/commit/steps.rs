//! Commands that go in steps: one commit a step, in which other writers wait, and their turn after it.
//!
//! What each step leaves is right by itself, so who dies here leaves the rest to the next call.

use std::time::Instant;

use super::apply;
use crate::command::{Command, Reply};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::maintenance::give_way;

/// Executes a command again and again until nothing is left to do. `told` hears how many steps there
/// were, and ends them with an error.
///
/// # Errors
///
/// [`Error::Interrupted`] where `interrupted` says so, while waiting or between two steps.
pub fn apply_in_steps(
    store: &Store,
    command: &Command,
    interrupted: &dyn Fn() -> bool,
    told: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    for steps in 1.. {
        let began = Instant::now();
        let reply = store.write(interrupted, |transaction| apply(transaction, command))?;
        if reply != Reply::More {
            break;
        }
        if interrupted() {
            return Err(Error::Interrupted);
        }
        told(steps)?;
        give_way(began);
    }
    Ok(())
}
