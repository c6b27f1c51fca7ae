//! Room at the end of the data file, written ahead of the commits that use it.
//!
//! Owns when the file grows. A flush that extends a file has to log its new length in the file
//! system's journal, one that overwrites has not; so a writer of small commits whose next would come
//! near the end writes zeros there first, enough for many. A large commit costs more to write twice
//! than to log. Nothing depends on it: where it fails, commits extend the file themselves. Only a
//! holder of the writer lock calls this, for the bytes after the end are then nobody's.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::environment::DATA;
use super::lmdb::EnvironmentInfo;
use super::os;

/// Room that a commit finds at least, as a rule.
const LEAST: u64 = 64 << 10;
/// What is written at once: some milliseconds of one commit in a hundred.
const STEP: u64 = 512 << 10;
/// A commit that grew the file by more than this is large.
const LARGE: u64 = 32 << 10;
/// Free bytes of the disk below which the room is left to the commits themselves.
const SPARE: u64 = 16 << 20;

/// What the last writer of this process saw.
#[derive(Debug, Default)]
pub struct Room {
    /// The length of the data file, or less.
    length: AtomicU64,
    used: AtomicU64,
}

impl Room {
    /// Sees to it that a small commit finds room.
    pub fn make(&self, directory: &Path, sizes: &EnvironmentInfo) {
        let used = (sizes.last_page as u64 + 1) * sizes.page_size as u64;
        let grown = used.saturating_sub(self.used.swap(used, Ordering::Relaxed));
        if self.length.load(Ordering::Relaxed) >= used + LEAST || grown > LARGE {
            return;
        }
        let path = directory.join(DATA);
        let Ok(found) = fs::metadata(&path) else {
            return;
        };
        self.length.store(found.len(), Ordering::Relaxed);
        let end = (used + LEAST + STEP).min(sizes.map_size as u64);
        if found.len() >= used + LEAST
            || end <= found.len()
            || os::free_bytes(directory).is_ok_and(|free| free < SPARE)
            || os::file_size_limit() < end
        {
            return;
        }
        let zeros = vec![0; (end - found.len()) as usize];
        let written = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.write_all_at(&zeros, found.len()));
        if written.is_ok() {
            self.length.store(end, Ordering::Relaxed);
        }
    }
}
