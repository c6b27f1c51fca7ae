//! What the layers above hold inside a transaction.
//!
//! Owns nothing but the view of one transaction: its trees, its meta row, and in a write the right
//! to put. Both live for the call that `Store` made them for, and cannot leave it.

use super::gate::Trees;
use super::lmdb::{Tree, View, WriteTransaction};
use super::meta::{self, Meta};
use crate::error::Result;

/// The state of the last commit, for one read.
pub struct Snapshot<'t> {
    pub(super) view: View<'t>,
    pub(super) trees: &'t Trees,
    pub(super) meta: &'t Meta,
}

impl<'t> Snapshot<'t> {
    /// Reads of this transaction.
    pub fn view(&self) -> View<'t> {
        self.view
    }

    /// Trees of the environment; good for this transaction alone.
    pub fn trees(&self) -> &'t Trees {
        self.trees
    }

    /// What the store says about itself.
    pub fn meta(&self) -> &'t Meta {
        self.meta
    }

    /// The projection tables that queries read, in the order of the schema.
    pub fn live_set(&self) -> &'t [Tree] {
        live_set(self.trees, self.meta)
    }
}

/// The one write under way.
pub struct Transaction<'t> {
    pub(super) writing: WriteTransaction<'t>,
    pub(super) trees: &'t Trees,
    pub(super) meta: Meta,
    pub(super) redo: Option<Vec<u8>>,
}

impl<'t> Transaction<'t> {
    /// Reads of this transaction, its own changes included.
    pub fn view(&self) -> View<'_> {
        self.writing.view()
    }

    /// Trees of the environment; good for this transaction alone.
    pub fn trees(&self) -> &'t Trees {
        self.trees
    }

    /// What the store says about itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The projection tables that queries read, in the order of the schema.
    pub fn live_set(&self) -> &'t [Tree] {
        live_set(self.trees, &self.meta)
    }

    /// LMDB's write transaction, for the fold.
    pub fn writing(&mut self) -> &mut WriteTransaction<'t> {
        &mut self.writing
    }

    /// Gives the words in which [`Schema::redo`](super::Schema) does all of this again after a power
    /// cut. With them the commit is one flush of the journal; without, the data file is flushed.
    pub fn set_redo(&mut self, redo: Vec<u8>) {
        self.redo = Some(redo);
    }

    /// Takes the words that were given so far, to give them with more: those of the commands before in
    /// a group commit.
    pub fn take_redo(&mut self) -> Option<Vec<u8>> {
        self.redo.take()
    }

    /// Number of the transaction, which the commit makes the last one.
    pub fn id(&self) -> usize {
        self.writing.id()
    }

    /// Inserts or replaces a row.
    pub fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.writing.put(tree, key, value)?)
    }

    /// Inserts a row whose key is above every key of the tree.
    pub fn append(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.writing.append(tree, key, value)?)
    }

    /// Removes a row; false if there was none.
    pub fn delete(&mut self, tree: Tree, key: &[u8]) -> Result<bool> {
        Ok(self.writing.delete(tree, key)?)
    }

    /// Removes every row of a tree.
    pub fn clear(&mut self, tree: Tree) -> Result<()> {
        Ok(self.writing.clear(tree)?)
    }

    /// Replaces what the store says about itself.
    pub fn set_meta(&mut self, meta: Meta) -> Result<()> {
        self.put(self.trees.meta, meta::KEY, &meta.encode())?;
        self.meta = meta;
        Ok(())
    }
}

fn live_set<'t>(trees: &'t Trees, meta: &Meta) -> &'t [Tree] {
    &trees.sets[usize::from(meta.live_set & 1)]
}

/// How a write ends when nothing fails.
#[derive(Debug)]
pub enum Outcome<R> {
    /// Commit what was put, and return the value.
    Commit(R),
    /// Nothing changed: no flush, no wake-up.
    Nothing(R),
}
