//! Python's collector of cycles, while a page is read.
//!
//! It runs whenever some hundred objects are made, and looks at them again and again; of a page of ten
//! thousand events, all of which stay, that was nearly half the time.

use pyo3::prelude::{Bound, PyAnyMethods, PyModule, PyResult, Python};

/// While this lives, the collector does not run by itself. One that was disabled before stays so.
pub(super) struct PausedCollector<'py>(Option<Bound<'py, PyModule>>);

impl<'py> PausedCollector<'py> {
    pub(super) fn new(py: Python<'py>) -> PyResult<Self> {
        let collector = py.import("gc")?;
        if !collector.call_method0("isenabled")?.is_truthy()? {
            return Ok(Self(None));
        }
        collector.call_method0("disable")?;
        Ok(Self(Some(collector)))
    }
}

impl Drop for PausedCollector<'_> {
    fn drop(&mut self) {
        if let Some(collector) = &self.0 {
            // Python's own function sets a flag, and has no way to fail.
            let _ = collector.call_method0("enable");
        }
    }
}
