//! Rows that wait to be put in about the order of their keys, along one cursor a tree.
//!
//! Most rows of an event are inserted and read by nothing that later events fold: those by run, by
//! type, by asset. Records in the order of the log scatter them over their trees, each looked up from
//! the root; sorted, most stand on the page of the one before.

use super::Table;
use crate::error::Result;
use crate::store::lmdb::{Tree, WriteTransaction};

/// Bytes of keys and values that wait at most, but for one row.
const BYTES: usize = 4 << 20;
/// From so many rows on, opening a cursor costs less than it saves: an event alone has fewer in a tree.
const FEW: usize = 5;

/// Rows that are in no tree yet.
#[derive(Debug, Default)]
pub struct Deferred {
    /// Key and value of each, one after the other.
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    table: Table,
    /// The first bytes of the key, zeros where it is shorter.
    prefix: u128,
    begin: usize,
    key: usize,
    value: usize,
}

impl Row {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.begin..self.begin + self.key]
    }

    fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.begin + self.key..self.begin + self.key + self.value]
    }
}

impl Deferred {
    /// Adds a row. False if it is time to put what waits.
    pub fn push(&mut self, table: Table, key: &[u8], value: &[u8]) -> bool {
        let mut prefix = [0; size_of::<u128>()];
        let length = key.len().min(prefix.len());
        prefix[..length].copy_from_slice(&key[..length]);
        self.rows.push(Row {
            table,
            prefix: u128::from_be_bytes(prefix),
            begin: self.bytes.len(),
            key: key.len(),
            value: value.len(),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.bytes.len() < BYTES
    }

    /// Puts what waits into the trees of a set. O(rows log rows).
    pub fn put(&mut self, writing: &mut WriteTransaction<'_>, trees: &[Tree]) -> Result<()> {
        // Of one prefix as they came: sequences, which end most keys, ascend then as well.
        self.rows
            .sort_unstable_by_key(|row| (row.table as u8, row.prefix, row.begin));
        let bytes = &self.bytes;
        for rows in self.rows.chunk_by(|a, b| a.table == b.table) {
            let tree = trees[rows[0].table as usize];
            if rows.len() < FEW {
                for row in rows {
                    writing.put(tree, row.key(bytes), row.value(bytes))?;
                }
            } else {
                let rows = rows.iter().map(|row| (row.key(bytes), row.value(bytes)));
                writing.put_all(tree, rows)?;
            }
        }
        self.rows.clear();
        self.bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::TABLES;
    use crate::store::lmdb::{Environment, EnvironmentOptions};

    const USED: [Table; 3] = [Table::RunEvents, Table::AssetEvents, Table::TypeEvents];

    /// Gives a test a transaction, and two empty sets.
    fn with_sets(test: impl FnOnce(&mut WriteTransaction<'_>, [Vec<Tree>; 2])) {
        let directory = tempfile::tempdir().unwrap();
        let options = EnvironmentOptions {
            map_size: 1 << 30,
            max_readers: 8,
            max_trees: 2 * TABLES.len() as u32,
            scratch: true,
            read_only: false,
            no_lock: true,
        };
        let environment = Environment::open(directory.path(), &options).unwrap();
        let mut writing = environment.write().unwrap();
        let sets = ["a", "b"].map(|set| {
            let tree = |table| writing.create_tree(&format!("{set}.{table}")).unwrap();
            TABLES.iter().copied().map(tree).collect()
        });
        test(&mut writing, sets);
    }

    #[test]
    fn rows_that_waited_are_those_of_puts_in_their_order() {
        with_sets(|writing, [deferred_set, put_set]| {
            let mut deferred = Deferred::default();
            let mut state = 7919_u64;
            let mut below = |bound: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let mut again = 0;
            for number in 0..40_000_u32 {
                let table = USED[number as usize % 3];
                // Shorter and longer than what is compared as a number, and equal in it; some come
                // twice, and some are others with a zero behind them.
                let mut key = vec![b'k'; 1 + below(20) as usize];
                key.extend_from_slice(&below(3_000).to_be_bytes()[6..]);
                key.resize(key.len() + below(2) as usize, 0);
                let value = vec![number as u8; below(30) as usize];
                let tree = put_set[table as usize];
                again += usize::from(writing.view().get(tree, &key).unwrap().is_some());
                writing.put(tree, &key, &value).unwrap();
                assert!(deferred.push(table, &key, &value));
                if number % 8_000 == 7_999 {
                    deferred.put(writing, &deferred_set).unwrap();
                }
            }
            assert!(again > 1_000);
            for table in Table::ALL {
                let [deferred_tree, put_tree] =
                    [&deferred_set, &put_set].map(|set| set[table as usize]);
                let rows = |tree: Tree| {
                    let rows = writing.view().range(tree, &[], &[]).unwrap();
                    rows.map(|row| row.unwrap()).collect::<Vec<_>>()
                };
                assert_eq!(rows(deferred_tree), rows(put_tree), "{}", table.name());
                let depth = writing.view().stat(deferred_tree).unwrap().depth;
                assert_eq!(depth, if USED.contains(&table) { 3 } else { 0 });
            }
        });
    }

    #[test]
    fn it_says_when_enough_waits() {
        with_sets(|writing, [set, _]| {
            let mut deferred = Deferred::default();
            let large = vec![1; BYTES / 4];
            let pushed = |deferred: &mut Deferred| {
                (0..4_u32)
                    .map(|key| deferred.push(Table::Runs, &key.to_be_bytes(), &large))
                    .collect()
            };
            let first: Vec<bool> = pushed(&mut deferred);
            assert_eq!(first, [true, true, true, false]);
            deferred.put(writing, &set).unwrap();
            assert_eq!(pushed(&mut deferred), first);
            let put = writing.view().stat(set[Table::Runs as usize]).unwrap();
            assert_eq!(put.entries, 4);
        });
    }
}
