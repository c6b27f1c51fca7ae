//! Scanning a part of the log in short read transactions.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::rows::{Context, Rows};
use crate::EventLog;
use crate::error::Result;
use crate::log;
use crate::query::{Reader, open_record};
use crate::record::{Kind, Record};
use crate::sequence::Sequence;

/// Sequences of a chunk: what one thread reads before it is another one's turn.
const CHUNK: u64 = 4096;

/// Bytes of frames after which a batch is full: memory is bounded by bytes, since bodies differ.
const BATCH_BYTES: usize = 2 << 20;

/// Records looked at in one read transaction.
const SCANNED: usize = 20_000;

/// Which records are read, in order.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Those after a sequence, up to another.
    Range { after: Sequence, end: Sequence },
    /// These.
    Listed(Arc<Vec<Sequence>>),
}

/// A part of a plan.
#[derive(Debug, Clone)]
pub enum Chunk {
    Range { after: Sequence, end: Sequence },
    Listed(std::ops::Range<usize>),
}

impl Plan {
    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        match self {
            Self::Range { after, end } => end.get().saturating_sub(after.get()).div_ceil(CHUNK),
            Self::Listed(sequences) => (sequences.len() as u64).div_ceil(CHUNK),
        }
    }

    /// A chunk, by number.
    pub fn chunk(&self, number: u64) -> Chunk {
        let begin = number * CHUNK;
        match self {
            Self::Range { after, end } => Chunk::Range {
                after: Sequence::new(after.get() + begin),
                end: Sequence::new(after.get() + begin + CHUNK).min(*end),
            },
            Self::Listed(sequences) => {
                let begin = begin as usize;
                Chunk::Listed(begin..sequences.len().min(begin + CHUNK as usize))
            }
        }
    }

    /// The last sequence of the chunks before one.
    pub fn place(&self, number: u64) -> Sequence {
        match (self, number.checked_sub(1).map(|last| self.chunk(last))) {
            (_, Some(Chunk::Range { end, .. })) => end,
            (Self::Listed(sequences), Some(Chunk::Listed(range))) => range
                .last()
                .and_then(|index| sequences.get(index))
                .copied()
                .unwrap_or_default(),
            (Self::Range { after, .. }, _) => *after,
            (Self::Listed(_), None) => Sequence::ZERO,
        }
    }

    /// The last sequence.
    pub fn end(&self) -> Sequence {
        match self {
            Self::Range { end, .. } => *end,
            Self::Listed(sequences) => sequences.last().copied().unwrap_or_default(),
        }
    }
}

/// The moment that rows are of: what was deleted later still is in it.
#[derive(Clone)]
pub struct Cut {
    head: Sequence,
    later: Arc<Mutex<Later>>,
}

/// What was deleted after the moment.
struct Later {
    seen: Sequence,
    runs: HashSet<String>,
    all: bool,
}

impl Cut {
    /// The moment when this was the last record.
    pub fn at(head: Sequence) -> Self {
        let later = Later {
            seen: head,
            runs: HashSet::new(),
            all: false,
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

    /// Whether a record of a run was not deleted at the moment. `last` is of the same snapshot.
    fn is_live(
        &self,
        reader: &Reader<'_>,
        last: &mut LastRun,
        sequence: Sequence,
        run_id: &str,
    ) -> Result<bool> {
        if last.run_id.as_deref() != Some(run_id) {
            let number = reader.run(run_id)?;
            let later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
            let live_from = if later.all || later.runs.contains(run_id) {
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

    /// Takes in what was deleted up to this snapshot.
    fn catch_up(&self, reader: &Reader<'_>) -> Result<()> {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cursor = reader.log_cursor()?;
        let mut row = cursor.seek(&later.seen.next().to_key())?;
        while let Some((key, frame)) = row {
            let sequence = Sequence::from_key_end(key);
            let kind = log::kind_of(frame);
            let is_tombstone =
                kind == Some(Kind::RunEventsDeleted) || kind == Some(Kind::EventLogWiped);
            if is_tombstone {
                match open_record(sequence, frame)? {
                    Record::RunEventsDeleted(deleted) => {
                        later.runs.insert(deleted.run_id);
                    }
                    Record::EventLogWiped(_) => later.all = true,
                    _ => {}
                }
            }
            later.seen = sequence;
            row = cursor.next()?;
        }
        Ok(())
    }
}

/// The run that the last record was of, and from which sequence on its records are live.
#[derive(Default)]
struct LastRun {
    run_id: Option<String>,
    live_from: Option<u64>,
}

/// Reads chunks into rows.
pub struct Scan<'s> {
    pub log: &'s EventLog,
    pub plan: &'s Plan,
    pub cut: &'s Cut,
    pub context: Context<'s>,
    pub rows: Rows,
}

impl Scan<'_> {
    /// Reads on in a chunk until a batch is full or the chunk ends; returns what is left of it.
    pub fn step(&mut self, chunk: Chunk) -> Result<Option<Chunk>> {
        let (log, plan, cut) = (self.log, self.plan, self.cut);
        log.query(|reader| {
            cut.catch_up(reader)?;
            let mut last = LastRun::default();
            match (&chunk, plan) {
                (Chunk::Range { after, end }, _) => {
                    let mut bytes = 0;
                    let mut at = *after;
                    let mut cursor = reader.log_cursor()?;
                    let mut row = cursor.seek(&after.next().to_key())?;
                    for _ in 0..SCANNED {
                        let Some((key, frame)) = row else {
                            return Ok(None);
                        };
                        let sequence = Sequence::from_key_end(key);
                        if sequence > *end {
                            return Ok(None);
                        }
                        at = sequence;
                        bytes += self.see(reader, &mut last, sequence, frame)?;
                        if bytes >= BATCH_BYTES {
                            break;
                        }
                        row = cursor.next()?;
                    }
                    Ok((at < *end).then_some(Chunk::Range {
                        after: at,
                        end: *end,
                    }))
                }
                (Chunk::Listed(range), Plan::Listed(sequences)) => {
                    let mut bytes = 0;
                    for index in range.clone() {
                        let sequence = sequences[index];
                        if let Some(frame) = reader.frame(sequence)? {
                            bytes += self.see(reader, &mut last, sequence, frame)?;
                        }
                        if bytes >= BATCH_BYTES && index + 1 < range.end {
                            return Ok(Some(Chunk::Listed(index + 1..range.end)));
                        }
                    }
                    Ok(None)
                }
                (Chunk::Listed(_), Plan::Range { .. }) => Ok(None),
            }
        })
    }

    /// Takes in a record; returns the bytes that became rows.
    fn see(
        &mut self,
        reader: &Reader<'_>,
        last: &mut LastRun,
        sequence: Sequence,
        frame: &[u8],
    ) -> Result<usize> {
        let record = open_record(sequence, frame)?;
        let run_id = match &record {
            Record::Event(event) => Some(event.run_id),
            Record::CheckExecutionPlanned(planned) => Some(planned.run_id.as_str()),
            _ => None,
        };
        if let Some(run_id) = run_id
            && !self.cut.is_live(reader, last, sequence, run_id)?
        {
            return Ok(0);
        }
        let before = self.rows.len();
        self.rows.see(&mut self.context, sequence, &record)?;
        Ok(if self.rows.len() > before {
            frame.len()
        } else {
            0
        })
    }
}
