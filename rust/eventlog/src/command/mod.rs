//! Commands: what callers want, as plain bytes, and the deciding that turns them into records.
//!
//! A command is encoded before any lock is taken and holds its clock reading, so that deciding is
//! as deterministic as folding. [`decide`] runs under the writer lock, reads the newest state, and
//! is the only place that may refuse; a command that changes nothing yields no record.

mod decide;
mod decide_deletion;
mod decide_documents;
mod decide_pools;
#[cfg(test)]
mod golden;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::record::{Record, Space, Term};
use crate::sequence::Sequence;
use crate::value::Shape;

pub use decide::decide;
pub use decide_documents::to_purge;

/// Version of commands and replies and of deciding on them. Writers run each other's commands only where
/// it is the same, so whoever changes a field or a rule raises it; `golden.rs` has the bytes.
pub const COMMANDS: u32 = 2;

/// Events of a deleted run whose rows go in one commit: milliseconds in which other writers wait.
pub const DELETION_STEP: usize = 1_000;

/// Documents that a purge removes in one commit: milliseconds in which other writers wait.
pub const PURGE_STEP: usize = 500;

/// What a caller wants. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Gives ordinals to shapes; those known already keep theirs.
    DefineShapes { shapes: Vec<Shape> },
    /// Stores events, all or none.
    StoreEvents { events: Vec<NewEvent> },
    /// Deletes a run's events and frees its slots. The rows of more than `step` events go in steps.
    DeleteRunEvents {
        run_id: String,
        step: usize,
        now: f64,
    },
    /// Removes the rows of `step` events of a run whose deletion goes in steps.
    SweepDeletedRuns { step: usize, now: f64 },
    /// Removes all that the event log storage holds.
    Wipe { now: f64 },
    /// Hides an asset's events up to now.
    WipeAsset { asset_key: String, now: f64 },
    /// Hides the events of an asset's partitions.
    WipeAssetPartitions {
        asset_key: String,
        partitions: Vec<String>,
        now: f64,
    },
    /// Adds keys to a dynamic partitions definition; those it has are left alone.
    AddDynamicPartitions {
        definition: String,
        keys: Vec<String>,
        now: f64,
    },
    /// Removes a key from a dynamic partitions definition.
    DeleteDynamicPartition {
        definition: String,
        key: String,
        now: f64,
    },
    /// Sets a pool's limit and slots.
    SetPoolLimit {
        pool: String,
        limit: i64,
        from_default: bool,
        now: f64,
    },
    /// Removes a pool's limit and its free slots.
    DeletePoolLimit { pool: String, now: f64 },
    /// Enqueues a step in a pool and claims a slot for it when its turn has come.
    ClaimSlot {
        pool: String,
        run_id: String,
        step_key: String,
        priority: i64,
        now: f64,
    },
    /// Takes a run's steps, or one of them, out of every pool.
    FreeSlots {
        run_id: String,
        step_key: Option<String>,
        now: f64,
    },
    /// Puts documents, all or none.
    PutDocuments {
        documents: Vec<NewDocument>,
        now: f64,
    },
    /// Removes documents, in their order, all or none.
    RemoveDocuments { removals: Vec<Removal>, now: f64 },
    /// Adds a run whose job's snapshot, if it names one, is here.
    AddRun {
        run: NewDocument,
        snapshot_id: Option<String>,
        now: f64,
    },
    /// Hides a run, its events, its telemetry and its slots. The rows of more than `step` events go in
    /// steps.
    DeleteRun {
        run_id: String,
        step: usize,
        now: f64,
    },
    /// Tells a run of a status event.
    HandleRunEvent {
        run_id: String,
        event: RunStatusEvent,
        now: f64,
    },
    /// Adds tags to a run.
    AddRunTags {
        run_id: String,
        tags: Vec<(String, String)>,
        now: f64,
    },
    /// Removes all documents of spaces.
    WipeSpaces { spaces: Vec<Space>, now: f64 },
    /// Removes the first `step` of the documents to purge.
    PurgeDocuments { purge: Purge, step: usize, now: f64 },
}

/// What a put does where the document is there already, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Put {
    /// Refuses where it is there.
    Insert,
    /// Leaves what is there.
    InsertIfAbsent,
    /// Refuses where it is not there.
    Update,
    /// Passes over what is not there.
    UpdateIfPresent,
    /// Inserts or updates.
    Upsert,
}

/// A document to put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewDocument {
    pub space: Space,
    pub put: Put,
    /// The document to update, for those found by id.
    pub id: Option<Sequence>,
    /// Empty for documents found by id.
    pub key: String,
    /// When the document was made; None for now.
    pub created: Option<f64>,
    /// A term [`Term::CREATED`] is ordered by when the document was made, whatever it says here.
    pub terms: Vec<Term>,
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// A document to remove.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    pub space: Space,
    pub key: String,
    /// Refuses where it is not there; else that is passed over.
    pub required: bool,
    /// It stays while any document of its space has a term of this name and value, those that go by the
    /// same command aside.
    pub kept_by: Option<(String, String)>,
}

/// Documents to remove: those that have a term of this name with one of the values, and that are
/// ordered by it before a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Purge {
    pub space: Space,
    pub name: String,
    pub values: Vec<String>,
    /// Excluded.
    pub before: f64,
}

/// A status event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStatusEvent {
    pub event_type: String,
    /// When the event happened, Unix seconds.
    pub timestamp: f64,
    pub status: String,
    pub failure_reason: Option<String>,
    pub starts: bool,
    pub ends: bool,
}

/// An event to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// The encoded [`crate::record::Event`].
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// For a planned check of several partitions: those after the first.
    pub more_partitions: Vec<String>,
}

/// What a command gives back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done, or there was nothing to do.
    Done,
    /// Ordinals of the shapes, in their order.
    Shapes(Vec<u32>),
    /// Sequences of the events, in their order.
    Events(Vec<Sequence>),
    /// Where the step stands.
    Claim(Claim),
    /// Ids of the documents, in their order.
    Documents(Vec<Sequence>),
    /// A step is done, and more may be left: rows of deleted runs, documents to purge.
    More,
}

/// Where a step stands in a pool. None where it is not in the pool's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub claimed: bool,
    pub enqueued: Option<f64>,
    pub assigned: Option<f64>,
    pub priority: Option<i64>,
}

/// The records that a command becomes, in order, and its reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'c> {
    /// The first gets the sequence after the head.
    pub records: Vec<Decided<'c>>,
    pub reply: Reply,
}

/// A record that a command becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<'c> {
    /// The encoded record; the command's own bytes where it holds them.
    pub payload: Cow<'c, [u8]>,
    /// What the payload says, where deciding has read it.
    pub record: Option<Record<'c>>,
}

impl From<&Record<'_>> for Decided<'_> {
    fn from(record: &Record<'_>) -> Self {
        Self {
            payload: Cow::Owned(record.encode()),
            record: None,
        }
    }
}

impl Decision<'_> {
    /// Nothing changes.
    pub fn nothing() -> Self {
        Self {
            records: Vec::new(),
            reply: Reply::Done,
        }
    }

    /// These records, in order.
    pub fn of(records: Vec<Record<'_>>) -> Self {
        Self {
            records: records.iter().map(Decided::from).collect(),
            reply: Reply::Done,
        }
    }
}
