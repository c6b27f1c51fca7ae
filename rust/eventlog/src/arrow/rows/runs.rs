//! `runs`: a row for each state that a run had.

use std::collections::BTreeMap;

use super::super::column::{Columns, Kind, Named, Text};
use super::super::cut::Cut;
use super::super::scan::Seen;
use super::super::standing::{Standing, Standings};
use super::super::walk::{Field, Walk};
use super::{Context, in_body};
use crate::error::Result;
use crate::query::Reader;
use crate::record::{Record, Space};
use crate::sequence::Sequence;
use crate::value::{self, push_json_str};

/// Tag of the partition of a run.
const PARTITION: &str = "dagster/partition";

/// Storage name of Dagster's `DagsterRunStatus`.
const STATUS_CLASS: &str = "PipelineRunStatus";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Sequence,
    Timestamp,
    RunId,
    Deleted,
    JobName,
    Status,
    Created,
    Updated,
    Started,
    Ended,
    Tags,
    Partition,
    RootRunId,
    ParentRunId,
    CodeLocation,
    Repository,
    JobSnapshotId,
    ExecutionPlanSnapshotId,
    AssetSelection,
    StepKeys,
    Run,
}

pub const COLUMNS: &[Named<Column>] = &[
    (Column::Sequence, "sequence", Kind::Sequence),
    (Column::Timestamp, "timestamp", Kind::Time),
    (Column::RunId, "run_id", Kind::Text),
    (Column::Deleted, "deleted", Kind::Flag),
    (Column::JobName, "job_name", Kind::Text),
    (Column::Status, "status", Kind::Word),
    (Column::Created, "created", Kind::Time),
    (Column::Updated, "updated", Kind::Time),
    (Column::Started, "started", Kind::Time),
    (Column::Ended, "ended", Kind::Time),
    (Column::Tags, "tags", Kind::Map),
    (Column::Partition, "partition", Kind::Text),
    (Column::RootRunId, "root_run_id", Kind::Text),
    (Column::ParentRunId, "parent_run_id", Kind::Text),
    (Column::CodeLocation, "code_location", Kind::Text),
    (Column::Repository, "repository", Kind::Text),
    (Column::JobSnapshotId, "job_snapshot_id", Kind::Text),
    (
        Column::ExecutionPlanSnapshotId,
        "execution_plan_snapshot_id",
        Kind::Text,
    ),
    (Column::AssetSelection, "asset_selection", Kind::Paths),
    (Column::StepKeys, "step_keys", Kind::Texts),
    (Column::Run, "run", Kind::Text),
];

/// Rows under construction, and how runs stand as of the last record.
pub struct Runs {
    pub columns: Columns<Column>,
    pub standings: Standings,
}

#[derive(Default)]
struct Body<'b> {
    job_name: Option<Text<'b>>,
    tags: BTreeMap<Text<'b>, Text<'b>>,
    root_run_id: Option<Text<'b>>,
    parent_run_id: Option<Text<'b>>,
    code_location: Option<Text<'b>>,
    repository: Option<Text<'b>>,
    job_snapshot_id: Option<Text<'b>>,
    execution_plan_snapshot_id: Option<Text<'b>>,
    asset_selection: Option<Vec<Vec<Text<'b>>>>,
    step_keys: Option<Vec<Text<'b>>>,
}

impl<'b> Body<'b> {
    fn read<'s: 'b>(mut walk: Walk<'b, 's>) -> std::result::Result<Self, value::Error> {
        let mut body = Self::default();
        walk.object(|walk, field| {
            match field {
                Field::PipelineName => body.job_name = walk.text()?,
                Field::Tags => body.tags.extend(walk.map()?),
                Field::RootRunId => body.root_run_id = walk.text()?,
                Field::ParentRunId => body.parent_run_id = walk.text()?,
                Field::RemoteJobOrigin => body.read_origin(walk)?,
                Field::JobSnapshotId => body.job_snapshot_id = walk.text()?,
                Field::ExecutionPlanSnapshotId => body.execution_plan_snapshot_id = walk.text()?,
                Field::AssetSelection => body.asset_selection = walk.paths()?,
                Field::StepKeysToExecute => body.step_keys = walk.texts()?,
                _ => walk.skip()?,
            }
            Ok(())
        })?;
        walk.end()?;
        Ok(body)
    }

    fn read_origin<'s: 'b>(
        &mut self,
        walk: &mut Walk<'b, 's>,
    ) -> std::result::Result<(), value::Error> {
        walk.object(|walk, field| match field {
            Field::RepositoryOrigin => walk.object(|walk, field| match field {
                Field::CodeLocationOrigin => walk.object(|walk, field| match field {
                    Field::LocationName => {
                        self.code_location = walk.text()?;
                        Ok(())
                    }
                    _ => walk.skip(),
                }),
                Field::RepositoryName => {
                    self.repository = walk.text()?;
                    Ok(())
                }
                _ => walk.skip(),
            }),
            _ => walk.skip(),
        })
    }
}

impl Runs {
    /// No row yet, of the named columns, of runs that change after a record.
    pub fn new(names: Option<&[String]>, after: Sequence) -> Self {
        Self {
            columns: Columns::new(COLUMNS, names),
            standings: Standings::new(after),
        }
    }

    /// Adds a row where the record changes a run that there was at the cut, or says that one is gone.
    pub fn see(
        &mut self,
        context: &mut Context<'_>,
        reader: &Reader<'_>,
        cut: &Cut,
        sequence: Sequence,
        record: &Record<'_>,
    ) -> Result<Seen> {
        if run_of(record).is_some_and(|run_id| !context.selection.takes_run(run_id)) {
            return Ok(Seen::Nothing);
        }
        if let Some(id) = self.standings.unknown(reader, cut, sequence, record)? {
            return Ok(Seen::Unknown(id));
        }
        let standing = self.standings.see(reader, sequence, record)?;
        let Some(time) = record.timestamp() else {
            return Ok(Seen::Nothing);
        };
        if !context.selection.takes_time(time) {
            return Ok(Seen::Nothing);
        }
        if let Some(standing) = standing {
            if !cut.had_run(reader, standing.id)? {
                return Ok(Seen::Nothing);
            }
            return self.put(context, reader, sequence, time, &standing);
        }
        let (run_id, created) = match record {
            Record::Document(gone) if gone.space == Space::Run => {
                (Some(gone.key), Some(gone.created))
            }
            Record::SpacesWiped(wiped) if wiped.spaces.contains(&Space::Run) => (None, None),
            _ => return Ok(Seen::Nothing),
        };
        self.columns.row(|column, to| match column {
            Column::Sequence => to.number(Some(sequence.get() as i64)),
            Column::Timestamp => to.time(Some(time)),
            Column::RunId => to.text(run_id),
            Column::Deleted => to.flag(Some(true)),
            Column::Created => to.time(created),
            column => put_body(column, to, &Body::default()),
        });
        Ok(Seen::Row(0))
    }

    fn put(
        &mut self,
        context: &mut Context<'_>,
        reader: &Reader<'_>,
        sequence: Sequence,
        time: f64,
        standing: &Standing,
    ) -> Result<Seen> {
        let Some(Record::Document(document)) = reader.record(standing.body)? else {
            // Below the horizon: what held the body was superseded and taken.
            return Ok(Seen::Nothing);
        };
        let Some(bytes) = document.state.as_ref().map(|state| state.body) else {
            return Ok(Seen::Nothing);
        };
        let state = &standing.state;
        let mut body =
            Body::read(Walk::new(bytes, &[], context.shapes)).map_err(in_body(standing.body))?;
        for (key, value) in &state.tags {
            body.tags.insert(key.as_str().into(), value.as_str().into());
        }
        let mut json = String::new();
        if self.columns.want(|column| column == Column::Run) {
            let mut replaced = Vec::new();
            let status = format!("{{\"__enum__\": \"{STATUS_CLASS}.{}\"}}", state.status);
            let tags = if state.tags.is_empty() {
                None
            } else {
                Some(json_map(&body.tags))
            };
            if !standing.is_as_added {
                replaced.push(("status", status.as_str()));
                replaced.extend(tags.as_deref().map(|tags| ("tags", tags)));
            }
            context
                .printer
                .print_with(&mut value::Reader::new(bytes), &[], &mut json, &replaced)
                .map_err(in_body(standing.body))?;
        }
        self.columns.row(|column, to| match column {
            Column::Sequence => to.number(Some(sequence.get() as i64)),
            Column::Timestamp => to.time(Some(time)),
            Column::RunId => to.text(Some(&standing.run_id)),
            Column::Deleted => to.flag(Some(false)),
            Column::Status => to.text(Some(&state.status)),
            Column::Created => to.time(Some(document.created)),
            Column::Updated => to.time(Some(state.updated)),
            Column::Started => to.time(state.started),
            Column::Ended => to.time(state.ended),
            Column::Run => to.text(Some(&json)),
            column => put_body(column, to, &body),
        });
        Ok(Seen::Row(bytes.len()))
    }
}

/// Puts what the body alone says, and null for what else there is.
fn put_body(column: Column, to: &mut super::super::column::Column, body: &Body<'_>) {
    match column {
        Column::Sequence => to.number(None),
        Column::Deleted => to.flag(None),
        Column::Timestamp | Column::Created | Column::Updated | Column::Started | Column::Ended => {
            to.time(None)
        }
        Column::RunId | Column::Status | Column::Run => to.text(None),
        Column::JobName => to.text(body.job_name.as_deref()),
        Column::Tags => to.map(body.tags.iter().map(|(key, value)| (&**key, &**value))),
        Column::Partition => to.text(body.tags.get(PARTITION).map(|value| &**value)),
        Column::RootRunId => to.text(body.root_run_id.as_deref()),
        Column::ParentRunId => to.text(body.parent_run_id.as_deref()),
        Column::CodeLocation => to.text(body.code_location.as_deref()),
        Column::Repository => to.text(body.repository.as_deref()),
        Column::JobSnapshotId => to.text(body.job_snapshot_id.as_deref()),
        Column::ExecutionPlanSnapshotId => to.text(body.execution_plan_snapshot_id.as_deref()),
        Column::AssetSelection => to.paths(body.asset_selection.as_deref()),
        Column::StepKeys => {
            let keys = body.step_keys.as_ref();
            to.texts(keys.map(|keys| keys.iter().map(|key| &**key)));
        }
    }
}

/// The run that a record is of, if it is of one.
fn run_of<'r>(record: &'r Record<'_>) -> Option<&'r str> {
    match record {
        Record::Document(document) if document.space == Space::Run => Some(document.key),
        Record::RunStateSet(set) => Some(&set.run_id),
        Record::Event(event) => Some(event.run_id),
        Record::Husk(husk) => husk.status.as_ref().map(|status| status.run_id.as_str()),
        _ => None,
    }
}

fn json_map(entries: &BTreeMap<Text<'_>, Text<'_>>) -> String {
    let mut text = "{".to_owned();
    for (key, value) in entries {
        if text.len() > 1 {
            text.push_str(", ");
        }
        push_json_str(&mut text, key);
        text.push_str(": ");
        push_json_str(&mut text, value);
    }
    text.push('}');
    text
}
