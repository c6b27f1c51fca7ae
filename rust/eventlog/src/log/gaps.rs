//! Times of records that a compaction takes.
//!
//! The invariant: a time that falls among records of which nothing is left stays among them, so that what
//! is there *at a time* is the same after a compaction. So where such a record was the latest so far, and
//! one that stays behind it is no later, a mark says where that time was reached. Where the one that stays
//! is later, it says so itself.

use std::cmp::Ordering;

use super::times::{Mark, Maximum};
use crate::error::Result;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::{Snapshot, Transaction};

/// A record that is to go.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    pub sequence: Sequence,
    /// Its time, where that was the latest so far.
    latest: Option<f64>,
    /// Whether the first record behind it that stays and has a time is as late as all before; None where
    /// another one that is to go comes first.
    is_before_later: Option<bool>,
}

/// Picks those that are to go out of records in the order of the log.
pub struct Leavers<'t> {
    maximum: Maximum<'t>,
    found: Vec<Leaving>,
}

impl<'t> Leavers<'t> {
    /// Goes on behind records the latest of whose times is `latest`. `now` is what the clock shows.
    pub fn new(snapshot: &Snapshot<'t>, latest: f64, now: f64) -> Result<Self> {
        Ok(Self {
            maximum: Maximum::new(snapshot, latest, now)?,
            found: Vec::new(),
        })
    }

    /// Takes in the next record. Returns how many are to go so far.
    pub fn see(
        &mut self,
        sequence: Sequence,
        record: &Record<'_>,
        is_to_go: bool,
    ) -> Result<usize> {
        let time = record.timestamp();
        let order = self.maximum.see(sequence, time)?;
        if is_to_go {
            self.found.push(Leaving {
                sequence,
                latest: time.filter(|_| order == Some(Ordering::Greater)),
                is_before_later: None,
            });
        } else if let Some(last) = self.found.last_mut()
            && time.is_some()
        {
            let is_later = order.is_some_and(Ordering::is_ge);
            last.is_before_later.get_or_insert(is_later);
        }
        Ok(self.found.len())
    }

    /// Those that are to go, and the latest time so far.
    pub fn end(self) -> (Vec<Leaving>, f64) {
        (self.found, self.maximum.time())
    }
}

/// What became of a record that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// A husk that tells of what was, or the record itself.
    Something,
}

/// Leaves the marks, as records go in the order of the log.
#[derive(Debug, Default)]
pub struct Gaps {
    /// The last record that has gone and was the latest, while none that stays came behind it.
    open: Option<Mark>,
}

impl Gaps {
    /// A record has gone, or not.
    pub fn see(
        &mut self,
        transaction: &mut Transaction<'_>,
        leaving: &Leaving,
        left: Left,
    ) -> Result<()> {
        if left == Left::Something {
            self.close(transaction)?;
        }
        if let Some(time) = leaving.latest {
            self.open = Some(Mark {
                time,
                at: leaving.sequence,
            });
        }
        match leaving.is_before_later {
            Some(true) => self.open = None,
            Some(false) => self.close(transaction)?,
            None => {}
        }
        Ok(())
    }

    /// Whatever comes next is taken to be no later.
    pub fn close(&mut self, transaction: &mut Transaction<'_>) -> Result<()> {
        match self.open.take() {
            Some(mark) => mark.put(transaction),
            None => Ok(()),
        }
    }
}
