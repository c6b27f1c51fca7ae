//! The tree of times: how the times of runs and backfills lie over their ids.
//!
//! Ids are cut into blocks of 32, those into blocks of 32 blocks, and so on. A node holds an entry for
//! each of its children that has documents: a document's times, or of a block how many documents it
//! has, and the least and the greatest of each time. So a query for times, in the order of ids, passes
//! over blocks that have none of them, whatever the order in which times came: clocks that were set,
//! histories that were imported, runs that were tagged years later.
//!
//! A node is what the documents under it make it, so the fold of any log of them is the same. Keys are
//! in post-order (space, last id of the block, level): the nodes that a new document changes are
//! neighbours at the end of the space.

use super::key::Key;
use super::{Table, Target};
use crate::error::Result;
use crate::record::{Space, Term};
use crate::sequence::Sequence;

/// Bits of an id that choose a child.
const BITS: u32 = 5;

/// The level of the topmost nodes; there is one for each 2^30 ids.
pub const TOP: u32 = 6;

const COLUMNS: usize = 4;
const LEAF_ENTRY: usize = 1 + COLUMNS * 8;
const INNER_ENTRY: usize = 1 + 4 + COLUMNS * 8;

/// A time that documents are bounded and ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeColumn {
    Created,
    Updated,
    Started,
    Ended,
}

impl TimeColumn {
    const ALL: [Self; COLUMNS] = [Self::Created, Self::Updated, Self::Started, Self::Ended];

    /// The name of its term.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => Term::CREATED,
            Self::Updated => "@updated",
            Self::Started => "@started",
            Self::Ended => "@ended",
        }
    }

    /// The column of a term's name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// A document's times, Unix seconds; minus infinity where it has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times([f64; COLUMNS]);

impl Times {
    /// The times of a document with these terms.
    pub fn of(terms: &[Term]) -> Self {
        let mut times = Self::NONE;
        for term in terms {
            if let Some(column) = TimeColumn::named(&term.name) {
                times = times.with(column, term.order);
            }
        }
        times
    }

    /// The time of a column; minus infinity where there is none.
    pub fn get(&self, column: TimeColumn) -> f64 {
        self.0[column as usize]
    }

    /// A document without times.
    pub const NONE: Self = Self([f64::NEG_INFINITY; COLUMNS]);

    /// The same times but for one.
    #[must_use]
    pub fn with(mut self, column: TimeColumn, time: f64) -> Self {
        self.0[column as usize] = time;
        self
    }

    fn read(entry: &[u8]) -> Self {
        let mut times = [0.0; COLUMNS];
        for (time, bytes) in times.iter_mut().zip(entry[1..].chunks_exact(8)) {
            *time = f64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        }
        Self(times)
    }
}

/// What a block's documents have in common, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Documents in it.
    pub count: u32,
    /// Least and greatest of each column. 0 is no time, or one before 1970, and the greatest number any
    /// time after it.
    bounds: [(u32, u32); COLUMNS],
}

impl Block {
    const EMPTY: Self = Self {
        count: 0,
        bounds: [(u32::MAX, 0); COLUMNS],
    };

    /// A time that no document's time of the column is below.
    pub fn least(&self, column: TimeColumn) -> f64 {
        match self.bounds[column as usize].0 {
            0 => f64::NEG_INFINITY,
            seconds => f64::from(seconds),
        }
    }

    /// A time that no document's time of the column is above.
    pub fn greatest(&self, column: TimeColumn) -> f64 {
        match self.bounds[column as usize].1 {
            u32::MAX => f64::INFINITY,
            seconds => f64::from(seconds),
        }
    }

    fn read(entry: &[u8]) -> Self {
        let number =
            |at: usize| u32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        let mut block = Self {
            count: number(1),
            ..Self::EMPTY
        };
        for (column, bounds) in block.bounds.iter_mut().enumerate() {
            *bounds = (number(5 + column * 8), number(9 + column * 8));
        }
        block
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        for (bounds, others) in self.bounds.iter_mut().zip(other.bounds) {
            *bounds = (bounds.0.min(others.0), bounds.1.max(others.1));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time out of range becomes the bound that stands for such times"
    )]
    fn of_one(times: &Times) -> Self {
        Self {
            count: 1,
            bounds: times
                .0
                .map(|time| (time.floor() as u32, time.ceil() as u32)),
        }
    }
}

/// A node of the tree, as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    level: u32,
    bytes: &'t [u8],
}

/// A child of a node.
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    Document(Times),
    Block(Block),
}

impl<'t> Node<'t> {
    /// The node of a level under these bytes of a row.
    pub fn new(level: u32, bytes: &'t [u8]) -> Self {
        Self { level, bytes }
    }

    /// Places of children, ascending, and the children.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (u64, Entry)> + use<'t> {
        let entries = self.bytes.chunks_exact(width(self.level));
        entries.map(move |entry| {
            let child = match self.level {
                1 => Entry::Document(Times::read(entry)),
                _ => Entry::Block(Block::read(entry)),
            };
            (u64::from(entry[0]), child)
        })
    }

    fn block(self) -> Block {
        let mut block = Block::EMPTY;
        for (_, entry) in self.entries() {
            block.add(match entry {
                Entry::Document(times) => Block::of_one(&times),
                Entry::Block(block) => block,
            });
        }
        block
    }
}

fn width(level: u32) -> usize {
    if level == 1 { LEAF_ENTRY } else { INNER_ENTRY }
}

/// Whether the documents of a space are in the tree.
pub fn is_timed(space: Space) -> bool {
    matches!(space, Space::Run | Space::Backfill)
}

/// First and last id of the block of a level that an id is in.
pub fn block_of(level: u32, id: u64) -> (u64, u64) {
    let last = (1 << (BITS * level)) - 1;
    (id & !last, id | last)
}

/// The place of an id among the children of its node of a level.
pub fn place_of(level: u32, id: u64) -> u64 {
    (id >> (BITS * (level - 1))) & ((1 << BITS) - 1)
}

/// The key of the node of a level that an id is under.
pub fn node_key(space: Space, level: u32, id: u64) -> Key {
    from_id(space, block_of(level, id).1).byte(u8::try_from(level).expect("a level is small"))
}

/// Where the nodes begin whose blocks end at an id or after it.
pub fn from_id(space: Space, id: u64) -> Key {
    Key::new().byte(space as u8).number(id)
}

/// The last id of the block that a node's key is of.
pub fn last_id_of(key: &[u8]) -> u64 {
    let id = key[1..9].try_into().expect("a space, an id and a level");
    u64::from_be_bytes(id)
}

/// Sets the times of a document, or takes it out of the tree.
pub(crate) fn set(
    target: &mut Target<'_, '_>,
    space: Space,
    id: Sequence,
    times: Option<&Times>,
) -> Result<()> {
    let id = id.get();
    let mut entry: Vec<u8> = times.map_or_else(Vec::new, |times| {
        let times = times.0.iter().flat_map(|time| time.to_be_bytes());
        std::iter::once(0).chain(times).collect()
    });
    for level in 1..=TOP {
        let place = u8::try_from(place_of(level, id)).expect("a place is small");
        if let Some(first) = entry.first_mut() {
            *first = place;
        }
        let key = node_key(space, level, id);
        let old = target.get(Table::DocumentTimes, &key)?.unwrap_or_default();
        let new = with_entry(old, width(level), place, &entry);
        if new == old {
            return Ok(());
        }
        if new.is_empty() {
            target.delete(Table::DocumentTimes, key.bytes())?;
        } else {
            target.put(Table::DocumentTimes, &key, &new)?;
        }
        entry = match Node::new(level, &new).block() {
            Block::EMPTY => Vec::new(),
            block => {
                let bounds = block
                    .bounds
                    .iter()
                    .flat_map(|(least, greatest)| [least, greatest]);
                let numbers = std::iter::once(&block.count).chain(bounds);
                let bytes = numbers.flat_map(|number| number.to_be_bytes());
                std::iter::once(0).chain(bytes).collect()
            }
        };
    }
    Ok(())
}

/// A node's bytes with another entry at a place; an empty one takes it out.
fn with_entry(node: &[u8], width: usize, place: u8, entry: &[u8]) -> Vec<u8> {
    let entries = node.chunks_exact(width);
    let before = entries.clone().take_while(|entry| entry[0] < place).count() * width;
    let is_there = node.get(before) == Some(&place);
    let after = before + if is_there { width } else { 0 };
    [&node[..before], entry, &node[after..]].concat()
}
