//! Forks: the history of a store up to one moment, as a store of its own.
//!
//! [`Moment`] says which moment and [`resolve`] which sequence that is; [`fork`] copies the log's frames
//! up to it and folds them. The source is read in short snapshots, beside its writers.

mod copy;
mod moment;

pub use copy::{Fork, ForkOptions, fork};
pub use moment::{Moment, resolve};
