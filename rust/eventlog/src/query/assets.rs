//! Assets: which are known, and their latest events.

use super::events::{StoredEvent, load};
use super::reader::{Bounds, Reader};
use crate::error::Result;
use crate::projection::key::{Key, LONG_TEXT, asset_event, partition};
use crate::projection::rows::{self, Asset, AssetEvent};
use crate::projection::{Table, assets};
use crate::record::event_type::{TypeCode, names};
use crate::sequence::Sequence;

/// An asset and its latest events that stand.
#[derive(Debug, Clone)]
pub struct AssetRow {
    pub id: u64,
    pub key: String,
    pub last_materialization: Option<StoredEvent>,
    pub last_observation: Option<StoredEvent>,
    pub last_failed: Option<StoredEvent>,
    pub last_skipped: Option<StoredEvent>,
    /// Sequence and run id.
    pub last_planned: Option<(Sequence, String)>,
    pub last_run_id: Option<String>,
    pub wiped_at: Option<f64>,
}

/// Known asset keys that begin with `prefix`, after `after`, in the order of their text. O(keys).
pub fn asset_keys(
    reader: &Reader<'_>,
    prefix: Option<&str>,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Vec<String>> {
    let prefix = prefix.unwrap_or_default();
    let start = after.map_or(prefix, |after| after.max(prefix));
    let mut cursor = reader.cursor(Table::Assets)?;
    let mut row = cursor.seek(Key::new().long_text_prefix(start).bytes())?;
    let mut keys: Vec<String> = Vec::new();
    let mut tied = 0;
    while let Some((key, value)) = row {
        let asset: Asset = rows::read(value)?;
        // Keys that share a digested beginning sort by digest; their texts are put in order here.
        let digested = key.len() >= LONG_TEXT;
        if !digested {
            tied = keys.len();
        }
        if limit.is_some_and(|limit| tied >= limit) {
            break;
        }
        let begun = asset
            .key
            .as_bytes()
            .get(..prefix.len().min(asset.key.len()));
        if begun.is_some_and(|begun| begun > prefix.as_bytes()) {
            break;
        }
        let wanted = asset.known
            && asset.key.starts_with(prefix)
            && after.is_none_or(|after| asset.key.as_str() > after);
        if wanted {
            let place = keys[tied..].partition_point(|other| *other < asset.key) + tied;
            keys.insert(place, asset.key);
        }
        row = cursor.next()?;
    }
    keys.truncate(limit.unwrap_or(usize::MAX));
    Ok(keys)
}

/// Rows of known assets: those asked for, or all.
pub fn asset_rows(reader: &Reader<'_>, asset_keys: Option<&[String]>) -> Result<Vec<AssetRow>> {
    let mut found = Vec::new();
    match asset_keys {
        Some(keys) => {
            for key in keys {
                if let Some(asset) = reader.asset(key)?.filter(|asset| asset.known) {
                    found.push(asset_row(reader, asset)?);
                }
            }
        }
        None => {
            for row in reader.prefix(Table::Assets, &Key::new())? {
                let asset: Asset = rows::read(row?.1)?;
                if asset.known {
                    found.push(asset_row(reader, asset)?);
                }
            }
        }
    }
    Ok(found)
}

fn asset_row(reader: &Reader<'_>, asset: Asset) -> Result<AssetRow> {
    let number = asset.number;
    let event = |code| -> Result<Option<StoredEvent>> {
        latest(reader, number, code)?
            .map(|sequence| load(reader, sequence))
            .transpose()
    };
    let last_materialization = event(TypeCode::of(Some(names::MATERIALIZATION)))?;
    let last_planned = latest_planned(reader, &asset, None)?;
    let last_run_id = match (&last_materialization, &last_planned) {
        (Some(materialization), Some((planned, run_id))) if *planned > materialization.sequence => {
            Some(run_id.clone())
        }
        (Some(materialization), _) => Some(materialization.event()?.run_id.to_owned()),
        (None, Some((_, run_id))) => Some(run_id.clone()),
        (None, None) => None,
    };
    Ok(AssetRow {
        id: number,
        last_materialization,
        last_observation: event(TypeCode::of(Some(names::OBSERVATION)))?,
        last_failed: event(asset_event::FAILED)?,
        last_skipped: event(asset_event::SKIPPED)?,
        last_planned,
        last_run_id,
        wiped_at: asset.wiped_at,
        key: asset.key,
    })
}

/// The latest event of a type that stands. O(log).
fn latest(reader: &Reader<'_>, asset: u64, code: TypeCode) -> Result<Option<Sequence>> {
    let prefix = Key::new().number(asset).event_type(code);
    reader.last_sequence(Table::AssetEvents, &prefix, Bounds::ALL)
}

/// The latest materialization of a known asset; the outer None where the asset is not known.
pub fn latest_materialization(
    reader: &Reader<'_>,
    asset_key: &str,
) -> Result<Option<Option<Sequence>>> {
    let Some(asset) = reader.asset(asset_key)?.filter(|asset| asset.known) else {
        return Ok(None);
    };
    latest(
        reader,
        asset.number,
        TypeCode::of(Some(names::MATERIALIZATION)),
    )
    .map(Some)
}

/// The latest materialization, unless it has a partition.
pub fn latest_unpartitioned(reader: &Reader<'_>, asset_key: &str) -> Result<Option<Sequence>> {
    let Some(asset) = reader.asset(asset_key)?.filter(|asset| asset.known) else {
        return Ok(None);
    };
    let code = TypeCode::of(Some(names::MATERIALIZATION));
    let Some(sequence) = latest(reader, asset.number, code)? else {
        return Ok(None);
    };
    let key = assets::event_key(asset.number, code, sequence);
    let row: Option<AssetEvent> = reader.row(Table::AssetEvents, &key)?;
    Ok(row.filter(|row| row.partition.is_none()).map(|_| sequence))
}

/// The latest freshness state change, which wipes leave alone.
pub fn latest_freshness_change(
    reader: &Reader<'_>,
    asset_key: &str,
) -> Result<Option<StoredEvent>> {
    let Some(asset) = reader.asset(asset_key)? else {
        return Ok(None);
    };
    let sequence = latest(reader, asset.number, asset_event::FRESHNESS)?;
    sequence.map(|sequence| load(reader, sequence)).transpose()
}

/// The latest planned materialization of an asset, or of its partition, and its run.
pub fn latest_planned(
    reader: &Reader<'_>,
    asset: &Asset,
    name: Option<&str>,
) -> Result<Option<(Sequence, String)>> {
    let code = TypeCode::of(Some(names::PLANNED));
    let sequence = match name {
        None => latest(reader, asset.number, code)?,
        Some(name) => {
            let prefix = partition::events_of(asset.number, name, code);
            reader.last_sequence(Table::AssetEvents, &prefix, Bounds::ALL)?
        }
    };
    let Some(sequence) = sequence else {
        return Ok(None);
    };
    Ok(Some((sequence, reader.event(sequence)?.run_id.to_owned())))
}

/// Indexed tags of an asset's events, oldest first: of those with all of `tags`, or of one.
///
/// O(events with one of the tags) where one is a partition dimension, else O(the asset's events).
pub fn event_tags(
    reader: &Reader<'_>,
    asset_key: &str,
    tags: &[(String, String)],
    sequence: Option<Sequence>,
) -> Result<Vec<Vec<(String, String)>>> {
    let Some(asset) = reader.asset(asset_key)? else {
        return Ok(Vec::new());
    };
    let mut sequences = match sequence {
        Some(sequence) if !reader.hidden()?.lets_see(reader, sequence)? => Vec::new(),
        Some(sequence) => vec![sequence],
        None => tagged_sequences(reader, asset.number, tags)?,
    };
    sequences.sort_unstable();
    let mut found = Vec::new();
    for sequence in sequences {
        for event_type in [names::MATERIALIZATION, names::OBSERVATION] {
            let code = TypeCode::of(Some(event_type));
            let key = assets::event_key(asset.number, code, sequence);
            let Some(row) = reader.row::<AssetEvent>(Table::AssetEvents, &key)? else {
                continue;
            };
            if !row.tags.is_empty() && tags.iter().all(|tag| row.tags.contains(tag)) {
                found.push(row.tags);
            }
        }
    }
    Ok(found)
}

fn tagged_sequences(
    reader: &Reader<'_>,
    asset: u64,
    tags: &[(String, String)],
) -> Result<Vec<Sequence>> {
    let mut prefixes = Vec::new();
    match tags
        .iter()
        .find(|(key, _)| key.starts_with(assets::FOUND_BY_TAG))
    {
        Some((key, value)) => prefixes.push(assets::tag_key(asset, key, value)),
        None => {
            for event_type in [names::MATERIALIZATION, names::OBSERVATION] {
                let code = TypeCode::of(Some(event_type));
                prefixes.push(Key::new().number(asset).event_type(code));
            }
        }
    }
    let mut found = Vec::new();
    for prefix in prefixes {
        for row in reader.sequences(Table::AssetEvents, &prefix, Bounds::ALL, true)? {
            found.push(Sequence::from_key_end(row?.0)?);
        }
    }
    Ok(found)
}
