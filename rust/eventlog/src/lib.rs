//! An append-only event log in LMDB, and the projections folded from it.

pub mod error;
pub mod store;
pub mod value;
