//! From a time to a sequence.
//!
//! A record's time is what its writer's clock showed, and an event's is when it happened: not monotone
//! in the sequence. *At a time* is before the first record whose time is after it. So what was brought
//! from elsewhere with old times counts from where the log took it, and a record that was ahead of the
//! host's clock as it was committed counts for nothing.
//!
//! Owns the tree `times`: marks of a running maximum, `time -> sequence`, which say that no record up
//! to that sequence has a later time. Writers leave one a second at most, so a search reads a mark and
//! the records of a second. Marks are no part of history: the log alone gives the same answers, slower,
//! but among records that a compaction took, in whose place it leaves marks ([`super::gaps`]).

use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::scan::{scan, walk};
use crate::error::Result;
use crate::query::{Reader, open_record};
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::lmdb::{Tree, View};
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

/// Key of the least time after this one.
fn key_above(time: f64) -> [u8; 8] {
    (time.clamp(0.0, f64::MAX).to_bits() + 1).to_be_bytes()
}

fn time_of(key: &[u8]) -> f64 {
    key.first_chunk()
        .map_or(0.0, |bits| f64::from_bits(u64::from_be_bytes(*bits)))
}

/// A time that no record up to this one is later than.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub time: f64,
    pub at: Sequence,
}

impl Mark {
    fn read((key, place): (&[u8], &[u8])) -> Result<Self> {
        Ok(Self {
            time: time_of(key),
            at: Sequence::from_key_end(place)?,
        })
    }

    /// Leaves this mark, also between others.
    pub fn put(self, transaction: &mut Transaction<'_>) -> Result<()> {
        let tree = transaction.trees().times;
        transaction.put(tree, &key_of(self.time), &self.at.to_key())
    }
}

/// The running maximum of the times of records, which are seen in the order of the log.
pub struct Maximum<'t> {
    view: View<'t>,
    marks: Tree,
    /// The first mark that is not before the last record seen.
    next: Option<Mark>,
    time: f64,
    now: f64,
}

impl<'t> Maximum<'t> {
    /// Goes on behind records the latest of whose times is `time`. `now` is what the clock shows.
    pub fn new(snapshot: &Snapshot<'t>, time: f64, now: f64) -> Result<Self> {
        let mut maximum = Self {
            view: snapshot.view(),
            marks: snapshot.trees().times,
            next: None,
            time,
            now,
        };
        maximum.next = maximum.first_mark(&key_of(time))?;
        Ok(maximum)
    }

    /// Of the records up to this one. O(marks + records of a second).
    pub fn up_to(snapshot: &Snapshot<'t>, at: Sequence, now: f64) -> Result<Self> {
        let (view, trees) = (snapshot.view(), snapshot.trees());
        let (mut begin, mut time) = (Sequence::ZERO, 0.0);
        for row in view.range(trees.times, &[], &[])? {
            let mark = Mark::read(row?)?;
            if mark.at > at {
                break;
            }
            (begin, time) = (mark.at, mark.time);
        }
        let mut maximum = Self::new(snapshot, time, now)?;
        for row in scan(view, trees.log, begin)? {
            let (sequence, frame) = row?;
            if sequence > at {
                break;
            }
            maximum.see(sequence, open_record(sequence, frame)?.timestamp())?;
        }
        Ok(maximum)
    }

    /// The latest time so far, in Unix seconds; zero without one.
    pub fn time(&self) -> f64 {
        self.time
    }

    /// Takes in the time of the next record. Returns how it compares with the latest before it; None where
    /// it has none, or one that was ahead of the clock.
    pub fn see(&mut self, sequence: Sequence, time: Option<f64>) -> Result<Option<Ordering>> {
        while let Some(mark) = self.next.filter(|mark| mark.at < sequence) {
            self.time = self.time.max(mark.time);
            self.next = self.first_mark(&key_above(mark.time))?;
        }
        let ceiling = self.next.map_or(self.now, |mark| mark.time);
        let Some(time) = time.filter(|time| *time <= ceiling) else {
            return Ok(None);
        };
        let order = time.partial_cmp(&self.time);
        self.time = self.time.max(time);
        Ok(order)
    }

    fn first_mark(&self, from: &[u8]) -> Result<Option<Mark>> {
        let mut marks = self.view.range(self.marks, from, &[])?;
        marks.next().transpose()?.map(Mark::read).transpose()
    }
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
    let above = key_above(time);
    let below = view.range_backward(tree, &[], &above)?.next();
    let below = below.transpose()?.map(Mark::read).transpose()?;
    let next = view.range(tree, &above, &[])?.next();
    let next = next.transpose()?.map(Mark::read).transpose()?;
    // Of a clock that was ahead and was set back.
    let next = next.filter(|mark| mark.time <= now);
    let after = below.map_or(Sequence::ZERO, |mark| mark.at);
    Ok(match next {
        Some(mark) => Span {
            after,
            to: mark.at,
            ceiling: mark.time,
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
