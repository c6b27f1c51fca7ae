//! `backfills`: a row for each state that a backfill had.

use super::super::column::{Columns, ErrorLevel, Kind, Named, Text};
use super::super::walk::{Field, Walk};
use super::version::Version;
use super::{Context, in_body};
use crate::error::Result;
use crate::record::{Record, Space};
use crate::sequence::Sequence;
use crate::value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Sequence,
    Timestamp,
    BackfillId,
    Deleted,
    Status,
    Created,
    Ended,
    Title,
    Description,
    AssetSelection,
    PartitionNames,
    Tags,
    FailureCount,
    Error,
    Backfill,
}

pub const COLUMNS: &[Named<Column>] = &[
    (Column::Sequence, "sequence", Kind::Sequence),
    (Column::Timestamp, "timestamp", Kind::Time),
    (Column::BackfillId, "backfill_id", Kind::Text),
    (Column::Deleted, "deleted", Kind::Flag),
    (Column::Status, "status", Kind::Word),
    (Column::Created, "created", Kind::Time),
    (Column::Ended, "ended", Kind::Time),
    (Column::Title, "title", Kind::Text),
    (Column::Description, "description", Kind::Text),
    (Column::AssetSelection, "asset_selection", Kind::Paths),
    (Column::PartitionNames, "partition_names", Kind::Texts),
    (Column::Tags, "tags", Kind::Map),
    (Column::FailureCount, "failure_count", Kind::Number),
    (Column::Error, "error", Kind::Error),
    (Column::Backfill, "backfill", Kind::Text),
];

#[derive(Default)]
struct Backfill<'b> {
    status: Option<Text<'b>>,
    created: Option<f64>,
    ended: Option<f64>,
    title: Option<Text<'b>>,
    description: Option<Text<'b>>,
    asset_selection: Option<Vec<Vec<Text<'b>>>>,
    partition_names: Option<Vec<Text<'b>>>,
    tags: Vec<(Text<'b>, Text<'b>)>,
    failure_count: Option<i64>,
    error: Vec<ErrorLevel<'b>>,
}

impl<'b> Backfill<'b> {
    fn read<'s: 'b>(mut walk: Walk<'b, 's>) -> std::result::Result<Self, value::Error> {
        let mut backfill = Self::default();
        walk.object(|walk, field| {
            match field {
                Field::Status => backfill.status = walk.text()?,
                Field::BackfillTimestamp => backfill.created = walk.float()?,
                Field::BackfillEndTimestamp => backfill.ended = walk.float()?,
                Field::Title => backfill.title = walk.text()?,
                Field::Description => backfill.description = walk.text()?,
                Field::AssetSelection => backfill.asset_selection = walk.paths()?,
                Field::PartitionNames => backfill.partition_names = walk.texts()?,
                Field::Tags => backfill.tags = walk.map()?,
                Field::FailureCount => backfill.failure_count = walk.int()?,
                Field::Error => walk.error(&mut backfill.error)?,
                _ => walk.skip()?,
            }
            Ok(())
        })?;
        walk.end()?;
        Ok(backfill)
    }
}

pub fn see(
    columns: &mut Columns<Column>,
    context: &mut Context<'_>,
    sequence: Sequence,
    record: &Record<'_>,
) -> Result<()> {
    let Some(version) = Version::of(context, Space::Backfill, sequence, record) else {
        return Ok(());
    };
    let backfill = match version.body {
        Some(body) => Backfill::read(Walk::new(body, &[], context.shapes)),
        None => Ok(Backfill::default()),
    }
    .map_err(in_body(sequence))?;
    let json = version.json(context, columns.want(|column| column == Column::Backfill))?;
    let names = backfill.partition_names.as_ref();
    columns.row(|column, to| match column {
        Column::Sequence => version.put_sequence(to),
        Column::Timestamp => to.time(Some(version.time)),
        Column::BackfillId => to.text(version.key),
        Column::Deleted => version.put_deleted(to),
        Column::Status => to.text(backfill.status.as_deref()),
        Column::Created => to.time(backfill.created),
        Column::Ended => to.time(backfill.ended),
        Column::Title => to.text(backfill.title.as_deref()),
        Column::Description => to.text(backfill.description.as_deref()),
        Column::AssetSelection => to.paths(backfill.asset_selection.as_deref()),
        Column::PartitionNames => {
            to.texts(names.map(|names| names.iter().map(|name| &**name)));
        }
        Column::Tags => to.map(backfill.tags.iter().map(|(key, value)| (&**key, &**value))),
        Column::FailureCount => to.number(backfill.failure_count),
        Column::Error => to.error(&backfill.error),
        Column::Backfill => to.text(json.as_deref()),
    });
    Ok(())
}
