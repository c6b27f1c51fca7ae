//! The tables of a projection set.
//!
//! | table | key | row |
//! | --- | --- | --- |
//! | shapes | ordinal | [`crate::value::Shape`] |
//! | runs | run id | run number |
//! | deleted_runs | sequence of the deletion | [`super::rows::DeletedRun`] |
//! | run_events | run, type, sequence | timestamp |
//! | type_events | type, sequence | timestamp |
//! | status_changes | type, job name, sequence | timestamp |
//! | assets | asset key | [`super::rows::Asset`] |
//! | asset_events | asset, type, sequence | [`super::rows::AssetEvent`] |
//! | | asset, 250, partition | [`super::rows::AssetPartition`] |
//! | | asset, 249, partition, type, sequence | nothing |
//! | | see [`super::key::asset_event`] | nothing |
//! | check_names | asset, check name | check number |
//! | checks | see [`super::key::check`] | [`super::rows::CheckExecution`] |
//! | dynamic_partitions | definition, 0, key | sequence |
//! | | definition, 1, sequence | key |
//! | pools | see [`super::key::pool`] | [`super::rows::Pool`], [`super::rows::PoolStep`] |
//! | documents | space, id | [`super::rows::DocumentRow`] |
//! | document_keys | space, key | id |
//! | document_terms | space, name, value, order, id | nothing |
//! | document_counts | space, name, value | name, value, documents with the term |
//! | document_times | space, last id of a block, level | see [`super::times`] |
//!
//! A log message touches `run_events`, a step event `type_events` as well, and a materialization
//! `asset_events` too: all that is kept of an asset's events stands together, so that an event finds its
//! rows on the same pages, or below the same branch.

/// Version of the fold: of what rows a log gives. Rows of another version are refolded.
pub const FOLD_VERSION: u32 = 3;

/// A table of the projections; its number is its place in a set's trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    Shapes,
    Runs,
    RunEvents,
    TypeEvents,
    StatusChanges,
    Assets,
    AssetEvents,
    CheckNames,
    Checks,
    DynamicPartitions,
    Pools,
    Documents,
    DocumentKeys,
    DocumentTerms,
    DocumentCounts,
    DeletedRuns,
    DocumentTimes,
}

impl Table {
    /// Every table, in the order of the set's trees.
    pub const ALL: [Self; 17] = [
        Self::Shapes,
        Self::Runs,
        Self::RunEvents,
        Self::TypeEvents,
        Self::StatusChanges,
        Self::Assets,
        Self::AssetEvents,
        Self::CheckNames,
        Self::Checks,
        Self::DynamicPartitions,
        Self::Pools,
        Self::Documents,
        Self::DocumentKeys,
        Self::DocumentTerms,
        Self::DocumentCounts,
        Self::DeletedRuns,
        Self::DocumentTimes,
    ];

    /// Tables of the event log storage, which a wipe of it clears.
    pub const OF_EVENTS: [Self; 11] = [
        Self::Runs,
        Self::RunEvents,
        Self::TypeEvents,
        Self::StatusChanges,
        Self::Assets,
        Self::AssetEvents,
        Self::CheckNames,
        Self::Checks,
        Self::DynamicPartitions,
        Self::Pools,
        Self::DeletedRuns,
    ];

    /// The table's name, which its tree carries after the set's.
    pub const fn name(self) -> &'static str {
        TABLES[self as usize]
    }
}

/// Their names, in the order of [`Table`].
pub const TABLES: &[&str] = &[
    "shapes",
    "runs",
    "run_events",
    "type_events",
    "status_changes",
    "assets",
    "asset_events",
    "check_names",
    "checks",
    "dynamic_partitions",
    "pools",
    "documents",
    "document_keys",
    "document_terms",
    "document_counts",
    "deleted_runs",
    "document_times",
];
