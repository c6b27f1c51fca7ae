//! Opening a store, and everything that is checked before.
//!
//! Owns the order of the checks: file system, what the directory holds, PID namespace, queue file,
//! size and meta pages of the data file, and only then LMDB, which maps it. A directory that is not
//! a store is left as it was. Creation ends with one commit that makes trees and meta row together,
//! so racing creators agree, and what a crash leaves half-made is completed by the next opener.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::filesystem;
use super::gate::{Live, Trees};
use super::lmdb::{Environment, EnvironmentOptions, Tree, WriteTransaction};
use super::meta::{self, Durability, FORMAT, Meta};
use super::namespace::{self, Entered};
use super::opened::{self, Opened};
use super::os;
use super::pages;
use super::queue::{self, Queue, QueueError};
use super::registry::Key;
use crate::error::{Error, Result};

/// LMDB's data file.
pub(super) const DATA: &str = "data.mdb";
const LOCK: &str = "lock.mdb";
/// Address space of a new store's map; the file grows into it.
const MAP_SIZE: usize = 1 << 40;
/// Trees that a later release may open beside these.
const SPARE_TREES: u32 = 16;

/// Names the trees that the store's environment holds. Given by the layer above.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// Version of the rules by which the projections are folded.
    pub fold_version: u32,
    /// Projection tables; each exists twice, as `a.<name>` and `b.<name>`.
    pub tables: &'static [&'static str],
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
        }
    }
}

/// Finds the directory, or makes it; returns its real path and its key.
pub(super) fn locate(directory: &Path, create: bool) -> Result<(PathBuf, Key)> {
    if create {
        let mut parents = DirBuilder::new();
        parents.recursive(true);
        if let Some(parent) = directory.parent() {
            // What is in the way is found below, with the name that the caller gave.
            let _ = parents.create(parent);
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused("cannot create", directory, error));
            }
            _ => {}
        }
    }
    let found = match fs::metadata(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_store(directory, "there is no such directory"));
        }
        Err(error) => return Err(refused("cannot open", directory, error)),
    };
    if !found.is_dir() {
        return Err(not_a_store(directory, "it is a file, not a directory"));
    }
    let path =
        fs::canonicalize(directory).map_err(|error| refused("cannot open", directory, error))?;
    Ok((path, (found.dev(), found.ino())))
}

/// Checks and opens the store of a directory, creating it if it may.
pub(super) fn open(
    directory: &Path,
    key: Key,
    schema: &'static Schema,
    options: &OpenOptions,
) -> Result<Opened> {
    let io = |error| refused("cannot open", directory, error);
    if !options.allow_network_file_system
        && let Some(kind) = filesystem::network_kind(directory).map_err(io)?
    {
        return Err(Error::NetworkFileSystem {
            path: directory.into(),
            kind,
        });
    }
    inspect(directory, options.create)?;
    let presence =
        match namespace::enter(directory, options.allow_other_pid_namespaces).map_err(io)? {
            Entered::Alone(presence) => presence,
            Entered::Beside(namespace) => {
                return Err(Error::OtherPidNamespace {
                    path: directory.into(),
                    namespace,
                });
            }
        };
    let queue = open_queue(directory)?;
    if !queue.is_complete() {
        prepare(directory)?;
    }
    let map_size = check_pages(directory, queue.is_complete())?;
    let given = options.map_size.unwrap_or(MAP_SIZE);
    let (environment, trees, meta) = enter_environment(
        directory,
        schema,
        options,
        map_size.unwrap_or(given),
        &queue,
    )?;
    queue.set_complete();
    let live = Live::new(environment, trees);
    let opened = Opened::new(
        key,
        directory.into(),
        schema,
        options.max_readers,
        queue,
        presence,
        live,
    );
    opened.set_relaxed(meta.durability == Durability::Relaxed);
    Ok(opened)
}

/// Opens the environment of a store that this process had open, after it was lost.
pub(super) fn environment(opened: &Opened) -> Result<Live> {
    let map_size = check_pages(&opened.directory, true)?.unwrap_or(MAP_SIZE);
    let failed = |error| opened::failure(opened.directory.clone(), error);
    let environment = open_environment(
        &opened.directory,
        opened.schema,
        opened.max_readers,
        map_size,
    )?;
    let reading = environment.read().map_err(failed)?;
    let trees = open_trees(opened.schema, |name| reading.open_tree(name)).map_err(failed)?;
    let Some(trees) = trees else {
        return Err(Error::Damaged {
            path: opened.directory.clone(),
            reason: "trees that it had are gone".into(),
        });
    };
    reading.publish_trees().map_err(failed)?;
    Ok(Live::new(environment, trees))
}

/// Refuses a directory that is not a store and may not become one. Changes nothing.
fn inspect(directory: &Path, create: bool) -> Result<()> {
    let io = |error| refused("cannot read", directory, error);
    let queue = queue::look(&directory.join(queue::NAME)).map_err(io)?;
    let has_queue = directory.join(queue::NAME).exists();
    let data = match File::open(directory.join(DATA)) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(error)),
    };
    match (queue, data) {
        (queue::Found::Foreign, _) => Err(not_a_store(
            directory,
            "its file named queue belongs to another program",
        )),
        (queue::Found::Ours { complete: true }, None) => Err(Error::Damaged {
            path: directory.into(),
            reason: "data.mdb is gone".into(),
        }),
        (queue::Found::Ours { complete: true }, Some(_)) => Ok(()),
        (_, None) => {
            let stranger = (!has_queue)
                .then(|| stranger(directory))
                .transpose()
                .map_err(io)?;
            match stranger.flatten() {
                Some(name) => Err(not_a_store(
                    directory,
                    &format!("it holds other files ({name}); name an empty directory"),
                )),
                None if create => Ok(()),
                None => Err(not_a_store(
                    directory,
                    "it is empty, or its creation has not finished",
                )),
            }
        }
        (_, Some(file)) => match pages::look(&file).map_err(io)? {
            pages::Found::Whole(head) if head.transaction > 0 => {
                if holds_meta_row(directory)? {
                    Ok(())
                } else {
                    Err(not_a_store(
                        directory,
                        "its data.mdb belongs to another program",
                    ))
                }
            }
            // Only who makes a store makes the queue first.
            _ if has_queue && create => Ok(()),
            _ if has_queue => Err(not_a_store(directory, "its creation has not finished")),
            pages::Found::NotLmdb => Err(not_a_store(directory, "its data.mdb is not LMDB's")),
            pages::Found::Damaged(reason) => Err(Error::Damaged {
                path: directory.into(),
                reason,
            }),
            pages::Found::Empty | pages::Found::Whole(_) => Err(not_a_store(
                directory,
                "its data.mdb belongs to another program",
            )),
        },
    }
}

/// A file of the directory that no store puts there.
fn stranger(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = [queue::NAME, namespace::NAME, LOCK, "lost+found"];
        if !ours.contains(&name.as_str()) && !name.starts_with("lock.mdb.") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether a data file without a queue beside it, as a backup leaves it, is a store's.
fn holds_meta_row(directory: &Path) -> Result<bool> {
    let failed = |error| opened::failure(directory.into(), error);
    let environment = Environment::open(
        directory,
        &EnvironmentOptions {
            map_size: 0,
            max_readers: 1,
            max_trees: 1,
            relaxed: false,
            scratch: false,
            read_only: true,
            no_lock: true,
        },
    )
    .map_err(failed)?;
    let reading = environment.read().map_err(failed)?;
    match reading.open_tree("meta") {
        Ok(Some(tree)) => {
            // An unreadable or too new row is a store's all the same; opening says what it is.
            Ok(reading
                .view()
                .get(tree, meta::KEY)
                .map_err(failed)?
                .is_some())
        }
        // Another program's row may have the tree's name.
        Ok(None) | Err(_) => Ok(false),
    }
}

fn open_queue(directory: &Path) -> Result<Queue> {
    Queue::open(&directory.join(queue::NAME)).map_err(|error| match error {
        QueueError::Io(error) => refused("cannot open the queue of", directory, error),
        QueueError::Foreign => {
            not_a_store(directory, "its file named queue belongs to another program")
        }
        QueueError::Newer(version) => Error::Incompatible {
            path: directory.into(),
            reason: format!("its queue file has version {version}"),
        },
        QueueError::Layout => Error::Incompatible {
            path: directory.into(),
            reason: "its C library has other mutexes".into(),
        },
    })
}

/// Makes the directory private, and removes a data file that never held a commit.
fn prepare(directory: &Path) -> Result<()> {
    // A mounted volume may belong to another user and be ours to write; the files are private.
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    Ok(())
}

/// Checks the data file before LMDB maps it; returns the size of its map, none if it is new.
fn check_pages(directory: &Path, complete: bool) -> Result<Option<usize>> {
    let io = |error| refused("cannot read", directory, error);
    let file = match File::open(directory.join(DATA)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !complete => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let reason = match pages::look(&file).map_err(io)? {
        pages::Found::Whole(head) => return Ok(Some(head.map_size as usize)),
        pages::Found::Empty if !complete => return Ok(None),
        pages::Found::Empty => "data.mdb is empty".into(),
        pages::Found::NotLmdb => "the first meta page of data.mdb is garbage".into(),
        pages::Found::Damaged(reason) => reason,
    };
    Err(Error::Damaged {
        path: directory.into(),
        reason,
    })
}

fn open_environment(
    directory: &Path,
    schema: &Schema,
    max_readers: u32,
    map_size: usize,
) -> Result<Environment> {
    let failed = |error| opened::failure(directory.into(), error);
    make_lock_file(directory, max_readers)
        .map_err(|error| refused("cannot make the lock file of", directory, error))?;
    let environment = Environment::open(
        directory,
        &EnvironmentOptions {
            map_size,
            max_readers,
            max_trees: 3 + 2 * schema.tables.len() as u32 + SPARE_TREES,
            relaxed: false,
            scratch: false,
            read_only: false,
            no_lock: false,
        },
    )
    .map_err(failed)?;
    let descriptor = environment.data_descriptor().map_err(failed)?;
    os::close_on_exec(descriptor).map_err(|error| refused("cannot open", directory, error))?;
    environment.clear_dead_readers().map_err(failed)?;
    Ok(environment)
}

/// Makes LMDB's lock file of written zeros. LMDB would make a hole, and a page of a hole that finds
/// the disk full at its first touch is a SIGBUS.
fn make_lock_file(directory: &Path, max_readers: u32) -> io::Result<()> {
    /// LMDB's slots and the header before them are lines of this size; it takes what it finds.
    const LINE: usize = 64;
    let path = directory.join(LOCK);
    // Only looked at: closing a descriptor of this file would drop the process's locks on it.
    if path.exists() {
        return Ok(());
    }
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let draft = directory.join(format!("{LOCK}.{:016x}", u64::from_ne_bytes(name)));
    let result = (|| {
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all_at(&vec![0; (max_readers as usize + 8) * LINE], 0)?;
        file.sync_all()?;
        match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = fs::remove_file(&draft);
    result
}

/// Opens the environment, and makes in one commit what it lacks.
fn enter_environment(
    directory: &Path,
    schema: &'static Schema,
    options: &OpenOptions,
    map_size: usize,
    queue: &Queue,
) -> Result<(Environment, Trees, Meta)> {
    let failed = |error| opened::failure(directory.into(), error);
    let environment = open_environment(directory, schema, options.max_readers, map_size)?;
    let reading = environment.read().map_err(failed)?;
    let found = match reading.open_tree("meta").map_err(failed)? {
        Some(tree) => Meta::load(directory, &reading.view(), tree)?,
        None => None,
    };
    if let Some(meta) = found {
        meta.check_fold(directory, schema.fold_version, options.for_rebuild)?;
        if let Some(trees) = open_trees(schema, |name| reading.open_tree(name)).map_err(failed)? {
            reading.publish_trees().map_err(failed)?;
            return Ok((environment, trees, meta));
        }
    }
    drop(reading);
    let lock = queue.lock(&|| false).map_err(|_| Error::Reentered {
        path: directory.into(),
    })?;
    let mut writing = environment.write(false).map_err(failed)?;
    let (trees, meta) = complete(directory, schema, options, map_size, &mut writing)?;
    writing.commit().map_err(failed)?;
    drop(lock);
    Ok((environment, trees, meta))
}

/// Makes the trees and the meta row that are absent.
fn complete(
    directory: &Path,
    schema: &Schema,
    options: &OpenOptions,
    map_size: usize,
    writing: &mut WriteTransaction<'_>,
) -> Result<(Trees, Meta)> {
    let failed = |error| opened::failure(directory.into(), error);
    let trees = open_trees(schema, |name| writing.create_tree(name).map(Some))
        .map_err(failed)?
        .expect("every tree is made");
    if let Some(meta) = Meta::load(directory, &writing.view(), trees.meta)? {
        meta.check_fold(directory, schema.fold_version, options.for_rebuild)?;
        return Ok((trees, meta));
    }
    let mut store = [0; 16];
    getrandom::fill(&mut store)
        .map_err(|error| refused("cannot draw an id for", directory, io::Error::other(error)))?;
    let created = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let meta = Meta {
        format: FORMAT,
        store,
        created,
        map_size: map_size as u64,
        durability: options.durability.unwrap_or_default(),
        live_set: 0,
        fold_version: schema.fold_version,
        epoch: 1,
        rebuild: None,
    };
    writing
        .put(trees.meta, meta::KEY, &meta.encode())
        .map_err(failed)?;
    Ok((trees, meta))
}

/// Opens every tree of the schema; none if one is absent.
fn open_trees<E>(
    schema: &Schema,
    mut open: impl FnMut(&str) -> std::result::Result<Option<Tree>, E>,
) -> std::result::Result<Option<Trees>, E> {
    let mut named = Vec::new();
    for name in ["meta", "log", "cached_status"] {
        named.push(open(name)?);
    }
    let mut sets = [Vec::new(), Vec::new()];
    for (set, letter) in sets.iter_mut().zip(["a", "b"]) {
        for table in schema.tables {
            match open(&format!("{letter}.{table}"))? {
                Some(tree) => set.push(tree),
                None => return Ok(None),
            }
        }
    }
    let [Some(meta), Some(log), Some(cached_status)] = named[..] else {
        return Ok(None);
    };
    Ok(Some(Trees {
        meta,
        log,
        cached_status,
        sets,
    }))
}

fn not_a_store(path: &Path, reason: &str) -> Error {
    Error::NotAStore {
        path: path.into(),
        reason: reason.into(),
    }
}

/// A failed call on the directory or one of its files.
pub(super) fn refused(action: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.into();
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::Permission { path, source },
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Error::DiskFull { path, source },
        _ => Error::Io {
            action,
            path,
            source,
        },
    }
}
