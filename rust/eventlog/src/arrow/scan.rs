//! Scanning a part of the log in short read transactions.

use std::sync::Arc;

use super::cut::{Cut, LastRun};
use super::rows::{Context, Rows};
use crate::EventLog;
use crate::error::Result;
use crate::query::{Reader, check_frame, open_record};
use crate::record::Record;
use crate::sequence::Sequence;
use crate::store::Lease;

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

/// What came of a record.
pub enum Seen {
    Nothing,
    /// A row, of about so many bytes.
    Row(usize),
    /// Nothing yet: first the log has to be looked through from this run on.
    Unknown(Sequence),
}

impl Seen {
    fn bytes(&self) -> usize {
        match self {
            Self::Row(bytes) => *bytes,
            Self::Nothing | Self::Unknown(_) => 0,
        }
    }
}

/// Reads chunks into rows.
pub struct Scan<'s> {
    pub log: &'s EventLog,
    pub lease: &'s Lease,
    pub plan: &'s Plan,
    pub cut: &'s Cut,
    pub context: Context<'s>,
    pub rows: Rows,
}

impl Scan<'_> {
    /// Reads on in a chunk until a batch is full or the chunk ends; returns what is left of it.
    pub fn step(&mut self, chunk: Chunk) -> Result<Option<Chunk>> {
        let (log, plan, cut) = (self.log, self.plan, self.cut);
        let mut unknown = None;
        let left = log.store().read(|snapshot| {
            self.lease.check(snapshot.meta())?;
            let reader = &Reader::new(snapshot.view(), snapshot.live_set(), snapshot.trees().log);
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
                        let sequence = Sequence::from_key_end(key)?;
                        if sequence > *end {
                            return Ok(None);
                        }
                        let seen = self.see(reader, &mut last, sequence, frame)?;
                        if let Seen::Unknown(run) = seen {
                            unknown = Some(run);
                            break;
                        }
                        at = sequence;
                        bytes += seen.bytes();
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
                            bytes += self.see(reader, &mut last, sequence, frame)?.bytes();
                        }
                        if bytes >= BATCH_BYTES && index + 1 < range.end {
                            return Ok(Some(Chunk::Listed(index + 1..range.end)));
                        }
                    }
                    Ok(None)
                }
                (Chunk::Listed(_), Plan::Range { .. }) => Ok(None),
            }
        })?;
        if let Some(run) = unknown {
            self.rows.look_back(log, run)?;
        }
        Ok(left)
    }

    /// Takes in a record.
    fn see(
        &mut self,
        reader: &Reader<'_>,
        last: &mut LastRun,
        sequence: Sequence,
        frame: &[u8],
    ) -> Result<Seen> {
        if !self.context.selection.table.reads(frame) {
            check_frame(sequence, frame)?;
            return Ok(Seen::Nothing);
        }
        let record = open_record(sequence, frame)?;
        if let Rows::Runs(runs) = &mut self.rows {
            return runs.see(&mut self.context, reader, self.cut, sequence, &record);
        }
        let run_id = match &record {
            Record::Event(event) => Some(event.run_id),
            Record::CheckExecutionPlanned(planned) => Some(planned.run_id.as_str()),
            _ => None,
        };
        if let Some(run_id) = run_id
            && !self.cut.is_live(reader, last, sequence, run_id)?
        {
            return Ok(Seen::Nothing);
        }
        let before = self.rows.len();
        self.rows.see(&mut self.context, sequence, &record)?;
        Ok(if self.rows.len() > before {
            Seen::Row(frame.len())
        } else {
            Seen::Nothing
        })
    }
}
