//! Tombstones: what the deletion of a run's events and the wipes take out of the projections.
//!
//! Each removes the rows that exist and recomputes "latest" from what remains, so that it gives the
//! same rows whether the records it covers are still in the log or husked.

use super::key::{Key, asset_event, check, partition};
use super::rows::{self, Asset, AssetEvent, DeletedRun};
use super::{Table, Target, assets, checks, events};
use crate::error::Result;
use crate::record::event_type::{STATUS_CHANGES, TypeCode, names};
use crate::record::{
    AssetFacet, AssetPartitionsWiped, AssetWiped, RunEventsDeleted, RunEventsSwept,
};
use crate::sequence::Sequence;

/// What the deletion needs of an event's facets.
struct DeletedEvent {
    job_name: Option<String>,
    event_type: Option<String>,
    asset: Option<DeletedAssetEvent>,
    check: Option<(String, String)>,
}

struct DeletedAssetEvent {
    key: String,
    partitions: Vec<String>,
    skipped: bool,
}

/// The run's number goes, so nobody finds its rows by it. They go at once, or in the steps that
/// follow; until then queries pass over them, by the row of `deleted_runs`.
pub(super) fn delete_run_events(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    deleted: &RunEventsDeleted,
) -> Result<()> {
    let key = Key::new().long_text(&deleted.run_id);
    let Some(number) = target.get(Table::Runs, &key)? else {
        return Ok(());
    };
    let number = Sequence::from_key_end(number)?.get();
    target.delete(Table::Runs, key.bytes())?;
    if !deleted.in_steps {
        return remove_run_events(target, number, sequence);
    }
    let row = DeletedRun {
        run_id: deleted.run_id.clone(),
        number,
    };
    target.put_row(Table::DeletedRuns, &Key::new().sequence(sequence), &row)
}

/// A step of the removal.
pub(super) fn sweep(target: &mut Target<'_, '_>, swept: &RunEventsSwept) -> Result<()> {
    let key = Key::new().number(swept.deletion);
    let Some(run) = target.row::<DeletedRun>(Table::DeletedRuns, &key)? else {
        return Ok(());
    };
    remove_run_events(target, run.number, Sequence::new(swept.until))?;
    if swept.until == swept.deletion {
        target.delete(Table::DeletedRuns, key.bytes())?;
    }
    Ok(())
}

/// Removes the rows of a run's events up to a sequence.
fn remove_run_events(target: &mut Target<'_, '_>, run: u64, until: Sequence) -> Result<()> {
    let of_run = Key::new().number(run);
    let mut next = of_run.clone();
    while let Some(first) = target.first_key(Table::RunEvents, &next, &of_run)? {
        let code = TypeCode(first[8]);
        let of_code = of_run.clone().event_type(code);
        let upper = of_code.clone().sequence(until.next());
        for key in target.keys_between(Table::RunEvents, &of_code, &upper)? {
            remove_run_event(target, run, code, &key)?;
        }
        if code.0 == u8::MAX {
            break;
        }
        next = of_run.clone().byte(code.0 + 1);
    }
    Ok(())
}

fn remove_run_event(
    target: &mut Target<'_, '_>,
    run: u64,
    code: TypeCode,
    key: &[u8],
) -> Result<()> {
    target.delete(Table::RunEvents, key)?;
    let sequence = Sequence::from_key_end(key)?;
    if code == TypeCode::LOG_MESSAGE {
        return Ok(());
    }
    target.delete(
        Table::TypeEvents,
        events::type_event(code, sequence).bytes(),
    )?;
    let event = target.event(sequence, |event| DeletedEvent {
        job_name: event.job_name.map(str::to_owned),
        event_type: event.event_type.map(str::to_owned),
        asset: event.asset.as_ref().map(|asset| DeletedAssetEvent {
            key: asset.key.to_owned(),
            partitions: asset.partitions().into_iter().map(str::to_owned).collect(),
            skipped: asset.skipped,
        }),
        check: event
            .check
            .as_ref()
            .map(|check| (check.asset_key.to_owned(), check.name.to_owned())),
    })?;
    let Some(event) = event else { return Ok(()) };
    let event_type = event.event_type.as_deref().unwrap_or_default();
    if STATUS_CHANGES.contains(&event_type) {
        let key = events::status_change(code, event.job_name.as_deref(), sequence);
        target.delete(Table::StatusChanges, key.bytes())?;
    }
    if let Some(asset) = event.asset {
        delete_asset_event(target, event_type, &asset, sequence)?;
    }
    if let Some((asset_key, name)) = event.check {
        delete_run_checks(target, &asset_key, &name, run)?;
    }
    Ok(())
}

fn delete_asset_event(
    target: &mut Target<'_, '_>,
    event_type: &str,
    deleted: &DeletedAssetEvent,
    sequence: Sequence,
) -> Result<()> {
    let key = Key::new().long_text(&deleted.key);
    let Some(asset) = target.row::<Asset>(Table::Assets, &key)? else {
        return Ok(());
    };
    let facet = AssetFacet {
        key: &deleted.key,
        subset: deleted.partitions.iter().map(String::as_str).collect(),
        skipped: deleted.skipped,
        ..Default::default()
    };
    assets::remove_event(target, asset.number, event_type, &facet, sequence)
}

fn delete_run_checks(
    target: &mut Target<'_, '_>,
    asset_key: &str,
    name: &str,
    run: u64,
) -> Result<()> {
    let key = Key::new().long_text(asset_key);
    let Some(asset) = target.row::<Asset>(Table::Assets, &key)? else {
        return Ok(());
    };
    let key = checks::name_key(asset.number, name);
    let Some(number) = target.get(Table::CheckNames, &key)? else {
        return Ok(());
    };
    let number = Sequence::from_key_end(number)?.get();
    for key in target.keys(Table::Checks, &check::of_run(number, run))? {
        checks::remove(target, number, Sequence::from_key_end(&key)?)?;
    }
    Ok(())
}

pub(super) fn wipe_asset(target: &mut Target<'_, '_>, wiped: &AssetWiped) -> Result<()> {
    let key = Key::new().long_text(&wiped.asset_key);
    let Some(mut asset) = target.row::<Asset>(Table::Assets, &key)? else {
        return Ok(());
    };
    asset.wiped_at = Some(
        asset
            .wiped_at
            .map_or(wiped.timestamp, |at| at.max(wiped.timestamp)),
    );
    asset.known = wiped.still_known;
    target.put_row(Table::Assets, &key, &asset)?;
    let mut hidden = Vec::new();
    let mut all_are_hidden = true;
    for row in target.prefix(Table::AssetEvents, &Key::new().number(asset.number))? {
        let (key, value) = row?;
        let code = TypeCode(key[8]);
        if code.name().is_none() && code != TypeCode::OTHER {
            continue;
        }
        if rows::read::<AssetEvent>(value)?.timestamp <= wiped.timestamp {
            hidden.push((code, Sequence::from_key_end(key)?));
        } else {
            all_are_hidden = false;
        }
    }
    if all_are_hidden {
        remove_events(target, asset.number)?;
    } else {
        for (code, sequence) in hidden {
            hide_event(target, asset.number, code, sequence)?;
        }
    }
    for (_, number) in check_numbers(target, asset.number)? {
        for key in target.keys(Table::Checks, &Key::new().number(number))? {
            target.delete(Table::Checks, &key)?;
        }
    }
    Ok(())
}

/// Takes all events out of their asset's tables, but for what survives a wipe. As [`hide_event`] of
/// each, in a fraction of the time: nothing is left to recompute "latest" from.
fn remove_events(target: &mut Target<'_, '_>, asset: u64) -> Result<()> {
    let of_asset = Key::new().number(asset);
    for key in target.keys(Table::AssetEvents, &of_asset)? {
        if TypeCode(key[8]) != asset_event::FRESHNESS {
            target.delete(Table::AssetEvents, &key)?;
        }
    }
    Ok(())
}

/// Takes an event out of its asset's tables, but for what survives a wipe.
fn hide_event(
    target: &mut Target<'_, '_>,
    asset: u64,
    code: TypeCode,
    sequence: Sequence,
) -> Result<()> {
    let facets = target.event(sequence, |event| {
        event.asset.as_ref().map(|facet| {
            let partitions = facet
                .partitions()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>();
            (
                event.event_type.map(str::to_owned),
                partitions,
                facet.skipped,
            )
        })
    })?;
    let Some((Some(event_type), partitions, skipped)) = facets.flatten() else {
        return Ok(());
    };
    let facet = AssetFacet {
        subset: partitions.iter().map(String::as_str).collect(),
        skipped,
        ..Default::default()
    };
    assets::remove_event(target, asset, &event_type, &facet, sequence)?;
    if code == TypeCode::of(Some(names::FRESHNESS)) {
        let key = assets::event_key(asset, asset_event::FRESHNESS, sequence);
        target.put(Table::AssetEvents, &key, &[])?;
    }
    Ok(())
}

pub(super) fn wipe_partitions(
    target: &mut Target<'_, '_>,
    wiped: &AssetPartitionsWiped,
) -> Result<()> {
    let key = Key::new().long_text(&wiped.asset_key);
    let Some(asset) = target.row::<Asset>(Table::Assets, &key)? else {
        return Ok(());
    };
    let asset = asset.number;
    let checks_of_asset = check_numbers(target, asset)?;
    for name in &wiped.partitions {
        let prefix = partition::events(asset, name);
        for key in target.keys(Table::AssetEvents, &prefix)? {
            target.delete(Table::AssetEvents, &key)?;
            let code = TypeCode(key[prefix.bytes().len()]);
            hide_partition_of(target, asset, code, Sequence::from_key_end(&key)?)?;
        }
        target.delete(Table::AssetEvents, partition::latest(asset, name).bytes())?;
        for (_, number) in &checks_of_asset {
            for key in target.keys(Table::Checks, &check::by_partition(*number, Some(name)))? {
                checks::remove(target, *number, Sequence::from_key_end(&key)?)?;
            }
        }
    }
    Ok(())
}

/// An event goes once no partition of it stands.
fn hide_partition_of(
    target: &mut Target<'_, '_>,
    asset: u64,
    code: TypeCode,
    sequence: Sequence,
) -> Result<()> {
    let key = assets::event_key(asset, code, sequence);
    let Some(mut row) = target.row::<AssetEvent>(Table::AssetEvents, &key)? else {
        return Ok(());
    };
    row.partitions = row.partitions.saturating_sub(1);
    if row.partitions > 0 {
        return target.put_row(Table::AssetEvents, &key, &row);
    }
    target.delete(Table::AssetEvents, key.bytes())?;
    let event_type = code.name().unwrap_or_default();
    for skipped in [false, true] {
        for key in assets::more_keys(asset, event_type, skipped, &row.tags, sequence) {
            target.delete(Table::AssetEvents, key.bytes())?;
        }
    }
    Ok(())
}

/// Names and numbers of an asset's checks.
fn check_numbers(target: &Target<'_, '_>, asset: u64) -> Result<Vec<(Vec<u8>, u64)>> {
    target
        .prefix(Table::CheckNames, &Key::new().number(asset))?
        .map(|row| {
            let (key, number) = row?;
            Ok((key.to_vec(), Sequence::from_key_end(number)?.get()))
        })
        .collect()
}

pub(super) fn wipe(target: &mut Target<'_, '_>) -> Result<()> {
    for table in Table::OF_EVENTS {
        target.clear(table)?;
    }
    Ok(())
}
