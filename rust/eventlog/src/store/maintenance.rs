//! Long work beside others: locks, each a file of the directory, and the pace of its commits.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Locked while a rebuild runs.
pub const REBUILD: &str = "rebuild";

/// Locked by a compaction, and shared by what reads the log in several snapshots and needs them to
/// be of one log.
pub const COMPACTION: &str = "compaction";

/// Holds a lock alone; `taken` is told where somebody else holds it.
pub fn alone(directory: &Path, name: &str, taken: impl FnOnce() -> Error) -> Result<File> {
    let file = open(directory, name)?;
    let locked = file.try_lock();
    held(directory, file, locked, taken)
}

/// Holds a lock beside others that share it; `taken` is told where somebody holds it alone.
pub fn shared(directory: &Path, name: &str, taken: impl FnOnce() -> Error) -> Result<File> {
    let file = open(directory, name)?;
    let locked = file.try_lock_shared();
    held(directory, file, locked, taken)
}

/// The longest pause between two commits of long work.
const PAUSE: Duration = Duration::from_millis(20);

/// Leaves other writers as long as the commit took that began then: who comes back to the writer lock
/// at once mostly gets it again.
pub fn give_way(began: Instant) {
    std::thread::sleep(began.elapsed().min(PAUSE));
}

fn open(directory: &Path, name: &str) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(directory.join(name))
        .map_err(|source| failed(directory, source))
}

fn held(
    directory: &Path,
    file: File,
    locked: std::result::Result<(), TryLockError>,
    taken: impl FnOnce() -> Error,
) -> Result<File> {
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(taken()),
        Err(TryLockError::Error(source)) => Err(failed(directory, source)),
    }
}

fn failed(directory: &Path, source: std::io::Error) -> Error {
    Error::Io {
        action: "cannot lock",
        path: directory.to_owned(),
        source,
    }
}
