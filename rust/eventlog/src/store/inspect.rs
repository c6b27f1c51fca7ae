//! What a directory holds, before anything in it is touched.
//!
//! Owns the line between a store, an unfinished store, another program's files and damage. It reads
//! and changes nothing, so a directory that is refused is left as it was. Only `open` calls it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::environment::{self, DATA, DRAFT, LOCK};
use super::journal;
use super::namespace;
use super::pages;
use super::queue;
use super::refusal::{damaged, not_a_store, refused};
use crate::error::Result;

/// What to do where a store was to be read and none is.
pub const NAME_THE_STORE: &str = "name the directory that dagster.yaml has as base_dir";

/// Refuses a directory that is not a store and may not become one.
pub fn directory(directory: &Path, create: bool) -> Result<()> {
    let look = || {
        queue::look(&directory.join(queue::NAME))
            .map_err(|error| refused("cannot read", directory, error))
    };
    let mut queue = look()?;
    loop {
        let verdict = judge(directory, queue, create);
        // Where another makes the store meanwhile, what was seen is of two moments.
        let now = look()?;
        if now == queue {
            return verdict;
        }
        queue = now;
    }
}

fn judge(directory: &Path, queue: queue::Found, create: bool) -> Result<()> {
    let io = |error| refused("cannot read", directory, error);
    let unfinished = || match create {
        true => Ok(()),
        false => Err(not_a_store(
            directory,
            "its creation has not finished; start what creates it again",
        )),
    };
    let data = open_data(directory).map_err(io)?;
    match (queue, data) {
        (queue::Found::Foreign, _) => Err(foreign(directory, "file named queue")),
        // A power cut may have taken the queue's content, and a mixture of the data file's pages is
        // not looked at before it is undone. The journal is begun once the store is made.
        (_, Some(_)) if journal::read_base(directory)?.is_some() => Ok(()),
        (queue::Found::Ours { complete: true }, Some(_)) => Ok(()),
        (queue::Found::Ours { complete: true }, None) => damaged(directory, "data.mdb is gone"),
        // Who makes a store makes the queue first, so a data file beside it is the store's.
        (_, Some(file)) if queue != queue::Found::Absent => {
            match pages::look(&file).map_err(io)? {
                pages::Found::Whole(head) if head.transaction > 0 => Ok(()),
                _ => unfinished(),
            }
        }
        (queue::Found::Absent, Some(file)) => match pages::look(&file).map_err(io)? {
            // As a backup leaves it.
            pages::Found::Whole(head)
                if head.transaction > 0 && environment::holds_meta_row(directory)? =>
            {
                Ok(())
            }
            pages::Found::Damaged(reason) => damaged(directory, reason),
            _ => Err(foreign(directory, "data.mdb")),
        },
        (queue::Found::Absent, None) => match stranger(directory).map_err(io)? {
            Some(name) if create => Err(not_a_store(
                directory,
                &format!("it holds other files ({name}); name an empty directory"),
            )),
            Some(name) => Err(not_a_store(
                directory,
                &format!("it holds other files ({name}) and no data.mdb; {NAME_THE_STORE}"),
            )),
            None if create => Ok(()),
            None => Err(not_a_store(
                directory,
                &format!("it is empty; {NAME_THE_STORE}"),
            )),
        },
        (_, _) => unfinished(),
    }
}

/// The size of the map that the data file asks for, none if the file is new; damage is refused
/// before LMDB maps it.
///
/// `unfinished` says that no commit was ever seen in it, and that nobody else is making the store.
pub fn data_file(directory: &Path, unfinished: bool) -> Result<Option<usize>> {
    let io = |error| refused("cannot read", directory, error);
    let Some(file) = open_data(directory).map_err(io)? else {
        return match unfinished {
            true => Ok(None),
            false => damaged(directory, "data.mdb is gone"),
        };
    };
    let reason = match pages::look(&file).map_err(io)? {
        pages::Found::Whole(head) if unfinished && head.transaction == 0 => {
            // Made with a map that may have been the reason why nothing followed.
            fs::remove_file(directory.join(DATA)).map_err(io)?;
            return Ok(None);
        }
        pages::Found::Whole(head) => return Ok(Some(head.map_size as usize)),
        pages::Found::Empty if unfinished => return Ok(None),
        pages::Found::Empty => "data.mdb is empty".into(),
        pages::Found::NotLmdb => "the first meta page of data.mdb is garbage".into(),
        pages::Found::Damaged(reason) => reason,
    };
    // What is no longer than the meta pages holds no commit: a crash cut the making of it short.
    if unfinished && file.metadata().map_err(io)?.len() <= pages::LARGEST_METAS {
        fs::remove_file(directory.join(DATA)).map_err(io)?;
        return Ok(None);
    }
    damaged(directory, reason)
}

fn open_data(directory: &Path) -> io::Result<Option<File>> {
    match File::open(directory.join(DATA)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn foreign(directory: &Path, what: &str) -> crate::error::Error {
    not_a_store(directory, &format!("its {what} belongs to another program"))
}

/// A file of the directory that no store puts there.
fn stranger(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = [queue::NAME, namespace::NAME, LOCK, "lost+found"];
        if !ours.contains(&name.as_str()) && !name.starts_with(DRAFT) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
