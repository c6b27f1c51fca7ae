//! A commit in the journal's words: the records that it appended.
//!
//! ```text
//! first sequence u64 | length u32, record | length u32, record | ...      little endian
//! ```
//!
//! Deciding is not done again: what a command led to is in its records, and folding them is
//! deterministic.

use super::apply::{append, clear_cached_status, decode, finish};
use crate::command::Decided;
use crate::error::{Error, Result};
use crate::log::times::Latest;
use crate::projection::Carry;
use crate::query::Reader;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::Transaction;

/// Begins the words of a commit whose first record has this sequence.
pub fn begin(first: Sequence) -> Vec<u8> {
    first.get().to_le_bytes().to_vec()
}

/// Adds records, which follow those before.
pub fn add(words: &mut Vec<u8>, records: &[Decided<'_>]) {
    words.reserve(records.iter().map(|record| 4 + record.payload.len()).sum());
    for Decided { payload, .. } in records {
        words.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        words.extend_from_slice(payload);
    }
}

/// Appends and folds them again.
pub fn redo(transaction: &mut Transaction<'_>, bytes: &[u8]) -> Result<()> {
    let cut = || Error::Refused("the journal holds records that are cut short".into());
    let (first, mut rest) = bytes.split_first_chunk().ok_or_else(cut)?;
    let (log, set) = (transaction.trees().log, transaction.live_set());
    let mut sequence = Reader::new(transaction.view(), set, log).head()?;
    if sequence.next().get() != u64::from_le_bytes(*first) {
        return Err(Error::Refused(format!(
            "the journal goes on from sequence {}, and the log ends with {sequence}",
            u64::from_le_bytes(*first)
        )));
    }
    let mut latest = Latest::now();
    let mut carry = Carry::default();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (payload, after) = after.split_at_checked(length).ok_or_else(cut)?;
        rest = after;
        sequence = sequence.next();
        let record = decode(payload)?;
        append(transaction, &mut carry, sequence, payload, &record)?;
        latest.see(record.timestamp());
        match &record {
            Record::AssetWiped(wiped) => clear_cached_status(transaction, Some(&wiped.asset_key))?,
            Record::AssetPartitionsWiped(wiped) => {
                clear_cached_status(transaction, Some(&wiped.asset_key))?
            }
            Record::EventLogWiped(_) => clear_cached_status(transaction, None)?,
            _ => false,
        };
    }
    finish(transaction, carry)?;
    latest.mark(transaction, sequence)
}
