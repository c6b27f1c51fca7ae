//! A projection set in a directory of its own, which goes with it.

use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::projection::{Carry, LogSource, TABLES, Target};
use crate::query::Reader;
use crate::store::lmdb::{Environment, EnvironmentOptions, Tree, View};

/// Address space of a scratch environment; the file is as large as its rows.
const MAP_SIZE: usize = 1 << 40;

/// An empty projection set, in the system's directory for temporary files.
#[derive(Debug)]
pub struct Scratch {
    pub environment: Environment,
    pub trees: Vec<Tree>,
    // After the environment, so that the files go once it is closed.
    _directory: TempDir,
}

impl Scratch {
    /// Makes the directory and its environment. `store` names the store in errors.
    pub fn new(store: &Path) -> Result<Self> {
        let failed = |source| Error::Io {
            action: "cannot make a temporary directory to refold",
            path: store.to_owned(),
            source,
        };
        let directory = tempfile::Builder::new()
            .prefix("dagster-lmdb-refold-")
            .tempdir()
            .map_err(failed)?;
        let options = EnvironmentOptions {
            map_size: MAP_SIZE,
            max_readers: 8,
            max_trees: TABLES.len() as u32,
            scratch: true,
            read_only: false,
            no_lock: false,
        };
        let environment = Environment::open(directory.path(), &options)?;
        let mut transaction = environment.write()?;
        let trees = TABLES
            .iter()
            .map(|name| transaction.create_tree(name))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        transaction.commit()?;
        Ok(Self {
            environment,
            trees,
            _directory: directory,
        })
    }

    /// Runs `fold` on the set in one transaction; the log is looked at through `view`.
    pub fn fold<R>(
        &self,
        view: View<'_>,
        log: Tree,
        fold: impl FnOnce(&mut Target<'_, '_>) -> Result<R>,
    ) -> Result<R> {
        let mut transaction = self.environment.write()?;
        let source = LogSource::Other(view, log);
        let mut carry = Carry::default();
        let result = fold(&mut carry.target(&mut transaction, &self.trees, source))?;
        carry.finish(&mut transaction, &self.trees)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Reads the set; `log` is a tree of this environment that nobody reads.
    pub fn read<R>(&self, read: impl FnOnce(&Reader<'_>) -> Result<R>) -> Result<R> {
        let transaction = self.environment.read()?;
        read(&Reader::new(transaction.view(), &self.trees, self.trees[0]))
    }
}
