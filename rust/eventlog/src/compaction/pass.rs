//! A pass over the log: its cutoffs, its steps, and what they freed.

use std::time::Instant;

use super::ranges;
use super::survey::{Cutoffs, Survey, is_register};
use super::sweep::sweep;
use crate::error::{Error, Result};
use crate::log::gaps::{Gaps, Leavers, Leaving, Left};
use crate::log::husk::{Order, husk_of};
use crate::log::times::{Maximum, last_by};
use crate::log::{scan, walk};
use crate::query::{Reader, open_record};
use crate::record::{Husk, Record, seal_frame};
use crate::refold::Progress;
use crate::sequence::Sequence;
use crate::store::maintenance::{COMPACTION, alone, give_way};
use crate::store::{Compaction, Meta, Outcome, Snapshot, Store, Transaction};

/// Records looked at per snapshot, so that none pins old pages for long.
const SCANNED: usize = 20_000;

/// Records replaced per commit: a few milliseconds in which other writers wait.
const REPLACED: usize = 500;

/// Which history stays whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// None: what is superseded goes.
    Nothing,
    /// What was stored since a time, in Unix seconds.
    Since(f64),
}

/// What the clock shows, by what it showed when the work began.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    shown: f64,
}

impl Clock {
    fn now(&self) -> f64 {
        self.shown + self.began.elapsed().as_secs_f64()
    }
}

/// What a compaction did; one that went on with a pass that was broken off tells of all of that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Records that left husks.
    pub records: u64,
    /// Bytes of frames that the log lost, husks counted: their own, and those they were merged with.
    pub bytes: u64,
    /// Bytes of the log's pages before and after.
    pub log_before: u64,
    pub log_after: u64,
    /// First sequence from which on no event, run or instigator record is missing.
    pub whole_from: Sequence,
    /// The same of heartbeats and cursor values.
    pub registers_from: Sequence,
}

/// Replaces by husks what records up to now supersede or cover; a pass that died is ended first. A
/// rebuild that died begins anew: it has folded records whose retirement goes here.
///
/// `now` is what the clock shows, in Unix seconds. O(log) in time; 16 bytes of memory for each thing
/// that the log holds the state of, and as many for each run, asset and check.
///
/// # Errors
///
/// [`Error::MaintenanceRunning`] beside another one, and beside a verification or a rebuild, which
/// read the log in several snapshots.
pub fn compact(store: &Store, keep: Keep, now: f64, progress: Progress<'_>) -> Result<Compacted> {
    let directory = store.directory();
    let _alone = alone(directory, COMPACTION, || Error::MaintenanceRunning {
        path: directory.to_owned(),
    })?;
    sweep(store, now, &|| false, &mut |events| {
        progress("sweep", events, 0)
    })?;
    set_meta(store, |meta| meta.rebuild.take().is_some())?;
    let mut done = Vec::new();
    let clock = Clock {
        began: Instant::now(),
        shown: now,
    };
    if let Some(begun) = store.read(|snapshot| Ok(snapshot.meta().compaction.clone()))? {
        done.push(run(store, begun, clock, progress)?);
    }
    let begun = begin(store, keep, clock, progress)?;
    done.push(run(store, begun, clock, progress)?);
    let meta = store.read(|snapshot| Ok(snapshot.meta().clone()))?;
    Ok(Compacted {
        records: done.iter().map(|pass| pass.records).sum(),
        bytes: done.iter().map(|pass| pass.bytes).sum::<i64>().max(0) as u64,
        log_before: done[0].log_before,
        log_after: log_bytes(store)?,
        whole_from: Sequence::new(meta.whole_from.max(1)),
        registers_from: Sequence::new(meta.registers_from.max(1)),
    })
}

fn log_bytes(store: &Store) -> Result<u64> {
    let page = store.info()?.page_size as u64;
    store.read(|snapshot| {
        let stat = snapshot.view().stat(snapshot.trees().log)?;
        Ok((stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64 * page)
    })
}

/// The cutoffs of a new pass; its place is written with the first step that changes anything.
fn begin(store: &Store, keep: Keep, clock: Clock, progress: Progress<'_>) -> Result<Compaction> {
    let head = store.read(|snapshot| reader(snapshot).head())?;
    let whole = match keep {
        Keep::Nothing => head,
        Keep::Since(time) => last_by(store, time, clock.now(), progress)?,
    };
    let whole = store.read(|snapshot| Ok(snapshot.meta().unleased(whole.get(), clock.now())))?;
    Ok(Compaction {
        whole,
        registers: head.get(),
        next_sequence: 1,
        records: 0,
        bytes: 0,
        log_before: log_bytes(store)?,
    })
}

/// Goes through the log from where a pass is to its end; returns it as it stands then.
/// Where it meets a lease, it looks anew at what may go before that.
fn run(
    store: &Store,
    mut pass: Compaction,
    clock: Clock,
    progress: Progress<'_>,
) -> Result<Compaction> {
    loop {
        let (to, ended) = run_to(store, pass, clock, progress)?;
        pass = to;
        if ended {
            set_meta(store, |meta| meta.compaction.take().is_some())?;
            return Ok(pass);
        }
    }
}

/// Goes on with a pass until it ends, or meets a lease in its way, whose cutoff the pass that is returned
/// has; says which.
fn run_to(
    store: &Store,
    mut pass: Compaction,
    clock: Clock,
    progress: Progress<'_>,
) -> Result<(Compaction, bool)> {
    let cutoffs = Cutoffs {
        whole: Sequence::new(pass.whole),
        registers: Sequence::new(pass.registers),
    };
    let mut survey = Survey::new(cutoffs);
    walk(
        store,
        Sequence::ZERO,
        cutoffs.registers,
        "survey",
        progress,
        |sequence, record| {
            survey.see(sequence, record);
            Ok(true)
        },
    )?;
    let mut at = Sequence::new(pass.next_sequence - 1);
    let mut latest = store.read(|snapshot| {
        let maximum = Maximum::up_to(snapshot, at, clock.now())?;
        Ok(maximum.time())
    })?;
    while at < cutoffs.registers {
        let (found, to);
        (found, to, latest) = store.read(|snapshot| {
            let leavers = Leavers::new(snapshot, latest, clock.now())?;
            candidates(snapshot, &survey, at, cutoffs, leavers)
        })?;
        if !found.is_empty() {
            let began = Instant::now();
            let so_far = Compaction {
                next_sequence: to.next().get(),
                ..pass
            };
            let stepped = store.write(&|| false, |transaction| {
                replace(transaction, &survey, &found, so_far, clock)
            })?;
            pass = match stepped {
                Step::Done(pass) => pass,
                Step::Leased(whole) => return Ok((Compaction { whole, ..pass }, false)),
            };
            give_way(began);
        }
        at = to;
        progress("compact", at.get(), cutoffs.registers.get())?;
    }
    Ok((pass, true))
}

/// What came of a step.
enum Step {
    Done(Compaction),
    /// A lease came before it that lets the pass go up to this record: nothing was done.
    Leased(u64),
}

/// Changes the meta row, where `change` says that it did.
fn set_meta(store: &Store, change: impl FnOnce(&mut Meta) -> bool) -> Result<()> {
    store.write(&|| false, |transaction| {
        let mut meta = transaction.meta().clone();
        if !change(&mut meta) {
            return Ok(Outcome::Nothing(()));
        }
        transaction.set_meta(meta)?;
        Ok(Outcome::Commit(()))
    })
}

/// The next records that may go, how far was looked, and the latest time so far.
fn candidates(
    snapshot: &Snapshot<'_>,
    survey: &Survey,
    after: Sequence,
    cutoffs: Cutoffs,
    mut leavers: Leavers<'_>,
) -> Result<(Vec<Leaving>, Sequence, f64)> {
    let mut at = after;
    for row in scan(snapshot.view(), snapshot.trees().log, after)?.take(SCANNED) {
        let (sequence, frame) = row?;
        if sequence > cutoffs.registers {
            at = cutoffs.registers;
            break;
        }
        at = sequence;
        let record = open_record(sequence, frame)?;
        let may_go = survey.may_go(sequence, &record);
        if leavers.see(sequence, &record, may_go)? == REPLACED {
            break;
        }
    }
    let (found, latest) = leavers.end();
    Ok((found, at, latest))
}

/// Replaces records by husks; what each leaves behind is read in the transaction itself. Commits the
/// pass as it stands with them, and returns it. Expired leases that are in the way go in the same commit.
fn replace(
    transaction: &mut Transaction<'_>,
    survey: &Survey,
    found: &[Leaving],
    mut pass: Compaction,
    clock: Clock,
) -> Result<Outcome<Step>> {
    let whole = transaction.meta().unleased(pass.whole, clock.now());
    if whole < pass.whole {
        return Ok(Outcome::Nothing(Step::Leased(whole)));
    }
    let log = transaction.trees().log;
    let (mut empty, mut speaking) = (Vec::new(), Vec::new());
    let mut left = Vec::new();
    let mut meta = transaction.meta().clone();
    meta.leases.retain(|lease| lease.from > pass.whole);
    let reader = Reader::new(transaction.view(), transaction.live_set(), log);
    for leaving in found {
        let (husk, is_register) = remains(&reader, survey, leaving.sequence)?;
        let is_gone = husk.as_ref().is_some_and(Husk::is_empty);
        left.push(if is_gone {
            Left::Nothing
        } else {
            Left::Something
        });
        let Some(husk) = husk else {
            continue;
        };
        pass.records += 1;
        if is_register {
            meta.registers_from = meta.registers_from.max(pass.registers + 1);
        } else {
            meta.whole_from = meta.whole_from.max(pass.whole + 1);
        }
        if is_gone {
            empty.push(leaving.sequence);
        } else {
            let frame = seal_frame(&Record::Husk(husk).encode());
            speaking.push((leaving.sequence, frame));
        }
    }
    for (sequence, frame) in &speaking {
        pass.bytes += ranges::put(transaction, *sequence, frame)?;
    }
    pass.bytes += ranges::put_empty(transaction, &empty)?;
    let mut gaps = Gaps::default();
    for (leaving, left) in found.iter().zip(left) {
        gaps.see(transaction, leaving, left)?;
    }
    gaps.close(transaction)?;
    meta.compaction = Some(pass.clone());
    transaction.set_meta(meta)?;
    Ok(Outcome::Commit(Step::Done(pass)))
}

/// The husk of a record, None where it stays; and whether it is a register.
fn remains(
    reader: &Reader<'_>,
    survey: &Survey,
    sequence: Sequence,
) -> Result<(Option<Husk>, bool)> {
    let Some(record) = reader.record(sequence)? else {
        return Ok((None, false));
    };
    let husk = husk_of(reader, survey.names(), sequence, &record, Order::Ascending)?;
    Ok((husk, is_register(&record)))
}

fn reader<'t>(snapshot: &Snapshot<'t>) -> Reader<'t> {
    Reader::new(snapshot.view(), snapshot.live_set(), snapshot.trees().log)
}
