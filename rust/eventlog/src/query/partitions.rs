//! Partitions of an asset: which are materialized, their latest events, tags and data versions.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::reader::{Bounds, Reader};
use crate::error::Result;
use crate::projection::key::{Key, partition};
use crate::projection::rows::{self, AssetEvent, AssetPartition};
use crate::projection::{Table, assets};
use crate::record::event_type::{TypeCode, names};
use crate::sequence::Sequence;

/// A partition, and the sequence of its latest event.
pub type PartitionSequence = (String, Sequence);

/// Latest sequence of each partition of an asset for an event type, newest of those within bounds;
/// each partition once, in no order.
///
/// Without bounds O(partitions asked for, or of the asset); with `after` O(events since); with only
/// `before`, or while a run is being removed, O(log) a partition.
pub fn latest_by_partition(
    reader: &Reader<'_>,
    asset_key: &str,
    event_type: &str,
    names_wanted: Option<&HashSet<String>>,
    bounds: Bounds,
) -> Result<Vec<PartitionSequence>> {
    let Some(asset) = reader.asset(asset_key)? else {
        return Ok(Vec::new());
    };
    let code = TypeCode::of(Some(event_type));
    if !assets::has_partitions(event_type) {
        return Ok(Vec::new());
    }
    let everything = bounds.after == Bounds::ALL.after && bounds.before == Bounds::ALL.before;
    if bounds.after > Bounds::ALL.after && names_wanted.is_none() {
        let prefix = Key::new().number(asset.number).event_type(code);
        let mut latest = HashMap::new();
        for row in reader.sequences(Table::AssetEvents, &prefix, bounds, true)? {
            let sequence = Sequence::from_key_end(row?.0)?;
            for name in standing_partitions(reader, asset.number, code, sequence)? {
                latest.insert(name, sequence);
            }
        }
        return Ok(latest.into_iter().collect());
    }
    let mut latest = Vec::new();
    let nothing_hidden = reader.hidden()?.is_empty();
    let mut take = |mut row: AssetPartition<&str>| -> Result<()> {
        let newest = if everything && nothing_hidden {
            assets::latest_of(&mut row, event_type).and_then(|sequence| sequence.known())
        } else {
            let prefix = partition::events_of(asset.number, row.partition, code);
            reader.last_sequence(Table::AssetEvents, &prefix, bounds)?
        };
        if let Some(sequence) = newest {
            latest.push((row.partition.to_owned(), sequence));
        }
        Ok(())
    };
    match names_wanted {
        Some(wanted) => {
            for name in wanted {
                let key = partition::latest(asset.number, name);
                if let Some(row) = reader.get(Table::AssetEvents, &key)? {
                    take(rows::read(row)?)?;
                }
            }
        }
        None => {
            for row in reader.prefix(Table::AssetEvents, &partition::all(asset.number))? {
                take(rows::read(row?.1)?)?;
            }
        }
    }
    Ok(latest)
}

/// The partitions of an event that no wipe has hidden.
fn standing_partitions(
    reader: &Reader<'_>,
    asset: u64,
    code: TypeCode,
    sequence: Sequence,
) -> Result<Vec<String>> {
    let mut standing = Vec::new();
    let event = reader.event(sequence)?;
    for name in event
        .asset
        .map(|asset| asset.partitions())
        .unwrap_or_default()
    {
        let key = partition::events_of(asset, name, code).sequence(sequence);
        if reader.get(Table::AssetEvents, &key)?.is_some() {
            standing.push(name.to_owned());
        }
    }
    Ok(standing)
}

/// A partition, and keys and values of tags.
pub type PartitionTags = (String, Vec<(String, String)>);

/// Values of `tag_keys` on the latest event of each partition; partitions without any are left out.
///
/// As [`latest_by_partition`], and a look at each event: in their order, so that neighbours are found
/// on the same page.
pub fn latest_tags(
    reader: &Reader<'_>,
    asset_key: &str,
    event_type: &str,
    tag_keys: &[String],
    names_wanted: Option<&HashSet<String>>,
    bounds: Bounds,
) -> Result<Vec<PartitionTags>> {
    let Some(asset) = reader.asset(asset_key)? else {
        return Ok(Vec::new());
    };
    let code = TypeCode::of(Some(event_type));
    let mut latest = latest_by_partition(reader, asset_key, event_type, names_wanted, bounds)?;
    latest.sort_unstable_by_key(|(_, sequence)| *sequence);
    let mut events = reader.cursor(Table::AssetEvents)?;
    let mut found = Vec::with_capacity(latest.len());
    for (name, sequence) in latest {
        let key = assets::event_key(asset.number, code, sequence);
        let Some((at, row)) = events.seek(key.bytes())? else {
            break;
        };
        if at != key.bytes() {
            continue;
        }
        let row: AssetEvent<&str> = rows::read(row)?;
        let mut tags = row.tags;
        tags.retain(|(key, _)| tag_keys.iter().any(|wanted| wanted == key));
        if !tags.is_empty() {
            let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            found.push((name, tags.into_iter().map(owned).collect()));
        }
    }
    Ok(found)
}

fn tags_of(
    reader: &Reader<'_>,
    asset: u64,
    code: TypeCode,
    sequence: Sequence,
) -> Result<Vec<(String, String)>> {
    let key = assets::event_key(asset, code, sequence);
    let row: Option<AssetEvent> = reader.row(Table::AssetEvents, &key)?;
    Ok(row.map(|row| row.tags).unwrap_or_default())
}

/// Partitions with a planned materialization that no materialization followed: run and sequence.
pub fn unmaterialized_attempts(
    reader: &Reader<'_>,
    asset_key: &str,
    bounds: Bounds,
) -> Result<Vec<(String, String, Sequence)>> {
    let planned = latest_by_partition(reader, asset_key, names::PLANNED, None, bounds)?;
    let done: HashMap<String, Sequence> = if planned.is_empty() {
        HashMap::new()
    } else {
        let kind = names::MATERIALIZATION;
        latest_by_partition(reader, asset_key, kind, None, bounds)?
            .into_iter()
            .collect()
    };
    let mut found = Vec::new();
    for (name, sequence) in planned {
        if done.get(&name).is_none_or(|done| *done < sequence) {
            let run_id = reader.event(sequence)?.run_id.to_owned();
            found.push((name, run_id, sequence));
        }
    }
    Ok(found)
}

/// Partitions whose data version after `since` is another than the one up to it.
///
/// O(the asset's materializations and observations after `since`), plus O(log) a changed partition.
pub fn changed_data_versions(
    reader: &Reader<'_>,
    asset_key: &str,
    wanted: &HashSet<String>,
    since: Sequence,
    tag_key: &str,
) -> Result<Vec<String>> {
    let Some(asset) = reader.asset(asset_key)? else {
        return Ok(Vec::new());
    };
    let after = Bounds {
        after: since,
        ..Bounds::ALL
    };
    let mut current: BTreeMap<String, (Sequence, String)> = BTreeMap::new();
    for event_type in [names::MATERIALIZATION, names::OBSERVATION] {
        let prefix = Key::new()
            .number(asset.number)
            .event_type(TypeCode::of(Some(event_type)));
        for row in reader.sequences(Table::AssetEvents, &prefix, after, true)? {
            let (key, value) = row?;
            let sequence = Sequence::from_key_end(key)?;
            let row: AssetEvent = rows::read(value)?;
            let Some(name) = row.partition.filter(|name| wanted.contains(name)) else {
                continue;
            };
            let Some((_, version)) = row.tags.into_iter().find(|(key, _)| key == tag_key) else {
                continue;
            };
            let newest = current
                .entry(name)
                .or_insert_with(|| (sequence, version.clone()));
            if sequence > newest.0 {
                *newest = (sequence, version);
            }
        }
    }
    let mut changed = Vec::new();
    for (name, (_, version)) in current {
        let previous = version_up_to(reader, asset.number, &name, since, tag_key)?;
        if !version.is_empty() && previous != Some(version) {
            changed.push(name);
        }
    }
    Ok(changed)
}

/// The data version of a partition's newest event up to `until` that has one.
fn version_up_to(
    reader: &Reader<'_>,
    asset: u64,
    name: &str,
    until: Sequence,
    tag_key: &str,
) -> Result<Option<String>> {
    let bounds = Bounds {
        before: until.next(),
        ..Bounds::ALL
    };
    let mut newest: Option<(Sequence, String)> = None;
    for event_type in [names::MATERIALIZATION, names::OBSERVATION] {
        let code = TypeCode::of(Some(event_type));
        let prefix = partition::events_of(asset, name, code);
        for row in reader.sequences(Table::AssetEvents, &prefix, bounds, false)? {
            let sequence = Sequence::from_key_end(row?.0)?;
            if newest.as_ref().is_some_and(|(other, _)| *other > sequence) {
                break;
            }
            let tags = tags_of(reader, asset, code, sequence)?;
            if let Some((_, version)) = tags.into_iter().find(|(key, _)| key == tag_key) {
                newest = Some((sequence, version));
                break;
            }
        }
    }
    Ok(newest.map(|(_, version)| version))
}
