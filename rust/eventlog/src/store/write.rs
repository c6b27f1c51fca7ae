//! The order of a write, for who holds the writer lock.
//!
//! Owns it: what a dead leader left, gate, LMDB's transaction, meta row, the caller's work, that of others
//! who wait, journal, commit, wake-ups; and the resolution of a commit whose outcome LMDB left open.
//! Only `store` and `submission` call this.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use super::fault;
use super::gate::{Inside, Live};
use super::group::{self, Group, Published};
use super::journal::{Appended, Journal};
use super::lmdb::LmdbError;
use super::meta::{self, Durability, Meta};
use super::opened::Opened;
use super::queue::WriterLock;
use super::store::{Handle, current_meta};
use super::transaction::{Outcome, Transaction};
use crate::error::Result;

/// How often an environment is opened anew before the outcome of its last commit is given up.
const REPLACING_TRIES: u32 = 20;
const REPLACING_PAUSE: Duration = Duration::from_millis(50);

/// Whether a commit is flushed to the end, and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As the store's durability says, waking who waits.
    Full,
    /// Not at all, telling nobody.
    Side,
}

/// What a write does, maybe once more where others' commands failed beside it.
pub type Work<'w, R> = &'w mut dyn FnMut(&mut Transaction<'_>) -> Result<Outcome<R>>;

/// Whose commands a commit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Also those of others who wait.
    Others,
    /// The caller's alone.
    Alone,
}

/// Runs the work and commits it.
pub fn write<R>(
    handle: &Handle,
    opened: &Opened,
    lock: WriterLock<'_>,
    weight: Weight,
    mut company: Company,
    work: Work<'_, R>,
) -> Result<R> {
    settle_left(opened)?;
    let mut tries = 0;
    let (value, published) = loop {
        let inside = opened.enter()?;
        match attempt(handle, opened, inside.live(), weight, company, work)? {
            Attempt::Committed(value, published) => break (value, published),
            Attempt::Nothing(value) => return Ok(value),
            Attempt::Apart => company = Company::Alone,
            Attempt::Uncertain {
                value,
                id,
                error,
                mut group,
            } => {
                let alone = group.is_empty();
                match settle(handle, opened, inside, id, error, &mut group) {
                    Ok(()) => break (value, group.publish()),
                    Err(error) if alone => return Err(error),
                    Err(_) => company = Company::Alone,
                }
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
    published.wake();
    if weight == Weight::Full {
        opened.queue().wake();
    }
    Ok(value)
}

/// Settles what a dead leader left in the slots, if there is any. The caller holds the writer lock.
pub fn settle_left(opened: &Opened) -> Result<()> {
    let mut tries = 0;
    while opened.queue().is_led() {
        let inside = opened.enter()?;
        let environment = inside.live().environment();
        if let Err(error) = group::settle(opened.queue(), opened.directory(), environment) {
            opened.mend(inside, error, &mut tries)?;
        }
    }
    Ok(())
}

/// What came of one try to write.
enum Attempt<'q, R> {
    Committed(R, Published<'q>),
    Nothing(R),
    /// What others asked for made it fail, maybe; nothing was stored.
    Apart,
    /// The commit failed, and may have landed.
    Uncertain {
        value: R,
        id: usize,
        error: LmdbError,
        group: Group<'q>,
    },
    /// LMDB did not begin the transaction.
    NotBegun(LmdbError),
    /// Another process has made the map this large.
    SmallMap(usize),
}

fn attempt<'q, R>(
    handle: &Handle,
    opened: &'q Opened,
    live: &Live,
    weight: Weight,
    company: Company,
    work: Work<'_, R>,
) -> Result<Attempt<'q, R>> {
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
    let value = match work(&mut transaction).map_err(|error| opened.placed(error))? {
        Outcome::Nothing(value) => return Ok(Attempt::Nothing(value)),
        Outcome::Commit(value) => value,
    };
    let mut group = Group::new(opened.queue());
    // What has no words of redo is flushed in another way, and alone.
    if company == Company::Others && transaction.redo.is_some() {
        let take = AssertUnwindSafe(|| group.take(handle.schema, &mut transaction));
        // What is wrong with one of them, its owner gets to know by itself, and be it a panic.
        if !matches!(catch_unwind(take), Ok(Ok(()))) {
            return Ok(Attempt::Apart);
        }
    }
    let id = transaction.id();
    let committed = match journal {
        None => transaction.writing.commit(),
        Some(journal) => match commit_journaled(opened, live, weight, transaction, &journal) {
            Ok(committed) => committed,
            Err(_) if !group.is_empty() => return Ok(Attempt::Apart),
            Err(error) => return Err(error),
        },
    };
    Ok(match committed {
        Ok(()) => Attempt::Committed(value, group.publish()),
        Err(error) => Attempt::Uncertain {
            value,
            id,
            error,
            group,
        },
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
    fault::point("entered");
    let committed = transaction.writing.commit_unflushed();
    fault::point("committed");
    match committed {
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
    group: &mut Group<'_>,
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
    // From here on the number says nothing of these commands any more.
    group.hand_back();
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
