//! Which records are superseded or covered by a later one, up to a cutoff.
//!
//! The projections know whether something supersedes a record, not when it came. History after the
//! cutoff stays whole, so a record goes only if what supersedes it stands at or before the cutoff.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::log::names::Names;
use crate::record::{Document, Record, Space};
use crate::sequence::Sequence;

/// The last records that a pass counts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// For events, runs, ticks and all else that tells how the instance was.
    pub whole: Sequence,
    /// For heartbeats and cursor values, whose past nobody asks for. Not below `whole`.
    pub registers: Sequence,
}

impl Cutoffs {
    /// The cutoff of a record.
    pub fn of(&self, record: &Record<'_>) -> Sequence {
        if is_register(record) {
            self.registers
        } else {
            self.whole
        }
    }
}

/// Whether a record's past counts for nothing.
pub fn is_register(record: &Record<'_>) -> bool {
    matches!(
        record,
        Record::Document(Document {
            space: Space::Heartbeat | Space::CursorValue,
            ..
        })
    )
}

/// The last record of everything that records supersede or cover, 16 bytes each. A hash stands for
/// what it is of: should two meet, a record may go although what supersedes it is after the cutoff.
#[derive(Debug)]
pub struct Survey {
    cutoffs: Cutoffs,
    last: HashMap<u64, Sequence>,
    names: Names,
}

/// What a record supersedes or covers.
#[derive(Hash)]
enum Subject<'a> {
    Document(Space, Sequence),
    RunState(Sequence),
    Space(Space),
    DynamicPartition(&'a str, &'a str),
    PoolLimit(&'a str),
    PoolStep(&'a str, &'a str, &'a str),
    RunEvents(&'a str),
    /// The run's last deletion in steps, until its last step.
    Unswept(&'a str),
    Sweep(u64),
    Asset(&'a str),
    AssetPartition(&'a str, &'a str),
    EventLog,
}

impl Subject<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(cutoffs: Cutoffs) -> Self {
        Self {
            cutoffs,
            last: HashMap::new(),
            names: Names::default(),
        }
    }

    /// The names as of the cutoff.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Takes in the next record of the log.
    pub fn see(&mut self, sequence: Sequence, record: &Record<'_>) {
        if sequence > self.cutoffs.of(record) {
            return;
        }
        self.names.see(sequence, record);
        let mut superseded = |subject: Subject<'_>| {
            self.last.insert(subject.hash(), sequence);
        };
        match record {
            Record::Husk(_)
            | Record::ShapeDefined(_)
            | Record::Event(_)
            | Record::CheckExecutionPlanned(_) => {}
            // One that goes in steps covers nothing before the last of them.
            Record::RunEventsDeleted(deleted) if deleted.in_steps => {
                superseded(Subject::Unswept(&deleted.run_id));
            }
            Record::RunEventsDeleted(deleted) => superseded(Subject::RunEvents(&deleted.run_id)),
            Record::RunEventsSwept(swept) => {
                superseded(Subject::Sweep(swept.deletion));
                if swept.until == swept.deletion {
                    self.see_swept(&swept.run_id, Sequence::new(swept.deletion));
                }
            }
            Record::AssetWiped(wiped) => superseded(Subject::Asset(&wiped.asset_key)),
            Record::AssetPartitionsWiped(wiped) => {
                for partition in &wiped.partitions {
                    superseded(Subject::AssetPartition(&wiped.asset_key, partition));
                }
            }
            Record::EventLogWiped(_) => superseded(Subject::EventLog),
            Record::SpacesWiped(wiped) => {
                for space in &wiped.spaces {
                    superseded(Subject::Space(*space));
                }
            }
            Record::DynamicPartition(_)
            | Record::PoolLimit(_)
            | Record::PoolStep(_)
            | Record::Document(_)
            | Record::RunStateSet(_) => {
                superseded(register(sequence, record).expect("these are registers"));
            }
        }
    }

    /// A deletion that went in steps has come to its end. A later one of the same run, of what was stored
    /// in between, may have done so before.
    fn see_swept(&mut self, run_id: &str, deletion: Sequence) {
        let covered = self.last.entry(Subject::RunEvents(run_id).hash());
        let last = covered.or_insert(deletion);
        *last = deletion.max(*last);
        let unswept = Subject::Unswept(run_id).hash();
        if self.last.get(&unswept) == Some(&deletion) {
            self.last.remove(&unswept);
        }
    }

    /// Whether something up to the cutoff supersedes or covers the record, or the record itself says
    /// that its subject is gone.
    pub fn may_go(&self, sequence: Sequence, record: &Record<'_>) -> bool {
        if sequence > self.cutoffs.of(record) {
            return false;
        }
        let after = |subject: Subject<'_>| {
            let last = self.last.get(&subject.hash());
            last.is_some_and(|last| *last > sequence)
        };
        // What a deletion in steps has hidden stays until its last step, also where the run was deleted
        // again since: that deletion is of what was stored after the first.
        let run_is_deleted =
            |run_id| after(Subject::RunEvents(run_id)) && !after(Subject::Unswept(run_id));
        let covered = match record {
            Record::Event(event) => run_is_deleted(event.run_id) || after(Subject::EventLog),
            Record::CheckExecutionPlanned(planned) => {
                run_is_deleted(&planned.run_id)
                    || after(Subject::EventLog)
                    || after(Subject::Asset(&planned.asset_key))
                    || after(Subject::AssetPartition(
                        &planned.asset_key,
                        &planned.partition,
                    ))
            }
            Record::DynamicPartition(_) | Record::PoolLimit(_) | Record::PoolStep(_) => {
                after(Subject::EventLog)
            }
            Record::Document(document) => after(Subject::Space(document.space)),
            Record::RunStateSet(set) => {
                after(Subject::Space(Space::Run))
                    || after(Subject::Document(Space::Run, Sequence::new(set.id)))
            }
            _ => false,
        };
        covered || record.retires() || register(sequence, record).is_some_and(after)
    }
}

/// What a register holds the state of.
fn register<'a>(sequence: Sequence, record: &'a Record<'_>) -> Option<Subject<'a>> {
    Some(match record {
        Record::DynamicPartition(partition) => {
            Subject::DynamicPartition(&partition.definition, &partition.key)
        }
        Record::PoolLimit(limit) => Subject::PoolLimit(&limit.pool),
        Record::PoolStep(step) => Subject::PoolStep(&step.pool, &step.run_id, &step.step_key),
        Record::Document(document) => {
            let id = Sequence::new(document.id).known().unwrap_or(sequence);
            Subject::Document(document.space, id)
        }
        Record::RunStateSet(set) => Subject::RunState(Sequence::new(set.id)),
        Record::RunEventsSwept(swept) => Subject::Sweep(swept.deletion),
        _ => return None,
    })
}
