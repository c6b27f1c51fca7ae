//! From a command to a commit: decide, append, fold, all in one write transaction.

mod apply;
mod redo;
mod steps;
mod submission;

pub use apply::apply;
pub(crate) use apply::cached_status_key;
pub use steps::apply_in_steps;
pub use submission::Submitted;

use crate::projection::{FOLD_VERSION, TABLES};
use crate::store::Schema;

/// What an event log asks of its store.
pub static SCHEMA: Schema = Schema {
    fold_version: FOLD_VERSION,
    tables: TABLES,
    redo: redo::redo,
    serve: apply::serve,
    dialect: submission::DIALECT,
};
