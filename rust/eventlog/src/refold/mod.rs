//! Refolding: the projections made again from the log, to compare or to replace the live ones.

mod compare;
mod rebuild;
mod scratch;
mod verify;

pub use rebuild::rebuild;
pub use verify::{Verification, verify};

/// Told of the progress of long work: the phase, and how much of how much is done.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64) -> crate::error::Result<()>;
