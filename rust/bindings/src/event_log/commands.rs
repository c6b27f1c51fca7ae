//! Commands that store events and wipe.

use eventlog::Sequence;
use eventlog::command::{Command, DELETION_STEP, NewEvent, Reply};
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::pymethods;

use super::EventLog;
use super::facets::EntryFacets;
use super::indexed_tags::TagsToIndex;
use crate::codec::{Codec, Encoded, FacetValue, InternedShape, encode};
use crate::errors::LmdbStoreError;

#[pymethods]
impl EventLog {
    fn store_events(
        &self,
        py: Python<'_>,
        entries: &Bound<'_, PyAny>,
        tags_to_index: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<u64>> {
        let codec = Codec::of_dagster(py)?;
        let mut events = Vec::with_capacity(entries.len().unwrap_or(0));
        let mut tags_to_index = TagsToIndex::new(tags_to_index);
        for entry in entries.try_iter()? {
            let entry = entry?;
            let mut facets = EntryFacets::of(&entry, &mut tags_to_index)?;
            let body = self.encode(py, &codec, &entry, &facets.values())?;
            let payload = facets.payload(&body)?;
            events.push(NewEvent {
                payload,
                more_partitions: facets.more_partitions(),
            });
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        match self.execute(py, &Command::StoreEvents { events })? {
            Reply::Events(sequences) => Ok(sequences.into_iter().map(Sequence::get).collect()),
            reply => Err(LmdbStoreError::new_err(format!(
                "unexpected reply: {reply:?}"
            ))),
        }
    }

    fn delete_run_events(&self, py: Python<'_>, run_id: String, now: f64) -> PyResult<()> {
        let step = DELETION_STEP;
        self.delete(py, &Command::DeleteRunEvents { run_id, step, now }, now)
    }

    fn wipe(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.execute(py, &Command::Wipe { now }).map(drop)
    }

    fn wipe_asset(&self, py: Python<'_>, asset_key: String, now: f64) -> PyResult<()> {
        self.execute(py, &Command::WipeAsset { asset_key, now })
            .map(drop)
    }

    fn wipe_asset_partitions(
        &self,
        py: Python<'_>,
        asset_key: String,
        partitions: Vec<String>,
        now: f64,
    ) -> PyResult<()> {
        self.execute(
            py,
            &Command::WipeAssetPartitions {
                asset_key,
                partitions,
                now,
            },
        )
        .map(drop)
    }

    fn set_cached_status(&self, py: Python<'_>, asset_key: &str, status: &str) -> PyResult<()> {
        self.interruptible(py, |interrupted| {
            self.engine
                .set_cached_status(asset_key, Some(status), interrupted)
        })
    }

    fn clear_cached_status(&self, py: Python<'_>, asset_key: &str) -> PyResult<()> {
        self.interruptible(py, |interrupted| {
            self.engine.set_cached_status(asset_key, None, interrupted)
        })
    }

    fn add_dynamic_partitions(
        &self,
        py: Python<'_>,
        definition: String,
        keys: Vec<String>,
        now: f64,
    ) -> PyResult<()> {
        self.execute(
            py,
            &Command::AddDynamicPartitions {
                definition,
                keys,
                now,
            },
        )
        .map(drop)
    }

    fn delete_dynamic_partition(
        &self,
        py: Python<'_>,
        definition: String,
        key: String,
        now: f64,
    ) -> PyResult<()> {
        self.execute(
            py,
            &Command::DeleteDynamicPartition {
                definition,
                key,
                now,
            },
        )
        .map(drop)
    }
}

impl EventLog {
    /// Encodes a value, defining the shapes that the store does not have yet.
    pub(super) fn encode<'py>(
        &self,
        py: Python<'py>,
        codec: &Codec,
        value: &Bound<'py, PyAny>,
        facets: &[Option<FacetValue<'py>>],
    ) -> PyResult<Vec<u8>> {
        // Once is enough unless a serializer answers differently each time.
        for _ in 0..4 {
            match encode(codec, value, facets, &mut &self.shapes.ordinals)? {
                Encoded::Body(body) => return Ok(body),
                Encoded::Missing(missing) => self.define(py, &missing)?,
            }
        }
        Err(LmdbStoreError::new_err(
            "the shapes of an event never settled",
        ))
    }

    fn define(&self, py: Python<'_>, missing: &[std::sync::Arc<InternedShape>]) -> PyResult<()> {
        let known = self.shapes.definitions().len();
        let shapes = missing.iter().map(|shape| (***shape).clone()).collect();
        self.execute(py, &Command::DefineShapes { shapes })?;
        let new = self.query(py, |reader| reader.shapes_from(known))?;
        self.shapes.learn(known, new);
        Ok(())
    }
}
