//! History as Arrow record batches: tables of the log's records, for dataframes and files.
//!
//! A [`History`] is what is asked for, fixed at one moment of the store: rows that come later are not
//! in it, and what is deleted later still is. A [`Stream`] of it scans the log in short read
//! transactions, under a lease that keeps compactions from what it has yet to read, in several threads for the tables whose rows need nothing but their record, and walks
//! each body once, into the builders of the columns. What is in memory at a time does not grow with
//! the history. docs/export.md says what the columns mean.

mod column;
mod cut;
mod history;
mod rows;
mod scan;
mod selection;
mod standing;
mod stream;
mod walk;

pub use history::{Ask, History, Place};
pub use rows::HistoryTable;
pub use stream::Stream;
