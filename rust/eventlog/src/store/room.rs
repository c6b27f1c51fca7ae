//! Room at the end of the data file, written ahead of the commits that use it.
//!
//! Owns when the file grows. A flush that extends a file has to log its new length in the file
//! system's journal, one that overwrites has not; so a writer whose commit would come near the end
//! writes zeros there first, many commits at a time. Nothing depends on it: where it fails, commits
//! extend the file themselves. Only a holder of the writer lock calls this, for the bytes after the
//! end are then nobody's.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::environment::DATA;
use super::lmdb::EnvironmentInfo;
use super::os;

/// Room that a commit finds at least, as a rule.
const LEAST: u64 = 256 << 10;
/// Bounds of what is written at once, an eighth of what is used between them.
const STEP: std::ops::RangeInclusive<u64> = (512 << 10)..=(4 << 20);
/// Zeros are written only where this many times their number is free.
const SPARE: u64 = 8;

/// The length of the data file at the last look, or less.
#[derive(Debug, Default)]
pub struct Room {
    length: AtomicU64,
}

impl Room {
    /// Sees to it that the next commit finds room.
    pub fn make(&self, directory: &Path, sizes: &EnvironmentInfo) {
        let used = (sizes.last_page as u64 + 1) * sizes.page_size as u64;
        if self.length.load(Ordering::Relaxed) >= used + LEAST {
            return;
        }
        let path = directory.join(DATA);
        let Ok(found) = fs::metadata(&path) else {
            return;
        };
        self.length.store(found.len(), Ordering::Relaxed);
        let step = (used / 8).clamp(*STEP.start(), *STEP.end());
        let end = (used + LEAST + step).min(sizes.map_size as u64);
        if found.len() >= used + LEAST
            || end <= found.len()
            || os::free_bytes(directory).is_ok_and(|free| free < SPARE * step)
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
