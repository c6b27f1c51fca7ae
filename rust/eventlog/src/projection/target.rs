//! What a fold writes into: a set of trees in a write transaction, and the log it may look back at.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Carry, Names, Table, key::Key, rows};
use crate::error::{Error, Result};
use crate::record::{Event, FrameError, Record, open_frame};
use crate::sequence::Sequence;
use crate::store::lmdb::{Range, Tree, View, WriteTransaction};

/// Where the fold finds the log: beside the projections, or in the store that it refolds elsewhere.
#[derive(Debug, Clone, Copy)]
pub enum LogSource<'a> {
    /// The log of the same transaction.
    Same(Tree),
    /// The log of another environment's snapshot.
    Other(View<'a>, Tree),
}

/// A projection set being folded into. Reads do not see the rows that wait since [`Target::defer`].
#[derive(Debug)]
pub struct Target<'a, 'e> {
    transaction: &'a mut WriteTransaction<'e>,
    trees: &'a [Tree],
    log: LogSource<'a>,
    carry: &'a mut Carry,
}

impl<'a, 'e> Target<'a, 'e> {
    /// The set of `trees` in `transaction`. `carry` is what this transaction folded into the set
    /// before left, or empty.
    pub(super) fn new(
        transaction: &'a mut WriteTransaction<'e>,
        trees: &'a [Tree],
        log: LogSource<'a>,
        carry: &'a mut Carry,
    ) -> Self {
        Self {
            transaction,
            trees,
            log,
            carry,
        }
    }

    /// Names that the fold need not look up.
    pub fn names(&mut self) -> &mut Names {
        &mut self.carry.names
    }

    fn tree(&self, table: Table) -> Tree {
        self.trees[table as usize]
    }

    /// The bytes under `key`.
    pub fn get(&self, table: Table, key: &Key) -> Result<Option<&[u8]>> {
        Ok(self.transaction.view().get(self.tree(table), key.bytes())?)
    }

    /// The row under `key`.
    pub fn row<T: DeserializeOwned>(&self, table: Table, key: &Key) -> Result<Option<T>> {
        self.get(table, key)?.map(rows::read).transpose()
    }

    /// Rows whose key begins with `prefix`.
    pub fn prefix(&self, table: Table, prefix: &Key) -> Result<Range<'_>> {
        Ok(self
            .transaction
            .view()
            .prefix(self.tree(table), prefix.bytes())?)
    }

    /// Keys that begin with `prefix`, copied, so that rows may be changed meanwhile.
    pub fn keys(&self, table: Table, prefix: &Key) -> Result<Vec<Vec<u8>>> {
        self.prefix(table, prefix)?
            .map(|row| Ok(row?.0.to_vec()))
            .collect()
    }

    /// Keys from `lower` to before `upper`, copied.
    pub fn keys_between(&self, table: Table, lower: &Key, upper: &Key) -> Result<Vec<Vec<u8>>> {
        self.transaction
            .view()
            .range(self.tree(table), lower.bytes(), upper.bytes())?
            .map(|row| Ok(row?.0.to_vec()))
            .collect()
    }

    /// The first key at or after `lower` that begins with `prefix`.
    pub fn first_key(&self, table: Table, lower: &Key, prefix: &Key) -> Result<Option<Vec<u8>>> {
        let mut rows = self
            .transaction
            .view()
            .range(self.tree(table), lower.bytes(), &[])?;
        let first = rows.next().transpose()?.map(|(key, _)| key.to_vec());
        Ok(first.filter(|key| key.starts_with(prefix.bytes())))
    }

    /// The last key that begins with `prefix`.
    pub fn last_key(&self, table: Table, prefix: &Key) -> Result<Option<Vec<u8>>> {
        let mut rows = self
            .transaction
            .view()
            .prefix_backward(self.tree(table), prefix.bytes())?;
        Ok(rows.next().transpose()?.map(|(key, _)| key.to_vec()))
    }

    /// Inserts or replaces bytes.
    pub fn put(&mut self, table: Table, key: &Key, value: &[u8]) -> Result<()> {
        Ok(self.transaction.put(self.tree(table), key.bytes(), value)?)
    }

    /// Inserts bytes that no fold of an event reads, at the latest before a record that is no event is folded,
    /// or at the end.
    pub fn defer(&mut self, table: Table, key: &Key, value: &[u8]) -> Result<()> {
        if !self.carry.deferred.push(table, key.bytes(), value) {
            self.put_deferred()?;
        }
        Ok(())
    }

    /// Puts the rows that wait, for a fold that may read them.
    pub(super) fn put_deferred(&mut self) -> Result<()> {
        self.carry.deferred.put(self.transaction, self.trees)
    }

    /// Inserts or replaces a row.
    pub fn put_row<T: Serialize>(&mut self, table: Table, key: &Key, row: &T) -> Result<()> {
        self.put(table, key, &rows::write(row))
    }

    /// Removes a row; false if there was none.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        Ok(self.transaction.delete(self.tree(table), key)?)
    }

    /// Removes every row of a table.
    pub fn clear(&mut self, table: Table) -> Result<()> {
        Ok(self.transaction.clear(self.tree(table))?)
    }

    /// Calls `read` with the event under a sequence; None where the log holds no event there.
    pub fn event<R>(
        &self,
        sequence: Sequence,
        read: impl FnOnce(&Event<'_>) -> R,
    ) -> Result<Option<R>> {
        let bytes = match self.log {
            LogSource::Same(tree) => self.transaction.view().get(tree, &sequence.to_key())?,
            LogSource::Other(view, tree) => view.get(tree, &sequence.to_key())?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = |error: FrameError| Error::DamagedRecord {
            sequence: sequence.get(),
            reason: error.to_string(),
        };
        match Record::decode(open_frame(bytes).map_err(damaged)?.payload).map_err(damaged)? {
            Record::Event(event) => Ok(Some(read(&event))),
            _ => Ok(None),
        }
    }
}
