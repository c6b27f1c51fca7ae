//! `asset_checks`: a row for every execution of a check that was planned, and for every evaluation.

use super::super::column::{Columns, Kind, Named};
use super::super::walk::Walk;
use super::event_body::EventBody;
use super::{Context, in_body, path_of};
use crate::error::Result;
use crate::record::Record;
use crate::sequence::Sequence;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Sequence,
    Timestamp,
    RunId,
    JobName,
    StepKey,
    AssetKey,
    CheckName,
    Partition,
    Status,
    Severity,
    Blocking,
    Description,
    Target,
    Metadata,
}

pub const COLUMNS: &[Named<Column>] = &[
    (Column::Sequence, "sequence", Kind::Sequence),
    (Column::Timestamp, "timestamp", Kind::Time),
    (Column::RunId, "run_id", Kind::Text),
    (Column::JobName, "job_name", Kind::Text),
    (Column::StepKey, "step_key", Kind::Text),
    (Column::AssetKey, "asset_key", Kind::Texts),
    (Column::CheckName, "check_name", Kind::Text),
    (Column::Partition, "partition", Kind::Text),
    (Column::Status, "status", Kind::Word),
    (Column::Severity, "severity", Kind::Word),
    (Column::Blocking, "blocking", Kind::Flag),
    (Column::Description, "description", Kind::Text),
    (Column::Target, "target_sequence", Kind::Number),
    (Column::Metadata, "metadata", Kind::Metadata),
];

impl Column {
    fn is_of_body(self) -> bool {
        matches!(
            self,
            Self::Severity | Self::Blocking | Self::Description | Self::Metadata
        )
    }
}

/// What a row says, but for the body.
struct Execution<'a> {
    timestamp: f64,
    run_id: &'a str,
    job_name: Option<&'a str>,
    step_key: Option<&'a str>,
    asset_key: &'a str,
    name: &'a str,
    partition: Option<&'a str>,
    passed: Option<bool>,
    target: Option<u64>,
}

pub fn see(
    columns: &mut Columns<Column>,
    context: &mut Context<'_>,
    sequence: Sequence,
    record: &Record<'_>,
) -> Result<()> {
    let mut body = EventBody::default();
    let facets;
    let execution = match record {
        Record::Event(event) => {
            let Some(check) = &event.check else {
                return Ok(());
            };
            let execution = Execution {
                timestamp: event.timestamp,
                run_id: event.run_id,
                job_name: event.job_name,
                step_key: event.step_key,
                asset_key: check.asset_key,
                name: check.name,
                partition: check.partition,
                passed: check.passed,
                target: check.target,
            };
            if !is_selected(context, &execution) {
                return Ok(());
            }
            if columns.want(Column::is_of_body) {
                facets = event.facets();
                let walk = Walk::new(event.body, &facets, context.shapes);
                body = EventBody::read(walk, &mut context.printer).map_err(in_body(sequence))?;
            }
            execution
        }
        Record::CheckExecutionPlanned(planned) => {
            let execution = Execution {
                timestamp: planned.created,
                run_id: &planned.run_id,
                job_name: None,
                step_key: None,
                asset_key: &planned.asset_key,
                name: &planned.name,
                partition: Some(&planned.partition),
                passed: None,
                target: None,
            };
            if !is_selected(context, &execution) {
                return Ok(());
            }
            execution
        }
        _ => return Ok(()),
    };
    columns.row(|column, to| match column {
        Column::Sequence => to.number(Some(sequence.get() as i64)),
        Column::Timestamp => to.time(Some(execution.timestamp)),
        Column::RunId => to.text(Some(execution.run_id).filter(|run_id| !run_id.is_empty())),
        Column::JobName => to.text(execution.job_name),
        Column::StepKey => to.text(execution.step_key),
        Column::AssetKey => {
            let path = path_of(execution.asset_key);
            to.texts(Some(path.iter().map(String::as_str)));
        }
        Column::CheckName => to.text(Some(execution.name)),
        Column::Partition => to.text(execution.partition),
        Column::Status => to.text(Some(match execution.passed {
            None => "PLANNED",
            Some(true) => "SUCCEEDED",
            Some(false) => "FAILED",
        })),
        Column::Severity => to.text(body.severity.as_deref()),
        Column::Blocking => to.flag(body.blocking),
        Column::Description => to.text(body.description.as_deref()),
        Column::Target => to.number(execution.target.map(|target| target as i64)),
        Column::Metadata => to.metadata(&body.metadata),
    });
    Ok(())
}

fn is_selected(context: &Context<'_>, execution: &Execution<'_>) -> bool {
    let selection = context.selection;
    selection.takes_time(execution.timestamp)
        && selection.takes_run(execution.run_id)
        && selection.takes_asset(Some(execution.asset_key))
}
