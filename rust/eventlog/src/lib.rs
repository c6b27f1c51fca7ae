//! An append-only event log in LMDB, and the projections folded from it in the same commit.
//!
//! # Model
//!
//! A caller hands a [`command::Command`] to [`EventLog::execute`]. Under the writer lock,
//! [`command::decide`] reads the newest state and turns it into records and a reply; each record is
//! appended to the log and folded into the projections; one LMDB transaction commits all of it. A
//! query ([`EventLog::query`]) reads projections for facts and the log for bodies, in one short
//! snapshot.
//!
//! ```text
//! Command --decide--> Record, Record, ...
//!                       |         \
//!                    append       fold
//!                       v           v
//!                      log      projections      one transaction, one commit
//!
//! Query <---- projections (facts) + log (bodies)
//! ```
//!
//! # Vocabulary
//!
//! * A **record** is one immutable fact, numbered by its [`Sequence`]: dense, in commit order.
//! * Its **facets** are what folds and queries read; its **body** is a serialized object, whose
//!   class and field names stand apart as a **shape** ([`value`]).
//! * A **projection** is a table that the **fold** makes of the log ([`projection`]).
//! * A removed record leaves a **husk** ([`log::husk`]): the names it was first to bring.
//!
//! # Record
//!
//! ```text
//! log:  sequence (8 bytes, big endian)  ->  format | CRC-32C | kind | [facets..., body]
//! ```
//!
//! # Guarantees
//!
//! * A call that returns is durable; a call that raises has stored nothing; a command is whole or
//!   absent. A command that changes nothing appends nothing.
//! * Sequence order is commit order: a reader that has passed a sequence never sees a lower one
//!   appear.
//! * fold(log) = fold(log with any legal set of records husked) = the live projections, row by row
//!   ([`refold`] verifies it, and rebuilds them beside live writers).
//! * Any number of processes of one host, threads and forks included, share a store ([`store`]).
//!
//! The bytes are specified in docs/format.md. No Python here: the bindings bring Dagster's objects.

pub mod arrow;
pub mod command;
pub mod commit;
pub mod compaction;
pub mod engine;
pub mod error;
pub mod fork;
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
