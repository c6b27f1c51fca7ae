//! A projection set and the log, as one snapshot has them.

use serde::Deserialize;

use super::hidden::{Hidden, Visible};
use crate::error::{Error, Result};
use crate::projection::key::Key;
use crate::projection::rows::{self, Asset, DeletedRun, PoolStep};
use crate::projection::{Table, checks};
use crate::record::{Event, FrameError, Record, open_frame};
use crate::sequence::Sequence;
use crate::store::lmdb::{Cursor, Range, Tree, View, after_prefix};
use crate::value::Shape;

/// Reads the projections and the log of one snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'t> {
    view: View<'t>,
    trees: &'t [Tree],
    log: Tree,
}

impl<'t> Reader<'t> {
    /// The set of `trees`, with `log`, as `view` has them.
    pub fn new(view: View<'t>, trees: &'t [Tree], log: Tree) -> Self {
        Self { view, trees, log }
    }

    fn tree(&self, table: Table) -> Tree {
        self.trees[table as usize]
    }

    /// The bytes under `key`.
    pub fn get(&self, table: Table, key: &Key) -> Result<Option<&'t [u8]>> {
        Ok(self.view.get(self.tree(table), key.bytes())?)
    }

    /// The row under `key`.
    pub fn row<T: Deserialize<'t>>(&self, table: Table, key: &Key) -> Result<Option<T>> {
        self.get(table, key)?.map(rows::read).transpose()
    }

    /// Rows whose key begins with `prefix`, ascending.
    pub fn prefix(&self, table: Table, prefix: &Key) -> Result<Range<'t>> {
        Ok(self.view.prefix(self.tree(table), prefix.bytes())?)
    }

    /// Rows whose key begins with `prefix`, descending.
    pub fn prefix_backward(&self, table: Table, prefix: &Key) -> Result<Range<'t>> {
        Ok(self
            .view
            .prefix_backward(self.tree(table), prefix.bytes())?)
    }

    /// Rows whose key begins with `prefix`, in either direction.
    pub fn directed(&self, table: Table, prefix: &Key, ascending: bool) -> Result<Range<'t>> {
        if ascending {
            self.prefix(table, prefix)
        } else {
            self.prefix_backward(table, prefix)
        }
    }

    /// Rows whose key is `prefix`, a time within the bounds (included), and more; in either
    /// direction.
    pub fn ordered(
        &self,
        table: Table,
        prefix: &Key,
        bounds: (Option<f64>, Option<f64>),
        ascending: bool,
    ) -> Result<Range<'t>> {
        let lower = prefix.clone().time(bounds.0.unwrap_or(f64::NEG_INFINITY));
        let upper = after_prefix(
            prefix
                .clone()
                .time(bounds.1.unwrap_or(f64::INFINITY))
                .bytes(),
        );
        let tree = self.tree(table);
        Ok(if ascending {
            self.view.range(tree, lower.bytes(), &upper)?
        } else {
            self.view.range_backward(tree, lower.bytes(), &upper)?
        })
    }

    /// Rows whose key is `prefix` and a sequence within the bounds, in order of the sequence; those of
    /// deleted runs are passed over.
    pub fn sequences(
        &self,
        table: Table,
        prefix: &Key,
        bounds: Bounds,
        ascending: bool,
    ) -> Result<Visible<'t>> {
        let lower = prefix.clone().sequence(bounds.after.next());
        let upper = prefix.clone().sequence(bounds.before);
        let tree = self.tree(table);
        let rows = if ascending {
            self.view.range(tree, lower.bytes(), upper.bytes())?
        } else {
            self.view
                .range_backward(tree, lower.bytes(), upper.bytes())?
        };
        let hidden = match table {
            Table::TypeEvents | Table::StatusChanges | Table::AssetEvents | Table::Checks => {
                self.hidden()?
            }
            // Of no event, or found by the number of the run, which its deletion takes away.
            _ => Hidden::default(),
        };
        Ok(Visible::new(rows, *self, hidden))
    }

    /// Runs whose events are hidden while their rows are being removed.
    pub fn hidden(&self) -> Result<Hidden> {
        let mut runs = Vec::new();
        for row in self.prefix(Table::DeletedRuns, &Key::new())? {
            let (key, row) = row?;
            let run: DeletedRun = rows::read(row)?;
            runs.push((Sequence::from_key_end(key)?, run.run_id));
        }
        Ok(Hidden(runs))
    }

    /// The last sequence under `prefix` within the bounds.
    pub fn last_sequence(
        &self,
        table: Table,
        prefix: &Key,
        bounds: Bounds,
    ) -> Result<Option<Sequence>> {
        let mut rows = self.sequences(table, prefix, bounds, false)?;
        let last = rows.next().transpose()?;
        Ok(last
            .map(|(key, _)| Sequence::from_key_end(key))
            .transpose()?)
    }

    /// A cursor on a table.
    pub fn cursor(&self, table: Table) -> Result<Cursor<'t>> {
        Ok(self.view.cursor(self.tree(table))?)
    }

    /// A cursor on the log.
    pub fn log_cursor(&self) -> Result<Cursor<'t>> {
        Ok(self.view.cursor(self.log)?)
    }

    /// The frame under a sequence.
    pub fn frame(&self, sequence: Sequence) -> Result<Option<&'t [u8]>> {
        Ok(self.view.get(self.log, &sequence.to_key())?)
    }

    /// The record under a sequence, its checksum checked.
    pub fn record(&self, sequence: Sequence) -> Result<Option<Record<'t>>> {
        self.frame(sequence)?
            .map(|frame| open_record(sequence, frame))
            .transpose()
    }

    /// The event that a projection names; that it is missing is damage.
    pub fn event(&self, sequence: Sequence) -> Result<Event<'t>> {
        match self.record(sequence)? {
            Some(Record::Event(event)) => Ok(event),
            _ => Err(Error::DamagedRecord {
                sequence: sequence.get(),
                reason: "a projection names an event here, and the log has none".to_owned(),
            }),
        }
    }

    /// The last sequence of the log; zero for an empty one.
    pub fn head(&self) -> Result<Sequence> {
        let last = self.view.last(self.log)?;
        Ok(match last {
            Some((key, _)) => Sequence::from_key_end(key)?,
            None => Sequence::ZERO,
        })
    }

    /// The number of a run, if a record names it.
    pub fn run(&self, run_id: &str) -> Result<Option<u64>> {
        let number = self.get(Table::Runs, &Key::new().long_text(run_id))?;
        let number = number.map(Sequence::from_key_end).transpose()?;
        Ok(number.map(Sequence::get))
    }

    /// The row of an asset, if a record names it.
    pub fn asset(&self, asset_key: &str) -> Result<Option<Asset>> {
        self.row(Table::Assets, &Key::new().long_text(asset_key))
    }

    /// The number of a check, if a record names it.
    pub fn check(&self, asset: u64, name: &str) -> Result<Option<u64>> {
        let number = self.get(Table::CheckNames, &checks::name_key(asset, name))?;
        let number = number.map(Sequence::from_key_end).transpose()?;
        Ok(number.map(Sequence::get))
    }

    /// The step of a pool's queue under a key that another row holds.
    pub fn pool_step(&self, key: &[u8]) -> Result<Option<PoolStep>> {
        self.view
            .get(self.tree(Table::Pools), key)?
            .map(rows::read)
            .transpose()
    }

    /// Shapes from an ordinal on. O(log + shapes returned).
    pub fn shapes_from(&self, ordinal: usize) -> Result<Vec<Shape>> {
        let lower = Key::new().number(ordinal as u64);
        let rows = self
            .view
            .range(self.tree(Table::Shapes), lower.bytes(), &[])?;
        rows.map(|row| rows::read(row?.1)).collect()
    }

    /// Whether a table has no row.
    pub fn is_empty(&self, table: Table) -> Result<bool> {
        Ok(self.view.last(self.tree(table))?.is_none())
    }
}

/// Opens and decodes a frame of the log.
pub fn open_record(sequence: Sequence, frame: &[u8]) -> Result<Record<'_>> {
    open_frame(frame)
        .and_then(|frame| Record::decode(frame.payload))
        .map_err(|error| damaged(sequence, &error))
}

/// Checks a frame whose record is of no interest.
pub fn check_frame(sequence: Sequence, frame: &[u8]) -> Result<()> {
    open_frame(frame)
        .map(drop)
        .map_err(|error| damaged(sequence, &error))
}

fn damaged(sequence: Sequence, error: &FrameError) -> Error {
    Error::DamagedRecord {
        sequence: sequence.get(),
        reason: error.to_string(),
    }
}

/// Sequences between two others, both excluded.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub after: Sequence,
    pub before: Sequence,
}

impl Bounds {
    /// Every sequence.
    pub const ALL: Self = Self {
        after: Sequence::ZERO,
        before: Sequence::new(u64::MAX),
    };

    /// From optional bounds as Dagster gives them: any integer, also below zero.
    pub fn new(after: Option<i64>, before: Option<i64>) -> Self {
        let place = |number: i64| Sequence::new(u64::try_from(number).unwrap_or(0));
        Self {
            after: after.map_or(Self::ALL.after, place),
            before: before.map_or(Self::ALL.before, place),
        }
    }

    /// Whether a sequence is within.
    pub fn contains(self, sequence: Sequence) -> bool {
        self.after < sequence && sequence < self.before
    }
}
