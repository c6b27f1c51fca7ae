//! The store's handle: reads, writes, waiting, closing.
//!
//! Owns the order of a write: writer lock, gate, LMDB's transaction, meta row, the caller's work,
//! journal, commit, wake-up; and the resolution of a commit whose outcome LMDB left open. A handle may be
//! copied, carried through a fork and used after `close`; each use finds what its process has open,
//! or opens it. Layers above call this.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::environment::DATA;
use super::gate::{Inside, Live, Trees};
use super::journal::{Appended, Journal};
use super::lmdb::{LmdbError, View};
use super::meta::{self, Durability, Meta};
use super::open::{self, OpenOptions, Schema};
use super::opened::Opened;
use super::refusal::refused;
use super::registry::registry;
use super::transaction::{Outcome, Snapshot, Transaction};
use crate::error::{Error, Result};

/// How often an environment is opened anew before the outcome of its last commit is given up.
const REPLACING_TRIES: u32 = 20;
const REPLACING_PAUSE: Duration = Duration::from_millis(50);

/// A store, cheap to copy. Copies share one claim; it ends with the last of them, or with `close`.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    /// Names this handle's claim in the registry.
    number: u64,
    directory: PathBuf,
    schema: &'static Schema,
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

/// Whether a commit is flushed to the end, and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// As the store's durability says, waking who waits.
    Full,
    /// Not at all, telling nobody.
    Side,
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
        let handle = &*self.handle;
        let opened = self.opened()?;
        // The holder of the lock may wait for this thread to leave.
        opened.refuse_if_inside()?;
        let lock = opened.lock(interrupted)?;
        let mut f = Some(f);
        let mut tries = 0;
        let value = loop {
            let inside = opened.enter()?;
            match attempt(handle, &opened, inside.live(), weight, &mut f)? {
                Attempt::Committed(value) => break value,
                Attempt::Nothing(value) => return Ok(value),
                Attempt::Uncertain { value, id, error } => {
                    settle(handle, &opened, inside, id, error)?;
                    break value;
                }
                Attempt::NotBegun(error) => opened.mend(inside, error, &mut tries)?,
                Attempt::SmallMap(map_size) => {
                    drop(inside);
                    opened.remap(map_size)?;
                }
            }
        };
        // Counted under the lock: whoever finds its owner dead counts again.
        if weight == Weight::Full {
            opened.queue().count();
        }
        drop(lock);
        if weight == Weight::Full {
            opened.queue().wake();
        }
        Ok(value)
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
            .and_then(|reading| reading.freed_after(0))
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
fn current_meta(
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

/// What came of one try to write.
enum Attempt<R> {
    Committed(R),
    Nothing(R),
    /// The commit failed, and may have landed.
    Uncertain {
        value: R,
        id: usize,
        error: LmdbError,
    },
    /// LMDB did not begin the transaction.
    NotBegun(LmdbError),
    /// Another process has made the map this large.
    SmallMap(usize),
}

fn attempt<R, F>(
    handle: &Handle,
    opened: &Opened,
    live: &Live,
    weight: Weight,
    f: &mut Option<F>,
) -> Result<Attempt<R>>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<Outcome<R>>,
{
    let journal = opened.journal(live)?;
    let writing = match live.environment().write() {
        Ok(writing) => writing,
        Err(error) => return Ok(Attempt::NotBegun(error)),
    };
    let meta = current_meta(handle, opened, &writing.view(), &live.trees)?;
    let sizes = live
        .environment()
        .info()
        .map_err(|error| opened.failure(error))?;
    if meta.map_size > sizes.map_size as u64 {
        return Ok(Attempt::SmallMap(meta.map_size as usize));
    }
    opened.clear_dead_readers_at_times(live);
    let mut transaction = Transaction {
        writing,
        trees: &live.trees,
        meta: Meta::clone(&meta),
        redo: None,
    };
    let f = f.take().expect("a write that runs its work ends");
    let value = match f(&mut transaction).map_err(|error| opened.placed(error))? {
        Outcome::Nothing(value) => return Ok(Attempt::Nothing(value)),
        Outcome::Commit(value) => value,
    };
    let id = transaction.id();
    let committed = match journal {
        None => transaction.writing.commit(),
        Some(journal) => commit_journaled(opened, live, weight, transaction, &journal)?,
    };
    Ok(match committed {
        Ok(()) => Attempt::Committed(value),
        Err(error) => Attempt::Uncertain { value, id, error },
    })
}

/// Writes the journal's entry of a commit, and commits; flushes the data file where the entry does not say
/// all of it.
fn commit_journaled(
    opened: &Opened,
    live: &Live,
    weight: Weight,
    transaction: Transaction<'_>,
    journal: &Journal,
) -> Result<std::result::Result<(), LmdbError>> {
    let (directory, state) = (opened.directory(), opened.queue().journal());
    let environment = live.environment();
    let id = transaction.id();
    let durable = transaction.meta().durability == Durability::Durable;
    let flush = durable && weight == Weight::Full;
    let appended = journal.append(directory, state, environment, &transaction, flush)?;
    let is_whole =
        appended == Appended::Written && (weight == Weight::Side || transaction.redo.is_some());
    if !is_whole {
        // Until the checkpoint, undoing would lead back to before this commit.
        state.set_ready(false);
    }
    match transaction.writing.commit_unflushed() {
        Ok(()) if is_whole => journal.finish(state, id),
        // Flushed here and not by LMDB, which would go on after a flush that failed.
        Ok(()) => journal.checkpoint(directory, state, environment)?,
        Err(error) => {
            journal.cancel(state);
            // It may have landed all the same, and then has no entry to go on from.
            state.set_ready(false);
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Finds out whether a failed commit landed. The caller holds the writer lock, so nobody else
/// commits meanwhile.
///
/// LMDB's failure leaves two states. Pages could not be written or flushed: nothing refers to them.
/// Or the meta page could not be: LMDB put the older number back into it and condemned the
/// environment, yet its bytes may have reached the disk. Opened anew, the number of the next
/// transaction says which state holds; where the commit is absent, a commit of the same number is
/// laid over it, so that it stays absent after a power cut too.
fn settle(
    handle: &Handle,
    opened: &Opened,
    inside: Inside<'_>,
    id: usize,
    error: LmdbError,
) -> Result<()> {
    let failure = opened.failure(error);
    // A write takes no reader slot, so it begins unless the environment is condemned.
    match inside.live().environment().write() {
        Ok(writing) if writing.id() > id => {
            flush_landed(opened, inside.live());
            return Ok(());
        }
        Err(error) if error.is_fatal() => {}
        _ => return Err(failure),
    }
    let serial = inside.live().serial;
    drop(inside);
    let inside = (0..REPLACING_TRIES).find_map(|round| {
        thread::sleep(REPLACING_PAUSE * round.min(1));
        opened.replace(serial).and_then(|()| opened.enter()).ok()
    });
    let Some(inside) = inside else {
        return Err(failure);
    };
    let live = inside.live();
    // Where this fails too, the failure to report is the first.
    let Ok(mut writing) = live.environment().write() else {
        return Err(failure);
    };
    if writing.id() > id {
        drop(writing);
        flush_landed(opened, live);
        return Ok(());
    }
    let Ok(journal) = opened.journal(live) else {
        return Err(failure);
    };
    if let Ok(meta) = current_meta(handle, opened, &writing.view(), &live.trees)
        && writing
            .put(live.trees.meta, meta::KEY, &meta.encode())
            .is_ok()
    {
        let _ = match journal {
            // After a power cut the journal leads back to before it.
            Some(_) => writing.commit_unflushed(),
            None => writing.commit(),
        };
    }
    Err(failure)
}

/// Flushes a commit that landed although LMDB said that it failed. Readers see it, so it is stored,
/// whatever the disk says next.
fn flush_landed(opened: &Opened, live: &Live) {
    if let Ok(None) = opened.journal(live) {
        let _ = live.environment().sync();
    }
}
