//! Documents: runs, backfills, ticks, heartbeats and whatever else Dagster keeps as an object with
//! columns to find it by.

use serde::{Deserialize, Serialize};

/// What a document is of; each space has keys and ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Space {
    Run = 1,
    Snapshot = 2,
    Backfill = 3,
    Heartbeat = 4,
    CursorValue = 5,
    InstanceFact = 6,
    Instigator = 7,
    Tick = 8,
    Evaluation = 9,
    Telemetry = 10,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 10] = [
        Self::Run,
        Self::Snapshot,
        Self::Backfill,
        Self::Heartbeat,
        Self::CursorValue,
        Self::InstanceFact,
        Self::Instigator,
        Self::Tick,
        Self::Evaluation,
        Self::Telemetry,
    ];

    /// The name that Python and `dagster-lmdb tail` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Snapshot => "snapshot",
            Self::Backfill => "backfill",
            Self::Heartbeat => "heartbeat",
            Self::CursorValue => "cursor_value",
            Self::InstanceFact => "instance_fact",
            Self::Instigator => "instigator",
            Self::Tick => "tick",
            Self::Evaluation => "evaluation",
            Self::Telemetry => "telemetry",
        }
    }

    /// The space of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.name() == name)
    }
}

/// A document as it is from here on. Register, by space and id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document<'a> {
    pub timestamp: f64,
    pub space: Space,
    /// Sequence of the record that first held the document; 0 in that record itself.
    pub id: u64,
    /// Unique in its space while the document is there; empty for documents found by id alone.
    #[serde(borrow)]
    pub key: &'a str,
    /// When the document was made, Unix seconds.
    pub created: f64,
    /// None: the document is gone.
    #[serde(borrow)]
    pub state: Option<DocumentState<'a>>,
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentState<'a> {
    /// What it is found by.
    pub terms: Vec<Term>,
    /// How the run stands, for runs.
    pub run: Option<RunState>,
    /// The object, as docs/format.md specifies bodies.
    #[serde(with = "serde_bytes")]
    pub body: &'a [u8],
}

/// A column of a document and its value. A column may have several.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Term {
    pub name: String,
    pub value: String,
    /// What documents with this term are ordered by before their ids: a time, or 0.
    pub order: f64,
}

impl Term {
    /// Name of the term that orders documents by when they were made.
    pub const CREATED: &str = "@created";
}

/// How a run stands from here on. Register, by the run's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStateSet {
    pub timestamp: f64,
    pub run_id: String,
    /// Id of the run's document.
    pub id: u64,
    pub state: RunState,
}

/// What changes about a run while its body stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Value of `DagsterRunStatus`.
    pub status: String,
    /// Unix seconds.
    pub updated: f64,
    pub started: Option<f64>,
    pub ended: Option<f64>,
    /// Tags added since the body was written, or with other values than there.
    pub tags: Vec<(String, String)>,
}

/// Tombstone: the documents of these spaces, up to here, are gone. Permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpacesWiped {
    pub timestamp: f64,
    pub spaces: Vec<Space>,
}

/// What an event says of its run's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusFacet<'a> {
    /// Value of `DagsterRunStatus`.
    #[serde(borrow)]
    pub status: &'a str,
    #[serde(borrow)]
    pub failure_reason: Option<&'a str>,
    /// The run starts with this event.
    pub starts: bool,
    /// The run ends with this event.
    pub ends: bool,
}
