//! Queries on partitions, static and dynamic: `_core.pyi`, "Assets" and "Dynamic partitions".

use std::collections::{HashMap, HashSet};

use eventlog::query::{Bounds, dynamic_partitions, partitions as query};
use eventlog::record::event_type::names;
use pyo3::prelude::{Bound, PyDictMethods, PyResult, PySetMethods, Python};
use pyo3::pymethods;
use pyo3::types::{PyDict, PySet};

use super::EventLog;

#[pymethods]
#[allow(
    clippy::too_many_arguments,
    reason = "keyword arguments of the Python methods"
)]
impl EventLog {
    #[pyo3(signature = (asset_key, *, after=None, before=None))]
    fn materialized_partitions<'py>(
        &self,
        py: Python<'py>,
        asset_key: &str,
        after: Option<i64>,
        before: Option<i64>,
    ) -> PyResult<Bound<'py, PySet>> {
        let bounds = Bounds::new(after, before);
        let kind = names::MATERIALIZATION;
        let latest = self.query(py, |reader| {
            query::latest_by_partition(reader, asset_key, kind, None, bounds)
        })?;
        let found = PySet::empty(py)?;
        for (name, _) in latest {
            found.add(name)?;
        }
        Ok(found)
    }

    #[pyo3(signature = (asset_key, event_type, *, partitions=None, after=None, before=None))]
    fn latest_sequences_by_partition<'py>(
        &self,
        py: Python<'py>,
        asset_key: &str,
        event_type: &str,
        partitions: Option<HashSet<String>>,
        after: Option<i64>,
        before: Option<i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (bounds, wanted) = (Bounds::new(after, before), partitions.as_ref());
        let latest = self.query(py, |reader| {
            query::latest_by_partition(reader, asset_key, event_type, wanted, bounds)
        })?;
        let found = PyDict::new(py);
        for (name, sequence) in latest {
            found.set_item(name, sequence.get())?;
        }
        Ok(found)
    }

    #[pyo3(signature = (asset_key, event_type, tag_keys, *, partitions=None, after=None, before=None))]
    fn latest_tags_by_partition<'py>(
        &self,
        py: Python<'py>,
        asset_key: &str,
        event_type: &str,
        tag_keys: Vec<String>,
        partitions: Option<Vec<String>>,
        after: Option<i64>,
        before: Option<i64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let bounds = Bounds::new(after, before);
        let wanted: Option<HashSet<String>> = partitions.map(|names| names.into_iter().collect());
        let latest = self.query(py, |reader| {
            query::latest_tags(
                reader,
                asset_key,
                event_type,
                &tag_keys,
                wanted.as_ref(),
                bounds,
            )
        })?;
        let found = PyDict::new(py);
        for (name, tags) in latest {
            let of_partition = PyDict::new(py);
            for (key, value) in tags {
                of_partition.set_item(key, value)?;
            }
            found.set_item(name, of_partition)?;
        }
        Ok(found)
    }

    #[pyo3(signature = (asset_key, after=None))]
    fn unmaterialized_attempts(
        &self,
        py: Python<'_>,
        asset_key: &str,
        after: Option<i64>,
    ) -> PyResult<HashMap<String, (String, u64)>> {
        let bounds = Bounds::new(after, None);
        let found = self.query(py, |reader| {
            query::unmaterialized_attempts(reader, asset_key, bounds)
        })?;
        Ok(found
            .into_iter()
            .map(|(name, run_id, s)| (name, (run_id, s.get())))
            .collect())
    }

    fn changed_data_versions(
        &self,
        py: Python<'_>,
        asset_key: &str,
        partitions: Vec<String>,
        since: i64,
        tag_key: &str,
    ) -> PyResult<HashSet<String>> {
        let wanted: HashSet<String> = partitions.into_iter().collect();
        let since = Bounds::new(Some(since), None).after;
        let found = self.query(py, |reader| {
            query::changed_data_versions(reader, asset_key, &wanted, since, tag_key)
        })?;
        Ok(found.into_iter().collect())
    }

    fn dynamic_partitions(&self, py: Python<'_>, definition: &str) -> PyResult<Vec<String>> {
        let page = self.query(py, |reader| {
            dynamic_partitions::page(reader, definition, Bounds::ALL, None, true)
        })?;
        Ok(page.into_iter().map(|(_, key)| key).collect())
    }

    #[pyo3(signature = (definition, *, limit, ascending, cursor=None))]
    fn dynamic_partitions_page(
        &self,
        py: Python<'_>,
        definition: &str,
        limit: usize,
        ascending: bool,
        cursor: Option<i64>,
    ) -> PyResult<Vec<(u64, String)>> {
        let bounds = if ascending {
            Bounds::new(cursor, None)
        } else {
            Bounds::new(None, cursor)
        };
        let page = self.query(py, |reader| {
            dynamic_partitions::page(reader, definition, bounds, Some(limit), ascending)
        })?;
        Ok(page
            .into_iter()
            .map(|(sequence, key)| (sequence.get(), key))
            .collect())
    }

    fn existing_dynamic_partitions(
        &self,
        py: Python<'_>,
        definition: &str,
        keys: Vec<String>,
    ) -> PyResult<HashSet<String>> {
        self.query(py, |reader| {
            dynamic_partitions::existing(reader, definition, &keys)
        })
    }
}
