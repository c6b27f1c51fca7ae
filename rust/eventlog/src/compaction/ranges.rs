//! Husks that say nothing, merged with their neighbours: one frame stands for all of them, under the
//! last one's sequence, so that the log's last key is its head.

use crate::error::Result;
use crate::query::open_record;
use crate::record::{Husk, Record, seal_frame};
use crate::sequence::Sequence;
use crate::store::Transaction;

/// Puts husks that say nothing in the place of these records, which ascend, each merged with the
/// empty husks beside it. Returns by how many bytes of frames the log shrank.
pub fn put_empty(transaction: &mut Transaction<'_>, sequences: &[Sequence]) -> Result<i64> {
    let mut freed = 0;
    let mut rest = sequences.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let begin = match empty_before(transaction, first)? {
            Some((key, begin)) => {
                freed += remove(transaction, key)?;
                begin
            }
            None => first,
        };
        let mut end = first;
        loop {
            if rest.next_if_eq(&end.next()).is_some() {
                freed += remove(transaction, end)?;
                end = end.next();
            } else if let Some(key) = empty_after(transaction, end)? {
                freed += remove(transaction, end)?;
                end = key;
            } else {
                break;
            }
        }
        let husk = Husk {
            also_before: end.get() - begin.get(),
            ..Husk::default()
        };
        let frame = seal_frame(&Record::Husk(husk).encode());
        freed += put(transaction, end, &frame)?;
    }
    Ok(freed)
}

/// Puts a frame in the place of another; returns by how many bytes the log shrank.
pub fn put(transaction: &mut Transaction<'_>, sequence: Sequence, frame: &[u8]) -> Result<i64> {
    let log = transaction.trees().log;
    let freed = frame_bytes(transaction, sequence)? - frame.len() as i64;
    transaction.put(log, &sequence.to_key(), frame)?;
    Ok(freed)
}

/// Removes a frame; returns its bytes.
fn remove(transaction: &mut Transaction<'_>, sequence: Sequence) -> Result<i64> {
    let log = transaction.trees().log;
    let freed = frame_bytes(transaction, sequence)?;
    transaction.delete(log, &sequence.to_key())?;
    Ok(freed)
}

fn frame_bytes(transaction: &Transaction<'_>, sequence: Sequence) -> Result<i64> {
    let log = transaction.trees().log;
    let frame = transaction.view().get(log, &sequence.to_key())?;
    Ok(frame.map_or(0, <[u8]>::len) as i64)
}

/// Key and first sequence of the empty husk that ends right before a sequence.
fn empty_before(
    transaction: &Transaction<'_>,
    sequence: Sequence,
) -> Result<Option<(Sequence, Sequence)>> {
    let key = Sequence::new(sequence.get() - 1);
    let log = transaction.trees().log;
    let Some(frame) = transaction.view().get(log, &key.to_key())? else {
        return Ok(None);
    };
    Ok(match open_record(key, frame)? {
        Record::Husk(husk) if husk.is_empty() => {
            Some((key, Sequence::new(key.get() - husk.also_before)))
        }
        _ => None,
    })
}

/// Key of the empty husk that begins right after a sequence.
fn empty_after(transaction: &Transaction<'_>, sequence: Sequence) -> Result<Option<Sequence>> {
    let log = transaction.trees().log;
    let mut frames = transaction
        .view()
        .range(log, &sequence.next().to_key(), &[])?;
    let Some((key, frame)) = frames.next().transpose()? else {
        return Ok(None);
    };
    let key = Sequence::from_key_end(key)?;
    Ok(match open_record(key, frame)? {
        Record::Husk(husk)
            if husk.is_empty() && key.get() - husk.also_before == sequence.next().get() =>
        {
            Some(key)
        }
        _ => None,
    })
}
