//! Documents by the order of a term of theirs.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::{document as keys, time_of};
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;

/// Ids of the documents with one of the values of a name, by the order of that term within bounds
/// (excluded), then by id. O(log + documents within the bounds, up to the limit), times the values.
pub fn ordered(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    values: &[String],
    bounds: (Option<f64>, Option<f64>),
    ascending: bool,
    limit: Option<usize>,
) -> Result<Vec<Sequence>> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for value in values.iter().collect::<BTreeSet<_>>() {
        let mut taken = 0;
        let prefix = keys::value(space, name, value);
        for row in reader.ordered(Table::DocumentTerms, &prefix, bounds, ascending)? {
            if taken >= limit {
                break;
            }
            let (key, _) = row?;
            let order = time_of(&key[prefix.bytes().len()..]);
            let inside = bounds.0.is_none_or(|lower| order > lower)
                && bounds.1.is_none_or(|upper| order < upper);
            if inside {
                found.push((order, Sequence::from_key_end(key)?));
                taken += 1;
            }
        }
    }
    found.sort_by(|one, other| {
        let by_order = one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal);
        let order = by_order.then(one.1.cmp(&other.1));
        if ascending { order } else { order.reverse() }
    });
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}
