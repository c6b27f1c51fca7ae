//! The log as it is: records one after the other, and what the store holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::{Reader, open_record};
use crate::error::{Error, Result};
use crate::record::{Event, Record, Space};
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
        at = Sequence::from_key_end(key);
        match open_record(at, frame) {
            // Whose record it was is part of what is damaged.
            Err(error) => found.push(damaged_line(at, &error)),
            Ok(record) => {
                let mut line = line_of(at, &record);
                if run_id.is_none_or(|run_id| line.run_id.as_deref() == Some(run_id)) {
                    if let (Record::Event(event), None) = (&record, &line.subject) {
                        line.subject = message_of(event, &shapes);
                    }
                    found.push(line);
                }
            }
        }
        row = cursor.next()?;
    }
    Ok((found, at))
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

fn line_of(sequence: Sequence, record: &Record<'_>) -> RecordLine {
    let mut line = RecordLine {
        sequence,
        kind: record.kind().name(),
        timestamp: None,
        run_id: None,
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
            line.timestamp = Some(event.timestamp);
            line.run_id = Some(event.run_id.to_owned());
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
            line.timestamp = Some(planned.created);
            line.run_id = Some(planned.run_id.clone());
            let check = format!("{} {}", planned.asset_key, planned.name);
            line.subject = Some(about(&check, Some(&planned.partition)));
        }
        Record::RunEventsDeleted(deleted) => {
            line.timestamp = Some(deleted.timestamp);
            line.run_id = Some(deleted.run_id.clone());
        }
        Record::RunEventsSwept(swept) => {
            line.timestamp = Some(swept.timestamp);
            line.run_id = Some(swept.run_id.clone());
            line.subject = Some(format!("up to {}", swept.until));
        }
        Record::AssetWiped(wiped) => {
            line.timestamp = Some(wiped.timestamp);
            line.subject = Some(wiped.asset_key.clone());
        }
        Record::AssetPartitionsWiped(wiped) => {
            line.timestamp = Some(wiped.timestamp);
            line.subject = Some(format!(
                "{} ({} partitions)",
                wiped.asset_key,
                wiped.partitions.len()
            ));
        }
        Record::EventLogWiped(wiped) => line.timestamp = Some(wiped.timestamp),
        Record::DynamicPartition(partition) => {
            line.timestamp = Some(partition.timestamp);
            let verb = if partition.present { "add" } else { "delete" };
            line.subject = Some(format!("{verb} {} {}", partition.definition, partition.key));
        }
        Record::PoolLimit(limit) => {
            line.timestamp = Some(limit.timestamp);
            let slots = limit
                .limit
                .map_or("no limit".to_owned(), |limit| limit.to_string());
            line.subject = Some(format!("{}: {slots}", limit.pool));
        }
        Record::Document(document) => {
            line.timestamp = Some(document.timestamp);
            let gone = if document.state.is_some() {
                ""
            } else {
                "gone: "
            };
            line.subject = Some(format!("{gone}{} {}", document.space.name(), document.key));
            if document.space == Space::Run {
                line.run_id = Some(document.key.to_owned());
            }
        }
        Record::RunStateSet(set) => {
            line.timestamp = Some(set.timestamp);
            line.run_id = Some(set.run_id.clone());
            line.subject = Some(set.state.status.clone());
        }
        Record::SpacesWiped(wiped) => {
            line.timestamp = Some(wiped.timestamp);
            let names: Vec<_> = wiped.spaces.iter().map(|space| space.name()).collect();
            line.subject = Some(names.join(", "));
        }
        Record::PoolStep(step) => {
            line.timestamp = Some(step.timestamp);
            line.run_id = Some(step.run_id.clone());
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

/// How many records and bytes of each kind the log holds. O(log).
pub fn count_kinds(reader: &Reader<'_>) -> Result<BTreeMap<&'static str, (u64, u64)>> {
    let mut counts = BTreeMap::new();
    let mut cursor = reader.log_cursor()?;
    let mut row = cursor.seek(&[])?;
    while let Some((key, frame)) = row {
        let record = open_record(Sequence::from_key_end(key), frame)?;
        let entry: &mut (u64, u64) = counts.entry(record.kind().name()).or_default();
        *entry = (entry.0 + 1, entry.1 + frame.len() as u64);
        row = cursor.next()?;
    }
    Ok(counts)
}
