//! The module `dagster_lmdb._core`.

use pyo3::pymodule;

pub mod codec;

/// The engine behind `dagster_lmdb`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::codec::ShapeTable;
}
