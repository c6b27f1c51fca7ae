//! The newest documents of each value of a name.

use std::collections::{BTreeSet, HashSet};

use super::Find;
use super::find::{find, sort_by_time};
use super::join::Join;
use super::terms::{count_of, count_of_any, term_values};
use crate::error::Result;
use crate::projection::rows::DocumentRow;
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;

/// A walk over documents reads a row of each; a search for a value's newest seeks a few times.
const WALK_TO_SEARCH: usize = 4;

/// Ids of the newest documents of each value of a name, at most `limit` of each, in the order and up to
/// the limit of the query. As [`find`], times the values.
pub fn buckets(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    values: &[String],
    query: &Find,
    limit: Option<usize>,
) -> Result<Vec<Sequence>> {
    let Some(limit) = limit else {
        return find(reader, space, &with_term(query, name, values));
    };
    let wanted = query.limit.unwrap_or(usize::MAX);
    // In this order what a bucket gives beyond the query's limit is not returned.
    let of_each = match query.order_by {
        None if !query.ascending => limit.min(wanted),
        _ => limit,
    };
    let mut newest = BTreeSet::new();
    for value in values.iter().collect::<BTreeSet<_>>() {
        let of_value = with_term(query, name, std::slice::from_ref(value));
        for id in Join::new(reader, space, &of_value, false)?.take(of_each) {
            newest.insert(id?);
        }
    }
    let mut ids = match query.order_by {
        Some(column) => sort_by_time(reader, space, newest, column, query.ascending)?,
        None if query.ascending => newest.into_iter().collect(),
        None => newest.into_iter().rev().collect(),
    };
    ids.truncate(wanted);
    Ok(ids)
}

/// Ids of the newest document of each value of a name among those that a query asks for, newest first,
/// whatever the query's order and limit. O(log + gaps) for each value of the name in the space, or O(log)
/// for each document that the query asks for, whichever is fewer.
pub fn newest_of_each(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    query: &Find,
) -> Result<Vec<Sequence>> {
    let query = Find {
        order_by: None,
        ascending: false,
        limit: None,
        ..query.clone()
    };
    let mut most = count_of(reader, space, DocumentRow::ALL, "")?;
    for (name, values) in &query.any_of {
        most = most.min(count_of_any(reader, space, name, values)?);
    }
    if let Some(keys) = &query.keys {
        most = most.min(keys.len());
    }
    let most = most / WALK_TO_SEARCH;
    let values = match query.any_of.iter().find(|(of, _)| of == name) {
        Some((_, values)) => values.clone(),
        None => term_values(reader, space, name, "", Some(most + 1))?,
    };
    if values.len() <= most {
        return buckets(reader, space, name, &values, &query, Some(1));
    }
    let mut seen = HashSet::new();
    let mut newest = Vec::new();
    for id in Join::new(reader, space, &query, false)? {
        let id = id?;
        let Some(row) = super::row(reader, space, id)? else {
            continue;
        };
        let mut is_newest = false;
        for term in row.all_terms(space) {
            is_newest |= term.name == name && seen.insert(term.value);
        }
        if is_newest {
            newest.push(id);
        }
    }
    Ok(newest)
}

fn with_term(query: &Find, name: &str, values: &[String]) -> Find {
    let mut query = query.clone();
    query.any_of.push((name.to_owned(), values.to_vec()));
    query
}
