//! Documents: by id, by key, and by any combination of terms.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::merge::Merge;
use super::reader::{Bounds, Reader};
use crate::error::{Error, Result};
use crate::projection::Table;
use crate::projection::key::{Key, document as keys};
use crate::projection::rows::{self, DocumentRow};
use crate::record::{Record, Space};
use crate::sequence::Sequence;
use crate::store::lmdb::after_prefix;

/// Ids of a range that are looked at where a limit may make looking needless.
const RANGE_PROBE: usize = 4096;

/// A document copied out of a snapshot.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    pub id: Sequence,
    pub row: DocumentRow,
    pub body: Vec<u8>,
}

/// Documents with one of the values of each name, within the ranges, among the keys or ids.
#[derive(Debug, Clone, Default)]
pub struct Find {
    /// A name and the values that it may have. No values: no document.
    pub any_of: Vec<(String, Vec<String>)>,
    /// A name, and bounds (excluded) on the order of its term.
    pub ranges: Vec<(String, Option<f64>, Option<f64>)>,
    pub keys: Option<Vec<String>>,
    pub after: Option<Sequence>,
    pub before: Option<Sequence>,
    /// A name by whose order documents are sorted, then by id; None sorts by id.
    pub order_by: Option<String>,
    pub ascending: bool,
    pub limit: Option<usize>,
}

/// The document under a key.
pub fn by_key(reader: &Reader<'_>, space: Space, key: &str) -> Result<Option<Sequence>> {
    let id = reader.get(Table::DocumentKeys, &keys::by_key(space, key))?;
    Ok(id.map(Sequence::from_key_end))
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

/// Ids and rows of the documents that `find` asks for, in its order.
///
/// What is rarest among the terms and ranges asked for drives: O(log + documents with it, up to the
/// limit). Where nothing is rarer than the limit and an order is asked for, the order drives.
pub fn find(
    reader: &Reader<'_>,
    space: Space,
    find: &Find,
) -> Result<Vec<(Sequence, DocumentRow)>> {
    let mut found = Vec::new();
    let bounds = find.bounds();
    let candidates = candidates(reader, space, find)?;
    let sorted = candidates.sorted;
    for id in candidates.ids {
        if sorted && find.limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        let id = id?;
        if !bounds.contains(id) {
            continue;
        }
        let Some(row) = row(reader, space, id)? else {
            continue;
        };
        if find.matches(space, &row) {
            found.push((id, row));
        }
    }
    if !sorted {
        found.sort_by(|one, other| {
            let order = find
                .order_of(space, &one.1)
                .partial_cmp(&find.order_of(space, &other.1))
                .unwrap_or(Ordering::Equal)
                .then(one.0.cmp(&other.0));
            if find.ascending {
                order
            } else {
                order.reverse()
            }
        });
        found.truncate(find.limit.unwrap_or(usize::MAX));
    }
    Ok(found)
}

/// How many documents `find` asks for. O(log) for at most one name's values; O(documents with the
/// rarest) without reading them for several names; else as [`find`].
pub fn count(reader: &Reader<'_>, space: Space, query: &Find) -> Result<usize> {
    let plain = query.ranges.is_empty()
        && query.keys.is_none()
        && query.after.is_none()
        && query.before.is_none();
    match query.any_of.as_slice() {
        [] if plain => count_of(reader, space, DocumentRow::ALL, ""),
        [term] if plain => count_of_any(reader, space, term),
        terms if plain => count_of_all(reader, space, terms),
        _ => {
            let unlimited = Find {
                limit: None,
                order_by: None,
                ..query.clone()
            };
            Ok(find(reader, space, &unlimited)?.len())
        }
    }
}

fn count_of_any(reader: &Reader<'_>, space: Space, term: &(String, Vec<String>)) -> Result<usize> {
    let values: BTreeSet<_> = term.1.iter().collect();
    let mut count = 0;
    for value in values {
        count += count_of(reader, space, &term.0, value)?;
    }
    Ok(count)
}

/// Counts the documents that have all of the terms, by the index alone.
fn count_of_all(
    reader: &Reader<'_>,
    space: Space,
    terms: &[(String, Vec<String>)],
) -> Result<usize> {
    let prefixes = |(name, values): &(String, Vec<String>)| -> Vec<Key> {
        let values: BTreeSet<_> = values.iter().collect();
        let of_value = |value: &String| keys::unordered(space, name, value);
        values.into_iter().map(of_value).collect()
    };
    let mut by_count = Vec::new();
    for term in terms {
        by_count.push((count_of_any(reader, space, term)?, prefixes(term)));
    }
    by_count.sort_by_key(|(count, _)| *count);
    let mut by_count = by_count.into_iter().map(|(_, prefixes)| prefixes);
    let rarest = by_count.next().unwrap_or_default();
    let others: Vec<_> = by_count.collect();
    let mut count = 0;
    for item in Merge::new(reader, Table::DocumentTerms, rarest, Bounds::ALL, true)? {
        let (id, _) = item?;
        let mut has_all = true;
        for values in &others {
            let mut has = false;
            for value in values {
                let key = value.clone().sequence(id);
                has = has || reader.get(Table::DocumentTerms, &key)?.is_some();
            }
            has_all = has_all && has;
        }
        count += usize::from(has_all);
    }
    Ok(count)
}

fn count_of(reader: &Reader<'_>, space: Space, name: &str, value: &str) -> Result<usize> {
    let key = keys::count(space, name, value);
    let row: Option<(String, String, i64)> = reader.row(Table::DocumentCounts, &key)?;
    Ok(row.map_or(0, |(_, _, count)| usize::try_from(count).unwrap_or(0)))
}

/// Ids to look at, and whether they come in the order asked for.
struct Candidates<'t> {
    ids: Box<dyn Iterator<Item = Result<Sequence>> + 't>,
    sorted: bool,
}

fn candidates<'t>(reader: &Reader<'t>, space: Space, find: &Find) -> Result<Candidates<'t>> {
    if let Some(wanted) = &find.keys {
        let mut ids = BTreeSet::new();
        for key in wanted {
            ids.extend(by_key(reader, space, key)?);
        }
        return Ok(Candidates::given(ids, find));
    }
    let mut rarest: Option<(usize, &(String, Vec<String>))> = None;
    for term in &find.any_of {
        let count = count_of_any(reader, space, term)?;
        if rarest.is_none_or(|(fewest, _)| count < fewest) {
            rarest = Some((count, term));
        }
    }
    let all = count_of(reader, space, DocumentRow::ALL, "")?;
    let fewest = rarest.map_or(all, |(count, _)| count);
    if let Some(ids) = ids_in_range(reader, space, find, fewest)? {
        return Ok(Candidates::given(ids, find));
    }
    let worth_sorting = find
        .limit
        .is_some_and(|limit| fewest <= limit.saturating_mul(50));
    if let Some(name) = &find.order_by
        && !worth_sorting
        && count_of(reader, space, name, "")? == all
    {
        let prefix = keys::value(space, name, "");
        let rows = reader.directed(Table::DocumentTerms, &prefix, find.ascending)?;
        return Ok(Candidates {
            ids: Box::new(rows.map(|row| Ok(Sequence::from_key_end(row?.0)))),
            sorted: true,
        });
    }
    let everything = (DocumentRow::ALL.to_owned(), vec![String::new()]);
    let (name, values) = rarest.map_or(&everything, |(_, term)| term);
    let values: BTreeSet<_> = values.iter().collect();
    let prefixes: Vec<_> = values
        .into_iter()
        .map(|value| keys::unordered(space, name, value))
        .collect();
    let merged = Merge::new(
        reader,
        Table::DocumentTerms,
        prefixes,
        find.bounds(),
        find.ascending,
    )?;
    Ok(Candidates {
        ids: Box::new(merged.map(|row| row.map(|(id, _)| id))),
        sorted: find.order_by.is_none(),
    })
}

/// Ids of the range with the fewest, if that is fewer than `fewest` and worth looking for.
fn ids_in_range(
    reader: &Reader<'_>,
    space: Space,
    find: &Find,
    fewest: usize,
) -> Result<Option<BTreeSet<Sequence>>> {
    let mut most = find
        .limit
        .map_or(fewest, |limit| fewest.min(limit.max(RANGE_PROBE)));
    let mut best = None;
    for (name, lower, upper) in &find.ranges {
        let prefix = keys::value(space, name, "");
        let mut ids = BTreeSet::new();
        for row in reader.ordered(Table::DocumentTerms, &prefix, (*lower, *upper), true)? {
            ids.insert(Sequence::from_key_end(row?.0));
            if ids.len() > most {
                break;
            }
        }
        if ids.len() <= most {
            most = ids.len();
            best = Some(ids);
        }
    }
    Ok(best)
}

impl Find {
    fn bounds(&self) -> Bounds {
        Bounds {
            after: self.after.unwrap_or(Bounds::ALL.after),
            before: self.before.unwrap_or(Bounds::ALL.before),
        }
    }

    fn matches(&self, space: Space, row: &DocumentRow) -> bool {
        if self.any_of.is_empty() && self.ranges.is_empty() {
            return true;
        }
        let terms = row.all_terms(space);
        let has = |(name, values): &(String, Vec<String>)| {
            terms
                .iter()
                .any(|term| term.name == *name && values.contains(&term.value))
        };
        let within = |(name, lower, upper): &(String, Option<f64>, Option<f64>)| {
            terms.iter().any(|term| {
                term.name == *name
                    && lower.is_none_or(|lower| term.order > lower)
                    && upper.is_none_or(|upper| term.order < upper)
            })
        };
        self.any_of.iter().all(has) && self.ranges.iter().all(within)
    }

    fn order_of(&self, space: Space, row: &DocumentRow) -> f64 {
        let Some(name) = &self.order_by else {
            return 0.0;
        };
        row.all_terms(space)
            .into_iter()
            .find(|term| term.name == *name)
            .map_or(f64::NEG_INFINITY, |term| term.order)
    }
}

impl Candidates<'_> {
    fn given(ids: BTreeSet<Sequence>, find: &Find) -> Self {
        let mut ids: Vec<_> = ids.into_iter().map(Ok).collect();
        if !find.ascending {
            ids.reverse();
        }
        Self {
            ids: Box::new(ids.into_iter()),
            sorted: find.order_by.is_none(),
        }
    }
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

/// The newest documents of each value of a name, at most `limit` of each, sorted by id.
pub fn buckets(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    values: &[String],
    query: &Find,
    limit: Option<usize>,
) -> Result<Vec<(Sequence, DocumentRow)>> {
    let mut found: HashMap<Sequence, DocumentRow> = HashMap::new();
    let mut seen = HashSet::new();
    for value in values.iter().filter(|value| seen.insert(*value)) {
        let mut one = query.clone();
        one.any_of.push((name.to_owned(), vec![value.clone()]));
        one.limit = limit;
        one.ascending = false;
        found.extend(find(reader, space, &one)?);
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(id, _)| *id);
    if !query.ascending {
        found.reverse();
    }
    Ok(found)
}

/// Documents with one of the values of a name, by the order of that term within bounds (excluded),
/// then by id. O(log + documents within the bounds, up to the limit), times the values.
pub fn ordered(
    reader: &Reader<'_>,
    space: Space,
    name: &str,
    values: &[String],
    bounds: (Option<f64>, Option<f64>),
    ascending: bool,
    limit: Option<usize>,
) -> Result<Vec<(Sequence, DocumentRow)>> {
    let mut found = Vec::new();
    let values: BTreeSet<_> = values.iter().collect();
    for value in values {
        let mut taken = 0;
        let prefix = keys::value(space, name, value);
        for key in reader.ordered(Table::DocumentTerms, &prefix, bounds, ascending)? {
            if limit.is_some_and(|limit| taken >= limit) {
                break;
            }
            let id = Sequence::from_key_end(key?.0);
            let Some(row) = row(reader, space, id)? else {
                continue;
            };
            let term = row
                .terms
                .iter()
                .find(|term| term.name == name && term.value == *value);
            let order = term.map_or(0.0, |term| term.order);
            let inside = bounds.0.is_none_or(|lower| order > lower)
                && bounds.1.is_none_or(|upper| order < upper);
            if inside {
                found.push((order, id, row));
                taken += 1;
            }
        }
    }
    found.sort_by(|one, other| {
        let order = one
            .0
            .partial_cmp(&other.0)
            .unwrap_or(Ordering::Equal)
            .then(one.1.cmp(&other.1));
        if ascending { order } else { order.reverse() }
    });
    found.truncate(limit.unwrap_or(usize::MAX));
    Ok(found.into_iter().map(|(_, id, row)| (id, row)).collect())
}
