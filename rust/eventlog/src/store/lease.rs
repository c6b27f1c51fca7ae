//! Leases: a reader that goes through the log in many short snapshots holds what it has yet to read
//! against a compaction, without pinning old pages.
//!
//! A lease is a row in the meta row, see [`Leased`](super::Leased). As long as it stands there, no record from its sequence on was
//! taken: a compaction keeps its cutoff below each lease that lives, and takes away each one that has expired
//! and is in its way, in the commit that goes past it. So a reader that finds its lease in a snapshot finds all that it wants
//! there, and one that does not says so ([`Error::LeaseLost`]) rather than miss something.
//!
//! No flush: after a power cut there is no reader left.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::meta::{Leased, Meta};
use super::store::Store;
use super::transaction::{Outcome, Transaction};
use crate::error::{Error, Result};
use crate::sequence::Sequence;

/// How long a lease lives that nobody renews.
pub const LEASE_TIME: Duration = Duration::from_secs(60);

/// How often a lease is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(15);

/// How long the end of a lease waits for other writers; after that it is left to expire.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// After so many seconds an expired lease goes that no compaction has met, so that they do not gather.
const FORGOTTEN_AFTER: f64 = 86_400.0;

/// What a reader relies upon: its lease, or, where none could be taken, that no compaction goes past.
pub struct Lease {
    store: Store,
    from: Sequence,
    /// None where the store cannot be written to.
    id: Option<u64>,
    /// The horizon before the lease was taken.
    whole_from: u64,
    process: u32,
}

impl Lease {
    /// Takes a lease on the log from a record on. Where nothing can be written (a handle that is for
    /// reading, a full disk) there is none, and [`Lease::check`] goes by the horizon.
    pub fn take(store: &Store, from: Sequence) -> Result<Self> {
        let whole_from = store.read(|snapshot| Ok(snapshot.meta().whole_from))?;
        let taken = add(store, from, |_| Ok(()));
        let id = match taken {
            Ok(id) => Some(id),
            Err(
                Error::ReadOnly { .. }
                | Error::DiskFull { .. }
                | Error::DiskFailed { .. }
                | Error::DiskLost { .. }
                | Error::MapFull { .. },
            ) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            store: store.clone(),
            from,
            id,
            whole_from,
            process: std::process::id(),
        })
    }

    /// Takes another lease on the same records.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] where this one is gone.
    pub fn again(&self) -> Result<Self> {
        let id = match self.id {
            Some(_) => Some(add(&self.store, self.from, |meta| self.check(meta))?),
            None => {
                self.store.read(|snapshot| self.check(snapshot.meta()))?;
                None
            }
        };
        Ok(Self {
            store: self.store.clone(),
            from: self.from,
            id,
            whole_from: self.whole_from,
            process: std::process::id(),
        })
    }

    /// Whether all records from the lease's sequence on are there that were when it was taken, in the
    /// snapshot that this meta row is of.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`]
    pub fn check(&self, meta: &Meta) -> Result<()> {
        let stands = match self.id {
            Some(id) => meta.leases.iter().any(|lease| lease.id == id),
            None => meta.whole_from <= self.whole_from.max(self.from.get()),
        };
        if stands {
            return Ok(());
        }
        Err(Error::LeaseLost {
            path: self.store.directory().to_owned(),
            from: self.from.get(),
        })
    }

    /// Renews the lease until what is returned is dropped, whatever the reader waits for.
    pub fn keep(lease: Arc<Self>) -> Result<Keeper> {
        if lease.id.is_none() {
            return Ok(Keeper::default());
        }
        let (end, ended) = sync_channel::<()>(0);
        let path = lease.store.directory().to_owned();
        let work = move || {
            while ended.recv_timeout(RENEWED_EVERY) == Err(RecvTimeoutError::Timeout) {
                // What fails here is tried again; a reader that has lost its lease finds that out itself.
                let _ = lease.renew();
            }
        };
        let thread = thread::Builder::new().name("lease".to_owned());
        let thread = thread.spawn(work).map_err(|source| Error::Io {
            action: "cannot start a thread to renew the lease on",
            path,
            source,
        })?;
        Ok(Keeper {
            running: Some((end, thread)),
            process: std::process::id(),
        })
    }

    fn renew(&self) -> Result<()> {
        self.store.write_relaxed(&|| false, |transaction| {
            let mut meta = transaction.meta().clone();
            let own = meta.leases.iter_mut().find(|each| Some(each.id) == self.id);
            let Some(own) = own else {
                return Ok(Outcome::Nothing(()));
            };
            own.until = now() + LEASE_TIME.as_secs_f64();
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.id.is_none() || self.process != std::process::id() {
            return;
        }
        let began = Instant::now();
        let remove = |transaction: &mut Transaction<'_>| {
            let mut meta = transaction.meta().clone();
            let before = meta.leases.len();
            meta.leases.retain(|lease| Some(lease.id) != self.id);
            if meta.leases.len() == before {
                return Ok(Outcome::Nothing(()));
            }
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        };
        // What stays behind expires.
        let _ = self
            .store
            .write_relaxed(&|| began.elapsed() > ENDED_WITHIN, remove);
    }
}

/// Renews a lease while it is there.
#[derive(Default)]
pub struct Keeper {
    running: Option<(SyncSender<()>, JoinHandle<()>)>,
    /// Threads do not come along with a fork.
    process: u32,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some((end, thread)) = self.running.take() else {
            return;
        };
        if self.process != std::process::id() {
            std::mem::forget((end, thread));
            return;
        }
        drop(end);
        let _ = thread.join();
    }
}

/// Adds a lease to those of the store, if nothing is wrong with the meta row.
fn add(store: &Store, from: Sequence, check: impl FnOnce(&Meta) -> Result<()>) -> Result<u64> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|error| Error::Io {
        action: "cannot draw an id for a lease on",
        path: store.directory().to_owned(),
        source: std::io::Error::other(error),
    })?;
    let id = u64::from_be_bytes(id);
    store.write_relaxed(&|| false, |transaction| {
        let mut meta = transaction.meta().clone();
        check(&meta)?;
        let now = now();
        meta.leases
            .retain(|lease| lease.until + FORGOTTEN_AFTER > now);
        meta.leases.push(Leased {
            id,
            from: from.get(),
            until: now + LEASE_TIME.as_secs_f64(),
        });
        transaction.set_meta(meta)?;
        Ok(Outcome::Commit(id))
    })
}

/// What the clock shows, in Unix seconds.
pub fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}
