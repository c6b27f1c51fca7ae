//! How runs stand while the log is passed: what a record that changes a run builds upon.
//!
//! A run's body is written once; its status, its times and the tags that were added come by later
//! records, the events among them by what they change alone. So the runs that are on their way are kept, and those that have
//! ended are not: what changes an ended run says all of it. A run that was added before the first record
//! that is asked for is made out by passing the log from that run on ([`Standings::look_back`]).

use std::collections::{HashMap, HashSet};

use super::cut::Cut;
use crate::EventLog;
use crate::error::Result;
use crate::log::kind_of;
use crate::projection::documents::{FINISHED, advanced, is_after_making, may_have};
use crate::projection::rows::DocumentRow;
use crate::query::{Reader, documents, open_record};
use crate::record::{Document, Kind, Record, RunState, Space, StatusFacet};
use crate::sequence::Sequence;

/// Records looked at in one read transaction.
const SCANNED: usize = 20_000;

/// How a run stands.
#[derive(Debug, Clone)]
pub struct Standing {
    pub id: Sequence,
    pub run_id: String,
    /// The record that holds the run's body.
    pub body: Sequence,
    pub state: RunState,
    /// Whether the body says the same.
    pub is_as_added: bool,
}

/// The runs on their way, as of the last record that was seen.
#[derive(Debug)]
pub struct Standings {
    /// The record before the first one that is seen.
    after: Sequence,
    /// A run that was added from here on and is not open has ended, or is gone.
    known_from: Sequence,
    open: HashMap<Sequence, Standing>,
    ids: HashMap<String, Sequence>,
    /// Bodies that are not under the run's id.
    moved: HashMap<Sequence, Sequence>,
    /// Runs from before `known_from` that have ended since.
    ended: HashSet<Sequence>,
}

impl Standings {
    /// Nothing known of what stands up to a record.
    pub fn new(after: Sequence) -> Self {
        Self {
            after,
            known_from: after.next(),
            open: HashMap::new(),
            ids: HashMap::new(),
            moved: HashMap::new(),
            ended: HashSet::new(),
        }
    }

    /// The run from which on the log has to be looked through before this record says how its run stands,
    /// if any has to.
    pub fn unknown(
        &mut self,
        reader: &Reader<'_>,
        cut: &Cut,
        sequence: Sequence,
        record: &Record<'_>,
    ) -> Result<Option<Sequence>> {
        let id = match record {
            Record::RunStateSet(set) => {
                let id = Sequence::new(set.id);
                if self.is_known(id) || self.moved.contains_key(&id) {
                    return Ok(None);
                }
                match documents::row(reader, Space::Run, id)? {
                    Some(row) if row.body <= sequence => {
                        self.moved.insert(id, row.body);
                        return Ok(None);
                    }
                    Some(_) => id,
                    None if cut.had_run(reader, id)? => id,
                    None => return Ok(None),
                }
            }
            _ => {
                let Some((run_id, _, _)) = status_of(record) else {
                    return Ok(None);
                };
                if self.ids.contains_key(run_id) {
                    return Ok(None);
                }
                match cut.run_named(reader, run_id)? {
                    Some(id) => id,
                    None => return Ok(None),
                }
            }
        };
        let is_needed = !self.is_known(id) && !self.ended.contains(&id);
        Ok(is_needed.then_some(id))
    }

    fn is_known(&self, id: Sequence) -> bool {
        id >= self.known_from || self.open.contains_key(&id)
    }

    /// Looks through the log from a run on, to before the first record that is seen. Ever longer
    /// stretches, so that many runs are not one pass each. O(records since the run was added).
    pub fn look_back(&mut self, log: &EventLog, id: Sequence) -> Result<()> {
        let known = self.known_from.get();
        let as_far_again = known.saturating_sub(self.after.next().get() - known);
        let from = Sequence::new(id.get().min(as_far_again).max(1));
        let mut before = Self::new(Sequence::new(from.get() - 1));
        let mut at = before.after;
        while at < self.after {
            log.query(|reader| {
                let mut cursor = reader.log_cursor()?;
                let mut row = cursor.seek(&at.next().to_key())?;
                at = self.after;
                for _ in 0..SCANNED {
                    let Some((key, frame)) = row else { break };
                    let sequence = Sequence::from_key_end(key)?;
                    if sequence > self.after {
                        at = self.after;
                        break;
                    }
                    at = sequence;
                    if changes_runs(frame) {
                        before.see(reader, sequence, &open_record(sequence, frame)?)?;
                    }
                    row = cursor.next()?;
                }
                Ok(())
            })?;
        }
        for (id, standing) in before.open {
            let is_new = from <= id && id < self.known_from;
            if is_new && !self.open.contains_key(&id) && !self.ended.contains(&id) {
                self.ids.insert(standing.run_id.clone(), id);
                self.open.insert(id, standing);
            }
        }
        for (id, body) in before.moved {
            self.moved.entry(id).or_insert(body);
        }
        self.known_from = from;
        Ok(())
    }

    /// Takes in the next record; how its run then stands, where it changes one.
    pub fn see(
        &mut self,
        reader: &Reader<'_>,
        sequence: Sequence,
        record: &Record<'_>,
    ) -> Result<Option<Standing>> {
        let standing = match record {
            Record::Document(document) if document.space == Space::Run => {
                let id = Sequence::new(document.id).known().unwrap_or(sequence);
                if document.state.is_none() {
                    self.close(id, document.key);
                    self.moved.remove(&id);
                    return Ok(None);
                }
                if id != sequence {
                    self.moved.insert(id, sequence);
                }
                let row = row_of(sequence, document);
                Standing {
                    id,
                    run_id: document.key.to_owned(),
                    body: sequence,
                    state: row.run_state(),
                    is_as_added: row.run.is_none(),
                }
            }
            Record::RunStateSet(set) => {
                let id = Sequence::new(set.id);
                Standing {
                    id,
                    run_id: set.run_id.clone(),
                    body: self.moved.get(&id).copied().unwrap_or(id),
                    state: set.state.clone(),
                    is_as_added: false,
                }
            }
            Record::SpacesWiped(wiped) if wiped.spaces.contains(&Space::Run) => {
                *self = Self {
                    known_from: Sequence::new(1),
                    ..Self::new(self.after)
                };
                return Ok(None);
            }
            _ => {
                let Some((run_id, facet, timestamp)) = status_of(record) else {
                    return Ok(None);
                };
                let Some(standing) = self.ids.get(run_id).and_then(|id| self.open.get(id)) else {
                    return Ok(None);
                };
                let Some(Record::Document(document)) = reader.record(standing.body)? else {
                    return Ok(None);
                };
                let row = row_of(standing.body, &document);
                if !is_after_making(timestamp, row.created) || !may_have(&row, facet.status) {
                    return Ok(None);
                }
                Standing {
                    state: advanced(standing.state.clone(), &facet, timestamp),
                    is_as_added: false,
                    ..standing.clone()
                }
            }
        };
        if FINISHED.contains(&standing.state.status.as_str()) {
            self.close(standing.id, &standing.run_id);
        } else {
            self.ids.insert(standing.run_id.clone(), standing.id);
            self.open.insert(standing.id, standing.clone());
        }
        Ok(Some(standing))
    }

    fn close(&mut self, id: Sequence, run_id: &str) {
        self.open.remove(&id);
        self.ids.remove(run_id);
        if id < self.known_from {
            self.ended.insert(id);
        }
    }
}

/// Whether a frame may hold a record that changes how a run stands.
pub fn changes_runs(frame: &[u8]) -> bool {
    matches!(
        kind_of(frame),
        Some(Kind::Event | Kind::Husk | Kind::Document | Kind::RunStateSet | Kind::SpacesWiped)
    )
}

/// What a record, or what is left of it, says of its run's status.
fn status_of<'r>(record: &'r Record<'_>) -> Option<(&'r str, StatusFacet<'r>, f64)> {
    match record {
        Record::Event(event) => {
            let status = event.status.as_ref()?;
            Some((event.run_id, *status, event.timestamp))
        }
        Record::Husk(husk) => {
            let status = husk.status.as_ref()?;
            let facet = StatusFacet {
                status: &status.status,
                failure_reason: status.failure_reason.as_deref(),
                starts: status.starts,
                ends: status.ends,
            };
            Some((&status.run_id, facet, status.timestamp))
        }
        _ => None,
    }
}

fn row_of(sequence: Sequence, document: &Document<'_>) -> DocumentRow {
    let state = document.state.as_ref();
    DocumentRow {
        key: document.key.to_owned(),
        body: sequence,
        created: document.created,
        terms: state.map(|state| state.terms.clone()).unwrap_or_default(),
        run: state.and_then(|state| state.run.clone()),
        run_set_by: Sequence::ZERO,
    }
}
