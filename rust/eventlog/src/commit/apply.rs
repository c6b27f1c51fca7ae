//! Applies a command inside the write transaction.
//!
//! Deciding is over before the first put. Records are appended and folded in order, so that each
//! fold sees what it reads of those before it; the other rows are put after the last. An error aborts the transaction: nothing is stored.

use super::redo;
use crate::command::{Command, Decided, Decision, Reply, decide};
use crate::error::{Error, Result};
use crate::log::times::Latest;
use crate::projection::key::Key;
use crate::projection::{Carry, LogSource, fold};
use crate::query::Reader;
use crate::record::{Record, frame_header};
use crate::sequence::Sequence;
use crate::store::{Outcome, Served, Transaction};

/// Decides `command`, appends its records and folds them into the live projections.
pub fn apply(transaction: &mut Transaction<'_>, command: &Command) -> Result<Outcome<Reply>> {
    let (head, decision) = decide_on(transaction, command)?;
    if decision.records.is_empty() {
        return Ok(if clear_what_was_cached(transaction, command)? {
            Outcome::Commit(decision.reply)
        } else {
            Outcome::Nothing(decision.reply)
        });
    }
    put(transaction, head, command, decision.records)?;
    Ok(Outcome::Commit(decision.reply))
}

/// Does the same for another writer, whose command is in these words, in the transaction of this one.
/// The reply has at most `room` bytes.
pub fn serve(transaction: &mut Transaction<'_>, words: &[u8], room: usize) -> Result<Served> {
    let Ok(command) = rmp_serde::from_slice::<Command>(words) else {
        return Ok(Served::Alone);
    };
    // A refusal is told by the caller's own transaction.
    let Ok((head, decision)) = decide_on(transaction, &command) else {
        return Ok(Served::Alone);
    };
    let Ok(reply) = rmp_serde::to_vec(&decision.reply) else {
        return Ok(Served::Alone);
    };
    let records = decision.records;
    // Clearing what was cached has words of redo only with the record of a wipe.
    let is_silent = records.is_empty() && cached_by(&command).is_some();
    if reply.len() > room || is_silent {
        return Ok(Served::Alone);
    }
    if !records.is_empty() {
        put(transaction, head, &command, records)?;
    }
    Ok(Served::Done(reply))
}

/// The head, and what follows it.
fn decide_on<'c>(
    transaction: &Transaction<'_>,
    command: &'c Command,
) -> Result<(Sequence, Decision<'c>)> {
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let state = Reader::new(transaction.view(), set, log);
    Ok((state.head()?, decide(&state, command)?))
}

/// Appends and folds the records that follow the head.
fn put(
    transaction: &mut Transaction<'_>,
    head: Sequence,
    command: &Command,
    records: Vec<Decided<'_>>,
) -> Result<()> {
    let mut words = transaction
        .take_redo()
        .unwrap_or_else(|| redo::begin(head.next()));
    redo::add(&mut words, &records);
    transaction.set_redo(words);
    let mut sequence = head;
    let mut latest = Latest::now();
    let mut carry = Carry::default();
    for Decided { payload, record } in &records {
        sequence = sequence.next();
        let read;
        let record = match record {
            Some(record) => record,
            None => {
                read = decode(payload)?;
                &read
            }
        };
        append(transaction, &mut carry, sequence, payload, record)?;
        latest.see(record.timestamp());
    }
    finish(transaction, carry)?;
    latest.mark(transaction, sequence)?;
    clear_what_was_cached(transaction, command)?;
    Ok(())
}

/// Reads a record that is to be appended.
pub(super) fn decode(payload: &[u8]) -> Result<Record<'_>> {
    Record::decode(payload).map_err(|error| Error::Refused(error.to_string()))
}

/// Appends one record, whose payload says `record`, and folds it into the live projections. `carry`
/// is what the command's records so far left.
pub(super) fn append(
    transaction: &mut Transaction<'_>,
    carry: &mut Carry,
    sequence: Sequence,
    payload: &[u8],
    record: &Record<'_>,
) -> Result<()> {
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let writing = transaction.writing();
    writing.append_in_two(log, &sequence.to_key(), &frame_header(payload), payload)?;
    let mut target = carry.target(writing, set, LogSource::Same(log));
    fold(&mut target, sequence, record)
}

/// Puts the rows that the folds of records have kept back.
pub(super) fn finish(transaction: &mut Transaction<'_>, carry: Carry) -> Result<()> {
    let set = transaction.live_set();
    carry.finish(transaction.writing(), set)
}

/// What Dagster caches of an asset's partitions only ever grows, so a wipe takes it away, also one
/// that finds no event: those may have been deleted with their run. Returns whether there was any.
fn clear_what_was_cached(transaction: &mut Transaction<'_>, command: &Command) -> Result<bool> {
    match cached_by(command) {
        Some(asset_key) => clear_cached_status(transaction, asset_key),
        None => Ok(false),
    }
}

/// The asset, or all, whose cached status a command takes away; none for most.
fn cached_by(command: &Command) -> Option<Option<&str>> {
    match command {
        Command::WipeAsset { asset_key, .. } | Command::WipeAssetPartitions { asset_key, .. } => {
            Some(Some(asset_key))
        }
        Command::Wipe { .. } => Some(None),
        _ => None,
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
