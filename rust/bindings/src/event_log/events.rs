//! Queries on events: `_core.pyi`, "Events".

use std::collections::{BTreeSet, HashMap, HashSet};

use eventlog::Sequence;
use eventlog::query::Bounds;
use eventlog::query::events::{
    RunEvents, TypedEvents, asset_event_summaries, events_after, run_asset_partitions,
    run_event_counts, run_events, typed_events,
};
use pyo3::prelude::{PyResult, Python};
use pyo3::pymethods;

use super::EventLog;
use super::stored::PyEvent;
use crate::errors::to_py;

/// Events, and those that did not decode with the reason.
type Events<'py> = (Vec<PyEvent<'py>>, Vec<(u64, String)>);

/// `(sequence, run_id, asset_key, partition, timestamp)`.
type Summary = (u64, String, String, Option<String>, f64);

#[pymethods]
#[allow(
    clippy::too_many_arguments,
    reason = "keyword arguments of the Python methods"
)]
impl EventLog {
    #[pyo3(signature = (run_id, *, after=None, before=None, offset=0, types=None, step_keys=None, limit=None, ascending=true))]
    fn run_events<'py>(
        &self,
        py: Python<'py>,
        run_id: &str,
        after: Option<i64>,
        before: Option<i64>,
        offset: usize,
        types: Option<BTreeSet<String>>,
        step_keys: Option<HashSet<String>>,
        limit: Option<usize>,
        ascending: bool,
    ) -> PyResult<Vec<PyEvent<'py>>> {
        let bounds = Bounds::new(after, before);
        let query = RunEvents {
            bounds,
            offset,
            types,
            step_keys,
            limit,
            ascending,
        };
        let (events, shapes) =
            self.query_events(py, |reader| run_events(reader, run_id, &query))?;
        self.decode_all(py, &events, &shapes)
    }

    #[pyo3(signature = (run_id, types=None))]
    fn run_event_counts(
        &self,
        py: Python<'_>,
        run_id: &str,
        types: Option<BTreeSet<String>>,
    ) -> PyResult<HashMap<String, (usize, f64)>> {
        let counts = self.query(py, |reader| {
            run_event_counts(reader, run_id, types.as_ref())
        })?;
        Ok(counts
            .into_iter()
            .map(|(name, count, latest)| (name, (count, latest)))
            .collect())
    }

    #[pyo3(signature = (run_id, types=None))]
    fn run_asset_partitions(
        &self,
        py: Python<'_>,
        run_id: &str,
        types: Option<BTreeSet<String>>,
    ) -> PyResult<Vec<(String, Option<String>)>> {
        let found = self.query(py, |reader| {
            run_asset_partitions(reader, run_id, types.as_ref())
        })?;
        Ok(found.into_iter().collect())
    }

    #[pyo3(signature = (event_type, *, asset_key=None, partitions=None, job_names=None, sequences=None, after=None, before=None, after_timestamp=None, before_timestamp=None, limit=None, ascending=false))]
    fn events<'py>(
        &self,
        py: Python<'py>,
        event_type: String,
        asset_key: Option<String>,
        partitions: Option<Vec<String>>,
        job_names: Option<Vec<String>>,
        sequences: Option<Vec<i64>>,
        after: Option<i64>,
        before: Option<i64>,
        after_timestamp: Option<f64>,
        before_timestamp: Option<f64>,
        limit: Option<usize>,
        ascending: bool,
    ) -> PyResult<Events<'py>> {
        let query = TypedEvents {
            event_type,
            asset_key,
            partitions,
            job_names,
            sequences: sequences.map(known_sequences),
            bounds: Bounds::new(after, before),
            after_timestamp,
            before_timestamp,
            limit,
            ascending,
        };
        let (events, shapes) = self.query_events(py, |reader| typed_events(reader, &query))?;
        self.decode_each(py, &events, &shapes, false)
    }

    #[pyo3(signature = (after, types=None, limit=None))]
    fn events_after<'py>(
        &self,
        py: Python<'py>,
        after: i64,
        types: Option<BTreeSet<String>>,
        limit: Option<usize>,
    ) -> PyResult<Events<'py>> {
        let after = Bounds::new(Some(after), None).after;
        let (events, shapes) = self.query_events(py, |reader| {
            events_after(reader, after, types.as_ref(), limit)
        })?;
        self.decode_each(py, &events, &shapes, true)
    }

    #[pyo3(signature = (event_type, *, asset_key=None, run_id=None, sequences=None, after=None, before=None, limit=None, ascending=false))]
    fn asset_event_summaries(
        &self,
        py: Python<'_>,
        event_type: String,
        asset_key: Option<String>,
        run_id: Option<&str>,
        sequences: Option<Vec<i64>>,
        after: Option<i64>,
        before: Option<i64>,
        limit: Option<usize>,
        ascending: bool,
    ) -> PyResult<Vec<Summary>> {
        let query = TypedEvents {
            event_type,
            asset_key,
            partitions: None,
            job_names: None,
            sequences: sequences.map(known_sequences),
            bounds: Bounds::new(after, before),
            after_timestamp: None,
            before_timestamp: None,
            limit,
            ascending,
        };
        let found = self.query(py, |reader| asset_event_summaries(reader, &query, run_id))?;
        let summary = |s: eventlog::query::events::AssetEventSummary| {
            (
                s.sequence.get(),
                s.run_id,
                s.asset_key,
                s.partition,
                s.timestamp,
            )
        };
        Ok(found.into_iter().map(summary).collect())
    }

    fn last_event_sequence(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let last = py.detach(|| self.engine.last_event()).map_err(to_py)?;
        Ok(last.map(Sequence::get))
    }
}

/// Sequences among integers that Dagster calls storage ids.
fn known_sequences(numbers: Vec<i64>) -> Vec<Sequence> {
    numbers
        .into_iter()
        .filter_map(|number| u64::try_from(number).ok())
        .map(Sequence::new)
        .collect()
}
