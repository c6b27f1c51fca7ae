//! What the fold of one record leaves to the next, for the length of a write transaction.

use super::deferred::Deferred;
use super::{LogSource, Names, Target};
use crate::error::Result;
use crate::store::lmdb::{Tree, WriteTransaction};

/// Names that the records of a transaction have looked up, and rows that are in no tree yet.
#[derive(Debug, Default)]
#[must_use = "rows that wait are lost without finish"]
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
