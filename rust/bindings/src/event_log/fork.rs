//! Moments and forks: `_core.pyi`, "Time travel".

use std::path::PathBuf;

use eventlog::Sequence;
use eventlog::fork::{ForkOptions, Moment};
use eventlog::record::frame_checksum;
use pyo3::prelude::{Py, PyAny, PyResult, Python};
use pyo3::{pyclass, pymethods};

use super::EventLog;
use super::store::{id_text, with_progress};
use crate::errors::to_py;

/// What `EventLog.fork` made.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct Fork {
    store_id: String,
    sequence: u64,
    records: u64,
    whole_from: u64,
    registers_from: u64,
}

#[pymethods]
impl EventLog {
    #[pyo3(signature = (sequence=None, *, time=None, end_of_run=None, now, progress=None))]
    fn resolve(
        &self,
        py: Python<'_>,
        sequence: Option<u64>,
        time: Option<f64>,
        end_of_run: Option<String>,
        now: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<u64> {
        let moment = match (sequence, time, end_of_run) {
            (Some(sequence), None, None) => Moment::Sequence(Sequence::new(sequence)),
            (None, Some(time), None) => Moment::Time(time),
            (None, None, Some(run_id)) => Moment::RunEnd(run_id),
            _ => {
                return Err(pyo3::exceptions::PyTypeError::new_err(
                    "a moment is one of sequence, time and end_of_run",
                ));
            }
        };
        let found = with_progress(py, progress, |report| {
            self.engine.resolve(&moment, now, report)
        })?;
        Ok(found.get())
    }

    #[pyo3(signature = (
        destination,
        sequence,
        *,
        incomplete=false,
        allow_network_file_system=false,
        progress=None,
    ))]
    fn fork(
        &self,
        py: Python<'_>,
        destination: PathBuf,
        sequence: u64,
        incomplete: bool,
        allow_network_file_system: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Fork> {
        let options = ForkOptions {
            incomplete,
            allow_network_file_system,
        };
        let made = with_progress(py, progress, |report| {
            let at = Sequence::new(sequence);
            self.engine.fork(&destination, at, options, report)
        })?;
        Ok(Fork {
            store_id: id_text(made.store),
            sequence: made.sequence.get(),
            records: made.records,
            whole_from: made.whole_from.get(),
            registers_from: made.registers_from.get(),
        })
    }

    fn horizons(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        py.detach(|| {
            self.engine.store().read(|snapshot| {
                let meta = snapshot.meta();
                Ok((meta.whole_from.max(1), meta.registers_from.max(1)))
            })
        })
        .map_err(to_py)
    }

    fn forked_from(&self, py: Python<'_>) -> PyResult<Option<(String, u64, u32)>> {
        let forked = py
            .detach(|| {
                let store = self.engine.store();
                store.read(|snapshot| Ok(snapshot.meta().forked.clone()))
            })
            .map_err(to_py)?;
        Ok(forked.map(|from| (id_text(from.store), from.sequence, from.checksum)))
    }

    fn record_checksum(&self, py: Python<'_>, sequence: u64) -> PyResult<Option<u32>> {
        self.query(py, |reader| {
            let frame = reader.frame(Sequence::new(sequence))?;
            Ok(frame.and_then(frame_checksum))
        })
    }
}
