//! Queries on assets: `_core.pyi`, "Assets".

use std::collections::HashMap;

use eventlog::Sequence;
use eventlog::query::assets as query;
use pyo3::prelude::{Bound, Py, PyAny, PyResult, Python};
use pyo3::{pyclass, pymethods};

use super::EventLog;
use super::stored::PyEvent;
use crate::errors::to_py;

type OwnedEvent = (u64, Py<PyAny>);

/// The projection of one asset.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct AssetRow {
    id: u64,
    asset_key: String,
    last_materialization: Option<OwnedEvent>,
    last_observation: Option<OwnedEvent>,
    last_failed: Option<OwnedEvent>,
    last_skipped: Option<OwnedEvent>,
    last_planned: Option<(u64, String)>,
    last_run_id: Option<String>,
    wiped_at: Option<f64>,
    cached_status: Option<String>,
}

#[pymethods]
impl EventLog {
    fn has_asset(&self, py: Python<'_>, asset_key: &str) -> PyResult<bool> {
        self.query(py, |reader| {
            Ok(reader.asset(asset_key)?.is_some_and(|asset| asset.known))
        })
    }

    #[pyo3(signature = (prefix=None, after=None, limit=None))]
    fn asset_keys(
        &self,
        py: Python<'_>,
        prefix: Option<&str>,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> PyResult<Vec<String>> {
        self.query(py, |reader| query::asset_keys(reader, prefix, after, limit))
    }

    #[pyo3(signature = (asset_keys=None))]
    fn asset_rows(
        &self,
        py: Python<'_>,
        asset_keys: Option<Vec<String>>,
    ) -> PyResult<Vec<AssetRow>> {
        let (rows, shapes) = self.query_events(py, |reader| {
            query::asset_rows(reader, asset_keys.as_deref())
        })?;
        let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        let mut cached = py
            .detach(|| self.engine.cached_status(&keys))
            .map_err(to_py)?;
        let mut events = Vec::with_capacity(rows.len() * 4);
        for row in &rows {
            events.push(row.last_materialization.as_ref());
            events.push(row.last_observation.as_ref());
            events.push(row.last_failed.as_ref());
            events.push(row.last_skipped.as_ref());
        }
        let mut events = self
            .decode_optional(py, &events, &shapes)?
            .into_iter()
            .map(|event| event.map(|(sequence, entry)| (sequence, entry.unbind())));
        let mut next = || events.next().flatten();
        Ok(rows
            .iter()
            .map(|row| AssetRow {
                id: row.id,
                last_materialization: next(),
                last_observation: next(),
                last_failed: next(),
                last_skipped: next(),
                last_planned: row
                    .last_planned
                    .as_ref()
                    .map(|(s, run)| (s.get(), run.clone())),
                last_run_id: row.last_run_id.clone(),
                wiped_at: row.wiped_at,
                cached_status: cached.remove(&row.key),
                asset_key: row.key.clone(),
            })
            .collect())
    }

    fn latest_materializations<'py>(
        &self,
        py: Python<'py>,
        asset_keys: Vec<String>,
    ) -> PyResult<HashMap<String, Option<PyEvent<'py>>>> {
        let (found, shapes) = self.query_events(py, |reader| {
            let mut found = Vec::new();
            for key in asset_keys {
                if let Some(latest) = query::latest_materialization(reader, &key)? {
                    let load = |sequence| eventlog::query::events::load(reader, sequence);
                    found.push((key, latest.map(load).transpose()?));
                }
            }
            Ok(found)
        })?;
        let events: Vec<_> = found.iter().map(|(_, event)| event.as_ref()).collect();
        let decoded = self.decode_optional(py, &events, &shapes)?;
        Ok(found.into_iter().map(|(key, _)| key).zip(decoded).collect())
    }

    fn latest_materialization_sequences(
        &self,
        py: Python<'_>,
        asset_keys: Vec<String>,
    ) -> PyResult<HashMap<String, Option<u64>>> {
        self.query(py, |reader| {
            let mut found = HashMap::new();
            for key in asset_keys {
                if let Some(latest) = query::latest_materialization(reader, &key)? {
                    found.insert(key, latest.map(Sequence::get));
                }
            }
            Ok(found)
        })
    }

    fn latest_unpartitioned_materialization_sequences(
        &self,
        py: Python<'_>,
        asset_keys: Vec<String>,
    ) -> PyResult<HashMap<String, u64>> {
        self.query(py, |reader| {
            let mut found = HashMap::new();
            for key in asset_keys {
                if let Some(latest) = query::latest_unpartitioned(reader, &key)? {
                    found.insert(key, latest.get());
                }
            }
            Ok(found)
        })
    }

    fn latest_freshness_changes<'py>(
        &self,
        py: Python<'py>,
        asset_keys: Vec<String>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (events, shapes) = self.query_events(py, |reader| {
            let mut events = Vec::new();
            for key in &asset_keys {
                events.extend(query::latest_freshness_change(reader, key)?);
            }
            Ok(events)
        })?;
        let decoded = self.decode_all(py, &events, &shapes)?;
        Ok(decoded.into_iter().map(|(_, entry)| entry).collect())
    }

    #[pyo3(signature = (asset_key, partition))]
    fn latest_planned(
        &self,
        py: Python<'_>,
        asset_key: &str,
        partition: Option<&str>,
    ) -> PyResult<Option<(u64, String)>> {
        self.query(py, |reader| {
            let Some(asset) = reader.asset(asset_key)? else {
                return Ok(None);
            };
            let planned = query::latest_planned(reader, &asset, partition)?;
            Ok(planned.map(|(sequence, run_id)| (sequence.get(), run_id)))
        })
    }

    #[pyo3(signature = (asset_key, tags, sequence))]
    fn event_tags(
        &self,
        py: Python<'_>,
        asset_key: &str,
        tags: Option<HashMap<String, String>>,
        sequence: Option<i64>,
    ) -> PyResult<Vec<HashMap<String, String>>> {
        let tags: Vec<_> = tags.unwrap_or_default().into_iter().collect();
        let sequence = sequence.map(|number| Sequence::new(u64::try_from(number).unwrap_or(0)));
        let found = self.query(py, |reader| {
            query::event_tags(reader, asset_key, &tags, sequence)
        })?;
        Ok(found
            .into_iter()
            .map(|tags| tags.into_iter().collect())
            .collect())
    }
}
