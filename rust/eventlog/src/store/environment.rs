//! A store's LMDB environment: opened, and made whole.
//!
//! Owns the files that LMDB keeps, the trees that a schema asks for, and the one commit that creates
//! a store: trees and meta row together, or nothing. `pages` has looked at the data file before
//! anything here maps it. Only `open` and `opened` call this.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::gate::Trees;
use super::lmdb::{Environment, EnvironmentOptions, LmdbError, Tree};
use super::meta::{self, Durability, FORMAT, Meta, Silence};
use super::open::Schema;
use super::os;
use super::refusal::{failed, refused};
use crate::error::{Error, Result};

/// LMDB's data file.
pub const DATA: &str = "data.mdb";
/// LMDB's lock file.
pub const LOCK: &str = "lock.mdb";

/// How the name of a lock file begins that is being written.
pub const DRAFT: &str = "lock.mdb.";

/// Trees beside the projection tables.
const FIXED: [&str; 4] = ["meta", "log", "cached_status", "times"];
/// Trees that a later release may open beside these.
const SPARE_TREES: u32 = 16;

/// Opens the environment; `map_size` counts where the data file is new.
pub fn open(
    directory: &Path,
    schema: &Schema,
    max_readers: u32,
    map_size: usize,
) -> Result<Environment> {
    make_lock_file(directory, max_readers)
        .map_err(|error| refused("cannot make the lock file of", directory, error))?;
    let environment = Environment::open(
        directory,
        &EnvironmentOptions {
            map_size,
            max_readers,
            max_trees: FIXED.len() as u32 + 2 * schema.tables.len() as u32 + SPARE_TREES,
            scratch: false,
            read_only: false,
            no_lock: false,
        },
    )
    .map_err(|error| match error.code {
        libc::ENOMEM => Error::NoAddressSpace {
            path: directory.into(),
            map_size,
        },
        // The data file's version has been looked at, so it is the lock file's.
        _ if error.is_version_mismatch() => Error::Incompatible {
            path: directory.into(),
            reason: "another program has it open, with another LMDB".into(),
        },
        _ => failed(directory, None, error),
    })?;
    let descriptor = environment
        .data_descriptor()
        .map_err(|error| failed(directory, None, error))?;
    os::close_on_exec(descriptor).map_err(|error| refused("cannot open", directory, error))?;
    environment
        .clear_dead_readers()
        .map_err(|error| failed(directory, None, error))?;
    Ok(environment)
}

/// Opens the environment of a store that nobody else knows of yet, and that is flushed at the end.
pub fn open_draft(directory: &Path, schema: &Schema, map_size: usize) -> Result<Environment> {
    Environment::open(
        directory,
        &EnvironmentOptions {
            map_size,
            max_readers: 1,
            max_trees: FIXED.len() as u32 + 2 * schema.tables.len() as u32,
            scratch: true,
            read_only: false,
            no_lock: true,
        },
    )
    .map_err(|error| match error.code {
        libc::ENOMEM => Error::NoAddressSpace {
            path: directory.into(),
            map_size,
        },
        _ => failed(directory, None, error),
    })
}

/// Whether a process has the environment open. This one has not: looking drops its locks.
pub fn is_held(directory: &Path) -> io::Result<bool> {
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join(LOCK));
    match lock {
        Ok(file) => Ok(os::held(&file)?.is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a data file that no process has open holds a store's meta row.
pub fn holds_meta_row(directory: &Path) -> Result<bool> {
    let failed = |error| failed(directory, None, error);
    let environment = Environment::open(
        directory,
        &EnvironmentOptions {
            map_size: 0,
            max_readers: 1,
            max_trees: 1,
            scratch: false,
            read_only: true,
            no_lock: true,
        },
    )
    .map_err(failed)?;
    let reading = environment.read().map_err(failed)?;
    match reading.open_tree(FIXED[0]) {
        // What the row says, opening will tell.
        Ok(Some(tree)) => Ok(reading
            .view()
            .get(tree, meta::KEY)
            .map_err(failed)?
            .is_some()),
        // Another program's row may have the tree's name.
        Ok(None) | Err(_) => Ok(false),
    }
}

/// Makes LMDB's lock file of written zeros. LMDB would make a hole, and a page of a hole that finds
/// the disk full at its first touch is a SIGBUS.
fn make_lock_file(directory: &Path, max_readers: u32) -> io::Result<()> {
    /// LMDB's reader slots are of this size, and its header is as large as two; it takes as many
    /// slots as the file has room for.
    const LINE: usize = 64;
    let path = directory.join(LOCK);
    // Only looked at: closing a descriptor of this file would drop the process's locks on it.
    if path.exists() {
        return Ok(());
    }
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let draft = directory.join(format!("{DRAFT}{:016x}", u64::from_ne_bytes(name)));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|file| file.write_all_at(&vec![0; (max_readers as usize + 2) * LINE], 0));
    if written.is_ok() {
        // Where another was faster, or the file system has no links, LMDB finds or makes the file.
        let _ = fs::hard_link(&draft, &path);
    }
    let _ = fs::remove_file(&draft);
    written
}

/// Removes drafts of a lock file that a crash left. The caller alone makes the store.
pub fn remove_drafts(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens the trees of the schema, and reads the meta row; none if a tree or the row is absent.
///
/// `check` sees the row before the trees are opened.
pub fn enter(
    directory: &Path,
    environment: &Environment,
    schema: &Schema,
    check: impl FnOnce(&Meta) -> Result<()>,
) -> Result<Option<(Trees, Meta)>> {
    let failed = |error| failed(directory, Some(environment), error);
    let reading = environment.read().map_err(failed)?;
    let Some(tree) = reading.open_tree(FIXED[0]).map_err(failed)? else {
        return Ok(None);
    };
    let Some(meta) = Meta::load(directory, &reading.view(), tree)? else {
        return Ok(None);
    };
    check(&meta)?;
    let trees = open_trees(schema, |name| reading.open_tree(name)).map_err(failed)?;
    reading.publish_trees().map_err(failed)?;
    Ok(trees.map(|trees| (trees, meta)))
}

/// Makes the trees and the meta row that are absent, in one commit. The caller holds the writer
/// lock.
pub fn complete(
    directory: &Path,
    environment: &Environment,
    schema: &Schema,
    map_size: usize,
    durability: Durability,
    check: impl FnOnce(&Meta) -> Result<()>,
) -> Result<(Trees, Meta)> {
    let failed = |error| failed(directory, Some(environment), error);
    let mut writing = environment.write().map_err(failed)?;
    let trees = open_trees(schema, |name| writing.create_tree(name).map(Some))
        .map_err(failed)?
        .expect("every tree is made");
    let meta = match Meta::load(directory, &writing.view(), trees.meta)? {
        Some(meta) => {
            check(&meta)?;
            meta
        }
        None => {
            let meta = new_meta(directory, schema, map_size, durability)?;
            writing
                .put(trees.meta, meta::KEY, &meta.encode())
                .map_err(failed)?;
            meta
        }
    };
    writing.commit().map_err(failed)?;
    Ok((trees, meta))
}

fn new_meta(
    directory: &Path,
    schema: &Schema,
    map_size: usize,
    durability: Durability,
) -> Result<Meta> {
    let mut store = [0; 16];
    getrandom::fill(&mut store)
        .map_err(|error| refused("cannot draw an id for", directory, io::Error::other(error)))?;
    Ok(Meta {
        format: FORMAT,
        store,
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64(),
        map_size: map_size as u64,
        durability,
        live_set: 0,
        fold_version: schema.fold_version,
        epoch: 1,
        rebuild: None,
        whole_from: 0,
        registers_from: 0,
        compaction: None,
        leases: Vec::new(),
        silence: Silence::default(),
        forked: None,
    })
}

/// Opens every tree of the schema; none if one is absent.
fn open_trees(
    schema: &Schema,
    mut open: impl FnMut(&str) -> std::result::Result<Option<Tree>, LmdbError>,
) -> std::result::Result<Option<Trees>, LmdbError> {
    let mut fixed = [None; FIXED.len()];
    for (place, name) in fixed.iter_mut().zip(FIXED) {
        *place = open(name)?;
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
    let [Some(meta), Some(log), Some(cached_status), Some(times)] = fixed else {
        return Ok(None);
    };
    Ok(Some(Trees {
        meta,
        log,
        cached_status,
        times,
        sets,
    }))
}
