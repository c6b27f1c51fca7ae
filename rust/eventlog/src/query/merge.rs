//! Several scans as one, in the order of the sequences that their keys end in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hidden::Visible;
use super::reader::{Bounds, Reader};
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::Key;
use crate::sequence::Sequence;

/// Several runs of keys that end in a sequence, merged in the order of the sequences, each once.
pub struct Merge<'t> {
    ranges: Vec<Visible<'t>>,
    heads: BinaryHeap<(Reverse<u64>, usize, &'t [u8])>,
    ascending: bool,
    last: Option<Sequence>,
}

impl<'t> Merge<'t> {
    /// Merges the rows of a table that begin with one of the prefixes.
    pub fn new(
        reader: &Reader<'t>,
        table: Table,
        prefixes: impl IntoIterator<Item = Key>,
        bounds: Bounds,
        ascending: bool,
    ) -> Result<Self> {
        let mut merge = Self {
            ranges: Vec::new(),
            heads: BinaryHeap::new(),
            ascending,
            last: None,
        };
        for (index, prefix) in prefixes.into_iter().enumerate() {
            merge
                .ranges
                .push(reader.sequences(table, &prefix, bounds, ascending)?);
            merge.advance(index)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, index: usize) -> Result<()> {
        if let Some((key, value)) = self.ranges[index].next().transpose()? {
            let sequence = Sequence::from_key_end(key)?.get();
            let order = if self.ascending { sequence } else { !sequence };
            self.heads.push((Reverse(order), index, value));
        }
        Ok(())
    }
}

impl<'t> Iterator for Merge<'t> {
    type Item = Result<(Sequence, &'t [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (Reverse(order), index, value) = self.heads.pop()?;
            if let Err(error) = self.advance(index) {
                return Some(Err(error));
            }
            let sequence = Sequence::new(if self.ascending { order } else { !order });
            if self.last.replace(sequence) != Some(sequence) {
                return Some(Ok((sequence, value)));
            }
        }
    }
}
