//! Queries on asset checks: `_core.pyi`, "Checks".

use std::collections::HashSet;

use eventlog::Sequence;
use eventlog::query::checks as query;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::{Bound, PyAny, PyResult, Python};
use pyo3::pymethods;

use super::EventLog;
use super::shapes::Definitions;

/// `(row_id, run_id, status, entry, created, partition)`.
type CheckExecution<'py> = (
    u64,
    String,
    &'static str,
    Bound<'py, PyAny>,
    f64,
    Option<String>,
);

/// `(partition, status, target, run_id, event, materialization)`.
type CheckPartition = (
    Option<String>,
    &'static str,
    Option<u64>,
    String,
    u64,
    Option<u64>,
);

#[pymethods]
#[allow(
    clippy::too_many_arguments,
    reason = "keyword arguments of the Python methods"
)]
impl EventLog {
    #[pyo3(signature = (asset_key, check, *, limit, before=None, statuses=None, partition=None))]
    fn check_executions<'py>(
        &self,
        py: Python<'py>,
        asset_key: &str,
        check: &str,
        limit: usize,
        before: Option<i64>,
        statuses: Option<HashSet<String>>,
        partition: Option<(Option<String>,)>,
    ) -> PyResult<Vec<CheckExecution<'py>>> {
        let statuses = statuses.map(parse_statuses).transpose()?;
        let query = query::Executions {
            limit,
            before: before.map(|number| Sequence::new(u64::try_from(number).unwrap_or(0))),
            statuses,
            partition: partition.map(|(name,)| name),
        };
        let (found, shapes) = self.query_events(py, |reader| {
            query::executions(reader, asset_key, check, &query)
        })?;
        self.decode_executions(py, found, &shapes)
    }

    #[pyo3(signature = (checks, partition=None))]
    fn latest_check_executions<'py>(
        &self,
        py: Python<'py>,
        checks: Vec<(String, String)>,
        partition: Option<(Option<String>,)>,
    ) -> PyResult<Vec<Option<CheckExecution<'py>>>> {
        let query = query::Executions {
            limit: 1,
            partition: partition.map(|(name,)| name),
            ..Default::default()
        };
        let (found, shapes) = self.query_events(py, |reader| {
            let latest = |(asset_key, check): &(String, String)| -> eventlog::Result<_> {
                Ok(query::executions(reader, asset_key, check, &query)?.pop())
            };
            checks
                .iter()
                .map(latest)
                .collect::<eventlog::Result<Vec<_>>>()
        })?;
        let present: Vec<bool> = found.iter().map(Option::is_some).collect();
        let executions = found.into_iter().flatten().collect();
        let mut decoded = self.decode_executions(py, executions, &shapes)?.into_iter();
        Ok(present
            .into_iter()
            .map(|here| if here { decoded.next() } else { None })
            .collect())
    }

    #[pyo3(signature = (asset_key, check, *, after=None, partitions=None))]
    fn check_partitions(
        &self,
        py: Python<'_>,
        asset_key: &str,
        check: &str,
        after: Option<i64>,
        partitions: Option<Vec<String>>,
    ) -> PyResult<Vec<CheckPartition>> {
        let wanted = partitions.as_deref();
        let found = self.query(py, |reader| {
            query::partitions(reader, asset_key, check, after, wanted)
        })?;
        let row = |p: query::CheckPartition| {
            let materialization = p.materialization.map(Sequence::get);
            (
                p.partition,
                p.status.name(),
                p.target,
                p.run_id,
                p.event.get(),
                materialization,
            )
        };
        Ok(found.into_iter().map(row).collect())
    }
}

impl EventLog {
    fn decode_executions<'py>(
        &self,
        py: Python<'py>,
        executions: Vec<query::Execution>,
        shapes: &Definitions,
    ) -> PyResult<Vec<CheckExecution<'py>>> {
        let events: Vec<_> = executions
            .iter()
            .map(|execution| execution.event.clone())
            .collect();
        let entries = self.decode_all(py, &events, shapes)?;
        executions
            .into_iter()
            .zip(entries)
            .map(|(execution, (_, entry))| {
                let event = execution.event.event().map_err(crate::errors::to_py)?;
                Ok((
                    execution.row_id.get(),
                    event.run_id.to_owned(),
                    execution.row.status.name(),
                    entry,
                    execution.row.created,
                    execution.row.partition,
                ))
            })
            .collect()
    }
}

fn parse_statuses(
    names: HashSet<String>,
) -> PyResult<Vec<eventlog::projection::rows::CheckStatus>> {
    names
        .into_iter()
        .map(|name| {
            query::status_named(&name)
                .ok_or_else(|| PyValueError::new_err(format!("no status of a check: {name:?}")))
        })
        .collect()
}
