//! Compaction: what later records supersede or cover goes from the log, beside live writers.
//!
//! A pass goes through the log once, up to a cutoff that stands from its beginning: [`survey`] reads
//! which records something up to there supersedes, [`pass`] replaces those that may go by husks, and
//! neighbouring husks that say nothing by one ([`ranges`]). It commits in small steps, each of which
//! leaves its place in the meta row, so that a pass that died is gone on with.

mod pass;
mod ranges;
mod survey;
mod sweep;

pub use pass::{Compacted, Keep, compact};
pub use sweep::sweep;
