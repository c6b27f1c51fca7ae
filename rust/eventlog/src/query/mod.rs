//! Queries: what Dagster asks, answered from one snapshot at a cost that depends on the answer.
//!
//! Projections say which records; the log gives them. A query copies what it returns, so that the
//! snapshot ends with it.

pub mod assets;
pub mod checks;
pub mod documents;
pub mod dynamic_partitions;
pub mod events;
mod hidden;
mod last_event;
mod merge;
pub mod partitions;
pub mod pools;
mod reader;
pub mod records;

pub use events::StoredEvent;
pub use hidden::{Hidden, Visible};
pub use last_event::{Looked, last_event};
pub use merge::Merge;
pub use reader::{Bounds, Reader, check_frame, open_record};
