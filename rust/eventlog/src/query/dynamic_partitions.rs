//! Keys of dynamic partitions definitions.

use std::collections::HashSet;

use super::reader::{Bounds, Reader};
use crate::error::Result;
use crate::projection::Table;
use crate::projection::dynamic_partitions::{id_prefix, name_key};
use crate::sequence::Sequence;

/// Keys of a definition and the sequences that added them, ordered by those. O(log + keys).
pub fn page(
    reader: &Reader<'_>,
    definition: &str,
    bounds: Bounds,
    limit: Option<usize>,
    ascending: bool,
) -> Result<Vec<(Sequence, String)>> {
    let prefix = id_prefix(definition);
    reader
        .sequences(Table::DynamicPartitions, &prefix, bounds, ascending)?
        .take(limit.unwrap_or(usize::MAX))
        .map(|row| {
            let (key, name) = row?;
            Ok((
                Sequence::from_key_end(key)?,
                String::from_utf8_lossy(name).into_owned(),
            ))
        })
        .collect()
}

/// Those of the keys that belong to the definition. O(keys asked for).
pub fn existing(reader: &Reader<'_>, definition: &str, keys: &[String]) -> Result<HashSet<String>> {
    let mut found = HashSet::new();
    for key in keys {
        if reader
            .get(Table::DynamicPartitions, &name_key(definition, key))?
            .is_some()
        {
            found.insert(key.clone());
        }
    }
    Ok(found)
}
