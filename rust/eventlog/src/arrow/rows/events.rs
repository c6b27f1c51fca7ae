//! `events`: a row for every event.

use super::super::column::{Columns, Kind, Named};
use super::super::walk::Walk;
use super::event_body::EventBody;
use super::{Context, in_body, path_of};
use crate::error::Result;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::value;

/// How the tags begin that say a partition's key in each of its dimensions.
const DIMENSION: &str = "dagster/partition/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Sequence,
    Timestamp,
    RunId,
    JobName,
    EventType,
    Level,
    StepKey,
    AssetKey,
    Partition,
    PartitionDimensions,
    Partitions,
    CheckName,
    Message,
    Error,
    Tags,
    Metadata,
    Duration,
    Event,
}

pub const COLUMNS: &[Named<Column>] = &[
    (Column::Sequence, "sequence", Kind::Sequence),
    (Column::Timestamp, "timestamp", Kind::Time),
    (Column::RunId, "run_id", Kind::Text),
    (Column::JobName, "job_name", Kind::Text),
    (Column::EventType, "event_type", Kind::Word),
    (Column::Level, "level", Kind::Number),
    (Column::StepKey, "step_key", Kind::Text),
    (Column::AssetKey, "asset_key", Kind::Texts),
    (Column::Partition, "partition", Kind::Text),
    (
        Column::PartitionDimensions,
        "partition_dimensions",
        Kind::Map,
    ),
    (Column::Partitions, "partitions", Kind::Texts),
    (Column::CheckName, "check_name", Kind::Text),
    (Column::Message, "message", Kind::Text),
    (Column::Error, "error", Kind::Error),
    (Column::Tags, "tags", Kind::Map),
    (Column::Metadata, "metadata", Kind::Metadata),
    (Column::Duration, "duration", Kind::Float),
    (Column::Event, "event", Kind::Text),
];

impl Column {
    /// Whether the body is needed, and not facets alone.
    fn is_of_body(self) -> bool {
        matches!(
            self,
            Self::PartitionDimensions
                | Self::Message
                | Self::Error
                | Self::Tags
                | Self::Metadata
                | Self::Duration
        )
    }
}

pub fn see(
    columns: &mut Columns<Column>,
    context: &mut Context<'_>,
    sequence: Sequence,
    record: &Record<'_>,
) -> Result<()> {
    let Record::Event(event) = record else {
        return Ok(());
    };
    let (asset, check) = (event.asset.as_ref(), event.check.as_ref());
    let asset_key = asset
        .map(|asset| asset.key)
        .or(check.map(|check| check.asset_key));
    let selection = context.selection;
    if !selection.takes_time(event.timestamp)
        || !selection.takes_run(event.run_id)
        || !selection.takes_type(event.event_type)
        || !selection.takes_asset(asset_key)
    {
        return Ok(());
    }
    let facets = event.facets();
    let body = if columns.want(Column::is_of_body) {
        let walk = Walk::new(event.body, &facets, context.shapes);
        EventBody::read(walk, &mut context.printer).map_err(in_body(sequence))?
    } else {
        EventBody::default()
    };
    let json = &mut context.json;
    json.clear();
    if columns.want(|column| column == Column::Event) {
        let mut reader = value::Reader::new(event.body);
        context
            .printer
            .print(&mut reader, &facets, json)
            .and_then(|()| reader.end())
            .map_err(in_body(sequence))?;
    }
    let partition = asset
        .and_then(|asset| asset.partition)
        .or(check.and_then(|check| check.partition));
    let dimensions = || {
        body.tags.iter().filter_map(|(key, value)| {
            let dimension = key.strip_prefix(DIMENSION)?;
            Some((dimension, &**value))
        })
    };
    let subset = asset.map(|asset| &asset.subset);
    let subset = subset.filter(|subset| !subset.is_empty());
    columns.row(|column, to| match column {
        Column::Sequence => to.number(Some(sequence.get() as i64)),
        Column::Timestamp => to.time(Some(event.timestamp)),
        Column::RunId => to.text(Some(event.run_id).filter(|run_id| !run_id.is_empty())),
        Column::JobName => to.text(event.job_name),
        Column::EventType => to.text(event.event_type),
        Column::Level => to.number(Some(event.level)),
        Column::StepKey => to.text(event.step_key),
        Column::AssetKey => {
            let path = asset_key.map(path_of);
            to.texts(path.as_ref().map(|path| path.iter().map(String::as_str)));
        }
        Column::Partition => to.text(partition),
        Column::PartitionDimensions => to.map(dimensions()),
        Column::Partitions => to.texts(subset.map(|subset| subset.iter().copied())),
        Column::CheckName => to.text(check.map(|check| check.name)),
        Column::Message => to.text(body.message()),
        Column::Error => to.error(body.error()),
        Column::Tags => to.map(body.tags.iter().map(|(key, value)| (&**key, &**value))),
        Column::Metadata => to.metadata(&body.metadata),
        Column::Duration => to.float(body.duration),
        Column::Event => to.text(Some(json)),
    });
    Ok(())
}
