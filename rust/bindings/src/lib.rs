//! The module `dagster_lmdb._core`.

use pyo3::pymodule;

/// The engine behind `dagster_lmdb`.
#[pymodule]
mod _core {}
