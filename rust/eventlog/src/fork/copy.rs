//! The copy: frames up to a sequence, appended and folded, in large commits that are flushed at the end.
//!
//! One thread reads and checks frames, a batch a snapshot; the caller's appends and folds them. What
//! waits between the two is bounded, so that memory is.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::commit::SCHEMA;
use crate::error::{Error, Result};
use crate::log::{Frames, scan};
use crate::projection::{Carry, LogSource, fold as fold_record};
use crate::query::{Reader, open_record};
use crate::record::{Husk, Record, frame_checksum, open_frame, payload_of, seal_frame};
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::maintenance::{COMPACTION, shared};
use crate::store::{Draft, Forked, Meta, Snapshot, Store};

/// Batches that wait to be folded.
const WAITING: usize = 2;

/// What a fork may be.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForkOptions {
    /// Go on below the horizon from which on the log is whole.
    pub incomplete: bool,
    /// Make the store on a network file system.
    pub allow_network_file_system: bool,
}

/// A fork that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// Id of the new store.
    pub store: [u8; 16],
    /// Its head, which is the last record of the source that it has.
    pub sequence: Sequence,
    /// Frames that were copied; those of a merged husk are one.
    pub records: u64,
    /// The source's horizons. The fork shows all that was there where its head is not more than one
    /// below them.
    pub whole_from: Sequence,
    pub registers_from: Sequence,
}

/// Makes a store at `destination` with the history of `store` up to a record, that one included.
/// O(log), in memory for a few batches.
///
/// The source is read in short snapshots and not written to. The new store has an id of its own and
/// names the source in its meta row; what Dagster cached of partitions is left out.
///
/// # Errors
///
/// [`Error::NoSuchMoment`] beyond the head; [`Error::NoLongerWhole`] unless that is allowed;
/// [`Error::DestinationExists`]; [`Error::MaintenanceRunning`] while another process compacts the
/// source; [`Error::DamagedRecord`]. Nothing is at the destination then.
pub fn fork(
    store: &Store,
    destination: &Path,
    at: Sequence,
    options: ForkOptions,
    progress: Progress<'_>,
) -> Result<Fork> {
    let directory = store.directory();
    let _same_log = shared(directory, COMPACTION, || Error::MaintenanceRunning {
        path: directory.to_owned(),
    })?;
    let (head, source) = store.read(|snapshot| {
        let reader = Reader::new(snapshot.view(), snapshot.live_set(), snapshot.trees().log);
        Ok((reader.head()?, snapshot.meta().clone()))
    })?;
    check(directory, at, head, &source, options)?;
    let draft = Draft::new(
        destination,
        &SCHEMA,
        source.map_size as usize,
        source.durability,
        options.allow_network_file_system,
    )?;
    let mut copy = Copy {
        draft: &draft,
        at: Sequence::ZERO,
        records: 0,
        checksum: 0,
    };
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(WAITING);
        scope.spawn(move || read(store, at, &sender));
        copy.take(&batches, at, progress)
    })?;
    copy.times(store)?;
    let fork = Fork {
        store: draft.id(),
        sequence: copy.at,
        records: copy.records,
        whole_from: Sequence::new(source.whole_from.max(1)),
        registers_from: Sequence::new(source.registers_from.max(1)),
    };
    let forked = Forked {
        store: source.store,
        sequence: at.get(),
        checksum: copy.checksum,
    };
    progress("flush", 0, 0)?;
    draft.finish(|meta| {
        meta.forked = Some(forked);
        meta.whole_from = source.whole_from;
        meta.registers_from = source.registers_from;
    })?;
    Ok(fork)
}

fn check(
    directory: &Path,
    at: Sequence,
    head: Sequence,
    source: &Meta,
    options: ForkOptions,
) -> Result<()> {
    if at == Sequence::ZERO || at > head {
        return Err(Error::NoSuchMoment {
            path: directory.into(),
            reason: format!("record {at} is not one of 1 to {head}"),
        });
    }
    if at.next().get() < source.whole_from && !options.incomplete {
        return Err(Error::NoLongerWhole {
            path: directory.into(),
            at: at.get(),
            whole_from: source.whole_from,
        });
    }
    Ok(())
}

/// Sends the frames up to a sequence, until that, an error, or a receiver that has gone.
fn read(store: &Store, to: Sequence, batches: &SyncSender<Result<Frames>>) {
    let mut at = Sequence::ZERO;
    while at < to {
        let batch = store.read(|snapshot| read_batch(snapshot, at, to));
        let is_last = match &batch {
            Ok(batch) => batch.last().is_none_or(|(last, _)| {
                at = last;
                false
            }),
            Err(_) => true,
        };
        if batches.send(batch).is_err() || is_last {
            return;
        }
    }
}

/// The next frames, which are one commit of the copy.
fn read_batch(snapshot: &Snapshot<'_>, after: Sequence, to: Sequence) -> Result<Frames> {
    let mut batch = Frames::default();
    let mut at = after;
    for row in scan(snapshot.view(), snapshot.trees().log, after)? {
        let (sequence, frame) = row?;
        if sequence.get() > at.next().get() {
            refuse_gap(at.next(), sequence, frame)?;
        }
        if sequence > to {
            // Within a merged husk: of that as much as is asked for.
            let husk = Husk {
                also_before: to.get() - at.next().get(),
                ..Husk::default()
            };
            batch.push(to, &seal_frame(&Record::Husk(husk).encode()));
            break;
        }
        open_frame(frame).map_err(|error| damaged(sequence, error.to_string()))?;
        batch.push(sequence, frame);
        at = sequence;
        if at == to || batch.is_full() {
            break;
        }
    }
    Ok(batch)
}

/// Refuses a frame that does not say that it stands for those since `first` as well.
fn refuse_gap(first: Sequence, sequence: Sequence, frame: &[u8]) -> Result<()> {
    match open_record(sequence, frame)? {
        Record::Husk(husk) if sequence.get() - husk.also_before <= first.get() => Ok(()),
        _ => Err(damaged(first, "it is missing".into())),
    }
}

fn damaged(sequence: Sequence, reason: String) -> Error {
    Error::DamagedRecord {
        sequence: sequence.get(),
        reason,
    }
}

/// The copy, and how far it is.
struct Copy<'a> {
    draft: &'a Draft,
    at: Sequence,
    records: u64,
    /// Of the last frame.
    checksum: u32,
}

impl Copy<'_> {
    fn take(
        &mut self,
        batches: &Receiver<Result<Frames>>,
        to: Sequence,
        progress: Progress<'_>,
    ) -> Result<()> {
        while let Ok(batch) = batches.recv() {
            self.append(&batch?)?;
            progress("copy and fold", self.at.get(), to.get())?;
        }
        if self.at != to {
            return Err(damaged(self.at.next(), "it is missing".into()));
        }
        Ok(())
    }

    fn append(&mut self, batch: &Frames) -> Result<()> {
        let trees = self.draft.trees();
        self.draft.write(|writing| {
            let mut carry = Carry::default();
            for (sequence, frame) in batch.iter() {
                writing.append(trees.log, &sequence.to_key(), frame)?;
                let record = Record::decode(payload_of(frame))
                    .map_err(|error| damaged(sequence, error.to_string()))?;
                let source = LogSource::Same(trees.log);
                let mut target = carry.target(writing, &trees.sets[0], source);
                fold_record(&mut target, sequence, &record)?;
            }
            carry.finish(writing, &trees.sets[0])
        })?;
        if let Some((sequence, frame)) = batch.last() {
            self.at = sequence;
            self.checksum = frame_checksum(frame).unwrap_or_default();
            self.records += batch.count() as u64;
        }
        Ok(())
    }

    /// Copies the marks of times up to here.
    fn times(&self, store: &Store) -> Result<()> {
        let marks = store.read(|snapshot| {
            let mut marks = Vec::new();
            for row in snapshot.view().range(snapshot.trees().times, &[], &[])? {
                let (time, place) = row?;
                if Sequence::from_key_end(place)? > self.at {
                    break;
                }
                marks.push((time.to_vec(), place.to_vec()));
            }
            Ok(marks)
        })?;
        let tree = self.draft.trees().times;
        self.draft.write(|writing| {
            for (time, place) in &marks {
                writing.append(tree, time, place)?;
            }
            Ok(())
        })
    }
}
