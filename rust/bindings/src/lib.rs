//! The module `dagster_lmdb._core`: the engine for Python.
//!
//! The only crate that imports pyo3. `codec` turns Dagster's objects to bodies and back,
//! `event_log` hands commands and queries to the engine, `errors` maps its errors.

use pyo3::pymodule;

pub mod codec;
mod errors;
mod event_log;

/// The engine behind `dagster_lmdb`.
#[pymodule]
mod _core {
    use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use crate::codec::ShapeTable;
    #[pymodule_export]
    use crate::errors::{
        AlreadyThereError, BelowHorizonError, DamagedRecordError, DamagedStoreError,
        DestinationExistsError, DiskFailedError, DiskFullError, DuplicatePlannedCheckError,
        FoldVersionError, FormatTooNewError, IncompatibleHostError, LeaseLostError, LmdbStoreError,
        MaintenanceRunningError, MapFullError, NetworkFileSystemError, NoSuchMomentError,
        NotAStoreError, NotThereError, OtherPidNamespaceError, ReadOnlyError, ReadersFullError,
        RebuildRunningError, SequenceRangeError, StorePermissionError, UndecodableEventError,
    };
    #[pymodule_export]
    use crate::event_log::{
        AssetRow, Batch, Batches, Claim, Compacted, Document, EventLog, Fork, History, Hold,
        PoolRow, Verification,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("FORMAT_VERSION", eventlog::store::FORMAT)?;
        module.add("FOLD_VERSION", eventlog::projection::FOLD_VERSION)
    }
}
