//! The small file that every process of a store maps: writer lock, slots for commands, wake-up word.
//!
//! `file` makes and maps it, `lock` is the writer lock, `slots` are the places in which commands wait for
//! a leader, by the states of `protocol`. With `os` and `lmdb` this folder is all of the crate with
//! `unsafe` in it. Only `store` calls it.

mod file;
mod journal_state;
mod lock;
#[cfg(test)]
mod model;
mod protocol;
mod slots;

pub use file::{Found, NAME, Queue, QueueError, look};
pub use journal_state::JournalState;
pub use lock::{COURTESY, LockError, STEP, WriterLock};
pub use protocol::State;
pub use slots::{OwnSlot, ROOM, TakenSlot};
