//! Group commit: the commands of waiting writers, run in the leader's transaction.
//!
//! Owns which commands a leader takes, and that each of them ends with its owner: published once the
//! commit is done, or handed back with nothing of it stored, also where the leader panics. The caller
//! holds the writer lock. Only `write` calls this.

use std::path::Path;
use std::time::{Duration, Instant};

use super::fault;
use super::journal;
use super::lmdb::{Environment, LmdbError};
use super::open::Schema;
use super::queue::{Queue, ROOM, TakenSlot};
use super::transaction::Transaction;
use crate::error::Result;

/// How long a leader takes further commands.
const WORK: Duration = Duration::from_millis(5);
/// Bytes of redo up to which it does: the smallest journal takes them, so a group commit is never one
/// that has to flush the data file.
const WORDS: usize = 128 << 10;

/// What came of a command that was run for its caller.
#[derive(Debug)]
pub enum Served {
    /// It is run; this is its reply.
    Done(Vec<u8>),
    /// It is refused, or must have a commit of its own. Nothing was put.
    Alone,
}

/// The commands of others in the transaction under way.
pub struct Group<'q> {
    queue: &'q Queue,
    taken: Vec<TakenSlot<'q>>,
}

impl<'q> Group<'q> {
    pub fn new(queue: &'q Queue) -> Self {
        Self {
            queue,
            taken: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Runs the commands that wait, into the transaction. After an error the transaction is to be
    /// aborted: something of a command may be in it.
    pub fn take(&mut self, schema: &Schema, transaction: &mut Transaction<'_>) -> Result<()> {
        let began = Instant::now();
        let id = transaction.id() as u64;
        loop {
            let before = self.taken.len();
            let mut from = 0;
            while words(transaction) < WORDS && began.elapsed() < WORK {
                if self.taken.is_empty() {
                    self.queue.set_led(true);
                }
                let Some(slot) = self.queue.take_next(&mut from, schema.dialect) else {
                    break;
                };
                self.taken.push(slot);
                fault::point("taken");
                let slot = &self.taken[self.taken.len() - 1];
                match (schema.serve)(transaction, &slot.command(), ROOM)? {
                    Served::Done(reply) => slot.prepare(id, &reply),
                    Served::Alone => {
                        slot.hand_back();
                        slot.wake();
                        self.taken.pop();
                    }
                }
            }
            // Some come while others are run.
            if self.taken.len() == before {
                break;
            }
        }
        if self.taken.is_empty() {
            self.queue.set_led(false);
        } else {
            fault::point("prepared");
        }
        Ok(())
    }

    /// Tells the owners that their commands are committed; they are woken by [`Published::wake`].
    pub fn publish(mut self) -> Published<'q> {
        let taken = std::mem::take(&mut self.taken);
        for slot in &taken {
            slot.publish();
            fault::point("publishing");
        }
        if !taken.is_empty() {
            self.queue.set_led(false);
            fault::point("published");
        }
        Published { taken }
    }

    /// Gives the commands back: nothing of them is stored.
    pub fn hand_back(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        for slot in self.taken.drain(..) {
            slot.hand_back();
            slot.wake();
            fault::point("handing back");
        }
        self.queue.set_led(false);
    }
}

fn words(transaction: &Transaction<'_>) -> usize {
    transaction.redo.as_ref().map_or(0, Vec::len)
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.hand_back();
    }
}

/// Commands that are committed, whose owners sleep.
pub struct Published<'q> {
    taken: Vec<TakenSlot<'q>>,
}

impl Published<'_> {
    /// Wakes the owners; after the lock was let go, since the next leader has more to do than they.
    pub fn wake(self) {
        for slot in self.taken {
            slot.wake();
            fault::point("woken");
        }
    }
}

/// Settles what a dead leader left in the slots.
///
/// LMDB gives a transaction's number again if it was not committed. But whoever holds the lock settles
/// before it commits, and all that commit hold the lock, so here the number is still the dead leader's:
/// it is committed if and only if the next one is higher. What was committed is durable, too: the entry
/// of a group commit is flushed to the journal before, and always fits there; LMDB's own commit, where
/// there is no journal, may have been killed within its last flush.
pub fn settle(
    queue: &Queue,
    directory: &Path,
    environment: &Environment,
) -> std::result::Result<(), LmdbError> {
    let next = {
        // Beginning a write is what makes LMDB look at what its dead writer left.
        let writing = environment.write()?;
        writing.id() as u64
    };
    if !directory.join(journal::NAME).exists() {
        // Readers see it, so it is stored, whatever the disk says.
        let _ = environment.sync();
    }
    queue.settle(|transaction| transaction < next);
    Ok(())
}
