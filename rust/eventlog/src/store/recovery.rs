//! What the last processes left, made whole before LMDB sees it.
//!
//! Owns the way back and forth: undo to the base of the journal, then redo its entries in one commit,
//! which overwrites no page of the base, so that a power cut meanwhile finds the same to do. Whatever
//! the data file seems to be is not trusted: nobody knows whether the page cache that the commits went
//! to was lost since. The caller is the only opener of the store, or holds the writer lock before any
//! other gets past it. Only `open` calls this.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::environment;
use super::gate::Live;
use super::journal::{self, Base, Entry, Journal};
use super::meta::Meta;
use super::open::Schema;
use super::queue::Queue;
use super::refusal::{damaged, failed, refused};
use super::stamp::Stamp;
use super::transaction::Transaction;
use crate::error::{Error, Result};

/// How long a process that ends may keep LMDB's lock after it has left the queue.
const ENDING: Duration = Duration::from_secs(1);

/// Puts the data file back to the journal's base where anything was written since; returns what is to
/// be redone, none where nothing was undone.
pub fn undo(directory: &Path, schema: &Schema) -> Result<Option<Vec<Vec<u8>>>> {
    let io = |error| refused("cannot recover", directory, error);
    wait_until_alone(directory)?;
    let Some(base) = journal::read_base(directory)? else {
        return Ok(None);
    };
    let data = journal::open_data(directory)?;
    let begins = Stamp::read(&data)
        .and_then(|stamp| Ok((stamp, journal::read_metas(&data, base.page_size)?)));
    let (stamp, metas) = match begins {
        Ok(begins) => begins,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return damaged(directory, "data.mdb ends before its second meta page");
        }
        Err(error) => return Err(io(error)),
    };
    if !stamp.names(base.nonce) {
        return damaged(
            directory,
            "data.mdb and journal do not belong together, and were left as they are; put back both \
             from one copy, or remove the file named journal if data.mdb is known to be whole",
        );
    }
    let entries = journal::read_entries(directory, &base).map_err(io)?;
    let last = entries
        .last()
        .map_or(base.transaction, |entry| entry.transaction);
    if stamp.flushed > last {
        return damaged(
            directory,
            format!(
                "its journal has lost commits that were flushed (those after LMDB's transaction \
                 {last}, up to {}), and nothing was changed; put back data.mdb and journal from one \
                 copy, or, if no power cut and no failing disk came since it was last written, remove \
                 the file named journal: then data.mdb is whole",
                stamp.flushed
            ),
        );
    }
    if entries.is_empty() && metas == base.metas {
        return Ok(None);
    }
    let folded = entries.iter().filter(|entry| !entry.redo.is_empty());
    let supported = schema.fold_version;
    if let Some(found) = folded
        .map(|entry| entry.fold_version)
        .find(|version| *version != u64::from(supported))
    {
        return Err(Error::FoldInJournal {
            path: directory.into(),
            found,
            supported,
        });
    }
    write_back(&data, &base, &entries).map_err(io)?;
    let redo = entries.into_iter().map(|entry| entry.redo);
    Ok(Some(redo.filter(|redo| !redo.is_empty()).collect()))
}

/// Refuses a store that a process has open which did not come by this queue file.
fn wait_until_alone(directory: &Path) -> Result<()> {
    let start = Instant::now();
    while environment::is_held(directory)
        .map_err(|error| refused("cannot open", directory, error))?
    {
        if start.elapsed() > ENDING {
            return Err(Error::LockNotShared {
                path: directory.into(),
            });
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The checkpoint after the redo flushes it.
fn write_back(data: &File, base: &Base, entries: &[Entry]) -> io::Result<()> {
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
    Ok(())
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
        (schema.redo)(&mut transaction, entry).map_err(|error| match error {
            Error::Storage(error) => failure(error),
            Error::Refused(reason) => Error::Damaged {
                path: directory.into(),
                reason: format!(
                    "its journal does not lead on from it ({reason}); put back data.mdb and journal \
                     from one copy, or remove the file named journal to go on from the last \
                     checkpoint, without the commits since"
                ),
            },
            other => other,
        })?;
    }
    transaction.writing.commit_unflushed().map_err(failure)?;
    Journal::open(directory)?.checkpoint(directory, queue.journal(), live.environment())
}
