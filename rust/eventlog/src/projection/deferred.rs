//! Rows that wait to be put in the order of their keys, along one cursor a tree.
//!
//! Most rows of an event are inserted and read by nothing that later events fold: those by run, by
//! type, by asset. Records in the order of the log scatter them over their trees, each looked up from
//! the root; sorted, most stand on the page of the one before.

use std::cmp::Ordering;

use super::Table;
use crate::error::Result;
use crate::store::lmdb::{Tree, WriteTransaction};

/// Bytes that wait at most, but for one row.
const BYTES: usize = 4 << 20;

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
    /// The first bytes of the key, zeros where it is shorter: they tell most rows apart.
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

    /// By table and key; of one key, the row that came first.
    fn compare(&self, other: &Self, bytes: &[u8]) -> Ordering {
        (self.table as u8, self.prefix)
            .cmp(&(other.table as u8, other.prefix))
            .then_with(|| self.key(bytes).cmp(other.key(bytes)))
            .then_with(|| self.begin.cmp(&other.begin))
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
        let bytes = &self.bytes;
        self.rows.sort_unstable_by(|a, b| a.compare(b, bytes));
        for rows in self.rows.chunk_by(|a, b| a.table == b.table) {
            let tree = trees[rows[0].table as usize];
            let rows = rows.iter().map(|row| (row.key(bytes), row.value(bytes)));
            writing.put_all(tree, rows)?;
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

    fn sets(directory: &std::path::Path) -> (Environment, [Vec<Tree>; 2]) {
        let options = EnvironmentOptions {
            map_size: 1 << 30,
            max_readers: 8,
            max_trees: 2 * TABLES.len() as u32,
            scratch: true,
            read_only: false,
            no_lock: true,
        };
        let environment = Environment::open(directory, &options).unwrap();
        let mut writing = environment.write().unwrap();
        let sets = ["a", "b"].map(|set| {
            let tree = |table| writing.create_tree(&format!("{set}.{table}")).unwrap();
            TABLES.iter().copied().map(tree).collect()
        });
        writing.commit().unwrap();
        (environment, sets)
    }

    #[test]
    fn rows_that_waited_are_those_of_puts_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let (environment, [deferred_set, put_set]) = sets(directory.path());
        let mut writing = environment.write().unwrap();
        let mut deferred = Deferred::default();
        let mut state = 7919_u64;
        let mut below = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        for number in 0..6_000_u32 {
            let table =
                [Table::RunEvents, Table::AssetEvents, Table::TypeEvents][number as usize % 3];
            // Few keys, so that some come twice; shorter and longer than what is compared as a number,
            // and equal in it; one is another with a zero behind it.
            let mut key = vec![b'k'; 1 + below(20) as usize];
            key.extend_from_slice(&below(300).to_be_bytes()[6..]);
            key.resize(key.len() + below(2) as usize, 0);
            let value = vec![number as u8; below(30) as usize];
            writing.put(put_set[table as usize], &key, &value).unwrap();
            assert!(deferred.push(table, &key, &value));
            if number % 1_000 == 999 {
                deferred.put(&mut writing, &deferred_set).unwrap();
            }
        }
        for table in Table::ALL {
            let rows = |set: &[Tree]| {
                let rows = writing.view().range(set[table as usize], &[], &[]).unwrap();
                rows.map(|row| row.unwrap()).collect::<Vec<_>>()
            };
            let found = rows(&deferred_set);
            assert_eq!(found, rows(&put_set), "{}", table.name());
            let is_used =
                [Table::RunEvents, Table::AssetEvents, Table::TypeEvents].contains(&table);
            assert_eq!(found.len() > 500, is_used);
        }
    }

    #[test]
    fn it_says_when_enough_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (environment, [set, _]) = sets(directory.path());
        let mut writing = environment.write().unwrap();
        let mut deferred = Deferred::default();
        let large = vec![1; BYTES / 4];
        let pushed = |deferred: &mut Deferred| {
            (0..4_u32)
                .map(|key| deferred.push(Table::Runs, &key.to_be_bytes(), &large))
                .collect()
        };
        let first: Vec<bool> = pushed(&mut deferred);
        assert_eq!(first, [true, true, true, false]);
        deferred.put(&mut writing, &set).unwrap();
        assert_eq!(pushed(&mut deferred), first);
        assert_eq!(
            writing
                .view()
                .stat(set[Table::Runs as usize])
                .unwrap()
                .entries,
            4
        );
    }
}
