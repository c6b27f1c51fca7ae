//! Deciding on the deletion of runs and of their events.

use super::decide_documents::gone;
use super::{Decision, Reply, decide_pools};
use crate::error::Result;
use crate::projection::Table;
use crate::projection::key::Key;
use crate::projection::rows::{self, DeletedRun};
use crate::query::{Bounds, Merge, Reader, documents, events};
use crate::record::{Record, RunEventsDeleted, RunEventsSwept, Space};
use crate::sequence::Sequence;

/// Hides a run and all that belongs to it: its document, its events, its telemetry, its slots.
pub(super) fn delete_run(
    state: &Reader<'_>,
    run_id: &str,
    step: usize,
    now: f64,
) -> Result<Decision<'static>> {
    let mut records = Vec::new();
    for space in [Space::Run, Space::Telemetry] {
        if let Some(id) = documents::by_key(state, space, run_id)?
            && let Some(row) = documents::row(state, space, id)?
        {
            records.push(gone(space, id, &row.key, row.created, now));
        }
    }
    let events = delete_run_events(state, run_id, step, now)?;
    records.extend(events.records);
    Ok(Decision {
        records,
        reply: events.reply,
    })
}

/// Deletes a run's events and frees its slots. Many events are hidden in one commit all the same;
/// their rows are then swept in others.
pub(super) fn delete_run_events(
    state: &Reader<'_>,
    run_id: &str,
    step: usize,
    now: f64,
) -> Result<Decision<'static>> {
    let mut records = Vec::new();
    let mut reply = Reply::Done;
    if let Some(run) = state.run(run_id)? {
        let rows = state.prefix(Table::RunEvents, &Key::new().number(run))?;
        let count = rows.take(step + 1).count();
        let in_steps = count > step;
        if in_steps {
            reply = Reply::More;
        }
        if count > 0 {
            let deleted = RunEventsDeleted {
                timestamp: now,
                run_id: run_id.to_owned(),
                in_steps,
            };
            records.push(Record::RunEventsDeleted(deleted));
        }
    }
    records.extend(decide_pools::free(state, run_id, None, now)?);
    Ok(Decision {
        reply,
        ..Decision::of(records)
    })
}

/// The next step of removing the rows of deleted runs, the oldest deletion first.
pub(super) fn sweep(state: &Reader<'_>, step: usize, now: f64) -> Result<Decision<'static>> {
    let mut deletions = state.prefix(Table::DeletedRuns, &Key::new())?;
    let Some((key, row)) = deletions.next().transpose()? else {
        return Ok(Decision::nothing());
    };
    let deletion = Sequence::from_key_end(key)?;
    let run: DeletedRun = rows::read(row)?;
    let mut until = deletion;
    let mut swept = 0;
    let codes = events::run_codes(state, run.number, None)?;
    let of_code = |code| Key::new().number(run.number).event_type(code);
    let prefixes = codes.into_iter().map(of_code);
    for item in Merge::new(state, Table::RunEvents, prefixes, Bounds::ALL, true)? {
        let (sequence, _) = item?;
        if swept == step {
            break;
        }
        until = sequence;
        swept += 1;
    }
    if swept < step {
        until = deletion;
    }
    let record = Record::RunEventsSwept(RunEventsSwept {
        timestamp: now,
        run_id: run.run_id,
        deletion: deletion.get(),
        until: until.get(),
    });
    Ok(Decision {
        reply: Reply::More,
        ..Decision::of(vec![record])
    })
}
