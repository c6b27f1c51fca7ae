//! Streams: batches of a table in order, made by threads ahead of who reads them.
//!
//! Chunks of the log go to the threads in turn, so their batches are in order by taking from each
//! thread in turn. Each thread is a few batches ahead at most.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};

use super::cut::Cut;
use super::rows::{Context, HistoryTable, Rows};
use super::scan::{Plan, Scan};
use super::selection::Selection;
use super::walk::Shapes;
use crate::EventLog;
use crate::error::{Error, Result};
use crate::sequence::Sequence;
use crate::store::{Keeper, Lease};

/// The most threads that read for one stream.
const MOST_THREADS: usize = 4;

/// Batches that a thread may be ahead.
const AHEAD: usize = 2;

/// Chunks without a row after which an empty batch comes, so that whoever waits can look about.
const QUIET_CHUNKS: u64 = 64;

/// What a thread says.
enum Said {
    Batch(RecordBatch),
    /// A chunk has ended.
    Ended,
    Failed(Error),
}

/// Batches of a table, in the order of sequences.
pub struct Stream {
    schema: SchemaRef,
    threads: Vec<(Receiver<Said>, JoinHandle<()>)>,
    plan: Plan,
    chunks: u64,
    done: u64,
    /// Ends with the last row.
    keeper: Option<Keeper>,
    /// Threads do not come along with a fork.
    process: u32,
}

impl Stream {
    pub(super) fn begin(
        log: &EventLog,
        lease: Lease,
        selection: &Arc<Selection>,
        shapes: &Arc<Shapes>,
        plan: &Plan,
        cut: &Cut,
    ) -> Result<Self> {
        let lease = Arc::new(lease);
        let chunks = plan.chunks();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let most = match selection.table {
            // A version builds upon the one before it.
            HistoryTable::Runs => 1,
            _ => processors.min(MOST_THREADS),
        };
        let count = most.min(chunks as usize);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (sender, receiver) = sync_channel(AHEAD);
            let (of_log, plan, cut) = (log.clone(), plan.clone(), cut.clone());
            let lease = Arc::clone(&lease);
            let (selection, shapes) = (Arc::clone(selection), Arc::clone(shapes));
            let work = move || {
                let mut scan = Scan {
                    log: &of_log,
                    lease: &lease,
                    plan: &plan,
                    cut: &cut,
                    context: Context::new(&selection, &shapes),
                    rows: Rows::new(&selection, &plan),
                };
                let turns = (number as u64..chunks).step_by(count);
                if let Err(error) = read(&mut scan, turns, &sender) {
                    // Nobody hears it where the stream was dropped.
                    let _ = sender.send(Said::Failed(error));
                }
            };
            let thread = thread::Builder::new().name("history".to_owned());
            let thread = thread.spawn(work).map_err(|source| Error::Io {
                action: "cannot start a thread to read",
                path: log.store().directory().to_owned(),
                source,
            })?;
            threads.push((receiver, thread));
        }
        Ok(Self {
            schema: selection.table.schema(selection.columns.as_deref()),
            threads,
            plan: plan.clone(),
            chunks,
            done: 0,
            keeper: Some(Lease::keep(lease)?),
            process: std::process::id(),
        })
    }

    /// The next batch, in which there may be no row; None at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.process != std::process::id() {
            return Err(Error::Refused(
                "this stream of history was begun by another process; begin a new one".to_owned(),
            ));
        }
        let next = self.next_of_threads();
        if !matches!(next, Ok(Some(_))) {
            self.done = self.chunks;
            self.keeper = None;
        }
        next
    }

    fn next_of_threads(&mut self) -> Result<Option<RecordBatch>> {
        let mut quiet = 0;
        while self.done < self.chunks {
            let (said, _) = &self.threads[self.done as usize % self.threads.len()];
            match said.recv() {
                Ok(Said::Batch(batch)) => return Ok(Some(batch)),
                Ok(Said::Ended) => {
                    self.done += 1;
                    quiet += 1;
                    if quiet == QUIET_CHUNKS {
                        return Ok(Some(RecordBatch::new_empty(Arc::clone(&self.schema))));
                    }
                }
                Ok(Said::Failed(error)) => return Err(error),
                Err(_) => {
                    return Err(Error::Refused(
                        "a thread that read history ended before its time".to_owned(),
                    ));
                }
            }
        }
        Ok(None)
    }

    /// The record up to which all rows have come, or nearly.
    pub fn position(&self) -> Sequence {
        self.plan.place(self.done)
    }
}

/// Reads chunks, and gives away what becomes of them. Ends early where nobody takes it.
fn read(
    scan: &mut Scan<'_>,
    turns: impl Iterator<Item = u64>,
    to: &SyncSender<Said>,
) -> Result<()> {
    for number in turns {
        let mut left = Some(scan.plan.chunk(number));
        while let Some(chunk) = left {
            left = scan.step(chunk)?;
            if scan.rows.len() > 0 && to.send(Said::Batch(scan.rows.finish()?)).is_err() {
                return Ok(());
            }
        }
        if to.send(Said::Ended).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Drop for Stream {
    fn drop(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        if self.process != std::process::id() {
            std::mem::forget(threads);
            return;
        }
        for (receiver, thread) in threads {
            // Who finds nobody to give to ends.
            drop(receiver);
            let _ = thread.join();
        }
    }
}

impl Iterator for Stream {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch()
            .map_err(|error| ArrowError::ExternalError(Box::new(error)))
            .transpose()
    }
}

impl RecordBatchReader for Stream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
