//! The documents that a query asks for, in its order and up to its limit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::join::{Join, Round, conditions};
use super::terms::count_of;
use super::times::{Condition, times_of};
use super::{Find, TimeRange};
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::{Key, document as keys};
use crate::projection::rows::DocumentRow;
use crate::projection::times::TimeColumn;
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;
use crate::store::lmdb::Range;

/// Ids of the documents that `find` asks for, in its order.
///
/// In the order of ids O(documents returned, and the gaps of the rarest set), times the logarithm of
/// all. In the order of a time there are two ways, and at most twice the cheaper one is done: to go by
/// the time and look each document up in the sets, and to join the sets and keep the best, where what
/// is worse than the kept ones is passed over by the tree of times.
pub fn find(reader: &Reader<'_>, space: Space, find: &Find) -> Result<Vec<Sequence>> {
    let limit = find.limit.unwrap_or(usize::MAX);
    match find.order_by {
        None => Join::new(reader, space, find, find.ascending)?
            .take(limit)
            .collect(),
        Some(column) => by_time(reader, space, find, column, limit),
    }
}

fn by_time(
    reader: &Reader<'_>,
    space: Space,
    find: &Find,
    column: TimeColumn,
    limit: usize,
) -> Result<Vec<Sequence>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut best = Best::new(reader, space, find, column, limit)?;
    if find.limit.is_none() {
        while !best.step()? {}
        return Ok(best.into_ids());
    }
    let mut walk = Walk::new(reader, space, find, column)?;
    let mut found = Vec::new();
    loop {
        match walk.step()? {
            Round::Found(id) => found.push(id),
            Round::Leapt => {}
            Round::End => return Ok(found),
        }
        if found.len() == limit {
            return Ok(found);
        }
        if best.step()? {
            return Ok(best.into_ids());
        }
    }
}

/// Documents by the index of a time; those without it are before the earliest.
struct Walk<'t> {
    reader: Reader<'t>,
    space: Space,
    ordered: Range<'t>,
    lookup: Lookup,
    without: Option<Join<'t>>,
    ascending: bool,
}

impl<'t> Walk<'t> {
    fn new(reader: &Reader<'t>, space: Space, find: &Find, column: TimeColumn) -> Result<Self> {
        let of_column = |range: &&TimeRange| range.0 == column;
        let bounds = find.ranges.iter().find(of_column);
        let with = count_of(reader, space, column.name(), "")?;
        let have_all = with == count_of(reader, space, DocumentRow::ALL, "")?;
        let without = if bounds.is_some() || have_all {
            None
        } else {
            let without = vec![Condition::without(column)];
            Some(Join::timed(reader, space, find, find.ascending, without)?)
        };
        let bounds = bounds.map_or((None, None), |(_, lower, upper)| (*lower, *upper));
        let prefix = keys::value(space, column.name(), "");
        Ok(Self {
            reader: *reader,
            space,
            ordered: reader.ordered(Table::DocumentTerms, &prefix, bounds, find.ascending)?,
            lookup: Lookup::new(reader, space, find)?,
            without,
            ascending: find.ascending,
        })
    }

    fn step(&mut self) -> Result<Round> {
        if self.ascending && self.without.is_some() {
            return self.step_without();
        }
        let Some(row) = self.ordered.next().transpose()? else {
            return self.step_without();
        };
        let id = Sequence::from_key_end(row.0)?;
        if self.lookup.contains(&self.reader, self.space, id)? {
            Ok(Round::Found(id))
        } else {
            Ok(Round::Leapt)
        }
    }

    fn step_without(&mut self) -> Result<Round> {
        let Some(join) = &mut self.without else {
            return Ok(Round::End);
        };
        let round = join.round()?;
        if self.ascending && matches!(round, Round::End) {
            self.without = None;
            return Ok(Round::Leapt);
        }
        Ok(round)
    }
}

/// Whether a document is in the sets that a query asks for.
struct Lookup {
    /// For each name its values, as what their keys begin with.
    terms: Vec<Vec<Key>>,
    conditions: Vec<Condition>,
    ids: Option<Vec<Sequence>>,
    after: Sequence,
    before: Option<Sequence>,
}

impl Lookup {
    fn new(reader: &Reader<'_>, space: Space, find: &Find) -> Result<Self> {
        let terms = find.any_of.iter().map(|(name, values)| {
            let of_value = |value: &String| keys::unordered(space, name, value);
            values.iter().map(of_value).collect()
        });
        let ids = match &find.keys {
            None => None,
            Some(wanted) => {
                let mut ids = Vec::new();
                for key in wanted {
                    ids.extend(super::by_key(reader, space, key)?);
                }
                ids.sort_unstable();
                Some(ids)
            }
        };
        Ok(Self {
            terms: terms.collect(),
            conditions: conditions(find),
            ids,
            after: find.after.unwrap_or(Sequence::ZERO),
            before: find.before,
        })
    }

    fn contains(&self, reader: &Reader<'_>, space: Space, id: Sequence) -> Result<bool> {
        if id <= self.after || self.before.is_some_and(|before| id >= before) {
            return Ok(false);
        }
        if self
            .ids
            .as_ref()
            .is_some_and(|ids| ids.binary_search(&id).is_err())
        {
            return Ok(false);
        }
        if !self.conditions.is_empty() {
            let times = times_of(reader, space, id)?;
            let met = times.is_some_and(|times| {
                let mut conditions = self.conditions.iter();
                conditions.all(|condition| condition.is_met_by(&times))
            });
            if !met {
                return Ok(false);
            }
        }
        for values in &self.terms {
            let mut has_one = false;
            for value in values {
                let key = value.clone().sequence(id);
                has_one = has_one || reader.get(Table::DocumentTerms, &key)?.is_some();
            }
            if !has_one {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The first documents in the order of a time, kept while the sets are joined.
struct Best<'t> {
    join: Join<'t>,
    /// The last of those kept is on top.
    kept: BinaryHeap<Place>,
    column: TimeColumn,
    limit: usize,
    ascending: bool,
}

impl<'t> Best<'t> {
    fn new(
        reader: &Reader<'t>,
        space: Space,
        find: &Find,
        column: TimeColumn,
        limit: usize,
    ) -> Result<Self> {
        let anything = Condition {
            column,
            lower: None,
            upper: None,
        };
        Ok(Self {
            join: Join::timed(reader, space, find, find.ascending, vec![anything])?,
            kept: BinaryHeap::new(),
            column,
            limit,
            ascending: find.ascending,
        })
    }

    /// True once the kept ones are the first of all.
    fn step(&mut self) -> Result<bool> {
        let id = match self.join.round()? {
            Round::Found(id) => id,
            Round::Leapt => return Ok(false),
            Round::End => return Ok(true),
        };
        let Some(times) = self.join.times() else {
            return Ok(false);
        };
        let (time, ascending) = (times.get(self.column), self.ascending);
        self.kept.push(Place {
            time,
            id,
            ascending,
        });
        if self.kept.len() > self.limit {
            self.kept.pop();
        }
        if self.kept.len() == self.limit
            && let Some(last) = self.kept.peek()
        {
            // What comes later in the join with the same time comes later in the order too.
            let bound = Some(last.time);
            self.join.narrow(Condition {
                column: self.column,
                lower: bound.filter(|_| !ascending),
                upper: bound.filter(|_| ascending),
            });
        }
        Ok(false)
    }

    fn into_ids(self) -> Vec<Sequence> {
        let kept = self.kept.into_sorted_vec();
        kept.into_iter().map(|place| place.id).collect()
    }
}

/// A document's place in the order of a time.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: f64,
    id: Sequence,
    ascending: bool,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self
            .time
            .total_cmp(&other.time)
            .then(self.id.cmp(&other.id));
        if self.ascending {
            order
        } else {
            order.reverse()
        }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

/// Sorts ids by a time, then by id; those without the time are before the earliest.
pub(super) fn sort_by_time(
    reader: &Reader<'_>,
    space: Space,
    ids: impl IntoIterator<Item = Sequence>,
    column: TimeColumn,
    ascending: bool,
) -> Result<Vec<Sequence>> {
    let mut places = Vec::new();
    for id in ids {
        let times = times_of(reader, space, id)?;
        places.push(Place {
            time: times.map_or(f64::NEG_INFINITY, |times| times.get(column)),
            id,
            ascending,
        });
    }
    places.sort_unstable();
    Ok(places.into_iter().map(|place| place.id).collect())
}

#[cfg(test)]
mod tests {
    use super::{Best, Find, Join, Round, Walk, sort_by_time};
    use crate::command::{Command, NewDocument, Put};
    use crate::projection::times::TimeColumn;
    use crate::record::{Space, Term};
    use crate::sequence::Sequence;
    use crate::store::OpenOptions;

    const COLUMNS: [TimeColumn; 2] = [TimeColumn::Created, TimeColumn::Started];

    /// Runs whose times are a shuffle of small numbers, one in four without a start.
    fn runs() -> Vec<NewDocument> {
        let term = |name: &str, value: String, order| Term {
            name: name.to_owned(),
            value,
            order,
        };
        let run = |number: u32| {
            let created = f64::from(number * 7 % 41) / 2.0;
            let mut terms = vec![
                term("job", (number % 3).to_string(), 0.0),
                term(Term::CREATED, String::new(), created),
            ];
            if number % 4 != 1 {
                let started = f64::from(number * 11 % 29);
                terms.push(term("@started", String::new(), started));
            }
            NewDocument {
                space: Space::Run,
                put: Put::Insert,
                id: None,
                key: number.to_string(),
                created: Some(created),
                terms,
                body: vec![0],
            }
        };
        (0..150).map(run).collect()
    }

    #[test]
    fn both_ways_find_the_same_each_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            create: true,
            ..OpenOptions::default()
        };
        let log = crate::EventLog::open(directory.path(), &options).unwrap();
        let documents = runs();
        log.execute(
            &Command::PutDocuments {
                documents,
                now: 1.0,
            },
            &|| false,
        )
        .unwrap();
        let any_job = |jobs: &[&str]| {
            let jobs = jobs.iter().map(|&job| job.to_owned()).collect();
            vec![("job".to_owned(), jobs)]
        };
        let ranges = [
            vec![],
            vec![(TimeColumn::Created, Some(3.0), Some(15.0))],
            vec![(TimeColumn::Started, Some(3.0), None)],
        ];
        let space = Space::Run;
        let mut asked = 0;
        log.query(|reader| {
            for (of, range) in COLUMNS
                .into_iter()
                .flat_map(|of| ranges.iter().map(move |r| (of, r)))
            {
                for any_of in [vec![], any_job(&["1"]), any_job(&["0", "2"])] {
                    for (ascending, before) in [(true, None), (false, None), (true, Some(90))] {
                        let find = Find {
                            any_of: any_of.clone(),
                            ranges: range.clone(),
                            before: before.map(Sequence::new),
                            ascending,
                            ..Find::default()
                        };
                        let all: Vec<_> =
                            Join::new(reader, space, &find, true)?.collect::<crate::Result<_>>()?;
                        let expected = sort_by_time(reader, space, all, of, ascending)?;
                        let mut walk = Walk::new(reader, space, &find, of)?;
                        let mut walked = Vec::new();
                        loop {
                            match walk.step()? {
                                Round::Found(id) => walked.push(id),
                                Round::Leapt => {}
                                Round::End => break,
                            }
                        }
                        assert_eq!(walked, expected);
                        for limit in [1, 2, 7, 60, 1000] {
                            let mut best = Best::new(reader, space, &find, of, limit)?;
                            while !best.step()? {}
                            let first = expected.iter().copied().take(limit);
                            assert_eq!(best.into_ids(), first.collect::<Vec<_>>());
                            asked += 1;
                        }
                    }
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(asked, 270);
    }

    #[test]
    fn what_is_worse_than_the_page_so_far_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            create: true,
            ..OpenOptions::default()
        };
        let log = crate::EventLog::open(directory.path(), &options).unwrap();
        let mut documents = runs();
        for (number, run) in (0_u32..).zip(&mut documents) {
            run.created = Some(f64::from(number));
        }
        log.execute(
            &Command::PutDocuments {
                documents,
                now: 1.0,
            },
            &|| false,
        )
        .unwrap();
        let rounds = log.query(|reader| {
            let find = Find::default();
            let mut best = Best::new(reader, Space::Run, &find, TimeColumn::Created, 5)?;
            let mut rounds = 1;
            while !best.step()? {
                rounds += 1;
            }
            Ok(rounds)
        });
        assert_eq!(rounds.unwrap(), 6, "five of a page, and the end");
    }
}
