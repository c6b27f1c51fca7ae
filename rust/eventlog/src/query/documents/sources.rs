//! Sets of ids that can be entered at any id, in either direction.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::times::TimeTree;
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::{Key, document as keys};
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;
use crate::store::lmdb::{Cursor, Row};

/// A set of ids.
pub(super) enum Source<'t> {
    /// Documents with one of the values of a name.
    AnyOf(AnyOf<'t>),
    /// Documents whose times meet conditions.
    Times(TimeTree<'t>),
    /// Ids, in the direction of the join.
    Given(Vec<u64>),
}

impl Source<'_> {
    /// The first id of the set at an id or beyond it. Calls come with ids in the set's direction.
    pub fn seek(&mut self, at: u64, ascending: bool) -> Result<Option<u64>> {
        match self {
            Self::AnyOf(any_of) => any_of.seek(at),
            Self::Times(tree) => tree.seek(at),
            Self::Given(ids) => {
                let place = ids.partition_point(|id| is_before(*id, at, ascending));
                Ok(ids.get(place).copied())
            }
        }
    }
}

fn is_before(one: u64, other: u64, ascending: bool) -> bool {
    if ascending { one < other } else { one > other }
}

/// Documents with one of the values of a name.
pub(super) struct AnyOf<'t> {
    values: Vec<OfValue<'t>>,
    /// The next id of each value, the first in the direction on top.
    heads: BinaryHeap<(Reverse<u64>, usize)>,
    ascending: bool,
    entered: bool,
}

impl<'t> AnyOf<'t> {
    pub fn new(
        reader: &Reader<'t>,
        space: Space,
        name: &str,
        values: &[String],
        ascending: bool,
    ) -> Result<Self> {
        let values: BTreeSet<_> = values.iter().collect();
        let values = values
            .into_iter()
            .map(|value| OfValue::new(reader, keys::unordered(space, name, value)));
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            heads: BinaryHeap::new(),
            ascending,
            entered: false,
        })
    }

    /// An id as a number that grows in the direction; and back.
    fn order(&self, id: u64) -> u64 {
        if self.ascending { id } else { !id }
    }

    fn seek(&mut self, at: u64) -> Result<Option<u64>> {
        if !self.entered {
            self.entered = true;
            for index in 0..self.values.len() {
                self.advance(index, at)?;
            }
        }
        while let Some((Reverse(head), index)) = self.heads.peek().copied() {
            if head >= self.order(at) {
                return Ok(Some(self.order(head)));
            }
            self.heads.pop();
            self.advance(index, at)?;
        }
        Ok(None)
    }

    fn advance(&mut self, index: usize, at: u64) -> Result<()> {
        if let Some(id) = self.values[index].seek(at, self.ascending)? {
            self.heads.push((Reverse(self.order(id)), index));
        }
        Ok(())
    }
}

/// Documents with one term.
struct OfValue<'t> {
    cursor: Cursor<'t>,
    prefix: Key,
    entered: bool,
}

impl<'t> OfValue<'t> {
    fn new(reader: &Reader<'t>, prefix: Key) -> Result<Self> {
        Ok(Self {
            cursor: reader.cursor(Table::DocumentTerms)?,
            prefix,
            entered: false,
        })
    }

    fn seek(&mut self, at: u64, ascending: bool) -> Result<Option<u64>> {
        // The row after the last one often is the one; a step is cheaper than a descent.
        if self.entered {
            let row = if ascending {
                self.cursor.next()?
            } else {
                self.cursor.previous()?
            };
            match self.id_of(row)? {
                Some(id) if is_before(id, at, ascending) => {}
                found => return Ok(found),
            }
        }
        self.entered = true;
        let key = self.prefix.clone().number(at);
        let row = if ascending {
            self.cursor.seek(key.bytes())?
        } else {
            self.cursor.seek_below(key.byte(0).bytes())?
        };
        self.id_of(row)
    }

    fn id_of(&self, row: Option<Row<'t>>) -> Result<Option<u64>> {
        match row {
            Some((key, _)) if key.starts_with(self.prefix.bytes()) => {
                Ok(Some(Sequence::from_key_end(key)?.get()))
            }
            _ => Ok(None),
        }
    }
}
