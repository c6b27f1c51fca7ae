//! The store's handle: reads, writes, waiting, closing.
//!
//! A handle may be copied, carried through a fork and used after `close`; each use finds what its process
//! has open, or opens it. Layers above call this.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::environment::DATA;
use super::gate::Trees;
use super::lmdb::View;
use super::meta::{Durability, Meta};
use super::open::{self, OpenOptions, Schema};
use super::opened::Opened;
use super::refusal::refused;
use super::registry::registry;
use super::submission::{self, Submission, Turn};
use super::transaction::{Outcome, Snapshot, Transaction};
use super::write::{self, Company, Weight};
use crate::error::{Error, Result};

/// A store, cheap to copy. Copies share one claim; it ends with the last of them, or with `close`.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

pub struct Handle {
    /// Names this handle's claim in the registry.
    number: u64,
    directory: PathBuf,
    pub schema: &'static Schema,
    options: OpenOptions,
    id: [u8; 16],
}

impl Drop for Handle {
    fn drop(&mut self) {
        registry().release(self.number);
    }
}

/// Sizes of a store.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    pub directory: PathBuf,
    pub meta: Meta,
    pub map_size: usize,
    pub page_size: usize,
    /// Bytes of the pages that were ever used.
    pub used_bytes: u64,
    /// Bytes of those among them that were freed, and are used again.
    pub free_bytes: u64,
    /// Bytes of the data file.
    pub file_bytes: u64,
    /// Id of the last committed transaction.
    pub last_transaction: usize,
    pub max_readers: u32,
    /// Reader slots ever taken at once.
    pub readers: u32,
}

impl Store {
    /// Opens the store of a directory.
    pub fn open(directory: &Path, schema: &'static Schema, options: &OpenOptions) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let place = open::locate(directory, options.create)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = place.path.clone();
        let key = place.key;
        let opened = registry().claim(number, key, || open::open(place, schema, options))?;
        let mut handle = Handle {
            number,
            directory: path,
            schema,
            options: OpenOptions {
                create: false,
                ..options.clone()
            },
            id: [0; 16],
        };
        if opened.schema().tables != schema.tables {
            return Err(Error::Refused(format!(
                "this process has {} open with other tables",
                handle.directory.display()
            )));
        }
        handle.id = read(&handle, &opened, |snapshot| Ok(snapshot.meta().store))?;
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// The store's id, given at creation.
    pub fn id(&self) -> [u8; 16] {
        self.handle.id
    }

    /// Real path of the store's directory.
    pub fn directory(&self) -> &Path {
        &self.handle.directory
    }

    /// What this process has open, opened now if it has not: in a forked child, or after `close`.
    fn opened(&self) -> Result<Arc<Opened>> {
        let handle = &*self.handle;
        if let Some(opened) = registry().claimed(handle.number) {
            return Ok(opened);
        }
        let place = open::locate(&handle.directory, false)?;
        let opened = registry().claim(handle.number, place.key, || {
            open::open(place, handle.schema, &handle.options)
        })?;
        let id = read(handle, &opened, |snapshot| Ok(snapshot.meta().store))?;
        if id != handle.id {
            registry().release(handle.number);
            return Err(Error::NotAStore {
                path: handle.directory.clone(),
                reason: "another store has taken its place; open that one anew".into(),
            });
        }
        Ok(opened)
    }

    fn refuse_if_read_only(&self) -> Result<()> {
        match self.handle.options.read_only {
            false => Ok(()),
            true => Err(Error::ReadOnly {
                path: self.directory().into(),
            }),
        }
    }

    /// Runs `f` in one short read transaction.
    pub fn read<R>(&self, f: impl FnOnce(&Snapshot<'_>) -> Result<R>) -> Result<R> {
        let opened = self.opened()?;
        read(&self.handle, &opened, f)
    }

    /// Runs `f` in the write transaction, under the writer lock, and commits what it did.
    ///
    /// Waits for the lock in steps of at most 50 ms; `interrupted` is asked between them. Returns
    /// once the commit is as durable as the store is. An error means that nothing was stored. Inside
    /// another transaction of the store on this thread it is refused.
    pub fn write<R>(
        &self,
        interrupted: &dyn Fn() -> bool,
        f: impl FnOnce(&mut Transaction<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        self.write_with(Weight::Full, interrupted, f)
    }

    /// As [`Store::write`], without a flush of its own and without waking anyone: for rows that are no
    /// part of history, and that a power cut may take.
    pub fn write_relaxed<R>(
        &self,
        interrupted: &dyn Fn() -> bool,
        f: impl FnOnce(&mut Transaction<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        self.write_with(Weight::Side, interrupted, f)
    }

    fn write_with<R>(
        &self,
        weight: Weight,
        interrupted: &dyn Fn() -> bool,
        f: impl FnOnce(&mut Transaction<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        self.refuse_if_read_only()?;
        let mut f = Some(f);
        let mut work = |transaction: &mut Transaction<'_>| {
            f.take().expect("a write without company runs once")(transaction)
        };
        loop {
            let opened = self.opened()?;
            // The holder of the lock may wait for this thread to leave.
            opened.refuse_if_inside()?;
            if let Some(lock) = opened.lock(interrupted)? {
                let company = Company::Alone;
                return write::write(&self.handle, &opened, lock, weight, company, &mut work);
            }
        }
    }

    /// Runs what a writer submits, in a commit of its own or together with others, whoever of them has
    /// the writer lock.
    ///
    /// As [`Store::write`] otherwise. `interrupted` is not asked while another writer has the command:
    /// that one commits it in a moment.
    pub fn submit<S: Submission>(
        &self,
        interrupted: &dyn Fn() -> bool,
        submission: &S,
    ) -> Result<S::Reply> {
        self.refuse_if_read_only()?;
        let mut work = |transaction: &mut Transaction<'_>| submission.run(transaction);
        loop {
            let opened = self.opened()?;
            opened.refuse_if_inside()?;
            let turn = submission::wait_for_turn(&opened, interrupted, submission)?;
            let (lock, company) = match turn {
                Turn::Done(reply) => return Ok(reply),
                Turn::Lead(lock) => (Some(lock), Company::Others),
                Turn::Alone => (opened.lock(interrupted)?, Company::Alone),
                Turn::Forked => (None, Company::Alone),
            };
            if let Some(lock) = lock {
                let weight = Weight::Full;
                return write::write(&self.handle, &opened, lock, weight, company, &mut work);
            }
        }
    }

    /// Waits until the commit word is not `seen`, at most `timeout`; returns the word.
    ///
    /// A failure to open the store counts as "nothing new": the caller's next read says why.
    pub fn wait_for_commit(&self, seen: u32, timeout: Duration) -> u32 {
        match self.opened().map(|opened| Arc::clone(opened.queue())) {
            Ok(queue) => queue.wait(seen, timeout),
            Err(_) => {
                thread::sleep(timeout);
                seen
            }
        }
    }

    /// A number that changes with every commit of any process.
    pub fn commit_word(&self) -> u32 {
        self.opened().map_or(0, |opened| opened.queue().word())
    }

    /// Ends the waits of [`Store::wait_for_commit`] as a commit would, in every process.
    pub fn wake(&self) {
        if let Ok(opened) = self.opened() {
            opened.queue().count();
            opened.queue().wake();
        }
    }

    /// Ends this handle's claim; the environment closes with the last claim of the process, once
    /// its running transactions end. Idempotent. A later call on the handle opens the store again.
    pub fn close(&self) {
        registry().release(self.handle.number);
    }

    /// Makes the map larger, for every process.
    pub fn resize(&self, map_size: usize) -> Result<()> {
        self.refuse_if_read_only()?;
        let opened = self.opened()?;
        let map_size = open::map_size_of(map_size);
        let meta = self.read(|snapshot| Ok(snapshot.meta().clone()))?;
        if (map_size as u64) < meta.map_size {
            return Err(Error::Refused(format!(
                "the map of {} is {} bytes, and cannot be made smaller",
                self.directory().display(),
                meta.map_size
            )));
        }
        opened.remap(map_size)?;
        self.write(&|| false, |transaction| {
            let mut meta = transaction.meta().clone();
            meta.map_size = meta.map_size.max(map_size as u64);
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        })
    }

    /// Changes what a return from a write means, for every process.
    pub fn set_durability(&self, durability: Durability) -> Result<()> {
        self.write(&|| false, |transaction| {
            if transaction.meta().durability == durability {
                return Ok(Outcome::Nothing(()));
            }
            let mut meta = transaction.meta().clone();
            meta.durability = durability;
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        })
    }

    /// Sizes of the store. O(free pages).
    pub fn info(&self) -> Result<StoreInfo> {
        let opened = self.opened()?;
        let meta = self.read(|snapshot| Ok(snapshot.meta().clone()))?;
        let inside = opened.enter()?;
        let environment = inside.live().environment();
        let found = environment.info().map_err(|error| opened.failure(error))?;
        let free = environment
            .read()
            .and_then(|reading| reading.freed_after(0, usize::MAX))
            .map_err(|error| opened.failure(error))?;
        let data = self.directory().join(DATA);
        let file = std::fs::metadata(&data)
            .map_err(|error| refused("cannot read", self.directory(), error))?;
        Ok(StoreInfo {
            directory: self.directory().into(),
            meta,
            map_size: found.map_size,
            page_size: found.page_size,
            used_bytes: (found.last_page as u64 + 1) * found.page_size as u64,
            free_bytes: (free.len() * found.page_size) as u64,
            file_bytes: file.len(),
            last_transaction: found.last_transaction,
            max_readers: found.max_readers,
            readers: found.readers,
        })
    }
}

/// Reads the meta row, and refuses a store that this process is too old or too new for.
pub fn current_meta(
    handle: &Handle,
    opened: &Opened,
    view: &View<'_>,
    trees: &Trees,
) -> Result<Arc<Meta>> {
    let meta = opened.meta(view, trees)?;
    meta.check_fold(
        &handle.directory,
        handle.schema.fold_version,
        handle.options.for_rebuild,
    )?;
    Ok(meta)
}

fn read<R>(
    handle: &Handle,
    opened: &Opened,
    f: impl FnOnce(&Snapshot<'_>) -> Result<R>,
) -> Result<R> {
    let mut tries = 0;
    loop {
        let inside = opened.enter()?;
        let live = inside.live();
        let error = match live.environment().read() {
            Ok(reading) => {
                let view = reading.view();
                let meta = current_meta(handle, opened, &view, &live.trees)?;
                let snapshot = Snapshot {
                    view,
                    trees: &live.trees,
                    meta: &meta,
                };
                return f(&snapshot).map_err(|error| opened.placed(error));
            }
            Err(error) => error,
        };
        opened.mend(inside, error, &mut tries)?;
    }
}
