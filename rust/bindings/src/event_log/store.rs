//! The store itself: `_core.pyi`, "The store".

use eventlog::Sequence;
use eventlog::compaction::Keep;
use eventlog::projection::Table;
use eventlog::query::records;
use eventlog::store::now;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyErr, PyResult, Python};
use pyo3::types::{PyDict, PyDictMethods};
use pyo3::{pyclass, pymethods};

use super::EventLog;
use crate::errors::{LmdbStoreError, to_py};

/// Records looked at per call of `tail`, so that none holds its snapshot for long.
const SCANNED: usize = 20_000;

/// `(sequence, kind, timestamp, run_id, event_type, step_key, text)`.
type Line = (
    u64,
    &'static str,
    Option<f64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// What `EventLog.verify` found.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct Verification {
    records: u64,
    head: u64,
    rows: u64,
    differences: Vec<String>,
}

/// What `EventLog.compact` did.
#[pyclass(frozen, get_all, module = "dagster_lmdb._core")]
pub struct Compacted {
    records: u64,
    bytes: u64,
    log_before: u64,
    log_after: u64,
    whole_from: u64,
    registers_from: u64,
}

#[pymethods]
impl EventLog {
    #[pyo3(signature = (progress=None))]
    fn stat<'py>(
        &self,
        py: Python<'py>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let kinds = with_progress(py, progress, |report| self.engine.count_kinds(report))?;
        let info = py.detach(|| self.engine.store().info()).map_err(to_py)?;
        let (head, tables) = py
            .detach(|| {
                self.engine.store().read(|snapshot| {
                    let (view, trees) = (snapshot.view(), snapshot.trees());
                    let reader = eventlog::query::Reader::new(view, snapshot.live_set(), trees.log);
                    let mut tables = vec![("log", view.stat(trees.log)?)];
                    for table in Table::ALL {
                        let tree = snapshot.live_set()[table as usize];
                        tables.push((table.name(), view.stat(tree)?));
                    }
                    Ok((reader.head()?, tables))
                })
            })
            .map_err(to_py)?;
        let stat = PyDict::new(py);
        stat.set_item("directory", info.directory)?;
        stat.set_item("store_id", self.store_id_text())?;
        stat.set_item("format", info.meta.format)?;
        stat.set_item("fold_version", info.meta.fold_version)?;
        stat.set_item(
            "durability",
            format!("{:?}", info.meta.durability).to_lowercase(),
        )?;
        stat.set_item("created", info.meta.created)?;
        if let Some(forked) = &info.meta.forked {
            let from = format!("{} at record {}", id_text(forked.store), forked.sequence);
            stat.set_item("forked_from", from)?;
        }
        stat.set_item("head", head.get())?;
        stat.set_item("whole_from", info.meta.whole_from.max(1))?;
        stat.set_item("registers_from", info.meta.registers_from.max(1))?;
        if let Some((leases, from)) = info.meta.held(now()) {
            stat.set_item("leases", leases)?;
            stat.set_item("leased_from", from)?;
        }
        stat.set_item("map_size", info.map_size)?;
        stat.set_item("used_bytes", info.used_bytes)?;
        stat.set_item("free_bytes", info.free_bytes)?;
        stat.set_item("file_bytes", info.file_bytes)?;
        stat.set_item("page_size", info.page_size)?;
        stat.set_item("max_readers", info.max_readers)?;
        stat.set_item("readers", info.readers)?;
        let by_kind = PyDict::new(py);
        for (kind, (count, bytes)) in kinds {
            by_kind.set_item(kind, (count, bytes))?;
        }
        stat.set_item("records", by_kind)?;
        let by_table = PyDict::new(py);
        for (name, tree) in tables {
            let pages = tree.branch_pages + tree.leaf_pages + tree.overflow_pages;
            by_table.set_item(name, (tree.entries, pages * info.page_size, tree.depth))?;
        }
        stat.set_item("tables", by_table)?;
        Ok(stat)
    }

    fn leases(&self, py: Python<'_>) -> PyResult<Vec<(u64, f64)>> {
        let leases = py.detach(|| {
            self.engine
                .store()
                .read(|snapshot| Ok(snapshot.meta().leases.clone()))
        });
        let now = now();
        let live = leases.map_err(to_py)?.into_iter();
        Ok(live
            .filter(|lease| now < lease.until)
            .map(|lease| (lease.from, lease.until))
            .collect())
    }

    fn resize(&self, py: Python<'_>, map_size: usize) -> PyResult<()> {
        py.detach(|| self.engine.store().resize(map_size))
            .map_err(to_py)
    }

    #[pyo3(signature = (*, after=0, run_id=None, limit=1000))]
    fn tail(
        &self,
        py: Python<'_>,
        after: u64,
        run_id: Option<&str>,
        limit: usize,
    ) -> PyResult<(Vec<Line>, u64)> {
        let (lines, at) = self.query(py, |reader| {
            records::records_after(reader, Sequence::new(after), run_id, limit, SCANNED)
        })?;
        let line = |l: records::RecordLine| {
            let kind = l.kind;
            (
                l.sequence.get(),
                kind,
                l.timestamp,
                l.run_id,
                l.event_type,
                l.step_key,
                l.subject,
            )
        };
        Ok((lines.into_iter().map(line).collect(), at.get()))
    }

    fn before_last_of_run(&self, py: Python<'_>, run_id: &str, count: usize) -> PyResult<u64> {
        let before = self.query(py, |reader| {
            records::before_last_of_run(reader, run_id, count)
        })?;
        Ok(before.get())
    }

    fn head(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.query(py, |reader| reader.head())?.get())
    }

    fn checksum(&self, py: Python<'_>, sequence: u64) -> PyResult<Option<u32>> {
        self.query(py, |reader| {
            records::checksum(reader, Sequence::new(sequence))
        })
    }

    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| {
            self.engine
                .store()
                .read(|snapshot| Ok(snapshot.meta().epoch))
        })
        .map_err(to_py)
    }

    fn packed_json(&self, py: Python<'_>, sequence: u64) -> PyResult<String> {
        let text = py
            .detach(|| self.engine.packed_json(Sequence::new(sequence)))
            .map_err(to_py)?;
        text.ok_or_else(|| LmdbStoreError::new_err(format!("record {sequence} is not an event")))
    }

    #[pyo3(signature = (progress=None))]
    fn verify(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Verification> {
        let found = with_progress(py, progress, |report| self.engine.verify(report))?;
        Ok(Verification {
            records: found.records,
            head: found.head.get(),
            rows: found.rows,
            differences: found.differences,
        })
    }

    #[pyo3(signature = (progress=None))]
    fn rebuild(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<u64> {
        Ok(with_progress(py, progress, |report| self.engine.rebuild(report))?.get())
    }

    #[pyo3(signature = (*, keep_since=None, now, progress=None))]
    fn compact(
        &self,
        py: Python<'_>,
        keep_since: Option<f64>,
        now: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Compacted> {
        let keep = keep_since.map_or(Keep::Nothing, Keep::Since);
        let done = with_progress(py, progress, |report| {
            self.engine.compact(keep, now, report)
        })?;
        Ok(Compacted {
            records: done.records,
            bytes: done.bytes,
            log_before: done.log_before,
            log_after: done.log_after,
            whole_from: done.whole_from.get(),
            registers_from: done.registers_from.get(),
        })
    }

    fn husk(&self, py: Python<'_>, sequences: Vec<u64>) -> PyResult<Vec<u64>> {
        let sequences: Vec<_> = sequences.into_iter().map(Sequence::new).collect();
        let husked = py.detach(|| self.engine.husk(&sequences)).map_err(to_py)?;
        Ok(husked.into_iter().map(Sequence::get).collect())
    }
}

impl EventLog {
    pub(super) fn store_id_text(&self) -> String {
        id_text(self.engine.store().id())
    }
}

/// A store's id as text.
pub(super) fn id_text(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs long work without the GIL, taking it for each report; signal handlers run then too, and
/// what they or the report raise ends the work.
pub(super) fn with_progress<R: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&mut dyn FnMut(&str, u64, u64) -> eventlog::Result<()>) -> eventlog::Result<R>
    + Send,
) -> PyResult<R> {
    let mut raised: Option<PyErr> = None;
    let result = py.detach(|| {
        work(&mut |phase, done, total| {
            Python::attach(|py| {
                py.check_signals()?;
                if let Some(progress) = &progress {
                    progress.bind(py).call1((phase, done, total))?;
                }
                Ok(())
            })
            .map_err(|error| {
                raised = Some(error);
                eventlog::Error::Interrupted
            })
        })
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(to_py),
    }
}
