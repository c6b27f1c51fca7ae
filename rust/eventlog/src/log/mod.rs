//! The log itself: reading it in order, when its records came, and replacing removed ones by husks.

mod frames;
pub mod gaps;
pub mod husk;
pub mod names;
mod scan;
pub mod times;

pub use frames::Frames;
pub use scan::{Scanned, kind_of, scan, walk};
