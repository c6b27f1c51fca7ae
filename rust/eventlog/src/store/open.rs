//! Opening a store, and the order of what is checked before.
//!
//! Owns the options, and the sequence: file system, what the directory holds, PID namespace, queue
//! file, size and meta pages of the data file, and only then LMDB, which maps it. Creation runs under
//! the writer lock and ends with one commit, so racing creators agree, and what a crash leaves
//! half-made is completed by the next opener. Only `store` and `opened` call it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::environment;
use super::filesystem;
use super::gate::Live;
use super::group::{self, Served};
use super::inspect;
use super::meta::{Durability, Meta};
use super::namespace::{self, Entered, Presence};
use super::opened::Opened;
use super::queue::{self, Queue, QueueError};
use super::recovery;
use super::refusal::{damaged, failed, not_a_store, not_locked, refused};
use super::registry::Key;
use super::transaction::Transaction;
use crate::error::{Error, Result};

/// Address space of a new store's map; the file grows into it.
const MAP_SIZE: usize = 1 << 40;
/// A map has at least this size, and a whole number of these.
const MAP_STEP: usize = 1 << 20;

/// Names the trees that the store's environment holds. Given by the layer above.
#[derive(Debug)]
pub struct Schema {
    /// Version of the rules by which the projections are folded.
    pub fold_version: u32,
    /// Projection tables; each exists twice, as `a.<name>` and `b.<name>`.
    pub tables: &'static [&'static str],
    /// Does again what a commit did that said so with [`Transaction::set_redo`], after a power cut.
    pub redo: fn(&mut Transaction<'_>, &[u8]) -> Result<()>,
    /// Runs a command for another writer, whose reply may have so many bytes. What it puts has to have
    /// words of redo; after an error the transaction is aborted.
    pub serve: fn(&mut Transaction<'_>, &[u8], usize) -> Result<Served>,
    /// Says what commands look like and what is done about them. Only writers of one dialect run each
    /// other's.
    pub dialect: u64,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Make the directory and the store if they are absent.
    pub create: bool,
    /// Bytes of the map, for a store that is created; 1 TiB of address space if not given.
    pub map_size: Option<usize>,
    /// Reader slots, fixed by the first of the processes that have the store open.
    pub max_readers: u32,
    /// Durability of a store that is created. `Store::set_durability` changes it later.
    pub durability: Option<Durability>,
    /// Open a store on a network file system.
    pub allow_network_file_system: bool,
    /// Open a store that a process of another PID namespace has open.
    pub allow_other_pid_namespaces: bool,
    /// Open a store whose live projections are older than this release's, to rebuild them.
    pub for_rebuild: bool,
    /// Refuse every write of this handle.
    pub read_only: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create: false,
            map_size: None,
            max_readers: 4096,
            durability: None,
            allow_network_file_system: false,
            allow_other_pid_namespaces: false,
            for_rebuild: false,
            read_only: false,
        }
    }
}

/// A size that a map may have, at least `bytes`.
pub fn map_size_of(bytes: usize) -> usize {
    bytes
        .max(MAP_STEP)
        .checked_next_multiple_of(MAP_STEP)
        .unwrap_or(bytes)
}

/// A store's directory, found and kept.
pub struct Place {
    /// Its real path.
    pub path: PathBuf,
    pub key: Key,
    /// Held while the store is open, so that no other directory gets this one's inode.
    directory: File,
}

/// Finds the directory, or makes it.
pub fn locate(path: &Path, create: bool) -> Result<Place> {
    let made = create && make_directory(path)?;
    let io = |error| refused("cannot open", path, error);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(not_a_store(path, "it is a file, not a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_store(path, "there is no such directory"));
        }
        Err(error) => return Err(io(error)),
    }
    let directory = File::open(path).map_err(io)?;
    let found = directory.metadata().map_err(io)?;
    let path = fs::canonicalize(path).map_err(io)?;
    if made && let Some(parent) = path.parent() {
        // A commit is not durable in a directory that a power cut takes away.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    let key = (found.dev(), found.ino());
    Ok(Place {
        path,
        key,
        directory,
    })
}

/// Makes the directory; false if it is there.
fn make_directory(path: &Path) -> Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        // What is in the way shows below, with the name that the caller gave.
        let _ = fs::create_dir_all(parent);
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(refused("cannot create", path, error)),
    }
}

/// Checks and opens the store of a directory, creating it if it may.
pub fn open(place: Place, schema: &'static Schema, options: &OpenOptions) -> Result<Opened> {
    let directory = place.path.as_path();
    if !options.allow_network_file_system {
        refuse_network(directory)?;
    }
    inspect::directory(directory, options.create)?;
    let presence = enter_namespace(directory, options)?;
    let queue = open_queue(directory)?;
    let check = |meta: &Meta| meta.check_fold(directory, schema.fold_version, options.for_rebuild);
    if queue.is_recovered()
        && let Some(live) = open_complete(directory, schema, options, &queue, &check)?
    {
        return Ok(Opened::new(place, schema, options, queue, presence, live));
    }
    // Recovering, creating, or adding the trees of a newer release: one process after the other.
    let lock = queue
        .lock(&|| false)
        .map_err(|error| not_locked(directory, error))?;
    let redo = match queue.is_recovered() {
        true => None,
        false => recovery::undo(directory, schema)?,
    };
    let live = match open_complete(directory, schema, options, &queue, &check)? {
        Some(live) => live,
        None => create(&place, schema, options, &queue, &check)?,
    };
    if let Some(redo) = redo {
        recovery::redo(directory, &queue, &live, schema, &redo)?;
    }
    queue.set_recovered();
    drop(lock);
    Ok(Opened::new(place, schema, options, queue, presence, live))
}

/// Refuses a directory on a network file system.
pub fn refuse_network(directory: &Path) -> Result<()> {
    match filesystem::network_kind(directory)
        .map_err(|error| refused("cannot open", directory, error))?
    {
        None => Ok(()),
        Some(kind) => Err(Error::NetworkFileSystem {
            path: directory.into(),
            kind,
        }),
    }
}

/// Opens a store whose creation has finished; none if it has not, or lacks a tree of the schema.
fn open_complete(
    directory: &Path,
    schema: &'static Schema,
    options: &OpenOptions,
    queue: &Queue,
    check: &dyn Fn(&Meta) -> Result<()>,
) -> Result<Option<Live>> {
    if !queue.is_complete() {
        return Ok(None);
    }
    let map_size = inspect::data_file(directory, false)?.unwrap_or(MAP_SIZE);
    let environment = environment::open(directory, schema, options.max_readers.max(1), map_size)?;
    let entered = environment::enter(directory, &environment, schema, check)?;
    Ok(entered.map(|(trees, _)| Live::new(environment, trees)))
}

/// Makes the store, or the trees that it lacks. The caller holds the writer lock.
fn create(
    place: &Place,
    schema: &'static Schema,
    options: &OpenOptions,
    queue: &Queue,
    check: &dyn Fn(&Meta) -> Result<()>,
) -> Result<Live> {
    let directory = place.path.as_path();
    let given = map_size_of(options.map_size.unwrap_or(MAP_SIZE));
    let max_readers = options.max_readers.max(1);
    let unfinished = !queue.is_complete();
    if unfinished {
        // A mounted volume may belong to another user and be ours to write; the files are private.
        let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
        environment::remove_drafts(directory)
            .map_err(|error| refused("cannot read", directory, error))?;
    }
    let map_size = inspect::data_file(directory, unfinished)?.unwrap_or(given);
    let environment = environment::open(directory, schema, max_readers, map_size)?;
    let durability = options.durability.unwrap_or_default();
    if queue.is_led() {
        group::settle(queue, directory, &environment)
            .map_err(|error| failed(directory, Some(&environment), error))?;
    }
    // What it commits is none of the journal's; the next writer begins that anew.
    queue.journal().set_ready(false);
    let (trees, _) =
        environment::complete(directory, &environment, schema, map_size, durability, check)?;
    if unfinished {
        place
            .directory
            .sync_all()
            .map_err(|error| refused("cannot flush", directory, error))?;
        queue.set_complete();
    }
    Ok(Live::new(environment, trees))
}

/// Opens the environment of a store that this process had open, after it was lost.
pub fn reopen(opened: &Opened) -> Result<Live> {
    let directory = opened.directory();
    let map_size = inspect::data_file(directory, false)?.unwrap_or(MAP_SIZE);
    let environment =
        environment::open(directory, opened.schema(), opened.max_readers(), map_size)?;
    match environment::enter(directory, &environment, opened.schema(), |_| Ok(()))? {
        Some((trees, _)) => Ok(Live::new(environment, trees)),
        None => damaged(directory, "trees that it had are gone"),
    }
}

fn enter_namespace(directory: &Path, options: &OpenOptions) -> Result<Presence> {
    match namespace::enter(directory, options.allow_other_pid_namespaces)
        .map_err(|error| refused("cannot open", directory, error))?
    {
        Entered::Alone(presence) => Ok(presence),
        Entered::Beside(namespace) => Err(Error::OtherPidNamespace {
            path: directory.into(),
            namespace,
        }),
    }
}

fn open_queue(directory: &Path) -> Result<Queue> {
    Queue::open(&directory.join(queue::NAME)).map_err(|error| match error {
        QueueError::Io(error) => refused("cannot open the queue of", directory, error),
        QueueError::Foreign => {
            not_a_store(directory, "its file named queue belongs to another program")
        }
        QueueError::Version(version) => Error::Incompatible {
            path: directory.into(),
            reason: format!("its queue file has version {version}"),
        },
        QueueError::Layout => Error::Incompatible {
            path: directory.into(),
            reason: "its C library has other mutexes".into(),
        },
    })
}
