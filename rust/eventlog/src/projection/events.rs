//! Events by run, by type and by status change; the numbers of runs.

use super::{Table, Target, assets, checks, documents, key::Key};
use crate::error::Result;
use crate::record::Event;
use crate::record::event_type::{STATUS_CHANGES, TypeCode};
use crate::sequence::Sequence;

pub(super) fn fold_event(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    event: &Event<'_>,
) -> Result<()> {
    let run = number_run(target, sequence, event.run_id)?;
    let code = TypeCode::of(event.event_type);
    let timestamp = event.timestamp.to_be_bytes();
    target.defer(
        Table::RunEvents,
        &run_event(run, code, sequence),
        &timestamp,
    )?;
    if let Some(event_type) = event.event_type {
        target.defer(Table::TypeEvents, &type_event(code, sequence), &timestamp)?;
        if STATUS_CHANGES.contains(&event_type) {
            let key = status_change(code, event.job_name, sequence);
            target.defer(Table::StatusChanges, &key, &timestamp)?;
        }
    }
    if let Some(asset) = &event.asset {
        assets::fold_event(target, sequence, event, asset)?;
    }
    if let Some(check) = &event.check {
        checks::fold_event(target, sequence, event, check, run)?;
    }
    if let Some(status) = &event.status {
        documents::fold_status(target, event.run_id, status, event.timestamp)?;
    }
    Ok(())
}

/// The number of a run: the sequence of the record that first named it.
pub(super) fn number_run(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    run_id: &str,
) -> Result<u64> {
    if let Some(number) = target.names().run(run_id) {
        return Ok(number);
    }
    let key = Key::new().long_text(run_id);
    let number = match target.get(Table::Runs, &key)? {
        Some(number) => Sequence::from_key_end(number)?.get(),
        None => {
            target.put(Table::Runs, &key, &sequence.to_key())?;
            sequence.get()
        }
    };
    target.names().keep_run(run_id, number);
    Ok(number)
}

/// Key of `run_events`.
pub fn run_event(run: u64, code: TypeCode, sequence: Sequence) -> Key {
    Key::new().number(run).event_type(code).sequence(sequence)
}

/// Key of `type_events`.
pub fn type_event(code: TypeCode, sequence: Sequence) -> Key {
    Key::new().event_type(code).sequence(sequence)
}

/// Key of `status_changes`.
pub fn status_change(code: TypeCode, job_name: Option<&str>, sequence: Sequence) -> Key {
    Key::new()
        .event_type(code)
        .text(job_name.unwrap_or_default())
        .sequence(sequence)
}

/// The time that rows of events hold, Unix seconds.
pub fn timestamp_of(value: &[u8]) -> f64 {
    value
        .first_chunk::<8>()
        .map_or(f64::NAN, |bytes| f64::from_be_bytes(*bytes))
}
