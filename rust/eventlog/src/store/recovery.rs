//! What a power cut left, made whole before LMDB sees it.
//!
//! Owns the decision whether the data file can be trusted, and the way back: undo to the base of the
//! journal, then redo its entries in one commit, which overwrites no page of the base, so that a
//! second power cut finds the same to do. The caller is the only opener of the store, or holds the
//! writer lock before any other gets past it. Only `open` calls this.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::environment::DATA;
use super::gate::Live;
use super::journal::{self, Base, Entry, Journal};
use super::meta::Meta;
use super::open::Schema;
use super::os;
use super::pages;
use super::queue::Queue;
use super::refusal::{damaged, failed, refused};
use super::transaction::Transaction;
use crate::error::Result;

/// Puts the data file back to the journal's base where it may hold less than was committed; returns
/// what is to be redone, none where nothing was undone.
pub fn undo(directory: &Path) -> Result<Option<Vec<Vec<u8>>>> {
    let io = |error| refused("cannot recover", directory, error);
    let Some(base) = journal::read_base(directory)? else {
        return Ok(None);
    };
    let data = OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join(DATA))
        .map_err(|error| refused("cannot open", directory, error))?;
    let found = data.metadata().map_err(io)?;
    if os::boot_id() == Some(base.boot) && base.data == (found.dev(), found.ino()) {
        return Ok(None);
    }
    belongs(directory, &data, &base)?;
    let entries = journal::read_entries(directory, &base).map_err(io)?;
    write_back(&data, &base, &entries).map_err(io)?;
    let redo = entries.into_iter().map(|entry| entry.redo);
    Ok(Some(redo.filter(|redo| !redo.is_empty()).collect()))
}

/// Refuses a journal that was written beside another data file, as one put back from a backup.
fn belongs(directory: &Path, data: &File, base: &Base) -> Result<()> {
    let newest = pages::newest_transaction(data, base.page_size)
        .map_err(|error| refused("cannot recover", directory, error))?;
    match newest {
        // The base was flushed before the journal named it.
        Some(newest) if newest >= base.transaction => Ok(()),
        _ => damaged(
            directory,
            format!(
                "its journal goes on from transaction {} and data.mdb ends before it; put back both \
                 from one backup, or remove the file named journal to take data.mdb as it is",
                base.transaction
            ),
        ),
    }
}

fn write_back(data: &File, base: &Base, entries: &[Entry]) -> std::io::Result<()> {
    let mut done = HashSet::new();
    for (page, image) in entries.iter().flat_map(|entry| &entry.undo) {
        // The first image of a page is the base's.
        if done.insert(page) {
            data.write_all_at(image, page * base.page_size)?;
        }
    }
    for (slot, meta) in (0_u64..).zip(&base.metas) {
        data.write_all_at(meta, slot * base.page_size)?;
    }
    data.sync_all()
}

/// Does again, in one commit, what the journal's entries did, and lets the journal begin anew.
pub fn redo(
    directory: &Path,
    queue: &Queue,
    live: &Live,
    schema: &Schema,
    entries: &[Vec<u8>],
) -> Result<()> {
    let failure = |error| failed(directory, Some(live.environment()), error);
    let writing = live.environment().write().map_err(failure)?;
    let Some(meta) = Meta::load(directory, &writing.view(), live.trees.meta)? else {
        return damaged(directory, "its meta row is gone");
    };
    let mut transaction = Transaction {
        writing,
        trees: &live.trees,
        meta,
        redo: None,
    };
    for entry in entries {
        (schema.redo)(&mut transaction, entry)?;
    }
    transaction.writing.commit().map_err(failure)?;
    Journal::open(directory)?.checkpoint(directory, queue.journal(), live.environment(), false)
}
