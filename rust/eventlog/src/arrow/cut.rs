//! The moment that rows are of: what was deleted later still is in it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::log;
use crate::query::{Reader, documents, open_record};
use crate::record::{Document, Kind, Record, Space};
use crate::sequence::Sequence;

/// A moment.
#[derive(Clone)]
pub struct Cut {
    head: Sequence,
    later: Arc<Mutex<Later>>,
}

/// What was deleted after the moment.
#[derive(Default)]
struct Later {
    seen: Sequence,
    /// Runs whose events were.
    events_of: HashSet<String>,
    all_events: bool,
    /// Runs, and their ids.
    runs: HashMap<String, Sequence>,
    run_ids: HashSet<Sequence>,
    all_runs: bool,
}

impl Cut {
    /// The moment when this was the last record.
    pub fn at(head: Sequence) -> Self {
        let later = Later {
            seen: head,
            ..Later::default()
        };
        Self {
            head,
            later: Arc::new(Mutex::new(later)),
        }
    }

    /// The last record of the moment.
    pub fn head(&self) -> Sequence {
        self.head
    }

    fn later(&self) -> MutexGuard<'_, Later> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a record of a run's events was not deleted at the moment. `last` is of the same snapshot.
    pub fn is_live(
        &self,
        reader: &Reader<'_>,
        last: &mut LastRun,
        sequence: Sequence,
        run_id: &str,
    ) -> Result<bool> {
        if last.run_id.as_deref() != Some(run_id) {
            let number = reader.run(run_id)?;
            let later = self.later();
            let live_from = if later.all_events || later.events_of.contains(run_id) {
                Some(0)
            } else {
                number
            };
            *last = LastRun {
                run_id: Some(run_id.to_owned()),
                live_from,
            };
        }
        // A run's number is the sequence of its first record since it was last deleted.
        Ok(last.live_from.is_some_and(|from| sequence.get() >= from))
    }

    /// Whether the run with this id was there at the moment.
    pub fn had_run(&self, reader: &Reader<'_>, id: Sequence) -> Result<bool> {
        let is_there = documents::is_there(reader, Space::Run, id)?;
        let later = self.later();
        Ok(is_there || later.run_ids.contains(&id) || later.all_runs)
    }

    /// The id that a run had at the moment; that of the first record where nobody knows any more.
    pub fn run_named(&self, reader: &Reader<'_>, run_id: &str) -> Result<Option<Sequence>> {
        let id = documents::by_key(reader, Space::Run, run_id)?;
        if id.is_some_and(|id| id <= self.head) {
            return Ok(id);
        }
        let later = self.later();
        let unknown = later.all_runs.then_some(Sequence::new(1));
        Ok(later.runs.get(run_id).copied().or(unknown))
    }

    /// Takes in what was deleted up to this snapshot.
    pub fn catch_up(&self, reader: &Reader<'_>) -> Result<()> {
        let mut later = self.later();
        let mut cursor = reader.log_cursor()?;
        let mut row = cursor.seek(&later.seen.next().to_key())?;
        while let Some((key, frame)) = row {
            let sequence = Sequence::from_key_end(key)?;
            let may_delete = matches!(
                log::kind_of(frame),
                Some(
                    Kind::RunEventsDeleted
                        | Kind::EventLogWiped
                        | Kind::Document
                        | Kind::SpacesWiped
                )
            );
            if may_delete {
                later.see(&open_record(sequence, frame)?);
            }
            later.seen = sequence;
            row = cursor.next()?;
        }
        Ok(())
    }
}

impl Later {
    fn see(&mut self, record: &Record<'_>) {
        match record {
            Record::RunEventsDeleted(deleted) => {
                self.events_of.insert(deleted.run_id.clone());
            }
            Record::EventLogWiped(_) => self.all_events = true,
            Record::Document(Document {
                space: Space::Run,
                id,
                key,
                state: None,
                ..
            }) => {
                let id = Sequence::new(*id);
                self.run_ids.insert(id);
                // The first that goes is the one of the moment.
                self.runs.entry((*key).to_owned()).or_insert(id);
            }
            Record::SpacesWiped(wiped) if wiped.spaces.contains(&Space::Run) => {
                self.all_runs = true;
            }
            _ => {}
        }
    }
}

/// The run that the last record was of, and from which sequence on its records are live.
#[derive(Default)]
pub struct LastRun {
    run_id: Option<String>,
    live_from: Option<u64>,
}
