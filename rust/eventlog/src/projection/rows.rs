//! Rows of the projections, as MessagePack arrays.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::{RunState, SlotClaim, Space, Term};
use crate::sequence::Sequence;

/// Writes a row.
pub fn write<T: Serialize>(row: &T) -> Vec<u8> {
    rmp_serde::to_vec(row).expect("writing plain fields into memory cannot fail")
}

/// Reads a row of this fold version.
pub fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::DamagedRow(error.to_string()))
}

/// Row of `assets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// The asset's number: the sequence of the record that first named it.
    pub number: u64,
    /// `AssetKey.to_string()`.
    pub key: String,
    /// A materialization, observation or planned event stands, or stood until its run's events were
    /// deleted. Checks and other events name an asset without making it known.
    pub known: bool,
    /// Unix seconds of the last wipe.
    pub wiped_at: Option<f64>,
}

/// Row of `deleted_runs`: a run whose events are hidden, and whose rows are being removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletedRun {
    pub run_id: String,
    /// The number that the run's rows have.
    pub number: u64,
}

/// Row of `asset_events`; its texts are its own, or borrowed by queries that look at many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetEvent<Text = String> {
    /// Unix seconds.
    pub timestamp: f64,
    pub partition: Option<Text>,
    /// Partitions of the event that no wipe has hidden; 0 for an event without partitions.
    pub partitions: u32,
    /// Indexed tags.
    pub tags: Vec<(Text, Text)>,
}

/// Row of `asset_events` for a partition; a sequence is 0 where no event of the kind stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetPartition<Text = String> {
    pub partition: Text,
    pub materialization: Sequence,
    pub observation: Sequence,
    pub planned: Sequence,
    pub failed: Sequence,
}

/// Status of a check's execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum CheckStatus {
    Planned = 0,
    Succeeded = 1,
    Failed = 2,
}

impl CheckStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Planned, Self::Succeeded, Self::Failed];

    /// Value of Dagster's `AssetCheckExecutionRecordStatus`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "PLANNED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

/// Row of `checks`: one execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckExecution {
    /// Number of the run.
    pub run: u64,
    pub partition: Option<String>,
    pub status: CheckStatus,
    /// The planned event, then the evaluation.
    pub event: Sequence,
    /// When the row was made, Unix seconds.
    pub created: f64,
    /// The materialization that the evaluation looked at.
    pub target: Option<u64>,
}

/// Row of `pools`: a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    pub limit: Option<i64>,
    pub from_default: bool,
    pub slot_count: i64,
    /// Steps of the queue that are assigned.
    pub assigned: i64,
    /// Steps that hold one of `slot_count`.
    pub held: i64,
    /// The record that set the limit; zero where there is none.
    pub set_by: Sequence,
}

/// Row of `pools`: a step in a pool's queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStep {
    pub run_id: String,
    pub step_key: String,
    pub priority: i64,
    pub enqueued: f64,
    pub queued_by: Sequence,
    pub assigned: Option<f64>,
    pub claim: SlotClaim,
    /// The record that set this state.
    pub set_by: Sequence,
}

/// Row of `documents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentRow {
    /// Empty for documents found by id alone.
    pub key: String,
    /// The record that holds the body.
    pub body: Sequence,
    /// When the document was made, Unix seconds.
    pub created: f64,
    /// Terms as the body's record has them.
    pub terms: Vec<Term>,
    /// How a run stands, where that is not as its body says.
    pub run: Option<RunState>,
    /// The record that set `run`; events that advanced it since do not count.
    pub run_set_by: Sequence,
}

impl DocumentRow {
    /// Name of the term that every document has.
    pub const ALL: &str = "";

    /// Name of the term with a run's status that runs of backfills do not have, so that what Dagster's
    /// page of runs asks for is one term.
    pub const ROOT_STATUS: &str = "root_status";

    /// Term of the tag that runs of backfills have.
    const OF_BACKFILL: &str = "tag:dagster/backfill";

    /// How the run stands.
    pub fn run_state(&self) -> RunState {
        let find = |name: &str| self.terms.iter().find(|term| term.name == name);
        self.run.clone().unwrap_or_else(|| RunState {
            status: find("status")
                .map(|term| term.value.clone())
                .unwrap_or_default(),
            updated: find("@updated").map_or(self.created, |term| term.order),
            started: find("@started").map(|term| term.order),
            ended: find("@ended").map(|term| term.order),
            tags: Vec::new(),
        })
    }

    /// What the document of a space is found by now.
    pub fn all_terms(&self, space: Space) -> Vec<Term> {
        let mut terms = self.terms.clone();
        if let Some(run) = &self.run {
            let replaced = |name: &str| {
                matches!(name, "status" | "@updated" | "@started" | "@ended")
                    || name
                        .strip_prefix("tag:")
                        .is_some_and(|tag| run.tags.iter().any(|(key, _)| key == tag))
            };
            terms.retain(|term| !replaced(&term.name));
            terms.push(Term {
                name: "status".to_owned(),
                value: run.status.clone(),
                order: 0.0,
            });
            let times = [
                ("@updated", Some(run.updated)),
                ("@started", run.started),
                ("@ended", run.ended),
            ];
            for (name, time) in times {
                if let Some(order) = time {
                    terms.push(Term {
                        name: name.to_owned(),
                        value: String::new(),
                        order,
                    });
                }
            }
            for (key, value) in &run.tags {
                terms.push(Term {
                    name: format!("tag:{key}"),
                    value: value.clone(),
                    order: 0.0,
                });
            }
        }
        if space == Space::Run && !terms.iter().any(|term| term.name == Self::OF_BACKFILL) {
            let status = terms.iter().find(|term| term.name == "status");
            terms.extend(status.cloned().map(|term| Term {
                name: Self::ROOT_STATUS.to_owned(),
                ..term
            }));
        }
        terms.push(Term {
            name: Self::ALL.to_owned(),
            value: String::new(),
            order: 0.0,
        });
        terms
    }
}
