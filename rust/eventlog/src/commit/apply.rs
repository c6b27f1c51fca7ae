//! Applies a command inside the write transaction.
//!
//! Deciding is over before the first put. Records are appended and folded in order, so that each
//! fold sees what the records before it left. An error aborts the transaction: nothing is stored.

use super::redo;
use crate::command::{Command, Reply, decide};
use crate::error::{Error, Result};
use crate::projection::key::Key;
use crate::projection::{LogSource, Target, fold};
use crate::query::Reader;
use crate::record::{Record, seal_frame};
use crate::sequence::Sequence;
use crate::store::{Outcome, Transaction};

/// Decides `command`, appends its records and folds them into the live projections.
pub fn apply(transaction: &mut Transaction<'_>, command: &Command) -> Result<Outcome<Reply>> {
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let state = Reader::new(transaction.view(), set, log);
    let mut sequence = state.head()?;
    let decision = decide(&state, command)?;
    if decision.records.is_empty() {
        return Ok(if clear_what_was_cached(transaction, command)? {
            Outcome::Commit(decision.reply)
        } else {
            Outcome::Nothing(decision.reply)
        });
    }
    let redo = redo::pack(sequence.next(), &decision.records);
    for payload in &decision.records {
        sequence = sequence.next();
        append(transaction, sequence, payload)?;
    }
    clear_what_was_cached(transaction, command)?;
    transaction.set_redo(redo);
    Ok(Outcome::Commit(decision.reply))
}

/// Appends one record and folds it into the live projections.
pub(super) fn append(
    transaction: &mut Transaction<'_>,
    sequence: Sequence,
    payload: &[u8],
) -> Result<()> {
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let writing = transaction.writing();
    writing.append(log, &sequence.to_key(), &seal_frame(payload))?;
    let record = Record::decode(payload).map_err(|error| Error::Refused(error.to_string()))?;
    let mut target = Target::new(writing, set, LogSource::Same(log));
    fold(&mut target, sequence, &record)
}

/// What Dagster caches of an asset's partitions only ever grows, so a wipe takes it away, also one
/// that finds no event: those may have been deleted with their run. Returns whether there was any.
fn clear_what_was_cached(transaction: &mut Transaction<'_>, command: &Command) -> Result<bool> {
    match command {
        Command::WipeAsset { asset_key, .. } | Command::WipeAssetPartitions { asset_key, .. } => {
            clear_cached_status(transaction, Some(asset_key))
        }
        Command::Wipe { .. } => clear_cached_status(transaction, None),
        _ => Ok(false),
    }
}

/// Clears the cached status of an asset, or of all; returns whether there was any.
pub(super) fn clear_cached_status(
    transaction: &mut Transaction<'_>,
    asset_key: Option<&str>,
) -> Result<bool> {
    let tree = transaction.trees().cached_status;
    let Some(asset_key) = asset_key else {
        let any = transaction.view().last(tree)?.is_some();
        if any {
            transaction.clear(tree)?;
        }
        return Ok(any);
    };
    transaction.delete(tree, cached_status_key(asset_key).bytes())
}

/// Key of the `cached_status` tree.
pub(crate) fn cached_status_key(asset_key: &str) -> Key {
    Key::new().long_text(asset_key)
}
