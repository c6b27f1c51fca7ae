//! Events: by run, by type, by asset and partition, by job, and across runs.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::merge::Merge;
use super::reader::{Bounds, Reader, open_record};
use crate::error::Result;
use crate::projection::events::timestamp_of;
use crate::projection::key::{Key, partition};
use crate::projection::{Table, assets, events, rows};
use crate::record::event_type::{TypeCode, names};
use crate::record::{Event, Kind, Record, open_frame};
use crate::sequence::Sequence;

/// An event copied out of a snapshot.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub sequence: Sequence,
    frame: Vec<u8>,
}

impl StoredEvent {
    fn load(reader: &Reader<'_>, sequence: Sequence) -> Result<Self> {
        reader.event(sequence)?;
        let frame = reader.frame(sequence)?.unwrap_or_default().to_vec();
        Ok(Self { sequence, frame })
    }

    /// The event's facets and body.
    pub fn event(&self) -> Result<Event<'_>> {
        match open_record(self.sequence, &self.frame)? {
            Record::Event(event) => Ok(event),
            _ => unreachable!("load checks the kind"),
        }
    }
}

/// Loads the event of a sequence that a projection names.
pub fn load(reader: &Reader<'_>, sequence: Sequence) -> Result<StoredEvent> {
    StoredEvent::load(reader, sequence)
}

/// Which events of a run.
#[derive(Debug, Clone)]
pub struct RunEvents {
    pub bounds: Bounds,
    /// Events to skip.
    pub offset: usize,
    pub types: Option<BTreeSet<String>>,
    /// Keeps events of these steps; empty keeps those of any step; None keeps all.
    pub step_keys: Option<HashSet<String>>,
    pub limit: Option<usize>,
    pub ascending: bool,
}

/// Events of a run, ordered by sequence. O(log + events returned or skipped), times the event types
/// asked for.
pub fn run_events(
    reader: &Reader<'_>,
    run_id: &str,
    query: &RunEvents,
) -> Result<Vec<StoredEvent>> {
    let Some(run) = reader.run(run_id)? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut skip = query.offset;
    let codes = run_codes(reader, run, query.types.as_ref())?;
    let prefixes = codes
        .iter()
        .map(|code| Key::new().number(run).event_type(*code));
    for item in Merge::new(
        reader,
        Table::RunEvents,
        prefixes,
        query.bounds,
        query.ascending,
    )? {
        if query.limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        let (sequence, _) = item?;
        let filtered = query.step_keys.is_some() || codes.contains(&TypeCode::OTHER);
        if skip > 0 && !filtered {
            skip -= 1;
            continue;
        }
        let stored = StoredEvent::load(reader, sequence)?;
        if filtered && !run_event_matches(&stored.event()?, query) {
            continue;
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        found.push(stored);
    }
    Ok(found)
}

fn run_event_matches(event: &Event<'_>, query: &RunEvents) -> bool {
    let of_type = |types: &BTreeSet<String>| event.event_type.is_some_and(|t| types.contains(t));
    let of_step = |steps: &HashSet<String>| {
        event
            .step_key
            .is_some_and(|step| steps.is_empty() || steps.contains(step))
    };
    query.types.as_ref().is_none_or(of_type) && query.step_keys.as_ref().is_none_or(of_step)
}

/// The codes of the types asked for, or of those the run has.
pub fn run_codes(
    reader: &Reader<'_>,
    run: u64,
    types: Option<&BTreeSet<String>>,
) -> Result<BTreeSet<TypeCode>> {
    if let Some(types) = types {
        return Ok(types.iter().map(|name| TypeCode::of(Some(name))).collect());
    }
    let mut codes = BTreeSet::new();
    let mut cursor = reader.cursor(Table::RunEvents)?;
    let prefix = Key::new().number(run);
    let mut row = cursor.seek(prefix.bytes())?;
    while let Some((key, _)) = row {
        if !key.starts_with(prefix.bytes()) {
            break;
        }
        let code = TypeCode(key[8]);
        codes.insert(code);
        if code == TypeCode::OTHER {
            break;
        }
        row = cursor.seek(prefix.clone().byte(code.0 + 1).bytes())?;
    }
    Ok(codes)
}

/// How many events of each type a run has, and when the latest happened. O(events of the types).
pub fn run_event_counts(
    reader: &Reader<'_>,
    run_id: &str,
    types: Option<&BTreeSet<String>>,
) -> Result<Vec<(String, usize, f64)>> {
    let Some(run) = reader.run(run_id)? else {
        return Ok(Vec::new());
    };
    let mut counts: HashMap<String, (usize, f64)> = HashMap::new();
    for code in run_codes(reader, run, types)? {
        if code == TypeCode::LOG_MESSAGE {
            continue;
        }
        for row in reader.prefix(Table::RunEvents, &Key::new().number(run).event_type(code))? {
            let (key, value) = row?;
            let name = match code.name() {
                Some(name) => name,
                None => reader
                    .event(Sequence::from_key_end(key)?)?
                    .event_type
                    .unwrap_or_default(),
            };
            if types.is_some_and(|types| !types.contains(name)) {
                continue;
            }
            let timestamp = timestamp_of(value);
            let entry = counts.entry(name.to_owned()).or_insert((0, timestamp));
            *entry = (entry.0 + 1, entry.1.max(timestamp));
        }
    }
    Ok(counts
        .into_iter()
        .map(|(name, (count, latest))| (name, count, latest))
        .collect())
}

/// Which events of a type.
#[derive(Debug, Clone)]
pub struct TypedEvents {
    pub event_type: String,
    pub asset_key: Option<String>,
    pub partitions: Option<Vec<String>>,
    /// Jobs, for status changes.
    pub job_names: Option<Vec<String>>,
    pub sequences: Option<Vec<Sequence>>,
    pub bounds: Bounds,
    pub after_timestamp: Option<f64>,
    pub before_timestamp: Option<f64>,
    pub limit: Option<usize>,
    pub ascending: bool,
}

/// Sequences of events of a type, ordered. O(log + events within the bounds, up to the limit).
pub fn typed_sequences(reader: &Reader<'_>, query: &TypedEvents) -> Result<Vec<Sequence>> {
    let code = TypeCode::of(Some(&query.event_type));
    let mut table = Table::TypeEvents;
    let mut prefixes = vec![Key::new().event_type(code)];
    if let Some(asset_key) = &query.asset_key {
        let Some(asset) = reader.asset(asset_key)? else {
            return Ok(Vec::new());
        };
        table = Table::AssetEvents;
        prefixes = vec![Key::new().number(asset.number).event_type(code)];
        if let Some(partitions) = query.partitions.as_ref().filter(|names| !names.is_empty()) {
            let of = |name: &String| partition::events_of(asset.number, name, code);
            prefixes = partitions.iter().map(of).collect();
        }
    } else if let Some(jobs) = query.job_names.as_ref().filter(|names| !names.is_empty()) {
        table = Table::StatusChanges;
        prefixes = jobs
            .iter()
            .map(|job| Key::new().event_type(code).text(job))
            .collect();
    }
    let mut found = Vec::new();
    let rows = match &query.sequences {
        Some(sequences) => Rows::Given(given_rows(reader, table, &prefixes, sequences, query)?),
        None => Rows::Merged(Merge::new(
            reader,
            table,
            prefixes,
            query.bounds,
            query.ascending,
        )?),
    };
    for row in rows {
        if query.limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        let (sequence, value) = row?;
        if typed_matches(reader, table, code, sequence, value, query)? {
            found.push(sequence);
        }
    }
    Ok(found)
}

/// Rows of given sequences, or of the merged index.
enum Rows<'t> {
    Given(std::vec::IntoIter<(Sequence, &'t [u8])>),
    Merged(Merge<'t>),
}

impl<'t> Iterator for Rows<'t> {
    type Item = Result<(Sequence, &'t [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Given(rows) => rows.next().map(Ok),
            Self::Merged(rows) => rows.next(),
        }
    }
}

fn given_rows<'t>(
    reader: &Reader<'t>,
    table: Table,
    prefixes: &[Key],
    sequences: &[Sequence],
    query: &TypedEvents,
) -> Result<std::vec::IntoIter<(Sequence, &'t [u8])>> {
    let hidden = reader.hidden()?;
    let mut rows = Vec::new();
    let mut wanted = sequences.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    if !query.ascending {
        wanted.reverse();
    }
    for sequence in wanted
        .into_iter()
        .filter(|sequence| query.bounds.contains(*sequence))
    {
        if !hidden.lets_see(reader, sequence)? {
            continue;
        }
        for prefix in prefixes {
            if let Some(value) = reader.get(table, &prefix.clone().sequence(sequence))? {
                rows.push((sequence, value));
                break;
            }
        }
    }
    Ok(rows.into_iter())
}

fn typed_matches(
    reader: &Reader<'_>,
    table: Table,
    code: TypeCode,
    sequence: Sequence,
    value: &[u8],
    query: &TypedEvents,
) -> Result<bool> {
    if query.after_timestamp.is_some() || query.before_timestamp.is_some() {
        let timestamp = match table {
            // Rows by partition hold nothing.
            Table::AssetEvents if value.is_empty() => reader.event(sequence)?.timestamp,
            Table::AssetEvents => rows::read::<rows::AssetEvent>(value)?.timestamp,
            _ => timestamp_of(value),
        };
        if query
            .after_timestamp
            .is_some_and(|after| timestamp <= after)
            || query
                .before_timestamp
                .is_some_and(|before| timestamp >= before)
        {
            return Ok(false);
        }
    }
    let by_facet =
        query.asset_key.is_none() && query.partitions.as_ref().is_some_and(|p| !p.is_empty());
    if code != TypeCode::OTHER && !by_facet {
        return Ok(true);
    }
    let event = reader.event(sequence)?;
    let wanted = query.partitions.as_deref().unwrap_or_default();
    let in_partitions = !by_facet
        || event.asset.as_ref().is_some_and(|asset| {
            asset
                .partitions()
                .iter()
                .any(|name| wanted.iter().any(|one| one == name))
        });
    Ok(event.event_type == Some(query.event_type.as_str()) && in_partitions)
}

/// Events of a type, ordered by sequence.
pub fn typed_events(reader: &Reader<'_>, query: &TypedEvents) -> Result<Vec<StoredEvent>> {
    typed_sequences(reader, query)?
        .into_iter()
        .map(|sequence| StoredEvent::load(reader, sequence))
        .collect()
}

/// Events of all runs after a sequence, ascending. O(log + events returned), plus records that are
/// no events or deleted.
pub fn events_after(
    reader: &Reader<'_>,
    after: Sequence,
    types: Option<&BTreeSet<String>>,
    limit: Option<usize>,
) -> Result<Vec<StoredEvent>> {
    let enough = |found: &Vec<StoredEvent>| limit.is_some_and(|limit| found.len() >= limit);
    let mut found = Vec::new();
    if let Some(types) = types {
        let codes: BTreeSet<_> = types.iter().map(|name| TypeCode::of(Some(name))).collect();
        let prefixes = codes.iter().map(|code| Key::new().event_type(*code));
        let bounds = Bounds {
            after,
            ..Bounds::ALL
        };
        for item in Merge::new(reader, Table::TypeEvents, prefixes, bounds, true)? {
            if enough(&found) {
                break;
            }
            let stored = StoredEvent::load(reader, item?.0)?;
            if stored
                .event()?
                .event_type
                .is_some_and(|name| types.contains(name))
            {
                found.push(stored);
            }
        }
        return Ok(found);
    }
    let mut runs = HashMap::new();
    let mut cursor = reader.log_cursor()?;
    let mut row = cursor.seek(&after.next().to_key())?;
    while let Some((key, frame)) = row {
        if enough(&found) {
            break;
        }
        let sequence = Sequence::from_key_end(key)?;
        if is_event(frame) {
            let stored = StoredEvent {
                sequence,
                frame: frame.to_vec(),
            };
            if is_live(reader, &mut runs, sequence, &stored.event()?)? {
                found.push(stored);
            }
        }
        row = cursor.next()?;
    }
    Ok(found)
}

/// Whether a frame holds an event; damaged frames count, so that reading them says so.
fn is_event(frame: &[u8]) -> bool {
    open_frame(frame).map_or(true, |frame| {
        frame.payload.first() == Some(&(Kind::Event as u8))
    })
}

/// Whether no tombstone covers an event.
pub fn is_live(
    reader: &Reader<'_>,
    runs: &mut HashMap<String, Option<u64>>,
    sequence: Sequence,
    event: &Event<'_>,
) -> Result<bool> {
    let run = match runs.get(event.run_id) {
        Some(run) => *run,
        None => {
            let run = reader.run(event.run_id)?;
            runs.insert(event.run_id.to_owned(), run);
            run
        }
    };
    let Some(run) = run else { return Ok(false) };
    let key = events::run_event(run, TypeCode::of(event.event_type), sequence);
    Ok(reader.get(Table::RunEvents, &key)?.is_some())
}

/// Distinct assets and partitions of a run's asset events. O(those events).
pub fn run_asset_partitions(
    reader: &Reader<'_>,
    run_id: &str,
    types: Option<&BTreeSet<String>>,
) -> Result<BTreeSet<(String, Option<String>)>> {
    let mut found = BTreeSet::new();
    let Some(run) = reader.run(run_id)? else {
        return Ok(found);
    };
    for code in run_codes(reader, run, types)? {
        if !has_asset(code) {
            continue;
        }
        for row in reader.prefix(Table::RunEvents, &Key::new().number(run).event_type(code))? {
            let event = reader.event(Sequence::from_key_end(row?.0)?)?;
            if types.is_some_and(|types| event.event_type.is_none_or(|name| !types.contains(name)))
            {
                continue;
            }
            if let Some(asset) = event.asset {
                found.insert((asset.key.to_owned(), asset.partition.map(str::to_owned)));
            }
        }
    }
    Ok(found)
}

/// Whether events of this code may have an asset.
fn has_asset(code: TypeCode) -> bool {
    match code.name() {
        None => code == TypeCode::OTHER,
        Some(name) => {
            assets::has_partitions(name)
                || matches!(
                    name,
                    names::FRESHNESS | "ASSET_HEALTH_CHANGED" | "ASSET_WIPED"
                )
        }
    }
}

/// An asset event on its facets alone.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetEventSummary {
    pub sequence: Sequence,
    pub run_id: String,
    pub asset_key: String,
    pub partition: Option<String>,
    pub timestamp: f64,
}

/// Asset events on their facets; `run_id` keeps those of a run.
pub fn asset_event_summaries(
    reader: &Reader<'_>,
    query: &TypedEvents,
    run_id: Option<&str>,
) -> Result<Vec<AssetEventSummary>> {
    let mut found = Vec::new();
    let sequences = match run_id {
        None => typed_sequences(
            reader,
            &TypedEvents {
                limit: None,
                ..query.clone()
            },
        )?,
        Some(run_id) => run_sequences(reader, query, run_id)?,
    };
    for sequence in sequences {
        if query.limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        let event = reader.event(sequence)?;
        let Some(asset) = event.asset else { continue };
        found.push(AssetEventSummary {
            sequence,
            run_id: event.run_id.to_owned(),
            asset_key: asset.key.to_owned(),
            partition: asset.partition.map(str::to_owned),
            timestamp: event.timestamp,
        });
    }
    Ok(found)
}

fn run_sequences(reader: &Reader<'_>, query: &TypedEvents, run_id: &str) -> Result<Vec<Sequence>> {
    let code = TypeCode::of(Some(&query.event_type));
    let Some(run) = reader.run(run_id)? else {
        return Ok(Vec::new());
    };
    let asset = match &query.asset_key {
        None => None,
        Some(key) => match reader.asset(key)? {
            None => return Ok(Vec::new()),
            Some(asset) => Some(asset.number),
        },
    };
    let wanted = query
        .sequences
        .as_ref()
        .map(|given| given.iter().collect::<HashSet<_>>());
    let prefix = Key::new().number(run).event_type(code);
    let mut found = Vec::new();
    for row in reader.sequences(Table::RunEvents, &prefix, query.bounds, query.ascending)? {
        let sequence = Sequence::from_key_end(row?.0)?;
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&sequence))
        {
            continue;
        }
        let stands = match asset {
            None => true,
            Some(asset) => reader
                .get(
                    Table::AssetEvents,
                    &assets::event_key(asset, code, sequence),
                )?
                .is_some(),
        };
        if stands {
            found.push(sequence);
        }
    }
    Ok(found)
}
