//! A command whose turn has to come: alone, as the leader of a group, or in another's commit.
//!
//! Owns the wait of a writer that finds the lock taken: its command stands in a slot of the queue, and
//! it sleeps there until a leader has run it, or it is called to lead. Only `store` calls this.

use std::time::{Duration, Instant};

use super::fault;
use super::opened::Opened;
use super::queue::{COURTESY, LockError, OwnSlot, ROOM, STEP, State, WriterLock};
use super::refusal::not_locked;
use super::transaction::{Outcome, Transaction};
use super::write;
use crate::error::{Error, Result};

/// How long a follower sleeps at first before it looks whether its leader lives.
const LOOK: Duration = Duration::from_millis(5);

/// What a writer wants, so that another writer of the same dialect can do it.
pub trait Submission {
    /// What comes back.
    type Reply;

    /// The words for it, which [`Schema::serve`](super::Schema) understands.
    fn command(&self) -> Vec<u8>;

    /// Does it here; once more where a first try met the failures of others.
    fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<Self::Reply>>;

    /// What the words of a reply say.
    fn reply(&self, words: &[u8]) -> Self::Reply;
}

/// What a writer does next.
pub enum Turn<'q, R> {
    /// It has the lock, and runs its command and others'.
    Lead(WriterLock<'q>),
    /// Another has committed its command.
    Done(R),
    /// It has to run its command in a commit of its own.
    Alone,
    /// A signal handler forked, and this is the child.
    Forked,
}

/// Waits until the command is run or is to be run here.
pub fn wait_for_turn<'q, S: Submission>(
    opened: &'q Opened,
    interrupted: &dyn Fn() -> bool,
    submission: &S,
) -> Result<Turn<'q, S::Reply>> {
    if let Some(lock) = opened.try_lock()? {
        return Ok(Turn::Lead(lock));
    }
    let command = submission.command();
    let slot = match command.len() <= ROOM {
        true => opened.queue().own_slot(),
        false => None,
    };
    let Some(slot) = slot else {
        let lock = opened.lock(interrupted)?;
        return Ok(lock.map_or(Turn::Forked, Turn::Lead));
    };
    slot.fill(opened.schema().dialect, &command);
    let mut wait = Wait::new(opened, &slot);
    loop {
        match slot.state() {
            State::Done => {
                fault::point("done");
                return Ok(Turn::Done(submission.reply(&slot.reply())));
            }
            State::Called => slot.answer(),
            State::Filled | State::Taken | State::Prepared => {
                if let Some(lock) = wait.step()? {
                    fault::point("leading");
                    if slot.withdraw() {
                        return opened.shared(lock).map(Turn::Lead);
                    }
                    // Whoever had the command died with the lock; else it is done.
                    write::settle_left(opened)?;
                } else if wait.asks() && slot.withdraw() {
                    // Withdrawn, so that what the handler of a signal raises ends a call that has
                    // stored nothing.
                    if interrupted() {
                        return Err(Error::Interrupted);
                    }
                    if !slot.is_here() {
                        return Ok(Turn::Forked);
                    }
                    wait.asked = Instant::now();
                    slot.fill_again();
                }
            }
            State::Alone | State::Free | State::Filling => {
                fault::point("alone");
                return Ok(Turn::Alone);
            }
        }
    }
}

/// A wait in a slot.
struct Wait<'q, 's> {
    opened: &'q Opened,
    slot: &'s OwnSlot<'q>,
    began: Instant,
    /// When the caller was last asked.
    asked: Instant,
    /// How long it sleeps next.
    pause: Duration,
    /// When it last tried the lock, and how often the lock had been taken when the wait began.
    turns: u32,
}

impl<'q, 's> Wait<'q, 's> {
    fn new(opened: &'q Opened, slot: &'s OwnSlot<'q>) -> Self {
        let began = Instant::now();
        Self {
            opened,
            slot,
            began,
            asked: began,
            pause: LOOK,
            turns: opened.queue().turns(),
        }
    }

    /// Whether it is time to ask the caller whether to go on.
    fn asks(&self) -> bool {
        self.asked.elapsed() >= STEP
    }

    /// Tries the lock, then sleeps until something happens to the slot, or for a while.
    ///
    /// Who leads takes all that waits, so a follower has nothing to gain from the lock. It looks now and
    /// then whether who had it, or was called to it, is dead. One that has waited for a whole step
    /// waits for the lock itself, where the kernel tells it of a death, and others give way to it.
    fn step(&mut self) -> Result<Option<WriterLock<'q>>> {
        let queue = self.opened.queue();
        let waited = self.began.elapsed();
        let io = |error: LockError| not_locked(self.opened.directory(), error);
        if waited >= STEP {
            let _passed_over = queue.pass_over();
            return queue.lock_within_a_step().map_err(io);
        }
        if !queue.is_anyone_passed_over() || waited >= COURTESY {
            if queue.turns() == self.turns && waited >= COURTESY {
                queue.forget_passed_over();
            }
            let state = self.slot.state();
            // A leader that has the command is alive, most likely; it tells when it is done.
            if !state.is_led() || waited >= LOOK {
                let lock = queue.try_lock().map_err(io)?;
                if lock.is_some() {
                    return Ok(lock);
                }
            }
        }
        let state = self.slot.state();
        if state == State::Filled || state.is_led() {
            self.slot.wait(state, self.pause);
            if self.began.elapsed() >= waited + self.pause {
                self.pause *= 2;
            }
        }
        Ok(None)
    }
}
