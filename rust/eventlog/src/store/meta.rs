//! The meta row: what a store says about itself.
//!
//! Owns the row under the key `store` of the tree `meta`, and the rules by which a release reads a
//! store or refuses it. Every transaction reads the row again, so a process that an upgrade has left
//! behind fails with a typed error in mid-life too. Fields are named in the bytes and default when
//! they are absent, so a later field needs no new format.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::lmdb::{Tree, View};
use super::refusal::failed;
use crate::error::{Error, Result};

/// The format that this release writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Key of the row.
pub(super) const KEY: &[u8] = b"store";

/// What a return from a write means after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The commit is on disk.
    #[default]
    Durable,
    /// The last commit may be lost; nothing is corrupted.
    Relaxed,
}

/// A rebuild that fills the set that is not live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The set it fills.
    pub target_set: u8,
    /// The fold version it folds by.
    pub fold_version: u32,
    /// The next sequence it folds.
    pub next_sequence: u64,
}

/// A compaction that goes through the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compaction {
    /// The last sequence that it counts with, but for registers.
    pub whole: u64,
    /// The last sequence that it counts with for registers, and looks at.
    pub registers: u64,
    /// The next sequence that it looks at.
    pub next_sequence: u64,
    /// Records that it has replaced by husks.
    #[serde(default)]
    pub records: u64,
    /// Bytes of the frames that it took from the log, less those that it put there.
    #[serde(default)]
    pub bytes: i64,
    /// Bytes of the log's pages when it began.
    #[serde(default)]
    pub log_before: u64,
}

/// What a reader holds against a compaction: see [`Lease`](super::Lease).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leased {
    /// Random.
    pub id: u64,
    /// No record from this one on was taken since the lease was.
    pub from: u64,
    /// Unix seconds; from then on it counts for nothing.
    pub until: f64,
}

/// Sequences among which no event stands, nor ever will: those after one, up to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub after: u64,
    pub until: u64,
}

impl Silence {
    /// Whether a sequence is among them.
    pub fn contains(self, sequence: u64) -> bool {
        self.after < sequence && sequence <= self.until
    }
}

/// What a store was forked from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forked {
    /// Id of that store.
    #[serde(with = "serde_bytes")]
    pub store: [u8; 16],
    /// The last sequence that was taken from it.
    pub sequence: u64,
    /// Checksum of the record under it, or of the husk that was left of it.
    pub checksum: u32,
}

/// What a store says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Format of the log and of this row.
    pub format: u32,
    /// The store's id, random, given at creation.
    #[serde(with = "serde_bytes")]
    pub store: [u8; 16],
    /// When it was created, in seconds since 1970.
    pub created: f64,
    /// Bytes of the map, the same for every process.
    pub map_size: u64,
    /// What a return from a write means.
    pub durability: Durability,
    /// The set of projections that queries read: 0 or 1.
    pub live_set: u8,
    /// The fold version of the live set.
    pub fold_version: u32,
    /// Rises when history may have been rolled back.
    #[serde(default)]
    pub epoch: u64,
    /// The rebuild under way.
    #[serde(default)]
    pub rebuild: Option<Rebuild>,
    /// The horizon of events, runs, ticks and instigators: from this sequence on, the log tells how
    /// they were at each. Zero where nothing has gone.
    #[serde(default)]
    pub whole_from: u64,
    /// The same of heartbeats and cursor values.
    #[serde(default)]
    pub registers_from: u64,
    /// The compaction under way.
    #[serde(default)]
    pub compaction: Option<Compaction>,
    /// What readers hold against a compaction, those that have expired included.
    #[serde(default)]
    pub leases: Vec<Leased>,
    /// A stretch of the log without events, so that nobody looks for one there again.
    #[serde(default)]
    pub silence: Silence,
    /// The store whose history this one goes on from.
    #[serde(default)]
    pub forked: Option<Forked>,
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("the meta row encodes")
    }

    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged = |error: rmp_serde::decode::Error| Error::Damaged {
            path: path.into(),
            reason: format!("its meta row does not decode ({error})"),
        };
        let format: Format = rmp_serde::from_slice(bytes).map_err(damaged)?;
        if format.format > FORMAT {
            return Err(Error::FormatTooNew {
                path: path.into(),
                found: format.format,
                supported: FORMAT,
            });
        }
        rmp_serde::from_slice(bytes).map_err(damaged)
    }

    /// Reads the row; none in an environment that is not a store, or not yet.
    pub(super) fn load(path: &Path, view: &View<'_>, tree: Tree) -> Result<Option<Self>> {
        view.get(tree, KEY)
            .map_err(|error| failed(path, None, error))?
            .map(|bytes| Self::decode(path, bytes))
            .transpose()
    }

    /// How many leases live at a time, and the first record that they hold; None where there is none.
    pub fn held(&self, now: f64) -> Option<(usize, u64)> {
        let live = || self.leases.iter().filter(|lease| now < lease.until);
        let first = live().map(|lease| lease.from).min()?;
        Some((live().count(), first))
    }

    /// How far a compaction may go that would go up to a record: to before what is held.
    pub fn unleased(&self, to: u64, now: f64) -> u64 {
        self.held(now)
            .map_or(to, |(_, first)| to.min(first.saturating_sub(1)))
    }

    /// Refuses a store whose live projections another fold version makes. With `for_rebuild` an
    /// older one passes.
    pub(super) fn check_fold(&self, path: &Path, supported: u32, for_rebuild: bool) -> Result<()> {
        let (path, found) = (path.into(), self.fold_version);
        if found > supported {
            Err(Error::FoldTooNew {
                path,
                found,
                supported,
            })
        } else if found < supported && !for_rebuild {
            Err(Error::FoldTooOld {
                path,
                found,
                supported,
            })
        } else {
            Ok(())
        }
    }
}
