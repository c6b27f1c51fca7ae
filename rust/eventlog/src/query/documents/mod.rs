//! Documents: by id, by key, and by any combination of terms and times.
//!
//! What is asked for is a conjunction of sets of ids: the documents with one of a name's values, those
//! whose times are within bounds, those of given keys. Each set can be entered at any id in either
//! direction ([`sources`]), and their join ([`join`]) leaps from one's next id to the other's: its cost
//! follows what it returns and the gaps of the smallest set, and it reads no row. Rows and bodies are
//! read of what is returned.

mod buckets;
mod count;
mod find;
mod join;
mod ordered;
mod sources;
mod terms;
mod times;

pub use buckets::{buckets, newest_of_each};
pub use count::count;
pub use find::find;
pub use ordered::ordered;
pub use terms::{count_of, term_names, term_values};

use super::reader::Reader;
use crate::error::{Error, Result};
use crate::projection::Table;
use crate::projection::key::document as keys;
use crate::projection::rows::DocumentRow;
use crate::projection::times::TimeColumn;
use crate::record::{Record, Space};
use crate::sequence::Sequence;

/// A document copied out of a snapshot.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    pub id: Sequence,
    pub row: DocumentRow,
    pub body: Vec<u8>,
}

/// A time of documents, and its lower and upper bound (excluded).
pub type TimeRange = (TimeColumn, Option<f64>, Option<f64>);

/// Documents with one of the values of each name, with times within the ranges, among the keys and
/// ids. Only runs and backfills have times
/// ([`is_timed`](crate::projection::times::is_timed)); no other document is within a range or has an
/// order but that of ids.
#[derive(Debug, Clone, Default)]
pub struct Find {
    /// A name and the values that it may have. No values: no document.
    pub any_of: Vec<(String, Vec<String>)>,
    /// A document without the time is not within.
    pub ranges: Vec<TimeRange>,
    pub keys: Option<Vec<String>>,
    pub after: Option<Sequence>,
    pub before: Option<Sequence>,
    /// A time by which documents are sorted, then by id; None sorts by id. Documents without the time
    /// come as if it were the earliest.
    pub order_by: Option<TimeColumn>,
    pub ascending: bool,
    pub limit: Option<usize>,
}

/// The document under a key.
pub fn by_key(reader: &Reader<'_>, space: Space, key: &str) -> Result<Option<Sequence>> {
    let id = reader.get(Table::DocumentKeys, &keys::by_key(space, key))?;
    Ok(id.map(Sequence::from_key_end).transpose()?)
}

/// Whether there is a document of an id.
pub fn is_there(reader: &Reader<'_>, space: Space, id: Sequence) -> Result<bool> {
    Ok(reader
        .get(Table::Documents, &keys::row(space, id))?
        .is_some())
}

/// The row of a document.
pub fn row(reader: &Reader<'_>, space: Space, id: Sequence) -> Result<Option<DocumentRow>> {
    reader.row(Table::Documents, &keys::row(space, id))
}

/// The document of an id, with its body.
pub fn load(reader: &Reader<'_>, space: Space, id: Sequence) -> Result<Option<StoredDocument>> {
    let Some(row) = row(reader, space, id)? else {
        return Ok(None);
    };
    let sequence = row.body;
    match reader.record(sequence)? {
        Some(Record::Document(document)) => {
            let body = document
                .state
                .map(|state| state.body.to_vec())
                .unwrap_or_default();
            Ok(Some(StoredDocument { id, row, body }))
        }
        _ => Err(Error::DamagedRecord {
            sequence: sequence.get(),
            reason: "a projection names a document here, and the log has none".to_owned(),
        }),
    }
}
