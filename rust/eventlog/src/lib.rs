//! An append-only event log in LMDB, and the projections folded from it.

pub mod command;
pub mod commit;
pub mod engine;
pub mod error;
pub mod log;
pub mod projection;
pub mod query;
pub mod record;
pub mod refold;
pub mod sequence;
pub mod store;
pub mod value;

pub use engine::EventLog;
pub use error::{Error, Result};
pub use sequence::Sequence;
