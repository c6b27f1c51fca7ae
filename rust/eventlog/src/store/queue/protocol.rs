//! How a command changes hands: the states of a slot, and who takes which step.
//!
//! ```text
//! Free -> Filling -> Filled -> Taken -> Prepared -> Done -> Free
//!                    |    ^        \        \
//!                    v    |         +--------+----> Alone -> Free
//!                    Called
//! ```
//!
//! The slot's owner fills it, answers a call, withdraws, and frees it. A leader, who holds the writer
//! lock, takes what is filled, prepares it (the reply is in the slot, and the transaction that decides),
//! and publishes it, or hands it back to be run by its owner alone. Whoever lets the lock go calls one
//! slot, whose owner then tries for it. The next holder of the lock settles what a dead leader left:
//! what was prepared and committed is done, and anything else its owner runs alone, so that a command
//! that kills its leader kills no second one. Generic over the atomic, so that the tests of `model`
//! go through every interleaving of the very steps that the mapped file takes.

use std::sync::atomic::{AtomicU32, Ordering, fence};

/// What a slot is in, as the word in it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Holds nothing.
    Free = 0,
    /// Its owner writes a command, or has withdrawn it.
    Filling = 1,
    /// Holds a command that nobody runs yet.
    Filled = 2,
    /// Filled, and its owner is told that the lock is free.
    Called = 3,
    /// A leader runs the command.
    Taken = 4,
    /// The leader's transaction holds what the command did, and the slot its reply.
    Prepared = 5,
    /// It is committed.
    Done = 6,
    /// Nothing of it is stored, and its owner runs it by itself.
    Alone = 7,
}

impl State {
    fn of(word: u32) -> Self {
        match word {
            1 => Self::Filling,
            2 => Self::Filled,
            3 => Self::Called,
            4 => Self::Taken,
            5 => Self::Prepared,
            6 => Self::Done,
            7 => Self::Alone,
            _ => Self::Free,
        }
    }

    /// Whether a command waits for a leader.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Filled | Self::Called)
    }

    /// Whether a leader has the command.
    pub fn is_led(self) -> bool {
        matches!(self, Self::Taken | Self::Prepared)
    }
}

/// An atomic that holds a state.
pub trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    /// Whether it was `from` and is `to` now.
    fn exchange(&self, from: u32, to: u32, order: Ordering) -> bool;
    /// A fence among all of them, sequentially consistent.
    fn fence();
}

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn exchange(&self, from: u32, to: u32, order: Ordering) -> bool {
        self.compare_exchange(from, to, order, Ordering::Relaxed)
            .is_ok()
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// The steps of one slot. What else the slot holds belongs to the owner in `Free`, `Filling`, `Done` and
/// `Alone`, and to the leader in `Taken`; each step hands it over with what was written to it.
#[derive(Debug)]
pub struct Steps<'w, W>(pub &'w W);

impl<W: Word> Steps<'_, W> {
    pub fn state(&self) -> State {
        State::of(self.0.load(Ordering::Acquire))
    }

    fn set(&self, state: State) {
        self.0.store(state as u32, Ordering::Release);
    }

    fn step(&self, from: State, to: State) -> bool {
        self.0.exchange(from as u32, to as u32, Ordering::AcqRel)
    }

    /// The owner begins to write a command.
    pub fn begin(&self) {
        self.set(State::Filling);
    }

    /// The owner offers the command. Who tries the lock after this and finds it taken is called when it
    /// is let go: the fence is the other half of the one in [`Steps::call`].
    pub fn fill(&self) {
        self.set(State::Filled);
        W::fence();
    }

    /// The owner has heard the call, and tries the lock next.
    pub fn answer(&self) {
        self.step(State::Called, State::Filled);
        W::fence();
    }

    /// The owner takes its command back, into `Filling`; false where a leader has it.
    pub fn withdraw(&self) -> bool {
        loop {
            let state = self.state();
            if !state.is_waiting() {
                return false;
            }
            if self.step(state, State::Filling) {
                return true;
            }
        }
    }

    /// The owner has what it wanted, and no leader has the slot.
    pub fn free(&self) {
        self.set(State::Free);
    }

    /// Who let the lock go calls the owner; false where nothing waits here. After the unlocking and
    /// before the first of these, [`Word::fence`].
    pub fn call(&self) -> bool {
        self.step(State::Filled, State::Called)
    }

    /// A leader takes the command; false where it does not wait any more.
    pub fn take(&self) -> bool {
        self.step(State::Filled, State::Taken) || self.step(State::Called, State::Taken)
    }

    /// The leader has run the command and written its reply; its transaction is yet to be committed.
    pub fn prepare(&self) {
        self.set(State::Prepared);
    }

    /// The leader has committed.
    pub fn publish(&self) {
        self.set(State::Done);
    }

    /// The leader gives it back, with nothing of it stored.
    pub fn hand_back(&self) {
        self.set(State::Alone);
    }

    /// The holder of the lock settles what a dead leader left; `committed` says whether the transaction
    /// is that the slot names. True where the owner is to be woken.
    pub fn settle(&self, committed: impl FnOnce() -> bool) -> bool {
        match self.state() {
            State::Prepared if committed() => self.publish(),
            State::Prepared | State::Taken => self.hand_back(),
            _ => return false,
        }
        true
    }

    /// A new owner takes the slot of a dead one; false while a leader has it.
    pub fn inherit(&self) -> bool {
        loop {
            let state = self.state();
            if state.is_led() {
                return false;
            }
            // A leader takes what waits, whoever filled it.
            if !state.is_waiting() || self.step(state, State::Filling) {
                self.free();
                return true;
            }
        }
    }
}
