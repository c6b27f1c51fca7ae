//! Who else, in another PID namespace, has the store open.
//!
//! Owns `DIR/pidns/`: each opener holds a shared lock on the file named for its PID namespace, so a
//! locked file of another name is a live process whose pid locks LMDB cannot read rightly. An opener
//! takes its own lock before it looks at others', so of two that race at least one sees the other.
//! Only `open` calls it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::os::{self, Hold};

/// Name of the folder in the store's directory.
pub const NAME: &str = "pidns";

/// This process's mark in the store's directory.
#[derive(Debug)]
pub struct Presence {
    /// Holds the shared lock.
    _file: File,
}

/// What came of looking.
#[derive(Debug)]
pub enum Entered {
    Alone(Presence),
    /// A process of this other namespace has the store open.
    Beside(String),
}

/// Marks the store as open in this process's PID namespace, and looks for others.
pub fn enter(directory: &Path, allow_others: bool) -> io::Result<Entered> {
    let folder = directory.join(NAME);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let own = own_namespace();
    let presence = mark(&folder.join(&own))?;
    if !allow_others && let Some(other) = find_other(&folder, &own)? {
        return Ok(Entered::Beside(other));
    }
    Ok(Entered::Alone(presence))
}

/// The inode number of this process's PID namespace; where /proc is absent, a name of its own.
fn own_namespace() -> String {
    fs::metadata("/proc/self/ns/pid")
        .map_or_else(|_| "unknown".into(), |file| file.ino().to_string())
}

fn mark(path: &Path) -> io::Result<Presence> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        os::wait_lock(&file, Hold::Shared)?;
        // Another opener may have taken the file for a stale one before it was locked.
        let held = file.metadata()?;
        match fs::metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => {
                return Ok(Presence { _file: file });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Finds a locked file of another namespace, and removes the unlocked ones.
fn find_other(folder: &Path, own: &str) -> io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own {
            continue;
        }
        let file = match OpenOptions::new().read(true).write(true).open(entry.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // Removed under the exclusive lock, so that who takes it for its own meanwhile waits, and
        // then finds it gone. Held exclusively by another means that another removes it.
        match os::held(&file)? {
            Some(Hold::Shared) => return Ok(Some(name)),
            Some(Hold::Exclusive) => {}
            None if os::try_lock(&file, Hold::Exclusive)? => {
                let _ = fs::remove_file(entry.path());
            }
            None => return find_other(folder, own),
        }
    }
    Ok(None)
}
