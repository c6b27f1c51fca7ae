//! From a time to a sequence.
//!
//! A record's time is what its writer's clock showed, and an event's is when it happened: not monotone
//! in the sequence. *At a time* is before the first record whose time is after it. So what was brought
//! from elsewhere with old times counts from where the log took it, and a record that was ahead of the
//! host's clock as it was committed counts for nothing.
//!
//! Owns the tree `times`: marks of a running maximum, `time -> sequence`, which say that no record up
//! to that sequence has a later time. Writers leave one a second at most, so a search reads a mark and
//! the records of a second. Marks are no part of history: the log alone gives the same answers, slower.

use std::time::{SystemTime, UNIX_EPOCH};

use super::scan::walk;
use crate::error::Result;
use crate::query::Reader;
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::{Snapshot, Store, Transaction};

/// Seconds between two marks.
const APART: f64 = 1.0;

/// The latest time of a commit's records.
#[derive(Debug)]
pub struct Latest {
    now: f64,
    time: f64,
}

impl Latest {
    /// Of no record so far; those ahead of the host's clock will not count.
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            now: now.unwrap_or_default().as_secs_f64(),
            time: 0.0,
        }
    }

    /// Counts with a record's time.
    pub fn see(&mut self, time: Option<f64>) {
        if let Some(time) = time.filter(|time| *time <= self.now) {
            self.time = self.time.max(time);
        }
    }

    /// Leaves a mark at the commit's last record, where the last one is older.
    pub fn mark(self, transaction: &mut Transaction<'_>, last: Sequence) -> Result<()> {
        let tree = transaction.trees().times;
        let newest = transaction.view().last(tree)?.map(|(key, _)| time_of(key));
        if newest.map_or(self.time > 0.0, |newest| newest + APART <= self.time) {
            transaction.append(tree, &key_of(self.time), &last.to_key())?;
        }
        Ok(())
    }
}

/// Key of a mark. Positive floats sort as their bits do.
fn key_of(time: f64) -> [u8; 8] {
    time.max(0.0).to_bits().to_be_bytes()
}

fn time_of(key: &[u8]) -> f64 {
    key.first_chunk()
        .map_or(0.0, |bits| f64::from_bits(u64::from_be_bytes(*bits)))
}

/// Where the records are that a time falls between.
struct Span {
    /// No record up to here has a later time.
    after: Sequence,
    /// The last record that may be the first with a later time.
    to: Sequence,
    /// Times above are ahead of the clock.
    ceiling: f64,
    /// The commit that ends with `to` had a later time.
    is_marked: bool,
}

fn span(snapshot: &Snapshot<'_>, time: f64, now: f64) -> Result<Span> {
    let (view, tree) = (snapshot.view(), snapshot.trees().times);
    let above = f64::from_bits(time.clamp(0.0, f64::MAX).to_bits() + 1);
    let below = view
        .range_backward(tree, &[], &key_of(above))?
        .next()
        .transpose()?;
    let next = view.range(tree, &key_of(above), &[])?.next().transpose()?;
    // Of a clock that was ahead and was set back.
    let next = next.filter(|(key, _)| time_of(key) <= now);
    let after = match below {
        Some((_, place)) => Sequence::from_key_end(place)?,
        None => Sequence::ZERO,
    };
    Ok(match next {
        Some((key, place)) => Span {
            after,
            to: Sequence::from_key_end(place)?,
            ceiling: time_of(key),
            is_marked: true,
        },
        None => Span {
            after,
            to: Reader::new(view, snapshot.live_set(), snapshot.trees().log).head()?,
            ceiling: now,
            is_marked: false,
        },
    })
}

/// The last record before the first whose time is after `time` and not after `now`; the head where
/// there is none, and zero where no record is as old as `time`. Times are Unix seconds. O(log + records of a
/// second), but for a store whose marks are gone.
pub fn last_by(store: &Store, time: f64, now: f64, progress: Progress<'_>) -> Result<Sequence> {
    let span = store.read(|snapshot| span(snapshot, time, now))?;
    let mut first_later = None;
    let mut is_any_older = span.after != Sequence::ZERO;
    walk(
        store,
        span.after,
        span.to,
        "find the time",
        progress,
        |sequence, record| {
            match record.timestamp() {
                Some(at) if time < at && at <= span.ceiling => first_later = Some(sequence),
                Some(at) => is_any_older |= at <= time,
                None => {}
            }
            Ok(first_later.is_none())
        },
    )?;
    if !is_any_older {
        return Ok(Sequence::ZERO);
    }
    // A mark's own record may be a husk by now, which has no time.
    let first_later = first_later.or(span.is_marked.then_some(span.to));
    Ok(first_later.map_or(span.to, |first| {
        Sequence::new(first.get().saturating_sub(1))
    }))
}
