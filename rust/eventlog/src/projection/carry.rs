//! What the fold of one record leaves to the next, for the records of a command or of a step of a refold.
//!
//! All are folded in one write transaction. It ends with [`Carry::finish`], or is aborted.

use super::deferred::Deferred;
use super::{LogSource, Names, Target};
use crate::error::Result;
use crate::store::lmdb::{Tree, WriteTransaction};

/// Names that the records so far have looked up, and rows that are in no tree yet.
#[derive(Debug, Default)]
pub struct Carry {
    pub(super) names: Names,
    pub(super) deferred: Deferred,
}

impl Carry {
    /// What the next record is folded into.
    pub fn target<'a, 'e>(
        &'a mut self,
        writing: &'a mut WriteTransaction<'e>,
        trees: &'a [Tree],
        log: LogSource<'a>,
    ) -> Target<'a, 'e> {
        Target::new(writing, trees, log, self)
    }

    /// Puts the rows that wait; the set is whole then.
    pub fn finish(mut self, writing: &mut WriteTransaction<'_>, trees: &[Tree]) -> Result<()> {
        self.deferred.put(writing, trees)
    }
}
