//! The log itself: reading it in order, and replacing removed records by husks.

pub mod husk;
mod scan;

pub use scan::{Scanned, kind_of, scan};
