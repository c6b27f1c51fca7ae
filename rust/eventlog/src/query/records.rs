//! The log as it is: records one after the other, and what the store holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::merge::Merge;
use super::reader::{Bounds, Reader, open_record};
use super::{documents, events};
use crate::error::{Error, Result};
use crate::projection::Table;
use crate::projection::key::Key;
use crate::record::{Event, FrameError, Kind, Record, Space, frame_checksum, open_frame};
use crate::sequence::Sequence;
use crate::value::{ShapeSource, to_packed_json};

/// A record on its facets, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordLine {
    pub sequence: Sequence,
    /// Name of the record's kind; `damaged` for one whose bytes are not what was written.
    pub kind: &'static str,
    pub timestamp: Option<f64>,
    pub run_id: Option<String>,
    pub event_type: Option<String>,
    pub step_key: Option<String>,
    /// What the record is about (its asset, pool, shape, ...), or the event's message.
    pub subject: Option<String>,
}

/// The checksum of a record, by which another history shows; None where there is a husk, whose own changes,
/// or nothing.
pub fn checksum(reader: &Reader<'_>, sequence: Sequence) -> Result<Option<u32>> {
    let Some(frame) = reader.frame(sequence)? else {
        return Ok(None);
    };
    Ok(match open_record(sequence, frame)? {
        Record::Husk(_) => None,
        _ => frame_checksum(frame),
    })
}

/// Records after a sequence, and the sequence to go on after. `run_id` keeps those of a run; at most
/// `limit` records are returned, and at most `scanned` looked at.
pub fn records_after(
    reader: &Reader<'_>,
    after: Sequence,
    run_id: Option<&str>,
    limit: usize,
    scanned: usize,
) -> Result<(Vec<RecordLine>, Sequence)> {
    let mut found = Vec::new();
    let mut at = after;
    let shapes = reader
        .shapes_from(0)?
        .into_iter()
        .map(Arc::new)
        .collect::<Vec<_>>();
    let mut cursor = reader.log_cursor()?;
    let mut row = cursor.seek(&after.next().to_key())?;
    for _ in 0..scanned {
        let Some((key, frame)) = row else { break };
        if found.len() >= limit {
            break;
        }
        at = Sequence::from_key_end(key)?;
        match open_record(at, frame) {
            // Whose record it was is part of what is damaged.
            Err(error) => found.push(damaged_line(at, &error)),
            Ok(record) if run_id.is_none_or(|run_id| run_of(&record) == Some(run_id)) => {
                let mut line = line_of(at, &record);
                if let (Record::Event(event), None) = (&record, &line.subject) {
                    line.subject = message_of(event, &shapes);
                }
                found.push(line);
            }
            Ok(_) => {}
        }
        row = cursor.next()?;
    }
    Ok((found, at))
}

/// Where the last `count` records of a run begin, or a little before: what to read after. Found by the
/// run's events, of which there may be fewer than records; by its first record, where there are fewer
/// than `count`; zero for a run that nothing here names. O(log + count, times the run's event types).
pub fn before_last_of_run(reader: &Reader<'_>, run_id: &str, count: usize) -> Result<Sequence> {
    let run = reader.run(run_id)?;
    let mut first = documents::by_key(reader, Space::Run, run_id)?;
    if let Some(run) = run {
        let of_code = |code| Key::new().number(run).event_type(code);
        let prefixes = events::run_codes(reader, run, None)?
            .into_iter()
            .map(of_code);
        let mut last = Merge::new(reader, Table::RunEvents, prefixes, Bounds::ALL, false)?;
        if let Some(item) = last.nth(count.saturating_sub(1)) {
            return Ok(before(item?.0));
        }
        let named = Sequence::new(run);
        first = Some(first.map_or(named, |added| added.min(named)));
    }
    Ok(first.map_or(Sequence::ZERO, before))
}

fn before(sequence: Sequence) -> Sequence {
    Sequence::new(sequence.get().saturating_sub(1))
}

/// Kind of a line whose record does not open.
const DAMAGED: &str = "damaged";

fn damaged_line(sequence: Sequence, error: &Error) -> RecordLine {
    RecordLine {
        sequence,
        kind: DAMAGED,
        timestamp: None,
        run_id: None,
        event_type: None,
        step_key: None,
        subject: Some(error.to_string()),
    }
}

/// The run that a record is of.
fn run_of<'a>(record: &'a Record<'_>) -> Option<&'a str> {
    match record {
        Record::Event(event) => Some(event.run_id),
        Record::CheckExecutionPlanned(planned) => Some(&planned.run_id),
        Record::RunEventsDeleted(deleted) => Some(&deleted.run_id),
        Record::RunEventsSwept(swept) => Some(&swept.run_id),
        Record::Document(document) if document.space == Space::Run => Some(document.key),
        Record::RunStateSet(set) => Some(&set.run_id),
        Record::PoolStep(step) => Some(&step.run_id),
        Record::Husk(_)
        | Record::ShapeDefined(_)
        | Record::AssetWiped(_)
        | Record::AssetPartitionsWiped(_)
        | Record::EventLogWiped(_)
        | Record::DynamicPartition(_)
        | Record::PoolLimit(_)
        | Record::Document(_)
        | Record::SpacesWiped(_) => None,
    }
}

fn line_of(sequence: Sequence, record: &Record<'_>) -> RecordLine {
    let mut line = RecordLine {
        sequence,
        kind: record.kind().name(),
        timestamp: record.timestamp(),
        run_id: run_of(record).map(str::to_owned),
        event_type: None,
        step_key: None,
        subject: None,
    };
    match record {
        Record::Husk(husk) if husk.also_before > 0 => {
            line.subject = Some(format!("and {} before it", husk.also_before));
        }
        Record::Husk(_) => {}
        Record::ShapeDefined(defined) => line.subject = Some(defined.shape.name.clone()),
        Record::Event(event) => {
            line.event_type = event.event_type.map(str::to_owned);
            line.step_key = event.step_key.map(str::to_owned);
            line.subject = match (&event.asset, &event.check) {
                (Some(asset), _) => Some(about(asset.key, asset.partition)),
                (None, Some(check)) => Some(about(
                    &format!("{} {}", check.asset_key, check.name),
                    check.partition,
                )),
                (None, None) => None,
            };
        }
        Record::CheckExecutionPlanned(planned) => {
            let check = format!("{} {}", planned.asset_key, planned.name);
            line.subject = Some(about(&check, Some(&planned.partition)));
        }
        Record::RunEventsDeleted(_) | Record::EventLogWiped(_) => {}
        Record::RunEventsSwept(swept) => {
            line.subject = Some(format!("up to {}", swept.until));
        }
        Record::AssetWiped(wiped) => {
            line.subject = Some(wiped.asset_key.clone());
        }
        Record::AssetPartitionsWiped(wiped) => {
            line.subject = Some(format!(
                "{} ({} partitions)",
                wiped.asset_key,
                wiped.partitions.len()
            ));
        }
        Record::DynamicPartition(partition) => {
            let verb = if partition.present { "add" } else { "delete" };
            line.subject = Some(format!("{verb} {} {}", partition.definition, partition.key));
        }
        Record::PoolLimit(limit) => {
            let slots = limit
                .limit
                .map_or("no limit".to_owned(), |limit| limit.to_string());
            line.subject = Some(format!("{}: {slots}", limit.pool));
        }
        Record::Document(document) => {
            let gone = if document.state.is_some() {
                ""
            } else {
                "gone: "
            };
            line.subject = Some(format!("{gone}{} {}", document.space.name(), document.key));
        }
        Record::RunStateSet(set) => {
            line.subject = Some(set.state.status.clone());
        }
        Record::SpacesWiped(wiped) => {
            let names: Vec<_> = wiped.spaces.iter().map(|space| space.name()).collect();
            line.subject = Some(names.join(", "));
        }
        Record::PoolStep(step) => {
            line.step_key = Some(step.step_key.clone());
            line.subject = Some(step.pool.clone());
        }
    }
    line
}

/// The message of the Dagster event, else of the entry; None where the body does not read as JSON.
fn message_of(event: &Event<'_>, shapes: &dyn ShapeSource) -> Option<String> {
    let text = to_packed_json(event.body, &event.facets(), shapes).ok()?;
    let packed: serde_json::Value = serde_json::from_str(&text).ok()?;
    let message = packed["dagster_event"]["message"]
        .as_str()
        .or(packed["user_message"].as_str())?;
    (!message.is_empty()).then(|| message.to_owned())
}

fn about(subject: &str, partition: Option<&str>) -> String {
    partition.map_or_else(
        || subject.to_owned(),
        |partition| format!("{subject} [{partition}]"),
    )
}

/// How many records and bytes of each kind the log holds.
pub type KindCounts = BTreeMap<&'static str, (u64, u64)>;

/// Counts the kinds of at most `limit` records after a sequence; returns the last of them, which is the
/// sequence itself where there is none. O(records counted).
pub fn count_kinds(
    reader: &Reader<'_>,
    after: Sequence,
    limit: usize,
    counts: &mut KindCounts,
) -> Result<Sequence> {
    let mut at = after;
    let mut cursor = reader.log_cursor()?;
    let mut row = cursor.seek(&after.next().to_key())?;
    for _ in 0..limit {
        let Some((key, frame)) = row else { break };
        at = Sequence::from_key_end(key)?;
        let kind = kind_of(frame).map_err(|error| Error::DamagedRecord {
            sequence: at.get(),
            reason: error.to_string(),
        })?;
        let entry = counts.entry(kind.name()).or_default();
        *entry = (entry.0 + 1, entry.1 + frame.len() as u64);
        row = cursor.next()?;
    }
    Ok(at)
}

/// The kind of a frame's record, its checksum checked.
fn kind_of(frame: &[u8]) -> std::result::Result<Kind, FrameError> {
    let byte = open_frame(frame)?.payload.first().copied();
    let byte = byte.ok_or(FrameError::Truncated(frame.len()))?;
    let known = Kind::ALL.into_iter().find(|kind| *kind as u8 == byte);
    known.ok_or(FrameError::Kind(byte))
}
