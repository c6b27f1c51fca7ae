//! The handle: opening, closing, and running the engine without the GIL.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use eventlog::command::{Command, Reply};
use eventlog::query::Reader;
use eventlog::store::{Durability, OpenOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::{PyErr, PyResult, Python};
use pyo3::{pyclass, pymethods};

use super::shapes::StoreShapes;
use crate::errors::to_py;

/// One store's event log.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct EventLog {
    pub(super) engine: eventlog::EventLog,
    pub(super) shapes: Arc<StoreShapes>,
}

#[pymethods]
impl EventLog {
    #[new]
    #[pyo3(signature = (
        directory,
        *,
        create = true,
        map_size = None,
        max_readers = None,
        durability = None,
        allow_network_file_system = false,
        allow_other_pid_namespaces = false,
        for_rebuild = false,
        read_only = false,
    ))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword arguments of the Python constructor"
    )]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        create: bool,
        map_size: Option<usize>,
        max_readers: Option<u32>,
        durability: Option<&str>,
        allow_network_file_system: bool,
        allow_other_pid_namespaces: bool,
        for_rebuild: bool,
        read_only: bool,
    ) -> PyResult<Self> {
        let defaults = OpenOptions::default();
        let options = OpenOptions {
            create,
            map_size,
            max_readers: max_readers.unwrap_or(defaults.max_readers),
            durability: durability.map(parse_durability).transpose()?,
            allow_network_file_system,
            allow_other_pid_namespaces,
            for_rebuild,
            read_only,
        };
        let engine = py
            .detach(|| eventlog::EventLog::open(&directory, &options))
            .map_err(to_py)?;
        let shapes = StoreShapes::of(engine.store().id());
        Ok(Self { engine, shapes })
    }

    fn wake(&self, py: Python<'_>) {
        py.detach(|| self.engine.store().wake());
    }

    #[getter]
    fn store_id(&self) -> String {
        self.store_id_text()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.engine.store().close());
    }

    fn commit_word(&self, py: Python<'_>) -> u32 {
        py.detach(|| self.engine.store().commit_word())
    }

    fn wait_for_commit(&self, py: Python<'_>, seen: u32, timeout: f64) -> PyResult<u32> {
        let timeout = std::time::Duration::try_from_secs_f64(timeout)
            .map_err(|error| PyValueError::new_err(format!("timeout: {error}")))?;
        Ok(py.detach(|| self.engine.store().wait_for_commit(seen, timeout)))
    }
}

impl EventLog {
    /// Executes a command; Python's signal handlers run while it waits for the writer lock.
    pub(super) fn execute(&self, py: Python<'_>, command: &Command) -> PyResult<Reply> {
        self.interruptible(py, |interrupted| self.engine.execute(command, interrupted))
    }

    /// Deletes a run or its events, and removes the rows that the deletion left. They are out of sight
    /// already, so what goes wrong from then on is no failure of the deletion: but for a signal it is
    /// left to the next deletion, or to a compaction.
    pub(super) fn delete(&self, py: Python<'_>, command: &Command, now: f64) -> PyResult<()> {
        if self.execute(py, command)? != Reply::More {
            return Ok(());
        }
        self.interruptible(py, |interrupted| {
            match self.engine.sweep(now, interrupted) {
                Err(eventlog::Error::Interrupted) => Err(eventlog::Error::Interrupted),
                Ok(()) | Err(_) => Ok(()),
            }
        })
    }

    /// Runs `write` without the GIL; what a signal handler raises ends its wait and is raised here.
    pub(super) fn interruptible<R: Send>(
        &self,
        py: Python<'_>,
        write: impl FnOnce(&dyn Fn() -> bool) -> eventlog::Result<R> + Send,
    ) -> PyResult<R> {
        let raised: Mutex<Option<PyErr>> = Mutex::new(None);
        let result = py.detach(|| {
            write(&|| {
                let error = Python::attach(|py| py.check_signals().err());
                let interrupted = error.is_some();
                if interrupted {
                    *raised.lock().unwrap_or_else(PoisonError::into_inner) = error;
                }
                interrupted
            })
        });
        match (
            result,
            raised.into_inner().unwrap_or_else(PoisonError::into_inner),
        ) {
            (Err(eventlog::Error::Interrupted), Some(raised)) => Err(raised),
            (result, _) => result.map_err(to_py),
        }
    }

    /// Runs a query on one snapshot, without the GIL.
    pub(super) fn query<R: Send>(
        &self,
        py: Python<'_>,
        query: impl FnOnce(&Reader<'_>) -> eventlog::Result<R> + Send,
    ) -> PyResult<R> {
        py.detach(|| self.engine.query(query)).map_err(to_py)
    }
}

fn parse_durability(text: &str) -> PyResult<Durability> {
    match text {
        "durable" => Ok(Durability::Durable),
        "relaxed" => Ok(Durability::Relaxed),
        _ => Err(PyValueError::new_err(format!(
            "durability is 'durable' or 'relaxed', not {text:?}"
        ))),
    }
}
