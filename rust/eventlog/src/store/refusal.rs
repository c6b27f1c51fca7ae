//! Failures of LMDB and of the system, in the store's terms.
//!
//! Owns the one place where a code becomes an engine's error with the store's path in it. Only
//! `store` calls this.

use std::fs;
use std::io;
use std::path::Path;

use super::environment::DATA;
use super::lmdb::{Environment, LmdbError};
use super::os;
use super::queue::LockError;
use crate::error::{Error, Result};

/// Room below which a short write is taken for a full disk.
const ROOM: u64 = 16 << 20;

/// A directory that is not a store, and why.
pub fn not_a_store(path: &Path, reason: &str) -> Error {
    Error::NotAStore {
        path: path.into(),
        reason: reason.into(),
    }
}

/// A store whose files contradict each other, and how.
pub fn damaged<T>(path: &Path, reason: impl Into<String>) -> Result<T> {
    Err(Error::Damaged {
        path: path.into(),
        reason: reason.into(),
    })
}

/// A failed call on the store's directory or one of its files.
pub fn refused(action: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.into();
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::Permission { path, source },
        _ if os::is_no_room(&source) => Error::DiskFull { path, source },
        _ => Error::Io {
            action,
            path,
            source,
        },
    }
}

/// A writer lock that was not taken.
pub fn not_locked(path: &Path, error: LockError) -> Error {
    match error {
        LockError::Interrupted => Error::Interrupted,
        LockError::Forked => Error::Interrupted,
        LockError::Reentered => Error::Reentered { path: path.into() },
        LockError::Io(error) => refused("cannot take the writer lock of", path, error),
    }
}

/// A failed call of LMDB. The environment, where it is open, says how large it is.
pub fn failed(path: &Path, environment: Option<&Environment>, error: LmdbError) -> Error {
    let sizes = environment.and_then(|environment| environment.info().ok());
    let source = io::Error::from_raw_os_error(error.code);
    let path = path.into();
    if error.is_map_full() {
        let map_size = sizes.map_or(0, |sizes| sizes.map_size);
        Error::MapFull { path, map_size }
    } else if error.is_readers_full() {
        let max_readers = sizes.map_or(0, |sizes| sizes.max_readers);
        Error::ReadersFull { path, max_readers }
    } else if error.is_disk_full() || error.code == libc::EIO && has_no_room(&path) {
        // LMDB says EIO for a write that came back short, as it does where the room ends.
        Error::DiskFull { path, source }
    } else if error.code == libc::EIO {
        Error::DiskFailed { path, source }
    } else if error.is_permission() {
        Error::Permission { path, source }
    } else if error.is_corruption() {
        Error::Damaged {
            path,
            reason: error.to_string(),
        }
    } else {
        Error::Lmdb {
            path,
            source: error,
        }
    }
}

fn has_no_room(directory: &Path) -> bool {
    let length = fs::metadata(directory.join(DATA)).map_or(0, |file| file.len());
    os::free_bytes(directory).is_ok_and(|free| free < ROOM)
        || os::file_size_limit().saturating_sub(length) < ROOM
}
