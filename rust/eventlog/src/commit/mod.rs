//! From a command to a commit: decide, append, fold, all in one write transaction.

mod apply;

pub use apply::apply;
pub(crate) use apply::cached_status_key;
