//! Why a call of LMDB failed, and which kind of failure that is.
//!
//! Owns the sorting of LMDB's codes and the system's into what the store acts on. Knows no paths:
//! `opened` turns these into the engine's errors.

use lmdb_master_sys as ffi;

/// A failed LMDB call: which one, and LMDB's or the system's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LmdbError {
    /// The LMDB function that failed.
    pub operation: &'static str,
    /// A negative `MDB_` code, or a positive `errno`.
    pub code: i32,
}

impl std::fmt::Display for LmdbError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}: {}",
            self.operation,
            super::lmdb::message(self.code)
        )
    }
}

impl std::error::Error for LmdbError {}

impl LmdbError {
    /// A key, or a row, is shorter than any that was written.
    pub const SHORT_KEY: Self = Self {
        operation: "mdb_cursor_get",
        code: ffi::MDB_CORRUPTED,
    };

    /// The map has no room for another page.
    pub fn is_map_full(&self) -> bool {
        self.code == ffi::MDB_MAP_FULL
    }

    /// Every reader slot of the lock file is taken.
    pub fn is_readers_full(&self) -> bool {
        self.code == ffi::MDB_READERS_FULL
    }

    /// Another process has made the map larger than this process mapped it.
    pub fn is_map_resized(&self) -> bool {
        self.code == ffi::MDB_MAP_RESIZED
    }

    /// The file system has no room, or the process may write no further.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.code, libc::ENOSPC | libc::EDQUOT | libc::EFBIG)
    }

    /// The operating system refused access.
    pub fn is_permission(&self) -> bool {
        matches!(self.code, libc::EACCES | libc::EPERM)
    }

    /// The transaction has failed before, and can only be aborted.
    pub fn is_bad_transaction(&self) -> bool {
        self.code == ffi::MDB_BAD_TXN
    }

    /// LMDB's files have another version than this LMDB.
    pub fn is_version_mismatch(&self) -> bool {
        self.code == ffi::MDB_VERSION_MISMATCH
    }

    /// The environment is unusable until it is opened again.
    pub fn is_fatal(&self) -> bool {
        self.code == ffi::MDB_PANIC
    }

    /// The data file is not an LMDB file, or its pages contradict each other.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self.code,
            ffi::MDB_CORRUPTED
                | ffi::MDB_INVALID
                | ffi::MDB_PAGE_NOTFOUND
                | ffi::MDB_VERSION_MISMATCH
        )
    }
}
