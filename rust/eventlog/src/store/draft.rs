//! A store made in one go, and put into its place once it is whole.
//!
//! Owns a directory beside the destination, hidden and locked while its maker lives, with a data file
//! and nothing else: a store as a backup leaves it. Commits are not flushed until the end; then the
//! data file is, and a rename puts the directory where it is to be. So the destination is absent or
//! whole, and what a maker that died has left goes with the next one for the same destination.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::environment;
use super::gate::Trees;
use super::lmdb::{Environment, WriteTransaction};
use super::maintenance::alone;
use super::meta::{self, Durability, Meta};
use super::open::{self, Schema};
use super::refusal::{failed, refused};
use crate::error::{Error, Result};

/// Locked while the draft's maker lives.
const MAKING: &str = "making";

/// A store that is being made.
pub struct Draft {
    environment: Environment,
    trees: Trees,
    meta: Meta,
    destination: PathBuf,
    // After the environment, so that the files go once it is closed.
    directory: TempDir,
    _making: File,
}

impl Draft {
    /// Begins an empty store, which will be at `destination`.
    ///
    /// # Errors
    ///
    /// [`Error::DestinationExists`] where something is there.
    pub fn new(
        destination: &Path,
        schema: &'static Schema,
        map_size: usize,
        durability: Durability,
        allow_network_file_system: bool,
    ) -> Result<Self> {
        let destination = std::path::absolute(destination)
            .map_err(|error| refused("cannot make", destination, error))?;
        let io = |error| refused("cannot make", &destination, error);
        let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
            return Err(Error::DestinationExists { path: destination });
        };
        if destination.symlink_metadata().is_ok() {
            return Err(Error::DestinationExists { path: destination });
        }
        fs::create_dir_all(parent).map_err(io)?;
        if !allow_network_file_system {
            open::refuse_network(parent)?;
        }
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".draft-");
        remove_dead(parent, &prefix).map_err(io)?;
        let directory = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(io)?;
        let making = alone(directory.path(), MAKING, || Error::DestinationExists {
            path: destination.clone(),
        })?;
        let placed = |error| place(error, &destination);
        let environment =
            environment::open_draft(directory.path(), schema, map_size).map_err(placed)?;
        let path = directory.path();
        let (trees, meta) =
            environment::complete(path, &environment, schema, map_size, durability, |_| Ok(()))
                .map_err(placed)?;
        Ok(Self {
            environment,
            trees,
            meta,
            destination,
            directory,
            _making: making,
        })
    }

    /// Where the store will be.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Id of the store.
    pub fn id(&self) -> [u8; 16] {
        self.meta.store
    }

    /// The store's trees; set 0 of the projections is the live one.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Runs `f` in a transaction and commits it unflushed.
    pub fn write<R>(&self, f: impl FnOnce(&mut WriteTransaction<'_>) -> Result<R>) -> Result<R> {
        let mut writing = self
            .environment
            .write()
            .map_err(|error| self.failed(error))?;
        let value = f(&mut writing).map_err(|error| match error {
            Error::Storage(error) => self.failed(error),
            other => other,
        })?;
        writing.commit().map_err(|error| self.failed(error))?;
        Ok(value)
    }

    /// Gives the store its last word about itself, flushes it, and puts it into its place.
    pub fn finish(self, change: impl FnOnce(&mut Meta)) -> Result<()> {
        let mut meta = self.meta.clone();
        change(&mut meta);
        self.write(|writing| Ok(writing.put(self.trees.meta, meta::KEY, &meta.encode())?))?;
        self.environment
            .sync()
            .map_err(|error| self.failed(error))?;
        let Self {
            environment,
            destination,
            directory,
            _making,
            ..
        } = self;
        drop(environment);
        let io = |error| refused("cannot make", &destination, error);
        fs::remove_file(directory.path().join(MAKING)).map_err(io)?;
        let flush = |path: &Path| File::open(path).and_then(|directory| directory.sync_all());
        flush(directory.path()).map_err(io)?;
        // Over an empty directory alone; what else came to be there meanwhile is refused.
        fs::rename(directory.path(), &destination).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR) => Error::DestinationExists {
                path: destination.clone(),
            },
            _ => io(error),
        })?;
        // It has another name now.
        let _ = directory.keep();
        destination.parent().map_or(Ok(()), flush).map_err(io)
    }

    fn failed(&self, error: super::lmdb::LmdbError) -> Error {
        let error = failed(self.directory.path(), Some(&self.environment), error);
        place(error, &self.destination)
    }
}

/// Names the destination where the draft would be named, which is gone when somebody reads it.
fn place(error: Error, destination: &Path) -> Error {
    let path = destination.to_owned();
    match error {
        Error::DiskFull { source, .. } => Error::DiskFull { path, source },
        Error::DiskFailed { source, .. } => Error::DiskFailed { path, source },
        Error::MapFull { map_size, .. } => Error::MapFull { path, map_size },
        Error::NoAddressSpace { map_size, .. } => Error::NoAddressSpace { path, map_size },
        other => other,
    }
}

/// Removes drafts whose makers have died.
fn remove_dead(parent: &Path, prefix: &OsString) -> io::Result<()> {
    let prefix = prefix.as_encoded_bytes();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let is_draft = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix));
        // Without the file, its maker is about to begin or to end.
        let making = path.join(MAKING);
        if is_draft
            && let Ok(file) = File::options().append(true).open(&making)
            && file.try_lock().is_ok()
        {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}
