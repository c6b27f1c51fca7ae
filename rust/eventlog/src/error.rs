//! Every way in which the engine refuses or fails, as one enum.
//!
//! Each message says what happened and what to do; the bindings map each variant to one Python
//! exception without a wildcard arm.

use std::path::PathBuf;

use crate::store::lmdb::LmdbError;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. A call that returns an error has stored nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds no store, or something else.
    #[error("{path} is not a dagster-lmdb store: {reason}")]
    NotAStore { path: PathBuf, reason: String },

    /// A newer release wrote the store's bytes.
    #[error(
        "{path} has format {found}, and this release reads up to {supported}; upgrade dagster-lmdb in this environment"
    )]
    FormatTooNew {
        path: PathBuf,
        found: u32,
        supported: u32,
    },

    /// A newer release folds the live projections.
    #[error(
        "{path} has projections of fold version {found}, and this process folds version {supported}; restart it with the release that upgraded the store"
    )]
    FoldTooNew {
        path: PathBuf,
        found: u32,
        supported: u32,
    },

    /// An older release folds the live projections.
    #[error(
        "{path} has projections of fold version {found}, and this release needs {supported}; run: dagster-lmdb rebuild {path}"
    )]
    FoldTooOld {
        path: PathBuf,
        found: u32,
        supported: u32,
    },

    /// The journal holds commits whose records another release folds.
    #[error(
        "{path} was left with commits of fold version {found} in its journal, and this release folds {supported}; nothing was changed; open it once with the release that wrote it"
    )]
    FoldInJournal {
        path: PathBuf,
        found: u64,
        supported: u32,
    },

    /// LMDB's locks and its memory map need a local file system.
    #[error(
        "{path} is on a network file system ({kind}), where LMDB's locks and memory map cannot be trusted; put the store on a local disk, or set allow_network_file_system: true if this host alone uses it"
    )]
    NetworkFileSystem { path: PathBuf, kind: &'static str },

    /// LMDB's pid locks fail or lie across PID namespaces.
    #[error(
        "{path} is held open by a process of another PID namespace ({namespace}); run all processes in one (docker compose: pid: \"service:...\", Kubernetes: shareProcessNamespace: true), or set allow_other_pid_namespaces: true"
    )]
    OtherPidNamespace { path: PathBuf, namespace: String },

    /// The operating system refused access.
    #[error("no permission on {path}: {source}; the store belongs to the user that created it")]
    Permission {
        path: PathBuf,
        source: std::io::Error,
    },

    /// The disk is full, or a file size limit is reached.
    #[error(
        "no room on the disk of {path} ({source}); nothing was stored; free some space and try again"
    )]
    DiskFull {
        path: PathBuf,
        source: std::io::Error,
    },

    /// The disk failed, or gave no more room without saying so.
    #[error(
        "writing to the disk of {path} failed ({source}); nothing was stored; see the system's log for the disk"
    )]
    DiskFailed {
        path: PathBuf,
        source: std::io::Error,
    },

    /// The disk took pages and failed to write them.
    #[error(
        "the disk of {path} failed to write what it had taken; nothing more is stored; end every process that has the store open, see the system's log for the disk, and start again: opening restores all commits from the journal"
    )]
    DiskLost { path: PathBuf },

    /// The map is full.
    #[error(
        "the store {path} has filled its map of {map_size} bytes; nothing was stored; run: dagster-lmdb resize {path} --map-size SIZE"
    )]
    MapFull { path: PathBuf, map_size: usize },

    /// The map does not fit into what the process may address.
    #[error(
        "cannot map {map_size} bytes of {path}: the process's address space is limited; raise the limit (ulimit -v), or create the store with a smaller map_size"
    )]
    NoAddressSpace { path: PathBuf, map_size: usize },

    /// Every reader slot is taken.
    #[error(
        "all {max_readers} reader slots of {path} are taken by live processes; close some, or stop every process and open the store with a larger max_readers"
    )]
    ReadersFull { path: PathBuf, max_readers: u32 },

    /// The data file ends before its last page, or its pages contradict each other.
    #[error(
        "the data file of {path} is damaged: {reason}; restore it from a backup, or run: dagster-lmdb verify {path}"
    )]
    Damaged { path: PathBuf, reason: String },

    /// A record's bytes are not what was written.
    #[error("record {sequence} is damaged: {reason}; run dagster-lmdb verify to see how far")]
    DamagedRecord { sequence: u64, reason: String },

    /// A row of a projection is not what this fold version writes.
    #[error("a projection holds a row that does not decode ({0}); run: dagster-lmdb rebuild DIR")]
    DamagedRow(String),

    /// A body does not decode.
    #[error("record {sequence} has a body that does not decode: {reason}")]
    Body { sequence: u64, reason: String },

    /// The caller was interrupted while it waited for the writer lock.
    #[error("interrupted while waiting for the writer lock; nothing was stored")]
    Interrupted,

    /// A write was begun by a thread that is inside another one.
    #[error(
        "this thread is inside a transaction of {path} already, which would wait for itself; nothing was stored"
    )]
    Reentered { path: PathBuf },

    /// A live process of another release or another C library shares the queue file.
    #[error(
        "{path} is held open by a process that this one cannot share it with ({reason}); run one release of dagster-lmdb on all of them, or stop them first"
    )]
    Incompatible { path: PathBuf, reason: String },

    /// A process has the store open that does not share the writer lock.
    #[error(
        "a process has {path} open and does not share its writer lock: the file named queue was removed since, or another program has data.mdb open; nothing was stored; end every process that has the store open, and start again"
    )]
    LockNotShared { path: PathBuf },

    /// An evaluation matches several planned executions of its check, run and partition.
    #[error(
        "{planned} executions of check {check} on {asset_key} are planned in run {run_id}; an evaluation belongs to one"
    )]
    DuplicatePlannedCheck {
        planned: usize,
        check: String,
        asset_key: String,
        run_id: String,
    },

    /// A document with the key is there already.
    #[error("{0} is there already")]
    AlreadyThere(String),

    /// No document with the key is there.
    #[error("{0} is not there")]
    NotThere(String),

    /// History is asked for from or up to a record that is not there yet.
    #[error("record {sequence} is beyond the last one of the store, which is {head}")]
    BeyondHead { sequence: u64, head: u64 },

    /// History is asked for from a record on, and what was superseded after it is gone.
    #[error(
        "history is whole from record {whole_from} on, and was asked for from record {sequence} on; ask from {whole_from} on, or name no first record to get what is left"
    )]
    BelowHorizon { sequence: u64, whole_from: u64 },

    /// A compaction went past a reader whose lease had expired.
    #[error(
        "{path} was compacted while its history from record {from} on was being read, and the reader had not renewed its lease for a minute: it was stopped, or could not write; nothing that it read so far is wrong, but what it had yet to read is gone; read again"
    )]
    LeaseLost { path: PathBuf, from: u64 },

    /// Columns do not make a batch.
    #[error("cannot make a batch of rows: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),

    /// A command asks for what its rules forbid.
    #[error("{0}")]
    Refused(String),

    /// A rebuild runs already.
    #[error("a rebuild of {path} is already running; it is resumed by the command that started it")]
    RebuildRunning { path: PathBuf },

    /// A compaction runs, or work that it must not run beside.
    #[error(
        "{path} is being compacted, verified or rebuilt by another process, beside which this cannot be done; try again when that has ended"
    )]
    MaintenanceRunning { path: PathBuf },

    /// The log never was, or is not yet, where it is asked for.
    #[error("{path} has no such moment: {reason}")]
    NoSuchMoment { path: PathBuf, reason: String },

    /// A compaction has taken what tells how it was.
    #[error(
        "history of {path} is whole from record {whole_from} on, so it tells how it was as of record {} and later, and was asked for record {at}: a compaction has taken states that later ones up to there overwrote, and what belonged to deleted runs and purged ticks; ask for a later record, or have what is left with --incomplete (in Python incomplete=True)",
        .whole_from - 1
    )]
    NoLongerWhole {
        path: PathBuf,
        at: u64,
        /// At least 2: nothing is missing before.
        whole_from: u64,
    },

    /// A copy was to be made where something is.
    #[error("{path} exists; nothing was written; name a path that does not")]
    DestinationExists { path: PathBuf },

    /// A write to a store that is open for reading.
    #[error(
        "{path} shows a store as it was at one moment, so nothing can be stored; take as_of out of the storage's configuration to go on from today, or make a store of its own with: dagster-lmdb fork"
    )]
    ReadOnly { path: PathBuf },

    /// Any other failure of LMDB.
    #[error("LMDB failed on {path}: {source}")]
    Lmdb { path: PathBuf, source: LmdbError },

    /// Any other failure of the operating system.
    #[error("{action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },

    /// A failure of LMDB below the layers that know the store's path.
    #[error(transparent)]
    Storage(#[from] LmdbError),
}

impl Error {
    /// The message as a finding of `verify`, which does not advise to run it.
    pub fn finding(&self) -> String {
        match self {
            Error::Damaged { path, reason } => format!(
                "the data file of {path} is damaged: {reason}; restore it from a backup",
                path = path.display()
            ),
            Error::DamagedRecord { sequence, reason } => {
                format!("record {sequence} is damaged: {reason}")
            }
            other => other.to_string(),
        }
    }
}
