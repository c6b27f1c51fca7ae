//! Terms: how many documents have them, and which names and values there are.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::document as keys;
use crate::projection::rows;
use crate::query::Reader;
use crate::record::Space;
use crate::store::lmdb::after_prefix;

/// Documents with one of the values of a name. O(log) a value.
pub(super) fn count_of_any(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    values: &[String],
) -> Result<usize> {
    let values: BTreeSet<_> = values.iter().collect();
    let mut count = 0;
    for value in values {
        count += count_of(reader, space, name, value)?;
    }
    Ok(count)
}

/// Documents with a term. O(log).
pub fn count_of(reader: &Reader<'_>, space: Space, name: &str, value: &str) -> Result<usize> {
    let key = keys::count(space, name, value);
    let row: Option<(String, String, i64)> = reader.row(Table::DocumentCounts, &key)?;
    Ok(row.map_or(0, |(_, _, count)| usize::try_from(count).unwrap_or(0)))
}

/// Names of terms that begin with `prefix`, in the order of their text. O(log) a name.
pub fn term_names(reader: &Reader<'_>, space: Space, prefix: &str) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    let all = keys::space(space);
    let mut cursor = reader.cursor(Table::DocumentCounts)?;
    let mut at = keys::counts_from(space, prefix).bytes().to_vec();
    while let Some((key, row)) = cursor.seek(&at)? {
        if !key.starts_with(all.bytes()) {
            break;
        }
        let (name, _, _): (String, String, i64) = rows::read(row)?;
        if !name.starts_with(prefix) {
            break;
        }
        at = after_prefix(keys::counts(space, &name).bytes());
        names.insert(name);
    }
    Ok(names.into_iter().collect())
}

/// Values of a name that begin with `prefix`, in the order of their text. O(log + values returned).
pub fn term_values(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    prefix: &str,
    limit: Option<usize>,
) -> Result<Vec<String>> {
    let mut values = BTreeSet::new();
    let all = keys::counts(space, name);
    let mut cursor = reader.cursor(Table::DocumentCounts)?;
    let mut row = cursor.seek(keys::values_from(space, name, prefix).bytes())?;
    while let Some((key, value)) = row {
        if limit.is_some_and(|limit| values.len() >= limit) || !key.starts_with(all.bytes()) {
            break;
        }
        let (_, value, _): (String, String, i64) = rows::read(value)?;
        if !value.starts_with(prefix) {
            break;
        }
        values.insert(value);
        row = cursor.next()?;
    }
    Ok(values.into_iter().collect())
}
