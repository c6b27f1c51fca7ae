//! The store on its host: one LMDB environment, who may open it, and how its commits are serialised.

mod draft;
mod environment;
mod fault;
mod filesystem;
mod free_pages;
mod gate;
mod group;
mod inspect;
mod journal;
mod lease;
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
mod submission;
mod transaction;
mod write;

pub use draft::Draft;
pub use gate::Trees;
pub use group::Served;
pub use lease::{Keeper, LEASE_TIME, Lease, now};
pub use meta::{Compaction, Durability, FORMAT, Forked, Leased, Meta, Rebuild, Silence};
pub use open::{OpenOptions, Schema};
pub use store::{Store, StoreInfo};
pub use submission::Submission;
pub use transaction::{Outcome, Snapshot, Transaction};
