//! The slots: places in the mapped file in which commands wait for a leader.
//!
//! A slot belongs to the opening of the file that holds the open-file-description lock on the slot's
//! number, never to a process id: the lock ends with the last copy of the descriptor, and who finds it
//! free takes the slot over. An opening keeps its slots until it is closed. What a slot holds is touched
//! by its owner or its leader, as the states of `protocol` say.

use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::super::fault;
use super::super::os::{self, Hold, ProcessMark};
use super::file::Queue;
use super::protocol::{State, Steps};

/// Bytes of a slot.
const SIZE: usize = 8192;
/// Bytes that a command or a reply may have.
pub const ROOM: usize = SIZE - 64;

/// A place for one command, and later for its reply.
#[repr(C, align(64))]
pub struct Slot {
    /// Its state, and what its owner sleeps on.
    state: AtomicU32,
    /// Bytes of the command or the reply.
    length: AtomicU32,
    /// What a leader has to know to run the command.
    dialect: AtomicU64,
    /// The transaction that decides whether the command is done.
    transaction: AtomicU64,
    unused: [u8; 40],
    content: UnsafeCell<[u8; ROOM]>,
}

const _: () = assert!(size_of::<Slot>() == SIZE);

impl Slot {
    pub fn steps(&self) -> Steps<'_, AtomicU32> {
        Steps(&self.state)
    }

    /// Writes the content; the state says that it is the caller's.
    fn write(&self, bytes: &[u8]) {
        let length = bytes.len().min(ROOM);
        // SAFETY: the content has room for so many bytes; the state gives it to the caller alone, and
        // no reference to it is ever made.
        unsafe {
            let content = self.content.get().cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), content, length);
        }
        self.length.store(length as u32, Ordering::Relaxed);
    }

    /// Reads the content; the state says that it is the caller's.
    fn read(&self) -> Vec<u8> {
        let length = (self.length.load(Ordering::Relaxed) as usize).min(ROOM);
        let mut bytes = vec![0; length];
        // SAFETY: as in `write`.
        unsafe {
            let content = self.content.get().cast::<u8>();
            std::ptr::copy_nonoverlapping(content, bytes.as_mut_ptr(), length);
        }
        bytes
    }

    fn wake(&self) {
        os::futex_wake_all(&self.state);
    }
}

/// The slots that this opening of the file owns.
#[derive(Default)]
pub struct Claims {
    owned: Vec<u32>,
    /// Those among them that no call uses.
    unused: Vec<u32>,
}

impl Queue {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for one call; none where the slots are all others'.
    pub fn own_slot(&self) -> Option<OwnSlot<'_>> {
        let mut claims = self.claims();
        let index = match claims.unused.pop() {
            Some(index) => index,
            None => {
                // Where the lock cannot be asked for, the call goes without a slot.
                let index = (0..self.slots())
                    .filter(|index| !claims.owned.contains(index))
                    .find(|index| self.claim(*index).unwrap_or(false))?;
                claims.owned.push(index);
                fault::point("claimed");
                index
            }
        };
        Some(OwnSlot {
            queue: self,
            index,
            process: ProcessMark::here(),
        })
    }

    /// Takes a slot that nobody owns, also one whose owner died.
    fn claim(&self, index: u32) -> io::Result<bool> {
        let steps = self.slot(index).steps();
        if steps.state().is_led() || !os::try_lock_byte(&self.file, byte(index), Hold::Exclusive)? {
            return Ok(false);
        }
        if !steps.inherit() {
            os::unlock_byte(&self.file, byte(index))?;
            return Ok(false);
        }
        self.header().used.fetch_max(index + 1, Ordering::AcqRel);
        Ok(true)
    }

    /// Whether the owner of a slot lives, as far as its lock says.
    fn has_owner(&self, index: u32) -> bool {
        // A lock of this opening is no lock of another's.
        self.claims().owned.contains(&index)
            || os::held_byte(&self.file, byte(index)).is_ok_and(|hold| hold.is_some())
    }

    fn used(&self) -> u32 {
        let used = self.header().used.load(Ordering::Acquire);
        used.min(self.slots())
    }

    /// Takes the next command, from slot number `from` on, that a leader of this dialect can run. The
    /// caller holds the writer lock, and has said so with [`Queue::set_led`].
    pub fn take_next(&self, from: &mut u32, dialect: u64) -> Option<TakenSlot<'_>> {
        while *from < self.used() {
            let index = *from;
            *from += 1;
            let slot = self.slot(index);
            if !slot.steps().state().is_waiting() {
                continue;
            }
            let has_owner = self.has_owner(index);
            if has_owner && slot.dialect.load(Ordering::Relaxed) != dialect {
                continue;
            }
            if !slot.steps().take() {
                continue;
            }
            // What a dead caller asked for may be long ago; and it may have been refilled meanwhile.
            if !has_owner || slot.dialect.load(Ordering::Relaxed) != dialect {
                slot.steps().hand_back();
                slot.wake();
                continue;
            }
            return Some(TakenSlot { slot });
        }
        None
    }

    /// Whether slots may be with a leader that no longer lives. For a holder of the writer lock.
    pub fn is_led(&self) -> bool {
        self.header().led.load(Ordering::Acquire) == 1
    }

    /// Says that slots are with a leader, or are no longer.
    pub fn set_led(&self, led: bool) {
        self.header().led.store(led.into(), Ordering::Release);
    }

    /// Settles what a dead leader left; `committed` says of a transaction whether it was. The caller
    /// holds the writer lock, and nobody has committed since.
    pub fn settle(&self, committed: impl Fn(u64) -> bool) {
        for index in 0..self.used() {
            let slot = self.slot(index);
            if slot
                .steps()
                .settle(|| committed(slot.transaction.load(Ordering::Relaxed)))
            {
                slot.wake();
            }
            fault::point("settling");
        }
        self.set_led(false);
    }

    /// Calls one owner of a waiting slot to try for the lock, which has just been let go. One is enough:
    /// who leads takes the others' commands too, and calls the next.
    pub(super) fn call_next(&self) {
        let used = self.used();
        if used == 0 {
            return;
        }
        fault::point("unlocked");
        fence(Ordering::SeqCst);
        if self.is_anyone_passed_over() {
            return;
        }
        for index in 0..used {
            let slot = self.slot(index);
            match slot.steps().state() {
                State::Called => return,
                State::Filled if slot.steps().call() => {
                    slot.wake();
                    return fault::point("called");
                }
                _ => {}
            }
        }
    }
}

/// The byte whose lock says who owns a slot; the first of the file says that it is in use.
fn byte(index: u32) -> u32 {
    index + 1
}

/// A slot in the hands of its owner, for one call.
pub struct OwnSlot<'q> {
    queue: &'q Queue,
    index: u32,
    process: ProcessMark,
}

impl OwnSlot<'_> {
    fn slot(&self) -> &Slot {
        self.queue.slot(self.index)
    }

    pub fn state(&self) -> State {
        self.slot().steps().state()
    }

    /// Offers a command of at most [`ROOM`] bytes to leaders of this dialect.
    pub fn fill(&self, dialect: u64, command: &[u8]) {
        let slot = self.slot();
        slot.steps().begin();
        fault::point("filling");
        slot.write(command);
        slot.dialect.store(dialect, Ordering::Relaxed);
        slot.steps().fill();
        fault::point("filled");
    }

    /// Offers what was withdrawn once more.
    pub fn fill_again(&self) {
        self.slot().steps().fill();
    }

    pub fn answer(&self) {
        self.slot().steps().answer();
    }

    pub fn withdraw(&self) -> bool {
        self.slot().steps().withdraw()
    }

    /// Sleeps while the slot is in `state`, at most `timeout`; may wake before.
    pub fn wait(&self, state: State, timeout: Duration) {
        os::futex_wait(&self.slot().state, state as u32, timeout);
    }

    /// The reply, once it is done.
    pub fn reply(&self) -> Vec<u8> {
        self.slot().read()
    }

    /// Whether this is still the process that owns it, and no child of it.
    pub fn is_here(&self) -> bool {
        self.process == ProcessMark::here()
    }
}

impl Drop for OwnSlot<'_> {
    fn drop(&mut self) {
        // A forked child has a store of its own to open, and none of its parent's slots. One that a
        // leader has still is given up: whoever settles it finds nobody who waits.
        if !self.is_here() || (self.state().is_waiting() && !self.withdraw()) {
            return;
        }
        if !self.state().is_led() {
            self.slot().steps().free();
            self.queue.claims().unused.push(self.index);
        }
    }
}

/// A slot in the hands of a leader.
pub struct TakenSlot<'q> {
    slot: &'q Slot,
}

impl TakenSlot<'_> {
    pub fn command(&self) -> Vec<u8> {
        self.slot.read()
    }

    /// Writes the reply, of at most [`ROOM`] bytes, and which transaction holds what was done.
    pub fn prepare(&self, transaction: u64, reply: &[u8]) {
        self.slot.write(reply);
        self.slot.transaction.store(transaction, Ordering::Relaxed);
        self.slot.steps().prepare();
    }

    pub fn publish(&self) {
        self.slot.steps().publish();
    }

    pub fn hand_back(&self) {
        self.slot.steps().hand_back();
    }

    /// Wakes the owner, to see what came of it.
    pub fn wake(&self) {
        self.slot.wake();
    }
}
