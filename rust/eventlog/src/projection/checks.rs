//! Executions of asset checks: planned, then evaluated in place.

use super::key::{Key, check};
use super::rows::{CheckExecution, CheckStatus};
use super::{Table, Target, assets, events};
use crate::error::Result;
use crate::record::event_type::{TypeCode, names};
use crate::record::{CheckExecutionPlanned, CheckFacet, Event};
use crate::sequence::Sequence;

pub(super) fn fold_event(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    event: &Event<'_>,
    facet: &CheckFacet<'_>,
    run: u64,
) -> Result<()> {
    let number = number_check(target, sequence, facet.asset_key, facet.name)?;
    let partition = facet.partition.map(str::to_owned);
    if event.event_type == Some(names::CHECK_PLANNED) {
        let status = CheckStatus::Planned;
        let created = facet.created;
        let row = CheckExecution {
            run,
            partition,
            status,
            event: sequence,
            created,
            target: None,
        };
        return insert(target, number, sequence, &row);
    }
    let status = if facet.passed == Some(true) {
        CheckStatus::Succeeded
    } else {
        CheckStatus::Failed
    };
    // A planned execution of the run is evaluated in place; an evaluation without a run, or without
    // a planned event, is an execution of its own.
    let planned = match event.run_id {
        "" => None,
        _ => target.last_key(Table::Checks, &check::by_run(number, run, facet.partition))?,
    };
    let planned = planned.map(|key| Sequence::from_key_end(&key));
    let Some(planned) = planned.transpose()? else {
        let row = CheckExecution {
            run,
            partition,
            status,
            event: sequence,
            created: facet.created,
            target: facet.target,
        };
        return insert(target, number, sequence, &row);
    };
    let key = check::executions(number).sequence(planned);
    let Some(mut row) = target.row::<CheckExecution>(Table::Checks, &key)? else {
        return Ok(());
    };
    let old = check::by_status(number, row.status as u8).sequence(planned);
    target.delete(Table::Checks, old.bytes())?;
    row.status = status;
    row.event = sequence;
    row.target = facet.target;
    target.put(
        Table::Checks,
        &check::by_status(number, status as u8).sequence(planned),
        &[],
    )?;
    target.put_row(Table::Checks, &key, &row)
}

pub(super) fn fold_planned(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    planned: &CheckExecutionPlanned,
) -> Result<()> {
    let run = events::number_run(target, sequence, &planned.run_id)?;
    let number = number_check(target, sequence, &planned.asset_key, &planned.name)?;
    let event = Sequence::new(sequence.get() - planned.event_distance);
    // The tombstone that covers the event finds the event's rows through it. Where the event is a
    // husk, the tombstone would miss this one.
    let code = TypeCode::of(Some(names::CHECK_PLANNED));
    let key = events::run_event(run, code, event);
    if target.get(Table::RunEvents, &key)?.is_none() {
        return Ok(());
    }
    let row = CheckExecution {
        run,
        partition: Some(planned.partition.clone()),
        status: CheckStatus::Planned,
        event,
        created: planned.created,
        target: None,
    };
    insert(target, number, sequence, &row)
}

/// The number of a check: the sequence of the record that first named it.
pub(super) fn number_check(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    asset_key: &str,
    name: &str,
) -> Result<u64> {
    let asset = assets::number_asset(target, sequence, asset_key)?;
    let key = name_key(asset.number, name);
    if let Some(number) = target.get(Table::CheckNames, &key)? {
        return Ok(Sequence::from_key_end(number)?.get());
    }
    target.put(Table::CheckNames, &key, &sequence.to_key())?;
    Ok(sequence.get())
}

/// Key of `check_names`.
pub fn name_key(asset: u64, name: &str) -> Key {
    Key::new().number(asset).text(name)
}

fn insert(
    target: &mut Target<'_, '_>,
    number: u64,
    row_id: Sequence,
    row: &CheckExecution,
) -> Result<()> {
    target.put_row(
        Table::Checks,
        &check::executions(number).sequence(row_id),
        row,
    )?;
    for key in more_keys(number, row_id, row) {
        target.put(Table::Checks, &key, &[])?;
    }
    Ok(())
}

/// Removes an execution under all its keys.
pub(super) fn remove(target: &mut Target<'_, '_>, number: u64, row_id: Sequence) -> Result<()> {
    let key = check::executions(number).sequence(row_id);
    let Some(row) = target.row::<CheckExecution>(Table::Checks, &key)? else {
        return Ok(());
    };
    target.delete(Table::Checks, key.bytes())?;
    for key in more_keys(number, row_id, &row) {
        target.delete(Table::Checks, key.bytes())?;
    }
    Ok(())
}

/// Keys that an execution has beside the one with its row.
fn more_keys(number: u64, row_id: Sequence, row: &CheckExecution) -> [Key; 3] {
    let partition = row.partition.as_deref();
    [
        check::by_status(number, row.status as u8).sequence(row_id),
        check::by_partition(number, partition).sequence(row_id),
        check::by_run(number, row.run, partition).sequence(row_id),
    ]
}
