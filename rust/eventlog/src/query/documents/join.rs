//! The documents that several sets have in common, in the order of their ids.
//!
//! A leapfrog join (Veldhuizen, "Leapfrog Triejoin", ICDT 2014, section 3.1): each set in turn leaps to
//! the first of its ids that is not behind the furthest of the others; where all stand at one id, it is
//! common.

use super::Find;
use super::sources::{AnyOf, Source};
use super::terms::count_of_any;
use super::times::{Condition, TimeTree};
use crate::error::Result;
use crate::projection::rows::DocumentRow;
use crate::projection::times::Times;
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;

/// What came of a round over the sets.
pub(super) enum Round {
    Found(Sequence),
    /// Not all stand at one id yet.
    Leapt,
    End,
}

/// Ids that are in all of the sets.
pub(super) struct Join<'t> {
    sources: Vec<Source<'t>>,
    /// The id to go on from; None at the end.
    at: Option<u64>,
    /// The last id that may be returned.
    last: u64,
    ascending: bool,
}

impl<'t> Join<'t> {
    /// What a query asks for, whatever its order and limit.
    pub fn new(reader: &Reader<'t>, space: Space, find: &Find, ascending: bool) -> Result<Self> {
        Self::with(reader, space, find, ascending, Vec::new())
    }

    /// What a query asks for, of which the documents' times are wanted too, or meet further conditions.
    pub fn timed(
        reader: &Reader<'t>,
        space: Space,
        find: &Find,
        ascending: bool,
        more: Vec<Condition>,
    ) -> Result<Self> {
        let mut conditions = conditions(find);
        conditions.extend(more);
        let tree = TimeTree::new(reader, space, conditions, ascending);
        let without = Find {
            ranges: Vec::new(),
            ..find.clone()
        };
        Self::with(
            reader,
            space,
            &without,
            ascending,
            vec![Source::Times(tree)],
        )
    }

    fn with(
        reader: &Reader<'t>,
        space: Space,
        find: &Find,
        ascending: bool,
        mut sources: Vec<Source<'t>>,
    ) -> Result<Self> {
        if let Some(wanted) = &find.keys {
            let mut ids = Vec::new();
            for key in wanted {
                ids.extend(super::by_key(reader, space, key)?.map(Sequence::get));
            }
            ids.sort_unstable();
            if !ascending {
                ids.reverse();
            }
            sources.push(Source::Given(ids));
        }
        for (name, values) in by_count(reader, space, find)? {
            let any_of = AnyOf::new(reader, space, name, values, ascending)?;
            sources.push(Source::AnyOf(any_of));
        }
        if !find.ranges.is_empty() {
            let tree = TimeTree::new(reader, space, conditions(find), ascending);
            sources.push(Source::Times(tree));
        }
        if sources.is_empty() {
            let all = [String::new()];
            let all = AnyOf::new(reader, space, DocumentRow::ALL, &all, ascending)?;
            sources.push(Source::AnyOf(all));
        }
        let first = find.after.map_or(Some(0), |id| id.get().checked_add(1));
        let last = find
            .before
            .map_or(Some(u64::MAX), |id| id.get().checked_sub(1));
        let (at, last) = match (first, last) {
            (Some(first), Some(last)) if first <= last && ascending => (Some(first), last),
            (Some(first), Some(last)) if first <= last => (Some(last), first),
            _ => (None, 0),
        };
        Ok(Self {
            sources,
            at,
            last,
            ascending,
        })
    }

    /// Lets each set leap once.
    pub fn round(&mut self) -> Result<Round> {
        let Some(mut at) = self.at else {
            return Ok(Round::End);
        };
        let mut agreed = true;
        for (place, source) in self.sources.iter_mut().enumerate() {
            let Some(id) = source.seek(at, self.ascending)? else {
                self.at = None;
                return Ok(Round::End);
            };
            // Where the first one stands, the others have yet to come.
            agreed = agreed && (place == 0 || id == at);
            at = id;
        }
        let is_beyond = if self.ascending {
            at > self.last
        } else {
            at < self.last
        };
        if is_beyond {
            self.at = None;
            return Ok(Round::End);
        }
        if !agreed {
            self.at = Some(at);
            return Ok(Round::Leapt);
        }
        self.at = match self.ascending {
            _ if at == self.last => None,
            true => Some(at + 1),
            false => Some(at - 1),
        };
        Ok(Round::Found(Sequence::new(at)))
    }

    /// The times of the document that was found last, of a join that is timed.
    pub fn times(&self) -> Option<Times> {
        match self.sources.first() {
            Some(Source::Times(tree)) => tree.times,
            _ => None,
        }
    }

    /// Replaces the last condition of a timed join by a narrower one.
    pub fn narrow(&mut self, condition: Condition) {
        if let Some(Source::Times(tree)) = self.sources.first_mut() {
            tree.conditions.pop();
            tree.conditions.push(condition);
        }
    }
}

impl Iterator for Join<'_> {
    type Item = Result<Sequence>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.round() {
                Ok(Round::Found(id)) => return Some(Ok(id)),
                Ok(Round::Leapt) => {}
                Ok(Round::End) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What a query asks of the documents' times.
pub(super) fn conditions(find: &Find) -> Vec<Condition> {
    let ranges = find.ranges.iter();
    ranges
        .map(|(column, lower, upper)| Condition::within(*column, *lower, *upper))
        .collect()
}

/// The terms of a query, the rarest first.
fn by_count<'f>(
    reader: &Reader<'_>,
    space: Space,
    find: &'f Find,
) -> Result<Vec<(&'f str, &'f [String])>> {
    let mut terms = Vec::new();
    for (name, values) in &find.any_of {
        let count = match find.any_of.len() {
            1 => 0,
            _ => count_of_any(reader, space, name, values)?,
        };
        terms.push((count, (name.as_str(), values.as_slice())));
    }
    terms.sort_by_key(|(count, _)| *count);
    Ok(terms.into_iter().map(|(_, term)| term).collect())
}
