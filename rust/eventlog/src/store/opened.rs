//! A store as this process has it open.
//!
//! Owns the environment behind its gate, the queue file and the mark of this PID namespace, and what
//! is done when LMDB says that an environment no longer fits: taking a larger map, clearing dead
//! readers, opening it anew after a fatal error. Shared by every handle of the process on one
//! directory. Only `store` calls this.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::{Gate, Inside, Live, Trees};
use super::journal::{self, Journal};
use super::lmdb::{LmdbError, View};
use super::meta::{self, Meta};
use super::namespace::Presence;
use super::open::{self, OpenOptions, Place, Schema};
use super::os::ProcessMark;
use super::queue::{LockError, Queue, WriterLock};
use super::refusal::{damaged, failed, not_locked, refused};
use super::registry::registry;
use super::stamp::Stamp;
use crate::error::{Error, Result};

/// How often a writer looks for readers that died.
const CLEARING: Duration = Duration::from_secs(30);
/// How often one call tries to begin a transaction.
const TRIES: u32 = 8;

/// A store as this process has it open.
pub struct Opened {
    place: Place,
    schema: &'static Schema,
    max_readers: u32,
    queue: Arc<Queue>,
    cleared: Mutex<Instant>,
    /// The meta row as it was last read, and what it decodes to.
    meta: Mutex<(Vec<u8>, Option<Arc<Meta>>)>,
    /// None until it could be opened or made.
    journal: Mutex<Option<Arc<Journal>>>,
    opened_by: ProcessMark,
    /// None only while it is dropped.
    gate: Option<Gate>,
    _presence: Presence,
}

impl Opened {
    pub fn new(
        place: Place,
        schema: &'static Schema,
        options: &OpenOptions,
        queue: Queue,
        presence: Presence,
        live: Live,
    ) -> Self {
        Self {
            place,
            schema,
            max_readers: options.max_readers.max(1),
            queue: Arc::new(queue),
            cleared: Mutex::new(Instant::now()),
            meta: Mutex::default(),
            journal: Mutex::default(),
            opened_by: ProcessMark::here(),
            gate: Some(Gate::new(live)),
            _presence: presence,
        }
    }

    pub fn directory(&self) -> &Path {
        &self.place.path
    }

    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    pub fn max_readers(&self) -> u32 {
        self.max_readers
    }

    /// The journal, in order for the next entry; none where there is no room for one: commits then
    /// flush the data file. The caller holds the writer lock.
    pub fn journal(&self, live: &Live) -> Result<Option<Arc<Journal>>> {
        let state = self.queue.journal();
        if state.is_lost() {
            return Err(Error::DiskLost {
                path: self.directory().into(),
            });
        }
        let mut place = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if place.as_ref().is_some_and(|journal| journal.is_removed()) {
            *place = None;
        }
        if place.is_none() {
            let path = self.directory().join(journal::NAME);
            if !path.exists() {
                state.set_ready(false);
            }
            *place = match Journal::open(self.directory()) {
                Ok(journal) => Some(Arc::new(journal)),
                // Nobody has it, so nobody counts on it.
                Err(Error::DiskFull { .. }) if !path.exists() => None,
                Err(error) => return Err(error),
            };
        }
        let Some(journal) = place.clone() else {
            // A journal that is put back later says nothing of what is committed now.
            journal::open_data(self.directory()).and_then(|data| {
                Stamp::NONE
                    .write(&data)
                    .map_err(|error| refused("cannot write", self.directory(), error))
            })?;
            return Ok(None);
        };
        if !state.is_ready() {
            journal.checkpoint(self.directory(), state, live.environment())?;
        }
        Ok(Some(journal))
    }

    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("present until dropped")
    }

    /// Goes into the environment for one transaction, opening it anew where it was lost.
    pub fn enter(&self) -> Result<Inside<'_>> {
        loop {
            if let Some(inside) = self.gate().enter() {
                return Ok(inside);
            }
            self.alone(|live| -> Result<()> {
                if live.is_none() {
                    *live = Some(open::reopen(self)?);
                }
                Ok(())
            })??;
        }
    }

    /// Refuses a thread that has a transaction of this store already.
    pub fn refuse_if_inside(&self) -> Result<()> {
        if self.gate().is_inside() {
            return Err(self.reentered());
        }
        Ok(())
    }

    fn reentered(&self) -> Error {
        Error::Reentered {
            path: self.directory().into(),
        }
    }

    fn alone<R>(&self, work: impl FnOnce(&mut Option<Live>) -> R) -> Result<R> {
        self.gate().alone(work).map_err(|_| self.reentered())
    }

    /// Opens the environment anew, unless another thread has done so since `serial`.
    pub fn replace(&self, serial: u64) -> Result<()> {
        self.alone(|live| {
            if live.as_ref().is_some_and(|live| live.serial == serial) {
                // Closed before the next is opened: closing drops the process's locks on the file.
                *live = None;
                *live = Some(open::reopen(self)?);
            }
            Ok(())
        })?
    }

    /// Gives the map a size, or with 0 the size that another process gave it.
    pub fn remap(&self, bytes: usize) -> Result<()> {
        let remapped = self.alone(|place| match place {
            None => Ok(()),
            Some(live) => {
                let remapped = live.environment_mut().set_map_size(bytes);
                if remapped.is_err() {
                    // The old map is gone, so the environment is too; the next to enter opens it.
                    *place = None;
                }
                remapped
            }
        })?;
        remapped.map_err(|error| match error.code {
            libc::ENOMEM => Error::NoAddressSpace {
                path: self.directory().into(),
                map_size: bytes,
            },
            _ => self.failure(error),
        })
    }

    /// Does what makes a failed begin worth another try; fails where nothing does.
    pub fn mend(&self, inside: Inside<'_>, error: LmdbError, tries: &mut u32) -> Result<()> {
        *tries += 1;
        if *tries > TRIES {
            return Err(self.failure(error));
        }
        if error.is_readers_full() && *tries == 1 {
            return match inside.live().environment().clear_dead_readers() {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failure(error)),
            };
        }
        let serial = inside.live().serial;
        drop(inside);
        if error.is_map_resized() {
            self.remap(0)
        } else if error.is_fatal() {
            self.replace(serial)
        } else {
            Err(self.failure(error))
        }
    }

    /// Takes the writer lock; none where `interrupted` forked, and this is the child.
    pub fn lock(&self, interrupted: &dyn Fn() -> bool) -> Result<Option<WriterLock<'_>>> {
        match self.queue.lock(interrupted) {
            Ok(lock) => self.shared(lock).map(Some),
            Err(LockError::Forked) => Ok(None),
            Err(error) => Err(not_locked(self.directory(), error)),
        }
    }

    /// Takes the writer lock if nobody has it, nor was passed over.
    pub fn try_lock(&self) -> Result<Option<WriterLock<'_>>> {
        if self.queue.is_anyone_passed_over() {
            return Ok(None);
        }
        match self.queue.try_lock() {
            Ok(lock) => lock.map(|lock| self.shared(lock)).transpose(),
            Err(error) => Err(not_locked(self.directory(), error)),
        }
    }

    /// Refuses a lock that others do not share any more.
    pub fn shared<'q>(&self, lock: WriterLock<'q>) -> Result<WriterLock<'q>> {
        let removed = self.queue.is_removed();
        match removed
            .map_err(|error| refused("cannot read the queue of", self.directory(), error))?
        {
            false => Ok(lock),
            true => Err(Error::LockNotShared {
                path: self.directory().into(),
            }),
        }
    }

    /// What the store says about itself in this transaction.
    pub fn meta(&self, view: &View<'_>, trees: &Trees) -> Result<Arc<Meta>> {
        let Some(bytes) = view
            .get(trees.meta, meta::KEY)
            .map_err(|error| self.failure(error))?
        else {
            return damaged(self.directory(), "its meta row is gone");
        };
        let mut last = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        if let (known, Some(meta)) = &*last
            && known == bytes
        {
            return Ok(Arc::clone(meta));
        }
        let meta = Arc::new(Meta::decode(self.directory(), bytes)?);
        *last = (bytes.to_vec(), Some(Arc::clone(&meta)));
        Ok(meta)
    }

    /// Frees the slots of readers that died, now and then.
    pub fn clear_dead_readers_at_times(&self, live: &Live) {
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        if cleared.elapsed() >= CLEARING {
            *cleared = Instant::now();
            // A slot that stays taken costs space, not truth.
            let _ = live.environment().clear_dead_readers();
        }
    }

    /// An error of LMDB in the terms of the store.
    pub fn failure(&self, error: LmdbError) -> Error {
        let inside = self.gate().enter();
        let environment = inside.as_ref().map(|inside| inside.live().environment());
        failed(self.directory(), environment, error)
    }

    /// An error of a transaction's body in the terms of the store.
    pub fn placed(&self, error: Error) -> Error {
        match error {
            Error::Storage(error) => self.failure(error),
            other => other,
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let gate = self.gate.take();
        if self.opened_by == ProcessMark::here() {
            drop(gate);
            registry().closed(self.place.key);
        } else {
            std::mem::forget(gate);
        }
    }
}
