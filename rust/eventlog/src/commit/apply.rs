//! Applies a command inside the write transaction.
//!
//! Deciding is over before the first put. Records are appended and folded in order, so that each
//! fold sees what the records before it left. An error aborts the transaction: nothing is stored.

use crate::command::{Command, Reply, decide};
use crate::error::{Error, Result};
use crate::projection::key::Key;
use crate::projection::{LogSource, Target, fold};
use crate::query::Reader;
use crate::record::{Record, seal_frame};
use crate::store::{Outcome, Transaction};

/// Decides `command`, appends its records and folds them into the live projections.
pub fn apply(transaction: &mut Transaction<'_>, command: &Command) -> Result<Outcome<Reply>> {
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let state = Reader::new(transaction.view(), set, log);
    let mut sequence = state.head()?;
    let decision = decide(&state, command)?;
    if decision.records.is_empty() {
        return Ok(if clear_cached_status(transaction, command)? {
            Outcome::Commit(decision.reply)
        } else {
            Outcome::Nothing(decision.reply)
        });
    }
    let writing = transaction.writing();
    for payload in &decision.records {
        sequence = sequence.next();
        writing.append(log, &sequence.to_key(), &seal_frame(payload))?;
        let record = Record::decode(payload).map_err(|error| Error::Refused(error.to_string()))?;
        let mut target = Target::new(writing, set, LogSource::Same(log));
        fold(&mut target, sequence, &record)?;
    }
    clear_cached_status(transaction, command)?;
    Ok(Outcome::Commit(decision.reply))
}

/// What Dagster caches of an asset's partitions only ever grows, so a wipe takes it away, also one
/// that finds no event: those may have been deleted with their run. Returns whether there was any.
fn clear_cached_status(transaction: &mut Transaction<'_>, command: &Command) -> Result<bool> {
    let tree = transaction.trees().cached_status;
    Ok(match command {
        Command::WipeAsset { asset_key, .. } | Command::WipeAssetPartitions { asset_key, .. } => {
            transaction.delete(tree, cached_status_key(asset_key).bytes())?
        }
        Command::Wipe { .. } => {
            let any = transaction.view().last(tree)?.is_some();
            if any {
                transaction.clear(tree)?;
            }
            any
        }
        _ => false,
    })
}

/// Key of the `cached_status` tree.
pub(crate) fn cached_status_key(asset_key: &str) -> Key {
    Key::new().long_text(asset_key)
}
