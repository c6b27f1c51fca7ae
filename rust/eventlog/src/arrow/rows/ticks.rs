//! `ticks`: a row for each state that a tick of a schedule or sensor had.

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
    TickId,
    Deleted,
    InstigatorName,
    InstigatorType,
    SelectorId,
    OriginId,
    Status,
    Started,
    Ended,
    RunIds,
    RunKeys,
    SkipReason,
    Cursor,
    FailureCount,
    Error,
    Tick,
}

pub const COLUMNS: &[Named<Column>] = &[
    (Column::Sequence, "sequence", Kind::Sequence),
    (Column::Timestamp, "timestamp", Kind::Time),
    (Column::TickId, "tick_id", Kind::Number),
    (Column::Deleted, "deleted", Kind::Flag),
    (Column::InstigatorName, "instigator_name", Kind::Text),
    (Column::InstigatorType, "instigator_type", Kind::Word),
    (Column::SelectorId, "selector_id", Kind::Text),
    (Column::OriginId, "origin_id", Kind::Text),
    (Column::Status, "status", Kind::Word),
    (Column::Started, "started", Kind::Time),
    (Column::Ended, "ended", Kind::Time),
    (Column::RunIds, "run_ids", Kind::Texts),
    (Column::RunKeys, "run_keys", Kind::Texts),
    (Column::SkipReason, "skip_reason", Kind::Text),
    (Column::Cursor, "cursor", Kind::Text),
    (Column::FailureCount, "failure_count", Kind::Number),
    (Column::Error, "error", Kind::Error),
    (Column::Tick, "tick", Kind::Text),
];

#[derive(Default)]
struct Tick<'b> {
    name: Option<Text<'b>>,
    instigator_type: Option<Text<'b>>,
    selector_id: Option<Text<'b>>,
    origin_id: Option<Text<'b>>,
    status: Option<Text<'b>>,
    started: Option<f64>,
    ended: Option<f64>,
    run_ids: Option<Vec<Text<'b>>>,
    run_keys: Option<Vec<Text<'b>>>,
    skip_reason: Option<Text<'b>>,
    cursor: Option<Text<'b>>,
    failure_count: Option<i64>,
    error: Vec<ErrorLevel<'b>>,
}

impl<'b> Tick<'b> {
    fn read<'s: 'b>(mut walk: Walk<'b, 's>) -> std::result::Result<Self, value::Error> {
        let mut tick = Self::default();
        walk.object(|walk, field| {
            match field {
                Field::JobName => tick.name = walk.text()?,
                Field::JobType => tick.instigator_type = walk.text()?,
                Field::SelectorId => tick.selector_id = walk.text()?,
                Field::JobOriginId => tick.origin_id = walk.text()?,
                Field::Status => tick.status = walk.text()?,
                Field::Timestamp => tick.started = walk.float()?,
                Field::EndTimestamp => tick.ended = walk.float()?,
                Field::RunIds => tick.run_ids = walk.texts()?,
                Field::RunKeys => tick.run_keys = walk.texts()?,
                Field::SkipReason => tick.skip_reason = walk.text()?,
                Field::Cursor => tick.cursor = walk.text()?,
                Field::FailureCount => tick.failure_count = walk.int()?,
                Field::Error => walk.error(&mut tick.error)?,
                _ => walk.skip()?,
            }
            Ok(())
        })?;
        walk.end()?;
        Ok(tick)
    }
}

pub fn see(
    columns: &mut Columns<Column>,
    context: &mut Context<'_>,
    sequence: Sequence,
    record: &Record<'_>,
) -> Result<()> {
    let Some(version) = Version::of(context, Space::Tick, sequence, record) else {
        return Ok(());
    };
    let tick = match version.body {
        Some(body) => Tick::read(Walk::new(body, &[], context.shapes)),
        None => Ok(Tick::default()),
    }
    .map_err(in_body(sequence))?;
    let json = version.json(context, columns.want(|column| column == Column::Tick))?;
    columns.row(|column, to| match column {
        Column::Sequence => version.put_sequence(to),
        Column::Timestamp => to.time(Some(version.time)),
        Column::TickId => to.number(version.id.map(|id| id.get() as i64)),
        Column::Deleted => version.put_deleted(to),
        Column::InstigatorName => to.text(tick.name.as_deref()),
        Column::InstigatorType => to.text(tick.instigator_type.as_deref()),
        Column::SelectorId => to.text(tick.selector_id.as_deref()),
        Column::OriginId => to.text(tick.origin_id.as_deref()),
        Column::Status => to.text(tick.status.as_deref()),
        Column::Started => to.time(tick.started),
        Column::Ended => to.time(tick.ended),
        Column::RunIds => to.texts(texts(&tick.run_ids)),
        Column::RunKeys => to.texts(texts(&tick.run_keys)),
        Column::SkipReason => to.text(tick.skip_reason.as_deref()),
        Column::Cursor => to.text(tick.cursor.as_deref()),
        Column::FailureCount => to.number(tick.failure_count),
        Column::Error => to.error(&tick.error),
        Column::Tick => to.text(json.as_deref()),
    });
    Ok(())
}

fn texts<'t>(texts: &'t Option<Vec<Text<'_>>>) -> Option<impl Iterator<Item = &'t str>> {
    texts.as_ref().map(|texts| texts.iter().map(|text| &**text))
}
