//! Scans: the rows of a range, one after the other.
//!
//! Owns where a scan begins and ends, in both directions; moving and reading are the cursor's. Made
//! by `View` alone.

use super::lmdb::{Cursor, LmdbError, Row};

/// The smallest key above every key that begins with `prefix`; empty means "no such key".
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Rows of a range in key order, ascending or descending.
#[derive(Debug)]
pub struct Range<'t> {
    cursor: Cursor<'t>,
    /// Where the scan begins, until it has.
    start: Option<Vec<u8>>,
    end: Vec<u8>,
    backward: bool,
}

impl<'t> Range<'t> {
    /// Rows with `lower <= key < upper`, from the first.
    pub(super) fn ascending(cursor: Cursor<'t>, lower: &[u8], upper: &[u8]) -> Self {
        Self {
            cursor,
            start: Some(lower.to_vec()),
            end: upper.to_vec(),
            backward: false,
        }
    }

    /// Rows with `lower <= key < upper`, from the last.
    pub(super) fn descending(cursor: Cursor<'t>, lower: &[u8], upper: &[u8]) -> Self {
        Self {
            cursor,
            start: Some(upper.to_vec()),
            end: lower.to_vec(),
            backward: true,
        }
    }
}

impl<'t> Iterator for Range<'t> {
    type Item = Result<Row<'t>, LmdbError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match (self.start.take(), self.backward) {
            (Some(start), false) => self.cursor.seek(&start),
            (Some(start), true) => self.cursor.seek_below(&start),
            (None, false) => self.cursor.next(),
            (None, true) => self.cursor.previous(),
        };
        match row {
            Err(error) => Some(Err(error)),
            Ok(None) => None,
            Ok(Some((key, value))) => {
                let inside = if self.backward {
                    key >= self.end.as_slice()
                } else {
                    self.end.is_empty() || key < self.end.as_slice()
                };
                inside.then_some(Ok((key, value)))
            }
        }
    }
}
