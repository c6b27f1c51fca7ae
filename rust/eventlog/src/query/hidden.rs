//! Rows of deleted runs, which are hidden at once and removed in steps.
//!
//! A row of an index that is not the run's own is of a hidden run if the record under its sequence
//! says so. That is one look into the log a row, and only while a removal is under way.

use super::reader::Reader;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::lmdb::{Range, Row};

/// Deletions whose rows are not removed yet: their sequences and runs.
#[derive(Debug, Clone, Default)]
pub struct Hidden(pub(super) Vec<(Sequence, String)>);

impl Hidden {
    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record of a run is hidden.
    pub fn contains(&self, sequence: Sequence, run_id: &str) -> bool {
        self.0
            .iter()
            .any(|(deletion, of)| sequence < *deletion && of == run_id)
    }

    /// Whether a row of this sequence is to be seen.
    pub fn lets_see(&self, reader: &Reader<'_>, sequence: Sequence) -> Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        Ok(match reader.record(sequence)? {
            Some(Record::Event(event)) => !self.contains(sequence, event.run_id),
            Some(Record::CheckExecutionPlanned(planned)) => {
                !self.contains(sequence, &planned.run_id)
            }
            _ => true,
        })
    }
}

/// Rows whose keys end in a sequence, but for those of hidden runs.
pub struct Visible<'t> {
    rows: Range<'t>,
    reader: Reader<'t>,
    hidden: Hidden,
}

impl<'t> Visible<'t> {
    pub(super) fn new(rows: Range<'t>, reader: Reader<'t>, hidden: Hidden) -> Self {
        Self {
            rows,
            reader,
            hidden,
        }
    }
}

impl<'t> Iterator for Visible<'t> {
    type Item = Result<Row<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.rows.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(Error::from(error))),
            };
            let seen = Sequence::from_key_end(row.0)
                .map_err(Error::from)
                .and_then(|sequence| self.hidden.lets_see(&self.reader, sequence));
            match seen {
                Ok(true) => return Some(Ok(row)),
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
