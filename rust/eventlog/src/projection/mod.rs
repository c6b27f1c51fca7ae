//! Projections: the tables folded from the log, their keys and rows, and the fold itself.
//!
//! A fold is deterministic: it reads only rows keyed by its own run, asset, check or register, and rows
//! that say of several of these what each of them makes true (counts, the tree of times); it takes no
//! number from a counter, and reads facets alone. The same log gives the same rows.

pub mod assets;
mod carry;
pub mod checks;
mod deferred;
mod deletion;
pub mod documents;
pub mod dynamic_partitions;
pub mod events;
mod fold;
pub mod key;
mod names;
mod pools;
pub mod rows;
mod tables;
mod target;
pub mod times;

pub use carry::Carry;
pub use fold::fold;
use names::Names;
pub use tables::{FOLD_VERSION, TABLES, Table};
pub use target::{LogSource, Target};
