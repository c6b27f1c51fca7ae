//! The engine's face: commands in, queries out, on one store.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::command::{Command, PURGE_STEP, Purge, Reply, to_purge};
use crate::commit::{SCHEMA, Submitted, apply_in_steps, cached_status_key};
use crate::compaction::{self, Compacted, Keep};
use crate::error::{Error, Result};
use crate::fork::{self, Fork, ForkOptions, Moment};
use crate::log::husk::{Order, husk_of};
use crate::log::names::Names;
use crate::log::scan;
use crate::projection::key::Key;
use crate::projection::{Table, rows};
use crate::query::records::{self, KindCounts};
use crate::query::{Reader, last_event, open_record};
use crate::record::{Record, seal_frame};
use crate::refold::{self, Progress, Verification};
use crate::sequence::Sequence;
use crate::store::{OpenOptions, Outcome, Silence, Store, Transaction};
use crate::value::Shape;

/// Records that one snapshot looks at, so that none pins old pages for long.
const LOOKED_AT: usize = 20_000;

/// An event log on a store. Cheap to clone; good in any thread and after a fork.
#[derive(Clone)]
pub struct EventLog {
    store: Store,
}

impl EventLog {
    /// Opens the store of a directory.
    pub fn open(directory: &Path, options: &OpenOptions) -> Result<Self> {
        Ok(Self {
            store: Store::open(directory, &SCHEMA, options)?,
        })
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Decides a command and commits its records: all or none, durable on return. Where several writers
    /// come at once, one of them commits for all.
    ///
    /// `interrupted` is asked while waiting for the writer lock; true ends the wait with
    /// [`Error::Interrupted`].
    pub fn execute(&self, command: &Command, interrupted: &dyn Fn() -> bool) -> Result<Reply> {
        self.store.submit(interrupted, &Submitted(command))
    }

    /// Removes the rows of runs whose deletion goes in steps, one commit a step. Nobody sees them; who
    /// dies here leaves the rest to the next one.
    pub fn sweep(&self, now: f64, interrupted: &dyn Fn() -> bool) -> Result<()> {
        compaction::sweep(&self.store, now, interrupted, &mut |_| Ok(()))?;
        // What a long run leaves at the log's end is looked through here rather than by a reader.
        self.last_event().map(drop)
    }

    /// The last event that stands. O(records after it), those of long stretches but once.
    pub fn last_event(&self) -> Result<Option<Sequence>> {
        let mut own = Silence::default();
        let mut is_long = false;
        loop {
            let looked = self.store.read(|snapshot| {
                let log = snapshot.trees().log;
                let reader = Reader::new(snapshot.view(), snapshot.live_set(), log);
                last_event(&reader, &[own, snapshot.meta().silence], LOOKED_AT)
            })?;
            own = looked.silence;
            if let Some(found) = looked.found {
                if is_long {
                    self.remember(own);
                }
                return Ok(found);
            }
            is_long = true;
        }
    }

    /// Keeps a stretch without events in the meta row. What cannot be kept, as on a full disk, is looked
    /// through again by the next one who asks, so that is no failure of the question.
    fn remember(&self, silence: Silence) {
        let kept = self.store.write(&|| false, |transaction| {
            let mut meta = transaction.meta().clone();
            meta.silence = silence;
            transaction.set_meta(meta)?;
            Ok(Outcome::Commit(()))
        });
        drop(kept);
    }

    /// Removes documents in their order, [`PURGE_STEP`] a commit. Who dies here leaves the rest to the
    /// next one.
    pub fn purge(&self, purge: Purge, now: f64, interrupted: &dyn Fn() -> bool) -> Result<()> {
        // Mostly there is nothing to purge, which needs no turn among the writers.
        if self.query(|reader| Ok(to_purge(reader, &purge, 1)?.is_empty()))? {
            return Ok(());
        }
        let step = PURGE_STEP;
        let command = Command::PurgeDocuments { purge, step, now };
        apply_in_steps(&self.store, &command, interrupted, &mut |_| Ok(()))
    }

    /// Runs a query on one snapshot.
    pub fn query<R>(&self, query: impl FnOnce(&Reader<'_>) -> Result<R>) -> Result<R> {
        self.store.read(|snapshot| {
            query(&Reader::new(
                snapshot.view(),
                snapshot.live_set(),
                snapshot.trees().log,
            ))
        })
    }

    /// Every shape, by ordinal.
    pub fn shapes(&self) -> Result<Vec<Arc<Shape>>> {
        self.query(|reader| {
            let rows = reader.prefix(Table::Shapes, &Key::new())?;
            rows.map(|row| Ok(Arc::new(rows::read(row?.1)?))).collect()
        })
    }

    /// What Dagster cached of each asset's partitions.
    pub fn cached_status(&self, asset_keys: &[String]) -> Result<HashMap<String, String>> {
        self.store.read(|snapshot| {
            let mut found = HashMap::new();
            for asset_key in asset_keys {
                let key = cached_status_key(asset_key);
                let status = snapshot
                    .view()
                    .get(snapshot.trees().cached_status, key.bytes())?;
                if let Some(status) = status {
                    let text = String::from_utf8_lossy(status).into_owned();
                    found.insert(asset_key.clone(), text);
                }
            }
            Ok(found)
        })
    }

    /// Caches a status beside the log, or forgets it; flushed with the next durable commit. A status
    /// of an asset that is not known is not kept.
    pub fn set_cached_status(
        &self,
        asset_key: &str,
        status: Option<&str>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<()> {
        let key = cached_status_key(asset_key);
        let write = |transaction: &mut Transaction<'_>| {
            let tree = transaction.trees().cached_status;
            let old = transaction.view().get(tree, key.bytes())?;
            if old == status.map(str::as_bytes) {
                return Ok(Outcome::Nothing(()));
            }
            match status {
                None => {
                    transaction.delete(tree, key.bytes())?;
                }
                Some(status) => {
                    let log = transaction.trees().log;
                    let reader = Reader::new(transaction.view(), transaction.live_set(), log);
                    if !reader.asset(asset_key)?.is_some_and(|asset| asset.known) {
                        return Ok(Outcome::Nothing(()));
                    }
                    transaction.put(tree, key.bytes(), status.as_bytes())?;
                }
            }
            Ok(Outcome::Commit(()))
        };
        self.store.write_relaxed(interrupted, write)
    }

    /// Replaces the records of these sequences that may go by husks; returns those replaced. O(log).
    pub fn husk(&self, sequences: &[Sequence]) -> Result<Vec<Sequence>> {
        self.store.write(&|| false, |transaction| {
            let log = transaction.trees().log;
            let mut husks = Vec::new();
            let mut names = Names::default();
            for row in scan(transaction.view(), log, Sequence::ZERO)? {
                let (sequence, frame) = row?;
                names.see(sequence, &open_record(sequence, frame)?);
            }
            let reader = Reader::new(transaction.view(), transaction.live_set(), log);
            for sequence in sequences {
                let Some(frame) = reader.frame(*sequence)? else {
                    continue;
                };
                let record = open_record(*sequence, frame)?;
                if let Some(husk) = husk_of(&reader, &names, *sequence, &record, Order::Any)? {
                    husks.push((*sequence, seal_frame(&Record::Husk(husk).encode())));
                }
            }
            for (sequence, frame) in &husks {
                transaction.put(log, &sequence.to_key(), frame)?;
            }
            let replaced: Vec<_> = husks.into_iter().map(|(sequence, _)| sequence).collect();
            Ok(if replaced.is_empty() {
                Outcome::Nothing(replaced)
            } else {
                Outcome::Commit(replaced)
            })
        })
    }

    /// Counts the records of each kind, some in each snapshot. O(log).
    pub fn count_kinds(&self, progress: Progress<'_>) -> Result<KindCounts> {
        let mut counts = KindCounts::new();
        let mut at = Sequence::ZERO;
        loop {
            let (to, head) = self.query(|reader| {
                let to = records::count_kinds(reader, at, LOOKED_AT, &mut counts)?;
                Ok((to, reader.head()?))
            })?;
            progress("count", to.get(), head.get())?;
            if to >= head {
                return Ok(counts);
            }
            at = to;
        }
    }

    /// Checks every record and compares the projections with the log's fold.
    pub fn verify(&self, progress: Progress<'_>) -> Result<Verification> {
        refold::verify(&self.store, progress)
    }

    /// Refolds the log into the other projection set and switches to it; returns the head.
    pub fn rebuild(&self, progress: Progress<'_>) -> Result<Sequence> {
        refold::rebuild(&self.store, progress)
    }

    /// Replaces what later records supersede or cover by husks, beside live writers; first ends what
    /// deletions have left.
    pub fn compact(&self, keep: Keep, now: f64, progress: Progress<'_>) -> Result<Compacted> {
        compaction::compact(&self.store, keep, now, progress)
    }

    /// The last record at a moment; `now` is what the clock shows, in Unix seconds.
    pub fn resolve(&self, moment: &Moment, now: f64, progress: Progress<'_>) -> Result<Sequence> {
        fork::resolve(&self.store, moment, now, progress)
    }

    /// Makes a store of its own with the history up to a record, beside live writers.
    pub fn fork(
        &self,
        destination: &Path,
        at: Sequence,
        options: ForkOptions,
        progress: Progress<'_>,
    ) -> Result<Fork> {
        fork::fork(&self.store, destination, at, options, progress)
    }

    /// The event under a sequence, as Dagster's packed JSON.
    pub fn packed_json(&self, sequence: Sequence) -> Result<Option<String>> {
        let shapes = self.shapes()?;
        self.query(|reader| {
            let Some(Record::Event(event)) = reader.record(sequence)? else {
                return Ok(None);
            };
            let facets = event.facets();
            crate::value::to_packed_json(event.body, &facets, &shapes)
                .map(Some)
                .map_err(|error| Error::Body {
                    sequence: sequence.get(),
                    reason: error.to_string(),
                })
        })
    }
}
