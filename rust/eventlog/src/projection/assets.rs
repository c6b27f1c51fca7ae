//! Assets: which are known, their events by type and tag, and the latest of each partition.

use super::key::{Key, asset_event, partition};
use super::names::NamedAsset;
use super::rows::{Asset, AssetEvent, AssetPartition};
use super::{Table, Target, rows};
use crate::error::Result;
use crate::record::event_type::{TypeCode, names};
use crate::record::{AssetFacet, Event};
use crate::sequence::Sequence;

/// Tags that events are found by begin so: the dimensions of multi-dimensional partitions. Data
/// versions are nearly one an event, so an index of them would be the events again.
pub const FOUND_BY_TAG: &str = "dagster/partition/";

pub(super) fn fold_event(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    event: &Event<'_>,
    facet: &AssetFacet<'_>,
) -> Result<()> {
    let event_type = event.event_type.unwrap_or_default();
    let asset = if makes_known(event_type) {
        make_known(target, sequence, facet.key, event.timestamp)?
    } else {
        number_asset(target, sequence, facet.key)?
    };
    let code = TypeCode::of(event.event_type);
    if event_type == names::FRESHNESS {
        target.defer(
            Table::AssetEvents,
            &event_key(asset.number, asset_event::FRESHNESS, sequence),
            &[],
        )?;
    }
    if asset.wiped_at.is_some_and(|wiped| event.timestamp <= wiped) {
        return Ok(());
    }
    let partitions = if has_partitions(event_type) {
        facet.partitions()
    } else {
        Vec::new()
    };
    let row = AssetEvent {
        timestamp: event.timestamp,
        partition: facet.partition,
        partitions: partitions.len() as u32,
        tags: facet.tags.clone(),
    };
    target.defer(
        Table::AssetEvents,
        &event_key(asset.number, code, sequence),
        &rows::write(&row),
    )?;
    for key in more_keys(asset.number, event_type, facet.skipped, &row.tags, sequence) {
        target.defer(Table::AssetEvents, &key, &[])?;
    }
    for name in partitions {
        target.defer(
            Table::AssetEvents,
            &partition::events_of(asset.number, name, code).sequence(sequence),
            &[],
        )?;
        let key = partition::latest(asset.number, name);
        let mut latest = target
            .row::<AssetPartition>(Table::AssetEvents, &key)?
            .unwrap_or_else(|| AssetPartition {
                partition: name.to_owned(),
                ..Default::default()
            });
        if let Some(place) = latest_of(&mut latest, event_type) {
            *place = sequence;
            target.put_row(Table::AssetEvents, &key, &latest)?;
        }
    }
    Ok(())
}

/// The asset's row, made under `sequence` if nothing has named the asset before.
pub(super) fn number_asset(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    asset_key: &str,
) -> Result<NamedAsset> {
    if let Some(asset) = target.names().asset(asset_key) {
        return Ok(asset);
    }
    let key = Key::new().long_text(asset_key);
    let asset = match target.row::<Asset>(Table::Assets, &key)? {
        Some(asset) => NamedAsset::from(&asset),
        None => {
            let asset = NamedAsset {
                number: sequence.get(),
                known: false,
                wiped_at: None,
            };
            target.put_row(Table::Assets, &key, &asset.row(asset_key))?;
            asset
        }
    };
    target.names().keep_asset(asset_key, asset);
    Ok(asset)
}

/// As [`number_asset`]; the asset becomes known unless it was wiped at or after `timestamp`.
pub(super) fn make_known(
    target: &mut Target<'_, '_>,
    sequence: Sequence,
    asset_key: &str,
    timestamp: f64,
) -> Result<NamedAsset> {
    let mut asset = number_asset(target, sequence, asset_key)?;
    if !asset.known && asset.wiped_at.is_none_or(|wiped| timestamp > wiped) {
        asset.known = true;
        let key = Key::new().long_text(asset_key);
        target.put_row(Table::Assets, &key, &asset.row(asset_key))?;
        target.names().keep_asset(asset_key, asset);
    }
    Ok(asset)
}

/// Takes an event out of every table of the asset.
pub(super) fn remove_event(
    target: &mut Target<'_, '_>,
    asset: u64,
    event_type: &str,
    facet: &AssetFacet<'_>,
    sequence: Sequence,
) -> Result<()> {
    let code = TypeCode::of(Some(event_type));
    let key = event_key(asset, code, sequence);
    target.delete(
        Table::AssetEvents,
        event_key(asset, asset_event::FRESHNESS, sequence).bytes(),
    )?;
    let Some(row) = target.row::<AssetEvent>(Table::AssetEvents, &key)? else {
        return Ok(());
    };
    target.delete(Table::AssetEvents, key.bytes())?;
    for key in more_keys(asset, event_type, facet.skipped, &row.tags, sequence) {
        target.delete(Table::AssetEvents, key.bytes())?;
    }
    if !has_partitions(event_type) {
        return Ok(());
    }
    for name in facet.partitions() {
        let key = partition::events_of(asset, name, code).sequence(sequence);
        if target.delete(Table::AssetEvents, key.bytes())? {
            recompute_latest(target, asset, name, event_type)?;
        }
    }
    Ok(())
}

/// Sets a partition's latest event of a type to the newest that stands.
fn recompute_latest(
    target: &mut Target<'_, '_>,
    asset: u64,
    name: &str,
    event_type: &str,
) -> Result<()> {
    let key = partition::latest(asset, name);
    let Some(mut latest) = target.row::<AssetPartition>(Table::AssetEvents, &key)? else {
        return Ok(());
    };
    let of_type = partition::events_of(asset, name, TypeCode::of(Some(event_type)));
    let newest = target.last_key(Table::AssetEvents, &of_type)?;
    if let Some(place) = latest_of(&mut latest, event_type) {
        *place = match newest {
            Some(key) => Sequence::from_key_end(&key)?,
            None => Sequence::ZERO,
        };
    }
    let empty = AssetPartition {
        partition: latest.partition.clone(),
        ..Default::default()
    };
    if latest == empty {
        target.delete(Table::AssetEvents, key.bytes())?;
        return Ok(());
    }
    target.put_row(Table::AssetEvents, &key, &latest)
}

/// Keys of `asset_events` that an event has beside the one with its row.
pub(super) fn more_keys<Text: AsRef<str>>(
    asset: u64,
    event_type: &str,
    skipped: bool,
    tags: &[(Text, Text)],
    sequence: Sequence,
) -> Vec<Key> {
    let mut keys = Vec::new();
    if event_type == names::FAILED {
        let code = if skipped {
            asset_event::SKIPPED
        } else {
            asset_event::FAILED
        };
        keys.push(event_key(asset, code, sequence));
    }
    let tags = tags
        .iter()
        .map(|(key, value)| (key.as_ref(), value.as_ref()));
    for (key, value) in tags.filter(|(key, _)| key.starts_with(FOUND_BY_TAG)) {
        keys.push(tag_key(asset, key, value).sequence(sequence));
    }
    keys
}

/// Key of `asset_events`.
pub fn event_key(asset: u64, code: TypeCode, sequence: Sequence) -> Key {
    Key::new().number(asset).event_type(code).sequence(sequence)
}

/// What the keys of an asset's events with a tag begin with.
pub fn tag_key(asset: u64, key: &str, value: &str) -> Key {
    Key::new()
        .number(asset)
        .event_type(asset_event::BY_TAG)
        .text(key)
        .text(value)
}

/// Whether an event of this type makes its asset known.
pub fn makes_known(event_type: &str) -> bool {
    matches!(
        event_type,
        names::MATERIALIZATION | names::OBSERVATION | names::PLANNED
    )
}

/// Whether events of this type stand under their partitions.
pub fn has_partitions(event_type: &str) -> bool {
    makes_known(event_type) || event_type == names::FAILED
}

/// The place of a type in a partition's latest row.
pub fn latest_of<'a, Text>(
    row: &'a mut AssetPartition<Text>,
    event_type: &str,
) -> Option<&'a mut Sequence> {
    match event_type {
        names::MATERIALIZATION => Some(&mut row.materialization),
        names::OBSERVATION => Some(&mut row.observation),
        names::PLANNED => Some(&mut row.planned),
        names::FAILED => Some(&mut row.failed),
        _ => None,
    }
}
