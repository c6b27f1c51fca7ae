//! One environment per store per process.
//!
//! Owns the table of what this process has open, keyed by the directory's device and inode, and the
//! claims of the handles on it. The table is the process's own: a forked child begins with an empty
//! one and leaks the parent's, locks and all. Closing an environment drops every POSIX lock that the
//! process has on its lock file, so an opener waits until the closing of its predecessor has ended.
//! Only `store` calls this.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::opened::Opened;
use super::os::PerProcess;
use crate::error::Result;

/// Device and inode of a store's directory.
pub type Key = (u64, u64);

enum Slot {
    /// A thread opens it.
    Opening,
    /// Open; or, where no strong reference is left, being closed.
    Open(Weak<Opened>),
}

/// What this process has open.
pub struct Registry {
    slots: Mutex<HashMap<Key, Slot>>,
    changed: Condvar,
    /// By the number of the handle.
    claims: Mutex<HashMap<u64, Arc<Opened>>>,
}

static REGISTRY: PerProcess<Registry> = PerProcess::new();

/// The table of this process.
pub fn registry() -> &'static Registry {
    REGISTRY.get(|| Registry {
        slots: Mutex::new(HashMap::new()),
        changed: Condvar::new(),
        claims: Mutex::new(HashMap::new()),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// What the handle has a claim on, if it has one in this process.
    pub fn claimed(&self, handle: u64) -> Option<Arc<Opened>> {
        lock(&self.claims).get(&handle).cloned()
    }

    /// Gives the handle a claim on the environment of `key`, opening it if this process has not.
    pub fn claim(
        &self,
        handle: u64,
        key: Key,
        open: impl FnOnce() -> Result<Opened>,
    ) -> Result<Arc<Opened>> {
        let opened = self.open(key, open)?;
        let before = lock(&self.claims).insert(handle, Arc::clone(&opened));
        drop(before);
        Ok(opened)
    }

    /// Ends the handle's claim. The last one closes the environment.
    pub fn release(&self, handle: u64) {
        let claim = lock(&self.claims).remove(&handle);
        drop(claim);
    }

    fn open(&self, key: Key, open: impl FnOnce() -> Result<Opened>) -> Result<Arc<Opened>> {
        let mut slots = lock(&self.slots);
        loop {
            match slots.get(&key) {
                None => break,
                Some(Slot::Open(weak)) => {
                    if let Some(opened) = weak.upgrade() {
                        return Ok(opened);
                    }
                }
                Some(Slot::Opening) => {}
            }
            slots = self
                .changed
                .wait(slots)
                .unwrap_or_else(PoisonError::into_inner);
        }
        slots.insert(key, Slot::Opening);
        drop(slots);
        // A panic while opening must not leave others waiting.
        let mut place = Place {
            registry: self,
            key,
            taken: false,
        };
        let opened = Arc::new(open()?);
        lock(&self.slots).insert(key, Slot::Open(Arc::downgrade(&opened)));
        place.taken = true;
        self.changed.notify_all();
        Ok(opened)
    }

    /// Says that the environment of `key` is closed.
    pub fn closed(&self, key: Key) {
        lock(&self.slots).remove(&key);
        self.changed.notify_all();
    }
}

/// A slot kept for who opens; freed unless taken.
struct Place<'r> {
    registry: &'r Registry,
    key: Key,
    taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.registry.closed(self.key);
        }
    }
}
