//! What the projections need of an event, taken from Dagster's objects at encode time.

use eventlog::record::event_type::{STATUS_CHANGES, names};
use eventlog::record::{AssetFacet, CheckFacet, Event, Record, StatusFacet};
use pyo3::intern;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyString, PyStringMethods};

use super::asset_key::key_text;
use super::indexed_tags::TagsToIndex;
use crate::codec::FacetValue;

/// The facets of an `EventLogEntry`, holding the Python strings they come from.
pub struct EntryFacets<'py> {
    timestamp: f64,
    level: i64,
    run_id: Bound<'py, PyString>,
    event_type: Option<Bound<'py, PyString>>,
    step_key: Option<Bound<'py, PyString>>,
    job_name: Option<Bound<'py, PyString>>,
    asset: Option<EntryAsset<'py>>,
    check: Option<EntryCheck<'py>>,
    status: Option<EntryStatus<'py>>,
}

struct EntryAsset<'py> {
    key: String,
    partition: Option<Bound<'py, PyString>>,
    subset: Vec<Bound<'py, PyString>>,
    tags: Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>,
    skipped: bool,
}

struct EntryStatus<'py> {
    status: Bound<'py, PyString>,
    failure_reason: Option<Bound<'py, PyString>>,
    starts: bool,
    ends: bool,
}

struct EntryCheck<'py> {
    asset_key: String,
    name: Bound<'py, PyString>,
    partition: Option<Bound<'py, PyString>>,
    more_partitions: Vec<String>,
    passed: Option<bool>,
    target: Option<u64>,
    created: f64,
}

impl<'py> EntryFacets<'py> {
    /// Reads the facets of an entry. `tags_to_index` chooses among an asset event's tags.
    pub fn of(
        entry: &Bound<'py, PyAny>,
        tags_to_index: &mut TagsToIndex<'_, 'py>,
    ) -> PyResult<Self> {
        let py = entry.py();
        let mut facets = Self {
            timestamp: entry.getattr(intern!(py, "timestamp"))?.extract()?,
            level: entry.getattr(intern!(py, "level"))?.extract()?,
            run_id: entry
                .getattr(intern!(py, "run_id"))?
                .cast_into::<PyString>()?,
            event_type: None,
            step_key: text(&entry.getattr(intern!(py, "step_key"))?)?,
            job_name: text(&entry.getattr(intern!(py, "job_name"))?)?,
            asset: None,
            check: None,
            status: None,
        };
        let event = entry.getattr(intern!(py, "dagster_event"))?;
        if event.is_none() {
            return Ok(facets);
        }
        let event_type = event
            .getattr(intern!(py, "event_type_value"))?
            .cast_into::<PyString>()?;
        facets.step_key = text(&event.getattr(intern!(py, "step_key"))?)?;
        match event_type.to_str()? {
            name @ (names::MATERIALIZATION
            | names::OBSERVATION
            | names::PLANNED
            | names::FAILED
            | names::FRESHNESS
            | "ASSET_HEALTH_CHANGED"
            | "ASSET_WIPED") => facets.asset = asset_of(&event, name, tags_to_index)?,
            name @ (names::CHECK_PLANNED | names::CHECK_EVALUATION) => {
                facets.check = check_of(&event, name)?;
            }
            name if STATUS_CHANGES.contains(&name) => {
                facets.status = Some(status_of(&event, name)?);
            }
            _ => {}
        }
        facets.event_type = Some(event_type);
        Ok(facets)
    }

    /// What the body may refer to, by place; `Event::facets` gives the same when it is read.
    pub fn values(&self) -> [Option<FacetValue<'py>>; 6] {
        let text = |text: &Option<Bound<'py, PyString>>| text.clone().map(FacetValue::Str);
        [
            Some(FacetValue::Str(self.run_id.clone())),
            text(&self.job_name),
            text(&self.step_key),
            text(&self.event_type),
            Some(FacetValue::Float(self.timestamp)),
            self.asset.as_ref().and_then(|asset| text(&asset.partition)),
        ]
    }

    /// The encoded record of these facets and a body.
    pub fn payload(&self, body: &[u8]) -> PyResult<Vec<u8>> {
        let record = Record::Event(Event {
            timestamp: self.timestamp,
            run_id: self.run_id.to_str()?,
            event_type: borrow(&self.event_type)?,
            step_key: borrow(&self.step_key)?,
            job_name: borrow(&self.job_name)?,
            level: self.level,
            asset: self.asset.as_ref().map(EntryAsset::facet).transpose()?,
            check: self.check.as_ref().map(EntryCheck::facet).transpose()?,
            status: self.status.as_ref().map(EntryStatus::facet).transpose()?,
            body,
        });
        Ok(record.encode())
    }

    /// Partitions of a planned check after the first.
    pub fn more_partitions(&mut self) -> Vec<String> {
        self.check
            .as_mut()
            .map(|check| std::mem::take(&mut check.more_partitions))
            .unwrap_or_default()
    }
}

impl EntryAsset<'_> {
    fn facet(&self) -> PyResult<AssetFacet<'_>> {
        Ok(AssetFacet {
            key: &self.key,
            partition: borrow(&self.partition)?,
            subset: self
                .subset
                .iter()
                .map(|name| name.to_str())
                .collect::<PyResult<_>>()?,
            tags: self
                .tags
                .iter()
                .map(|(key, value)| Ok((key.to_str()?, value.to_str()?)))
                .collect::<PyResult<_>>()?,
            skipped: self.skipped,
        })
    }
}

impl EntryStatus<'_> {
    fn facet(&self) -> PyResult<StatusFacet<'_>> {
        Ok(StatusFacet {
            status: self.status.to_str()?,
            failure_reason: borrow(&self.failure_reason)?,
            starts: self.starts,
            ends: self.ends,
        })
    }
}

impl EntryCheck<'_> {
    fn facet(&self) -> PyResult<CheckFacet<'_>> {
        Ok(CheckFacet {
            asset_key: &self.asset_key,
            name: self.name.to_str()?,
            partition: borrow(&self.partition)?,
            more_partitions: u32::try_from(self.more_partitions.len())?,
            passed: self.passed,
            target: self.target,
            created: self.created,
        })
    }
}

fn asset_of<'py>(
    event: &Bound<'py, PyAny>,
    event_type: &str,
    tags_to_index: &mut TagsToIndex<'_, 'py>,
) -> PyResult<Option<EntryAsset<'py>>> {
    let py = event.py();
    let specific = event.getattr(intern!(py, "event_specific_data"))?;
    // The event's own properties say the same of these two, in ten times the time.
    let of = match event_type {
        names::MATERIALIZATION => specific.getattr(intern!(py, "materialization"))?,
        names::OBSERVATION => specific.getattr(intern!(py, "asset_observation"))?,
        _ => event.clone(),
    };
    let key = of.getattr(intern!(py, "asset_key"))?;
    if key.is_none() {
        return Ok(None);
    }
    // A freshness state may be of a check, which has no place among assets.
    let is_of_asset = matches!(event_type, names::MATERIALIZATION | names::OBSERVATION)
        || key.hasattr(intern!(py, "path"))?;
    if !is_of_asset {
        return Ok(None);
    }
    let mut asset = EntryAsset {
        key: key_text(&key)?,
        partition: text(&of.getattr(intern!(py, "partition"))?)?,
        subset: Vec::new(),
        tags: Vec::new(),
        skipped: false,
    };
    match event_type {
        names::MATERIALIZATION | names::OBSERVATION => {
            asset.tags = tags_to_index.of(&of)?;
        }
        names::PLANNED => asset.subset = subset_keys(&specific)?,
        names::FAILED => {
            let failure_type = specific.getattr(intern!(py, "failure_type"))?;
            let name = failure_type
                .getattr(intern!(py, "name"))?
                .cast_into::<PyString>()?;
            asset.skipped = name.to_str()? == "SKIPPED";
        }
        _ => {}
    }
    Ok(Some(asset))
}

fn check_of<'py>(event: &Bound<'py, PyAny>, event_type: &str) -> PyResult<Option<EntryCheck<'py>>> {
    let py = event.py();
    let specific = event.getattr(intern!(py, "event_specific_data"))?;
    let mut check = EntryCheck {
        asset_key: key_text(&specific.getattr(intern!(py, "asset_key"))?)?,
        name: specific
            .getattr(intern!(py, "check_name"))?
            .cast_into::<PyString>()?,
        partition: None,
        more_partitions: Vec::new(),
        passed: None,
        target: None,
        created: now(py)?,
    };
    if event_type == names::CHECK_PLANNED {
        let mut keys = subset_keys(&specific)?.into_iter();
        check.partition = keys.next();
        check.more_partitions = keys
            .map(|key| Ok(key.to_str()?.to_owned()))
            .collect::<PyResult<_>>()?;
        return Ok(Some(check));
    }
    check.passed = Some(specific.getattr(intern!(py, "passed"))?.extract()?);
    check.partition = text(&specific.getattr(intern!(py, "partition"))?)?;
    let target = specific.getattr(intern!(py, "target_materialization_data"))?;
    if !target.is_none() {
        check.target = Some(target.getattr(intern!(py, "storage_id"))?.extract()?);
    }
    Ok(Some(check))
}

/// Keys of the partitions subset of planned data; none without a subset.
fn subset_keys<'py>(planned: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyString>>> {
    let py = planned.py();
    let subset = planned.getattr(intern!(py, "partitions_subset"))?;
    if subset.is_none() {
        return Ok(Vec::new());
    }
    let keys = subset.call_method0(intern!(py, "get_partition_keys"))?;
    keys.try_iter()?
        .map(|key| Ok(key?.cast_into::<PyString>()?))
        .collect()
}

fn text<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    if value.is_none() {
        Ok(None)
    } else {
        Ok(Some(value.clone().cast_into::<PyString>()?))
    }
}

fn borrow<'a>(text: &'a Option<Bound<'_, PyString>>) -> PyResult<Option<&'a str>> {
    text.as_ref().map(|text| text.to_str()).transpose()
}

/// Dagster's clock, which tests freeze.
fn now(py: Python<'_>) -> PyResult<f64> {
    static TIME: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    imported(py, &TIME, "dagster._time")?
        .call_method0(intern!(py, "get_current_timestamp"))?
        .extract()
}

/// A module of Dagster's, whose import is asked for once.
fn imported<'py>(
    py: Python<'py>,
    module: &'static PyOnceLock<Py<PyModule>>,
    name: &str,
) -> PyResult<&'py Bound<'py, PyModule>> {
    Ok(module
        .get_or_try_init(py, || py.import(name).map(Bound::unbind))?
        .bind(py))
}

/// The status that a run has after an event, and why it failed, as Dagster's run storages see it.
fn status_of<'py>(event: &Bound<'py, PyAny>, event_type: &str) -> PyResult<EntryStatus<'py>> {
    let py = event.py();
    static EVENTS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let statuses = imported(py, &EVENTS, "dagster._core.events")?
        .getattr(intern!(py, "EVENT_TYPE_TO_PIPELINE_RUN_STATUS"))?;
    let status = statuses.get_item(event.getattr(intern!(py, "event_type"))?)?;
    let mut failure_reason = None;
    if event_type == "PIPELINE_FAILURE" {
        let specific = event.getattr(intern!(py, "event_specific_data"))?;
        if specific.hasattr(intern!(py, "failure_reason"))? {
            let reason = specific.getattr(intern!(py, "failure_reason"))?;
            if !reason.is_none() {
                failure_reason = text(&reason.getattr(intern!(py, "value"))?)?;
            }
        }
    }
    if let Some(reason) = &failure_reason
        && reason.to_str()? == "UNKNOWN"
    {
        failure_reason = None;
    }
    Ok(EntryStatus {
        status: status
            .getattr(intern!(py, "value"))?
            .cast_into::<PyString>()?,
        failure_reason,
        starts: event_type == "PIPELINE_START",
        ends: matches!(
            event_type,
            "PIPELINE_SUCCESS" | "PIPELINE_FAILURE" | "PIPELINE_CANCELED"
        ),
    })
}
