//! Events read from the store, as Python objects.

use eventlog::query::{Reader, StoredEvent};
use eventlog::value::Facet;
use pyo3::prelude::{Bound, PyAny, PyErr, PyResult, Python};

use super::EventLog;
use super::shapes::Definitions;
use crate::codec::{Codec, Page, with_page};
use crate::errors::{to_py, undecodable as undecodable_event};

/// `(sequence, entry)`.
pub type PyEvent<'py> = (u64, Bound<'py, PyAny>);

impl EventLog {
    /// Runs a query that returns events, and sees to it that their shapes are known.
    pub(super) fn query_events<R: Send>(
        &self,
        py: Python<'_>,
        query: impl FnOnce(&Reader<'_>) -> eventlog::Result<R> + Send,
    ) -> PyResult<(R, Definitions)> {
        let known = self.shapes.definitions().len();
        let (result, new) = self.query(py, |reader| {
            let result = query(reader)?;
            Ok((result, reader.shapes_from(known)?))
        })?;
        self.shapes.learn(known, new);
        Ok((result, self.shapes.definitions()))
    }

    /// Decodes events; the first that does not decode raises `UndecodableEventError`.
    pub(super) fn decode_all<'py>(
        &self,
        py: Python<'py>,
        events: &[StoredEvent],
        definitions: &Definitions,
    ) -> PyResult<Vec<PyEvent<'py>>> {
        with_page(
            py,
            &*Codec::of_dagster(py)?,
            &**definitions,
            events.len(),
            |page| {
                events
                    .iter()
                    .map(|event| match decode_one(page, event) {
                        Ok(entry) => Ok((event.sequence.get(), entry)),
                        Err(error) if may_be_skipped(py, &error) => {
                            Err(undecodable(py, event, &error))
                        }
                        Err(error) => Err(error),
                    })
                    .collect()
            },
        )
    }

    /// Decodes events; those that do not decode are named with the reason.
    #[allow(
        clippy::type_complexity,
        reason = "the pair that the stub calls Events"
    )]
    pub(super) fn decode_each<'py>(
        &self,
        py: Python<'py>,
        events: &[StoredEvent],
        definitions: &Definitions,
        stop: bool,
    ) -> PyResult<(Vec<PyEvent<'py>>, Vec<(u64, String)>)> {
        with_page(
            py,
            &*Codec::of_dagster(py)?,
            &**definitions,
            events.len(),
            |page| {
                let (mut decoded, mut failed) = (Vec::new(), Vec::new());
                for event in events {
                    match decode_one(page, event) {
                        Ok(entry) => decoded.push((event.sequence.get(), entry)),
                        Err(error) if may_be_skipped(py, &error) => {
                            failed.push((event.sequence.get(), error.to_string()));
                            if stop {
                                break;
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok((decoded, failed))
            },
        )
    }

    /// Decodes events that may be absent, keeping their places.
    pub(super) fn decode_optional<'py>(
        &self,
        py: Python<'py>,
        events: &[Option<&StoredEvent>],
        definitions: &Definitions,
    ) -> PyResult<Vec<Option<PyEvent<'py>>>> {
        let present: Vec<StoredEvent> = events
            .iter()
            .flatten()
            .map(|event| (*event).clone())
            .collect();
        let mut decoded = self.decode_all(py, &present, definitions)?.into_iter();
        Ok(events
            .iter()
            .map(|event| event.and_then(|_| decoded.next()))
            .collect())
    }
}

fn decode_one<'py>(page: &mut Page<'_, 'py>, stored: &StoredEvent) -> PyResult<Bound<'py, PyAny>> {
    let event = stored.event().map_err(to_py)?;
    let facets: [Option<Facet<'_>>; 6] = event.facets();
    page.decode(event.body, &facets)
}

/// Whether an error says that a body does not decode here, rather than that reading was stopped.
fn may_be_skipped(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyException>(py)
        && !error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
}

fn undecodable(py: Python<'_>, event: &StoredEvent, error: &PyErr) -> PyErr {
    let text = format!("event {} does not decode: {error}", event.sequence);
    let raised = undecodable_event(event.sequence.get(), text);
    raised.set_cause(py, Some(error.clone_ref(py)));
    raised
}
