//! The tree of times, as a set of the ids whose times meet conditions.

use crate::error::Result;
use crate::projection::Table;
use crate::projection::times::{
    Block, Entry, Node, TOP, TimeColumn, Times, block_of, from_id, last_id_of, node_key, place_of,
};
use crate::query::Reader;
use crate::record::Space;
use crate::sequence::Sequence;

/// Bounds, excluded, of a time. A document without the time has minus infinity, which no lower bound
/// lets in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    pub column: TimeColumn,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

impl Condition {
    /// The time is there, and within these bounds.
    pub fn within(column: TimeColumn, lower: Option<f64>, upper: Option<f64>) -> Self {
        Self {
            column,
            lower: Some(lower.unwrap_or(f64::NEG_INFINITY)),
            upper,
        }
    }

    /// There is no such time.
    pub fn without(column: TimeColumn) -> Self {
        Self {
            column,
            lower: None,
            upper: Some(f64::MIN),
        }
    }

    pub fn is_met_by(&self, times: &Times) -> bool {
        let time = times.get(self.column);
        self.lower.is_none_or(|lower| time > lower) && self.upper.is_none_or(|upper| time < upper)
    }

    fn may_be_met_in(&self, block: &Block) -> bool {
        self.lower
            .is_none_or(|lower| block.greatest(self.column) > lower)
            && self
                .upper
                .is_none_or(|upper| block.least(self.column) < upper)
    }

    fn is_met_by_all_in(&self, block: &Block) -> bool {
        self.lower
            .is_none_or(|lower| block.least(self.column) > lower)
            && self
                .upper
                .is_none_or(|upper| block.greatest(self.column) < upper)
    }
}

/// The documents of a space whose times meet all conditions, in the order of their ids.
///
/// The next one costs O(log ids) where the times came in the order of the ids, or nearly so; else the
/// blocks whose times lie on both sides of the conditions.
pub(super) struct TimeTree<'t> {
    reader: Reader<'t>,
    space: Space,
    ascending: bool,
    pub conditions: Vec<Condition>,
    /// The leaf that was read last, by its last id.
    leaf: Option<(u64, Node<'t>)>,
    /// Times of the document that was found last.
    pub times: Option<Times>,
}

impl<'t> TimeTree<'t> {
    pub fn new(
        reader: &Reader<'t>,
        space: Space,
        conditions: Vec<Condition>,
        ascending: bool,
    ) -> Self {
        Self {
            reader: *reader,
            space,
            ascending,
            conditions,
            leaf: None,
            times: None,
        }
    }

    /// The first document at an id or beyond it.
    pub fn seek(&mut self, mut at: u64) -> Result<Option<u64>> {
        if let Some((last, leaf)) = self.leaf
            && block_of(1, at).1 == last
        {
            if let Some(id) = self.in_leaf(leaf, at) {
                return Ok(Some(id));
            }
            match self.beyond(block_of(1, at)) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        loop {
            if let Some(id) = self.descend(TOP, at)? {
                return Ok(Some(id));
            }
            let Some(beyond) = self.beyond(block_of(TOP, at)) else {
                return Ok(None);
            };
            let Some(next) = self.next_block(beyond)? else {
                return Ok(None);
            };
            at = next;
        }
    }

    /// Where the ids beyond a block begin.
    fn beyond(&self, block: (u64, u64)) -> Option<u64> {
        if self.ascending {
            block.1.checked_add(1)
        } else {
            block.0.checked_sub(1)
        }
    }

    /// The first id at `at` or beyond it that may be in a block with documents.
    fn next_block(&self, at: u64) -> Result<Option<u64>> {
        let mut cursor = self.reader.cursor(Table::DocumentTimes)?;
        let row = if self.ascending {
            cursor.seek(from_id(self.space, at).bytes())?
        } else {
            // Keys of blocks that end at the id have a level after it.
            cursor.seek_below(from_id(self.space, at).byte(u8::MAX).bytes())?
        };
        let of_space = |key: &[u8]| key[0] == self.space as u8;
        Ok(row.filter(|(key, _)| of_space(key)).map(|(key, _)| {
            let last = last_id_of(key);
            if self.ascending {
                block_of(TOP, last).0.max(at)
            } else {
                last.min(at)
            }
        }))
    }

    fn descend(&mut self, level: u32, at: u64) -> Result<Option<u64>> {
        let key = node_key(self.space, level, at);
        let Some(bytes) = self.reader.get(Table::DocumentTimes, &key)? else {
            return Ok(None);
        };
        let node = Node::new(level, bytes);
        if level == 1 {
            self.leaf = Some((block_of(1, at).1, node));
            return Ok(self.in_leaf(node, at));
        }
        let here = place_of(level, at);
        let first = block_of(level, at).0;
        let children = block_of(level - 1, 0).1 + 1;
        let ascending = self.ascending;
        let mut visit = |place: u64, entry: Entry| -> Result<Option<u64>> {
            let Entry::Block(block) = entry else {
                return Ok(None);
            };
            if !self.conditions.iter().all(|one| one.may_be_met_in(&block)) {
                return Ok(None);
            }
            let begin = first + place * children;
            let at = match (place == here, ascending) {
                (true, _) => at,
                (false, true) => begin,
                (false, false) => begin + (children - 1),
            };
            self.descend(level - 1, at)
        };
        if ascending {
            for (place, entry) in node.entries().filter(|(place, _)| *place >= here) {
                if let Some(id) = visit(place, entry)? {
                    return Ok(Some(id));
                }
            }
        } else {
            for (place, entry) in node.entries().rev().filter(|(place, _)| *place <= here) {
                if let Some(id) = visit(place, entry)? {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    fn in_leaf(&mut self, leaf: Node<'t>, at: u64) -> Option<u64> {
        let here = place_of(1, at);
        let met = |(place, entry): (u64, Entry)| match entry {
            Entry::Document(times) if self.conditions.iter().all(|one| one.is_met_by(&times)) => {
                Some((place, times))
            }
            Entry::Document(_) | Entry::Block(_) => None,
        };
        let found = if self.ascending {
            let beyond = |(place, _): &(u64, Entry)| *place >= here;
            leaf.entries().filter(beyond).find_map(met)
        } else {
            let beyond = |(place, _): &(u64, Entry)| *place <= here;
            leaf.entries().rev().filter(beyond).find_map(met)
        };
        found.map(|(place, times)| {
            self.times = Some(times);
            block_of(1, at).0 + place
        })
    }
}

/// The times of a document. O(log).
pub(super) fn times_of(reader: &Reader<'_>, space: Space, id: Sequence) -> Result<Option<Times>> {
    let key = node_key(space, 1, id.get());
    let Some(bytes) = reader.get(Table::DocumentTimes, &key)? else {
        return Ok(None);
    };
    let here = place_of(1, id.get());
    let mut entries = Node::new(1, bytes).entries();
    Ok(entries.find_map(|(place, entry)| match entry {
        Entry::Document(times) if place == here => Some(times),
        Entry::Document(_) | Entry::Block(_) => None,
    }))
}

/// How many documents of a space meet all conditions. O(log ids) where times came in the order of the
/// ids: blocks that are within as a whole are not entered.
pub(super) fn count(reader: &Reader<'_>, space: Space, conditions: &[Condition]) -> Result<usize> {
    let tree = TimeTree::new(reader, space, Vec::new(), true);
    let mut found = 0;
    let mut at = Some(0);
    while let Some(from) = at {
        let Some(id) = tree.next_block(from)? else {
            break;
        };
        found += count_in(reader, space, TOP, id, conditions)?;
        at = tree.beyond(block_of(TOP, id));
    }
    Ok(found)
}

fn count_in(
    reader: &Reader<'_>,
    space: Space,
    level: u32,
    id: u64,
    conditions: &[Condition],
) -> Result<usize> {
    let key = node_key(space, level, id);
    let Some(bytes) = reader.get(Table::DocumentTimes, &key)? else {
        return Ok(0);
    };
    let first = block_of(level, id).0;
    let mut found = 0;
    for (place, entry) in Node::new(level, bytes).entries() {
        match entry {
            Entry::Document(times) => {
                found += usize::from(conditions.iter().all(|one| one.is_met_by(&times)));
            }
            Entry::Block(block) if conditions.iter().all(|one| one.is_met_by_all_in(&block)) => {
                found += block.count as usize;
            }
            Entry::Block(block) => {
                if conditions.iter().all(|one| one.may_be_met_in(&block)) {
                    let child = first + place * (block_of(level - 1, 0).1 + 1);
                    found += count_in(reader, space, level - 1, child, conditions)?;
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Condition, TimeTree, count, times_of};
    use crate::projection::times::{TimeColumn, Times, set};
    use crate::projection::{Carry, LogSource};
    use crate::query::Reader;
    use crate::record::Space;
    use crate::sequence::Sequence;
    use crate::store::{OpenOptions, Outcome};

    type Model = BTreeMap<u64, Times>;

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        /// Ids near each other, and in blocks of every level.
        fn id(&mut self) -> u64 {
            let bits = self.below(35);
            (self.below(3) << bits) + self.below(40)
        }

        /// Times of which many are equal, some missing, some before 1970 or after 2106.
        fn time(&mut self) -> f64 {
            match self.below(12) {
                0 => f64::NEG_INFINITY,
                1 => -1.5,
                2 => 5e9,
                _ => self.below(80) as f64 / 4.0,
            }
        }

        fn condition(&mut self) -> Condition {
            let columns = [TimeColumn::Created, TimeColumn::Updated];
            let column = columns[usize::from(self.below(2) == 0)];
            let mut bound = || (self.below(3) > 0).then(|| self.time());
            let (lower, upper) = (bound(), bound());
            match self.below(6) {
                0 => Condition::without(column),
                1 => Condition {
                    column,
                    lower,
                    upper,
                },
                _ => Condition::within(column, lower, upper),
            }
        }
    }

    fn met(model: &Model, conditions: &[Condition]) -> Vec<u64> {
        let met = |times: &Times| conditions.iter().all(|one| one.is_met_by(times));
        let found = model.iter().filter(|(_, times)| met(times));
        found.map(|(id, _)| *id).collect()
    }

    /// The tree and a plain map of the same documents give the same.
    fn assert_equal(reader: &Reader<'_>, model: &Model, dice: &mut Dice) -> crate::Result<()> {
        let space = Space::Run;
        for _ in 0..20 {
            let conditions: Vec<_> = (0..dice.below(3)).map(|_| dice.condition()).collect();
            let expected = met(model, &conditions);
            assert_eq!(count(reader, space, &conditions)?, expected.len());
            let mut tree = TimeTree::new(reader, space, conditions.clone(), true);
            let mut found = Vec::new();
            let mut at = Some(0);
            while let Some(id) = at {
                at = tree
                    .seek(id)?
                    .inspect(|id| found.push(*id))
                    .map(|id| id + 1);
            }
            assert_eq!(found, expected);
            let mut tree = TimeTree::new(reader, space, conditions.clone(), false);
            let mut found = Vec::new();
            let mut at = Some(u64::MAX);
            while let Some(id) = at {
                let next = tree.seek(id)?.inspect(|id| found.push(*id));
                at = next.and_then(|id| id.checked_sub(1));
            }
            found.reverse();
            assert_eq!(found, expected);
            let from = dice.id();
            let next = TimeTree::new(reader, space, conditions.clone(), true).seek(from)?;
            assert_eq!(next, expected.iter().copied().find(|id| *id >= from));
            let previous = TimeTree::new(reader, space, conditions, false).seek(from)?;
            assert_eq!(previous, expected.iter().copied().rfind(|id| *id <= from));
            assert_eq!(
                times_of(reader, space, Sequence::new(from))?,
                model.get(&from).copied()
            );
        }
        Ok(())
    }

    #[test]
    fn the_tree_finds_what_a_scan_finds_whatever_the_order_of_times() {
        let directory = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            create: true,
            ..OpenOptions::default()
        };
        let log = crate::EventLog::open(directory.path(), &options).unwrap();
        for seed in 1..=60 {
            let mut dice = Dice(seed * 7919);
            let done = log.store().write(&|| false, |transaction| {
                let trees = transaction.trees().clone();
                let set_of = |space, id, times: Option<Times>| {
                    let (writing, log) = (transaction.writing(), LogSource::Same(trees.log));
                    let mut carry = Carry::default();
                    let mut target = carry.target(writing, &trees.sets[0], log);
                    set(&mut target, space, Sequence::new(id), times.as_ref())?;
                    carry.finish(writing, &trees.sets[0])
                };
                let (mut set_of, mut model) = (set_of, Model::new());
                for _ in 0..dice.below(120) {
                    let id = dice.id();
                    if dice.below(4) == 0 {
                        model.remove(&id);
                        set_of(Space::Run, id, None)?;
                    } else {
                        let times = Times::NONE
                            .with(TimeColumn::Created, dice.time())
                            .with(TimeColumn::Updated, dice.time());
                        model.insert(id, times);
                        set_of(Space::Run, id, Some(times))?;
                    }
                    // Another space's documents are not this one's.
                    set_of(Space::Backfill, dice.id(), Some(Times::NONE))?;
                }
                let reader = Reader::new(transaction.view(), &trees.sets[0], trees.log);
                assert_equal(&reader, &model, &mut dice)?;
                Ok(Outcome::Nothing(()))
            });
            done.unwrap();
        }
    }
}
