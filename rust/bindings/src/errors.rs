//! The engine's errors as Python exceptions, one each.

use eventlog::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyBaseException, PyException, PyKeyboardInterrupt};
use pyo3::prelude::{Bound, PyAnyMethods, PyErr, PyResult, Python};

create_exception!(
    dagster_lmdb._core,
    LmdbStoreError,
    PyException,
    "A store refused or failed. A call that raises has stored nothing."
);
create_exception!(
    dagster_lmdb._core,
    NotAStoreError,
    LmdbStoreError,
    "The directory holds no store."
);
create_exception!(
    dagster_lmdb._core,
    FormatTooNewError,
    LmdbStoreError,
    "A newer release wrote the store."
);
create_exception!(
    dagster_lmdb._core,
    FoldVersionError,
    LmdbStoreError,
    "Another release folds the store's projections."
);
create_exception!(
    dagster_lmdb._core,
    NetworkFileSystemError,
    LmdbStoreError,
    "The store is on a network file system."
);
create_exception!(
    dagster_lmdb._core,
    OtherPidNamespaceError,
    LmdbStoreError,
    "A process of another PID namespace has the store open."
);
create_exception!(
    dagster_lmdb._core,
    StorePermissionError,
    LmdbStoreError,
    "The operating system refused access to the store."
);
create_exception!(
    dagster_lmdb._core,
    DiskFullError,
    LmdbStoreError,
    "The disk has no room."
);
create_exception!(
    dagster_lmdb._core,
    DiskFailedError,
    LmdbStoreError,
    "The disk failed to take or give bytes."
);
create_exception!(
    dagster_lmdb._core,
    IncompatibleHostError,
    LmdbStoreError,
    "This host or process cannot share the store with those that have it open."
);
create_exception!(
    dagster_lmdb._core,
    MapFullError,
    LmdbStoreError,
    "The store's map is full."
);
create_exception!(
    dagster_lmdb._core,
    ReadersFullError,
    LmdbStoreError,
    "Every reader slot of the store is taken."
);
create_exception!(
    dagster_lmdb._core,
    DamagedStoreError,
    LmdbStoreError,
    "The data file is damaged."
);
create_exception!(
    dagster_lmdb._core,
    DamagedRecordError,
    LmdbStoreError,
    "A record's bytes are not what was written."
);
create_exception!(
    dagster_lmdb._core,
    UndecodableEventError,
    LmdbStoreError,
    "An event's body does not decode here."
);
create_exception!(
    dagster_lmdb._core,
    RebuildRunningError,
    LmdbStoreError,
    "Another process rebuilds the store."
);
create_exception!(
    dagster_lmdb._core,
    MaintenanceRunningError,
    LmdbStoreError,
    "Another process compacts the store, or reads a log that must not be compacted meanwhile."
);
create_exception!(
    dagster_lmdb._core,
    AlreadyThereError,
    LmdbStoreError,
    "What was to be added is there already."
);
create_exception!(
    dagster_lmdb._core,
    NotThereError,
    LmdbStoreError,
    "What was to be changed is not there."
);
create_exception!(
    dagster_lmdb._core,
    SequenceRangeError,
    LmdbStoreError,
    "History is asked for at records that the log does not have, or not whole."
);
create_exception!(
    dagster_lmdb._core,
    LeaseLostError,
    LmdbStoreError,
    "A compaction went past a reader that had stopped."
);
create_exception!(
    dagster_lmdb._core,
    DuplicatePlannedCheckError,
    LmdbStoreError,
    "An evaluation matches several planned executions."
);

create_exception!(
    dagster_lmdb._core,
    NoSuchMomentError,
    LmdbStoreError,
    "The log never was, or is not yet, where it is asked for."
);
create_exception!(
    dagster_lmdb._core,
    BelowHorizonError,
    LmdbStoreError,
    "A compaction has taken what tells how the instance was."
);
create_exception!(
    dagster_lmdb._core,
    DestinationExistsError,
    LmdbStoreError,
    "There is something where a store was to be made."
);
create_exception!(
    dagster_lmdb._core,
    ReadOnlyError,
    LmdbStoreError,
    "The store is open for reading, as of one moment."
);

/// The exception of an engine's error.
pub fn to_py(error: Error) -> PyErr {
    let text = error.to_string();
    let finding = error.finding();
    match error {
        Error::NotAStore { .. } => NotAStoreError::new_err(text),
        Error::FormatTooNew { .. } => FormatTooNewError::new_err(text),
        Error::FoldTooNew { .. } | Error::FoldTooOld { .. } | Error::FoldInJournal { .. } => {
            FoldVersionError::new_err(text)
        }
        Error::NetworkFileSystem { .. } => NetworkFileSystemError::new_err(text),
        Error::OtherPidNamespace { .. } => OtherPidNamespaceError::new_err(text),
        Error::Permission { .. } => StorePermissionError::new_err(text),
        Error::DiskFull { .. } => DiskFullError::new_err(text),
        Error::DiskFailed { .. } | Error::DiskLost { .. } => DiskFailedError::new_err(text),
        Error::Incompatible { .. } | Error::LockNotShared { .. } => {
            IncompatibleHostError::new_err(text)
        }
        Error::MapFull { .. } => MapFullError::new_err(text),
        Error::ReadersFull { .. } => ReadersFullError::new_err(text),
        Error::Damaged { .. } | Error::DamagedRow(_) => {
            with_attributes(DamagedStoreError::new_err(text), |value| {
                value.setattr("finding", finding)
            })
        }
        Error::DamagedRecord { .. } => {
            with_attributes(DamagedRecordError::new_err(text), |value| {
                value.setattr("finding", finding)
            })
        }
        Error::Body { sequence, .. } => undecodable(sequence, text),
        Error::RebuildRunning { .. } => RebuildRunningError::new_err(text),
        Error::MaintenanceRunning { .. } => MaintenanceRunningError::new_err(text),
        Error::NoSuchMoment { .. } => NoSuchMomentError::new_err(text),
        Error::NoLongerWhole { .. } => BelowHorizonError::new_err(text),
        Error::DestinationExists { .. } => DestinationExistsError::new_err(text),
        Error::ReadOnly { .. } => ReadOnlyError::new_err(text),
        Error::DuplicatePlannedCheck {
            planned,
            check,
            asset_key,
            run_id: _,
        } => {
            let error = DuplicatePlannedCheckError::new_err(text);
            with_attributes(error, |value| {
                value.setattr("asset_key", asset_key)?;
                value.setattr("check", check)?;
                value.setattr("rows", planned)
            })
        }
        Error::AlreadyThere(_) => AlreadyThereError::new_err(text),
        Error::NotThere(_) => NotThereError::new_err(text),
        Error::BeyondHead { .. } | Error::BelowHorizon { .. } => SequenceRangeError::new_err(text),
        Error::LeaseLost { .. } => LeaseLostError::new_err(text),
        Error::Interrupted => PyKeyboardInterrupt::new_err(text),
        Error::NoAddressSpace { .. }
        | Error::Refused(_)
        | Error::Arrow(_)
        | Error::Reentered { .. }
        | Error::Lmdb { .. }
        | Error::Io { .. }
        | Error::Storage(_) => LmdbStoreError::new_err(text),
    }
}

/// The exception of an event that does not decode, which names its sequence.
pub fn undecodable(sequence: u64, text: String) -> PyErr {
    let error = UndecodableEventError::new_err(text);
    with_attributes(error, |value| value.setattr("sequence", sequence))
}

fn with_attributes(
    error: PyErr,
    set: impl FnOnce(&Bound<'_, PyBaseException>) -> PyResult<()>,
) -> PyErr {
    Python::attach(|py| match set(error.value(py)) {
        Ok(()) => error,
        Err(failed) => failed,
    })
}
