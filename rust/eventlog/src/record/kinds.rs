//! The kinds of records, their fields, and how they go to and from MessagePack.
//!
//! Every kind declares its rule of removal. *Permanent*: never. *Register*: full state of a key,
//! droppable once a later record of the key exists. *Contribution*: droppable only under a
//! tombstone that covers it. A dropped record leaves a [`Husk`] under its sequence.
//!
//! Strings here are the facts themselves: no number that a projection gave them stands in the log.

use serde::{Deserialize, Serialize};

use super::documents::{Document, RunStateSet, SpacesWiped, StatusFacet};
use super::frame::FrameError;
use crate::value::{Facet, Shape};

/// The kind of a record, as the log stores it. A number is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Husk = 0,
    ShapeDefined = 1,
    Event = 2,
    CheckExecutionPlanned = 3,
    RunEventsDeleted = 4,
    AssetWiped = 5,
    AssetPartitionsWiped = 6,
    EventLogWiped = 7,
    DynamicPartition = 8,
    PoolLimit = 9,
    PoolStep = 10,
    Document = 11,
    RunStateSet = 12,
    SpacesWiped = 13,
    RunEventsSwept = 14,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Husk,
        Self::ShapeDefined,
        Self::Event,
        Self::CheckExecutionPlanned,
        Self::RunEventsDeleted,
        Self::AssetWiped,
        Self::AssetPartitionsWiped,
        Self::EventLogWiped,
        Self::DynamicPartition,
        Self::PoolLimit,
        Self::PoolStep,
        Self::Document,
        Self::RunStateSet,
        Self::SpacesWiped,
        Self::RunEventsSwept,
    ];

    /// The name that `dagster-lmdb tail` and `stat` show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Husk => "husk",
            Self::ShapeDefined => "shape_defined",
            Self::Event => "event",
            Self::CheckExecutionPlanned => "check_execution_planned",
            Self::RunEventsDeleted => "run_events_deleted",
            Self::AssetWiped => "asset_wiped",
            Self::AssetPartitionsWiped => "asset_partitions_wiped",
            Self::EventLogWiped => "event_log_wiped",
            Self::DynamicPartition => "dynamic_partition",
            Self::PoolLimit => "pool_limit",
            Self::PoolStep => "pool_step",
            Self::Document => "document",
            Self::RunStateSet => "run_state_set",
            Self::SpacesWiped => "spaces_wiped",
            Self::RunEventsSwept => "run_events_swept",
        }
    }
}

/// Any record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    Husk(Husk),
    ShapeDefined(ShapeDefined),
    Event(Event<'a>),
    CheckExecutionPlanned(CheckExecutionPlanned),
    RunEventsDeleted(RunEventsDeleted),
    AssetWiped(AssetWiped),
    AssetPartitionsWiped(AssetPartitionsWiped),
    EventLogWiped(EventLogWiped),
    DynamicPartition(DynamicPartition),
    PoolLimit(PoolLimit),
    PoolStep(PoolStep),
    Document(Document<'a>),
    RunStateSet(RunStateSet),
    SpacesWiped(SpacesWiped),
    RunEventsSwept(RunEventsSwept),
}

/// What is left of removed records: what later records lean on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Husk {
    /// Names that the record was the first to bring.
    pub definitions: Vec<Definition>,
    /// Assets that the record made known, with its timestamp.
    pub known_assets: Vec<(String, f64)>,
    /// What the record said of its run's status.
    #[serde(default)]
    pub status: Option<RunAdvanced>,
    /// How many records before this one it stands for as well.
    #[serde(default)]
    pub also_before: u64,
}

impl Husk {
    /// Whether nothing leans on what is gone.
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.known_assets.is_empty() && self.status.is_none()
    }

    /// When the removed event happened, where what is left of it says so.
    fn timestamp(&self) -> Option<f64> {
        let known_asset = self.known_assets.first().map(|(_, timestamp)| *timestamp);
        let status = self.status.as_ref().map(|status| status.timestamp);
        status.or(known_asset)
    }
}

/// What a removed event said of its run's status, which outlives the run's events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunAdvanced {
    pub run_id: String,
    pub timestamp: f64,
    pub status: String,
    pub failure_reason: Option<String>,
    pub starts: bool,
    pub ends: bool,
}

/// A name that projections number by the sequence of the record that first brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// A run id.
    Run(String),
    /// An asset key.
    Asset(String),
    /// An asset key and the name of a check on it.
    Check(String, String),
}

/// The shape of an object in bodies. Permanent. In a commit before the shape's first use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeDefined {
    /// What bodies call the shape. Dense from 0; the same shape may be defined twice.
    pub ordinal: u32,
    pub shape: Shape,
}

/// An entry of Dagster's event log. Contribution: covered by the deletion of its run's events or by
/// a wipe of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// When the event happened, Unix seconds. Not monotone in the sequence.
    pub timestamp: f64,
    pub run_id: &'a str,
    pub event_type: Option<&'a str>,
    /// The step of the Dagster event, else of the entry.
    pub step_key: Option<&'a str>,
    pub job_name: Option<&'a str>,
    /// Python's log level.
    pub level: i64,
    pub asset: Option<AssetFacet<'a>>,
    pub check: Option<CheckFacet<'a>>,
    /// The `EventLogEntry`, as docs/format.md specifies bodies.
    #[serde(with = "serde_bytes")]
    pub body: &'a [u8],
    #[serde(borrow, default)]
    pub status: Option<StatusFacet<'a>>,
}

/// What an asset event says of its asset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetFacet<'a> {
    /// `AssetKey.to_string()`.
    #[serde(borrow)]
    pub key: &'a str,
    #[serde(borrow)]
    pub partition: Option<&'a str>,
    /// The keys of the planned event's partitions subset, in its order.
    #[serde(borrow)]
    pub subset: Vec<&'a str>,
    /// Indexed tags.
    #[serde(borrow)]
    pub tags: Vec<(&'a str, &'a str)>,
    /// A failure event that says the materialization was skipped.
    pub skipped: bool,
}

impl<'a> Event<'a> {
    /// What the body may refer to, by place.
    pub fn facets(&self) -> [Option<Facet<'a>>; 6] {
        [
            Some(Facet::Str(self.run_id)),
            self.job_name.map(Facet::Str),
            self.step_key.map(Facet::Str),
            self.event_type.map(Facet::Str),
            Some(Facet::Float(self.timestamp)),
            self.asset
                .as_ref()
                .and_then(|asset| asset.partition)
                .map(Facet::Str),
        ]
    }
}

impl<'a> AssetFacet<'a> {
    /// The partitions that the event is about: its own, else its subset's.
    pub fn partitions(&self) -> Vec<&'a str> {
        match self.partition {
            Some(partition) if !partition.is_empty() => vec![partition],
            _ => self.subset.clone(),
        }
    }
}

/// What a check event says of its check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckFacet<'a> {
    /// `AssetKey.to_string()` of the checked asset.
    #[serde(borrow)]
    pub asset_key: &'a str,
    #[serde(borrow)]
    pub name: &'a str,
    #[serde(borrow)]
    pub partition: Option<&'a str>,
    /// Keys of the planned event's partitions subset after the first, which is `partition`; each
    /// has a [`CheckExecutionPlanned`] record of its own.
    pub more_partitions: u32,
    /// None for a planned event.
    pub passed: Option<bool>,
    /// Sequence of the materialization that the evaluation looked at.
    pub target: Option<u64>,
    /// When the storage was given the event, Unix seconds.
    pub created: f64,
}

/// A planned check of one more partition: a row that Dagster pages by an id of its own.
/// Contribution, covered as its event is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckExecutionPlanned {
    /// How many sequences before this record its event is.
    pub event_distance: u64,
    pub run_id: String,
    pub asset_key: String,
    pub name: String,
    pub partition: String,
    pub created: f64,
}

/// Tombstone: the events of a run, up to here, are deleted. Permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEventsDeleted {
    pub timestamp: f64,
    pub run_id: String,
    /// The events are hidden here, and their rows go with the [`RunEventsSwept`] that follow.
    #[serde(default)]
    pub in_steps: bool,
}

/// A step of the removal of a deleted run's rows. Register, by the deletion; the last one of a
/// deletion is permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEventsSwept {
    pub timestamp: f64,
    pub run_id: String,
    /// Sequence of the [`RunEventsDeleted`].
    pub deletion: u64,
    /// The rows of the run's events up to here go; the sequence of the deletion in the last step.
    pub until: u64,
}

/// Tombstone: events of an asset with `timestamp <= this` are hidden, and its check executions up to
/// here are gone. Permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetWiped {
    pub timestamp: f64,
    pub asset_key: String,
    /// Whether the asset is still known: an event with a later timestamp stands.
    pub still_known: bool,
}

/// Tombstone: events of these partitions of an asset, up to here, are hidden. Permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetPartitionsWiped {
    pub timestamp: f64,
    pub asset_key: String,
    pub partitions: Vec<String>,
}

/// Tombstone: all that the event log storage holds, up to here, is gone. Permanent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLogWiped {
    pub timestamp: f64,
}

/// Whether a key belongs to a dynamic partitions definition. Register, by both names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DynamicPartition {
    pub timestamp: f64,
    pub definition: String,
    pub key: String,
    pub present: bool,
}

/// A concurrency pool's limit and slots. Register, by pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolLimit {
    pub timestamp: f64,
    pub pool: String,
    /// None: no limit is set.
    pub limit: Option<i64>,
    pub from_default: bool,
    /// Slots that may be held; what lower limits retired is not among them.
    pub slot_count: i64,
}

/// A step in a pool's queue. Register, by pool, run and step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStep {
    pub timestamp: f64,
    pub pool: String,
    pub run_id: String,
    pub step_key: String,
    /// None: the step is not in the queue.
    pub state: Option<PoolStepState>,
}

/// Where a step stands in a pool's queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStepState {
    pub priority: i64,
    pub enqueued: f64,
    /// Sequence of the record that enqueued the step; 0 in that record itself.
    pub queued_by: u64,
    pub assigned: Option<f64>,
    pub claim: SlotClaim,
}

/// Whether a step holds a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotClaim {
    /// It holds none.
    No,
    /// It holds one of the pool's slots.
    Held,
    /// It holds a slot that a lower limit takes away once it is freed.
    Retired,
}

impl<'a> Record<'a> {
    /// The record's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Husk(_) => Kind::Husk,
            Self::ShapeDefined(_) => Kind::ShapeDefined,
            Self::Event(_) => Kind::Event,
            Self::CheckExecutionPlanned(_) => Kind::CheckExecutionPlanned,
            Self::RunEventsDeleted(_) => Kind::RunEventsDeleted,
            Self::AssetWiped(_) => Kind::AssetWiped,
            Self::AssetPartitionsWiped(_) => Kind::AssetPartitionsWiped,
            Self::EventLogWiped(_) => Kind::EventLogWiped,
            Self::DynamicPartition(_) => Kind::DynamicPartition,
            Self::PoolLimit(_) => Kind::PoolLimit,
            Self::PoolStep(_) => Kind::PoolStep,
            Self::Document(_) => Kind::Document,
            Self::RunStateSet(_) => Kind::RunStateSet,
            Self::SpacesWiped(_) => Kind::SpacesWiped,
            Self::RunEventsSwept(_) => Kind::RunEventsSwept,
        }
    }

    /// When the record came about, Unix seconds; None for one that does not say. Not monotone in the
    /// sequence: an event has the time it happened.
    pub fn timestamp(&self) -> Option<f64> {
        match self {
            Self::Husk(husk) => husk.timestamp(),
            Self::ShapeDefined(_) => None,
            Self::Event(event) => Some(event.timestamp),
            Self::CheckExecutionPlanned(planned) => Some(planned.created),
            Self::RunEventsDeleted(deleted) => Some(deleted.timestamp),
            Self::AssetWiped(wiped) => Some(wiped.timestamp),
            Self::AssetPartitionsWiped(wiped) => Some(wiped.timestamp),
            Self::EventLogWiped(wiped) => Some(wiped.timestamp),
            Self::DynamicPartition(partition) => Some(partition.timestamp),
            Self::PoolLimit(limit) => Some(limit.timestamp),
            Self::PoolStep(step) => Some(step.timestamp),
            Self::Document(document) => Some(document.timestamp),
            Self::RunStateSet(set) => Some(set.timestamp),
            Self::SpacesWiped(wiped) => Some(wiped.timestamp),
            Self::RunEventsSwept(swept) => Some(swept.timestamp),
        }
    }

    /// Whether a register says that there is nothing under its key any more.
    pub fn retires(&self) -> bool {
        match self {
            Self::DynamicPartition(partition) => !partition.present,
            Self::PoolLimit(limit) => limit.limit.is_none() && limit.slot_count == 0,
            Self::PoolStep(step) => step.state.is_none(),
            Self::Document(document) => document.state.is_none(),
            _ => false,
        }
    }

    /// The record's MessagePack: its kind, then its fields as an array.
    pub fn encode(&self) -> Vec<u8> {
        // Facets are short; a body is written where it is known how long.
        let body = match self {
            Self::Event(event) => event.body.len(),
            _ => 0,
        };
        let mut payload = Vec::with_capacity(256 + body);
        payload.push(self.kind() as u8);
        let encoded = match self {
            Self::Husk(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::ShapeDefined(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::Event(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::CheckExecutionPlanned(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::RunEventsDeleted(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::AssetWiped(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::AssetPartitionsWiped(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::EventLogWiped(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::DynamicPartition(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::PoolLimit(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::PoolStep(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::Document(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::RunStateSet(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::SpacesWiped(fields) => rmp_serde::encode::write(&mut payload, fields),
            Self::RunEventsSwept(fields) => rmp_serde::encode::write(&mut payload, fields),
        };
        encoded.expect("writing plain fields into memory cannot fail");
        payload
    }

    /// Reads a record's MessagePack; strings and the body are borrowed.
    pub fn decode(payload: &'a [u8]) -> Result<Self, FrameError> {
        let (kind, fields) = payload.split_first().ok_or(FrameError::Truncated(0))?;
        Ok(match Kind::ALL.get(usize::from(*kind)) {
            None => return Err(FrameError::Kind(*kind)),
            Some(Kind::Husk) => Self::Husk(read(fields)?),
            Some(Kind::ShapeDefined) => Self::ShapeDefined(read(fields)?),
            Some(Kind::Event) => Self::Event(read(fields)?),
            Some(Kind::CheckExecutionPlanned) => Self::CheckExecutionPlanned(read(fields)?),
            Some(Kind::RunEventsDeleted) => Self::RunEventsDeleted(read(fields)?),
            Some(Kind::AssetWiped) => Self::AssetWiped(read(fields)?),
            Some(Kind::AssetPartitionsWiped) => Self::AssetPartitionsWiped(read(fields)?),
            Some(Kind::EventLogWiped) => Self::EventLogWiped(read(fields)?),
            Some(Kind::DynamicPartition) => Self::DynamicPartition(read(fields)?),
            Some(Kind::PoolLimit) => Self::PoolLimit(read(fields)?),
            Some(Kind::PoolStep) => Self::PoolStep(read(fields)?),
            Some(Kind::Document) => Self::Document(read(fields)?),
            Some(Kind::RunStateSet) => Self::RunStateSet(read(fields)?),
            Some(Kind::SpacesWiped) => Self::SpacesWiped(read(fields)?),
            Some(Kind::RunEventsSwept) => Self::RunEventsSwept(read(fields)?),
        })
    }
}

fn read<'a, T: Deserialize<'a>>(fields: &'a [u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(fields).map_err(|error| FrameError::Fields(error.to_string()))
}
