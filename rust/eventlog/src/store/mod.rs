//! The store on its host: one LMDB environment, who may open it, and how its commits are serialised.

mod environment;
mod filesystem;
mod gate;
mod inspect;
mod journal;
pub mod lmdb;
mod lmdb_error;
pub mod maintenance;
mod meta;
mod namespace;
mod open;
mod opened;
mod os;
mod pages;
mod queue;
mod range;
mod recovery;
mod refusal;
mod registry;
mod stamp;
#[allow(clippy::module_inception)]
mod store;
mod transaction;

pub use gate::Trees;
pub use meta::{Compaction, Durability, FORMAT, Meta, Rebuild, Silence};
pub use open::{OpenOptions, Schema};
pub use store::{Store, StoreInfo};
pub use transaction::{Outcome, Snapshot, Transaction};
