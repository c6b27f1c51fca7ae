//! Verification: every record's checksum, and the live projections against the log's fold.

use super::Progress;
use super::compare::compare;
use super::scratch::Scratch;
use crate::error::{Error, Result};
use crate::log::scan;
use crate::projection::fold;
use crate::query::{Reader, open_record};
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::maintenance::{COMPACTION, shared};
use crate::store::{Snapshot, Store};

/// Records folded per snapshot, so that none pins old pages for long.
const CHUNK: usize = 20_000;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub records: u64,
    pub head: Sequence,
    /// Rows of the live projections.
    pub rows: u64,
    /// One line each; empty for a sound store.
    pub differences: Vec<String>,
}

/// Checks every record, refolds the log beside the store, and compares. Changes nothing in the
/// store. O(log), in constant memory; disk for a second projection set in the temporary directory.
///
/// The last records and the comparison share one snapshot, the one read transaction of the engine
/// that outlives a short call.
///
/// # Errors
///
/// [`Error::MaintenanceRunning`] while another process compacts the store. Damage is no error: it is
/// among what is found.
pub fn verify(store: &Store, progress: Progress<'_>) -> Result<Verification> {
    let directory = store.directory();
    let _same_log = shared(directory, COMPACTION, || Error::MaintenanceRunning {
        path: directory.to_owned(),
    })?;
    let scratch = Scratch::new(directory)?;
    let mut refold = Refold {
        scratch: &scratch,
        at: Sequence::ZERO,
        records: 0,
        damaged: Vec::new(),
    };
    loop {
        let (at, head) = store.read(|snapshot| refold.chunk(snapshot))?;
        progress("refold", at.get(), head.get())?;
        if at >= head {
            break;
        }
    }
    store.read(|snapshot| {
        // What was appended since the last chunk, in the snapshot that is compared.
        let mut head = refold.chunk(snapshot)?.1;
        while refold.at < head {
            head = refold.chunk(snapshot)?.1;
        }
        let live = reader(snapshot);
        let (differences, rows) = scratch.read(|refolded| compare(&live, refolded, progress))?;
        let mut damaged = std::mem::take(&mut refold.damaged);
        damaged.extend(differences);
        Ok(Verification {
            records: refold.records,
            head,
            rows,
            differences: damaged,
        })
    })
}

struct Refold<'a> {
    scratch: &'a Scratch,
    at: Sequence,
    records: u64,
    damaged: Vec<String>,
}

impl Refold<'_> {
    /// Folds the next records of the snapshot; returns where it is, and the head.
    fn chunk(&mut self, snapshot: &Snapshot<'_>) -> Result<(Sequence, Sequence)> {
        let log = snapshot.trees().log;
        let head = reader(snapshot).head()?;
        let (view, scratch) = (snapshot.view(), self.scratch);
        scratch.fold(view, log, |target| {
            for row in scan(view, log, self.at)?.take(CHUNK) {
                let (sequence, frame) = row?;
                let record = open_record(sequence, frame);
                let first = match &record {
                    Ok(Record::Husk(husk)) => sequence.get().saturating_sub(husk.also_before),
                    _ => sequence.get(),
                };
                if first > self.at.next().get() {
                    let missing =
                        format!("records {} to before {first} are missing", self.at.next());
                    self.damaged.push(missing);
                }
                self.at = sequence;
                self.records += 1;
                let folded = record.and_then(|record| fold(target, sequence, &record));
                if let Err(error) = folded {
                    self.damaged.push(match error {
                        Error::DamagedRecord {
                            sequence: at,
                            reason,
                        } => {
                            format!("record {at}: {reason}")
                        }
                        error => format!("record {sequence}: {error}"),
                    });
                }
            }
            Ok(())
        })?;
        Ok((self.at, head))
    }
}

fn reader<'t>(snapshot: &Snapshot<'t>) -> Reader<'t> {
    Reader::new(snapshot.view(), snapshot.live_set(), snapshot.trees().log)
}
