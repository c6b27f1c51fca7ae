//! History as Arrow record batches: `_core.pyi`, "History".
//!
//! Batches cross by the Arrow PyCapsule interface, that is by pointers to structs of the Arrow C data
//! interface, which whoever takes them frees.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatch, StructArray};
use eventlog::Sequence;
use eventlog::arrow::{Ask, HistoryTable, Place, Stream};
use eventlog::store::{Keeper, Lease};
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::prelude::{Bound, FromPyObject, PyRef, PyResult, Python};
use pyo3::types::PyCapsule;
use pyo3::{PyAny, pyclass, pymethods};

use super::EventLog;
use crate::errors::to_py;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const STREAM: &CStr = c"arrow_array_stream";

/// A record or a time.
#[derive(FromPyObject)]
enum PyPlace {
    Sequence(u64),
    Time(f64),
}

impl From<PyPlace> for Place {
    fn from(place: PyPlace) -> Self {
        match place {
            PyPlace::Sequence(sequence) => Self::Sequence(sequence),
            PyPlace::Time(time) => Self::Time(time),
        }
    }
}

/// Rows of a table, as one moment has them.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct History {
    history: eventlog::arrow::History,
}

/// A lease that is renewed.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct Hold {
    held: Mutex<Option<(Keeper, Arc<Lease>)>>,
}

/// Batches of a history.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct Batches {
    stream: Mutex<Stream>,
}

/// One batch.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct Batch {
    batch: RecordBatch,
}

#[pymethods]
impl EventLog {
    #[pyo3(signature = (
        table,
        *,
        columns = None,
        since = None,
        until = None,
        runs = None,
        assets = None,
        event_types = None,
        incomplete = false,
        head = None,
        known = false,
    ))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword arguments of the Python method"
    )]
    fn history(
        &self,
        py: Python<'_>,
        table: &str,
        columns: Option<Vec<String>>,
        since: Option<PyPlace>,
        until: Option<PyPlace>,
        runs: Option<Vec<String>>,
        assets: Option<Vec<String>>,
        event_types: Option<Vec<String>>,
        incomplete: bool,
        head: Option<u64>,
        known: bool,
    ) -> PyResult<History> {
        let table = table_named(table)?;
        let ask = Ask {
            columns,
            since: since.map(Place::from),
            until: until.map(Place::from),
            runs,
            assets,
            event_types,
            head,
            incomplete,
            known,
        };
        let history = py
            .detach(|| eventlog::arrow::History::open(&self.engine, table, ask))
            .map_err(to_py)?;
        Ok(History { history })
    }

    fn hold(&self, py: Python<'_>, sequence: u64) -> PyResult<Hold> {
        let held = py.detach(|| {
            let lease = Lease::take(self.engine.store(), Sequence::new(sequence))?;
            let lease = Arc::new(lease);
            eventlog::Result::Ok((Lease::keep(Arc::clone(&lease))?, lease))
        });
        Ok(Hold {
            held: Mutex::new(Some(held.map_err(to_py)?)),
        })
    }
}

#[pymethods]
impl Hold {
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let held = self
                .held
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(held);
        });
    }
}

#[pymethods]
impl History {
    #[getter]
    fn head(&self) -> u64 {
        self.history.head().get()
    }

    #[getter]
    fn end(&self) -> u64 {
        self.history.end().get()
    }

    fn batches(&self, py: Python<'_>) -> PyResult<Batches> {
        let stream = py.detach(|| self.history.stream()).map_err(to_py)?;
        Ok(Batches {
            stream: Mutex::new(stream),
        })
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(&*self.history.schema()).map_err(failed)?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer give the schema that it has.
        drop(requested_schema);
        let stream = py.detach(|| self.history.stream()).map_err(to_py)?;
        let stream = FFI_ArrowArrayStream::new(Box::new(stream));
        PyCapsule::new_with_value(py, stream, STREAM)
    }
}

#[pymethods]
impl Batches {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Batch> {
        py.check_signals()?;
        let next = py.detach(|| {
            let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            stream.next_batch()
        });
        match next.map_err(to_py)? {
            Some(batch) => Ok(Batch { batch }),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> u64 {
        py.detach(|| {
            let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            stream.position().get()
        })
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema);
        let schema = FFI_ArrowSchema::try_from(&*self.batch.schema()).map_err(failed)?;
        let array = FFI_ArrowArray::new(&StructArray::from(self.batch.clone()).into_data());
        Ok((
            PyCapsule::new_with_value(py, schema, SCHEMA)?,
            PyCapsule::new_with_value(py, array, ARRAY)?,
        ))
    }
}

fn table_named(name: &str) -> PyResult<HistoryTable> {
    HistoryTable::named(name).ok_or_else(|| {
        let names: Vec<_> = HistoryTable::ALL
            .into_iter()
            .map(HistoryTable::name)
            .collect();
        PyValueError::new_err(format!(
            "there is no table {name}; tables are {}",
            names.join(", ")
        ))
    })
}

fn failed(error: arrow_schema::ArrowError) -> pyo3::PyErr {
    to_py(eventlog::Error::Arrow(error))
}
