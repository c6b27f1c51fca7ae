//! The mark in the data file that says which journal leads on from it, and how far.
//!
//! Owns 24 bytes of LMDB's first meta page, behind all that LMDB writes there: it makes the page
//! whole once, and from then on writes its own fields alone. A checkpoint marks the data file before
//! it flushes it, and once its header is on disk, so that at every moment the mark names the journal's
//! newest header on disk. A commit marks it once its entry is flushed, so whatever of that is on disk, a
//! journal with fewer entries has lost some. Written under the writer lock. Only `journal` and `recovery`
//! call this.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where in the data file the mark is.
const PLACE: u64 = 256;

/// Where in it the number of the last flushed commit is.
const FLUSHED: u64 = 16;

/// The nonces of the headers that the journal may begin with, and what it holds at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Of the last checkpoint, until the next one's header is on disk.
    pub from: u64,
    /// Of the checkpoint under way; the same where none is.
    pub to: u64,
    /// LMDB's number of the last commit whose entry was flushed; 0 for none since the checkpoint.
    pub flushed: u64,
}

impl Stamp {
    /// What a data file has that no journal leads on from.
    pub const NONE: Self = Self {
        from: 0,
        to: 0,
        flushed: 0,
    };

    pub fn read(data: &File) -> io::Result<Self> {
        let mut bytes = [0; 24];
        data.read_exact_at(&mut bytes, PLACE)?;
        let [from, to, flushed] = [0, 8, 16].map(|at| {
            let number = bytes[at..at + 8].try_into();
            u64::from_le_bytes(number.expect("eight bytes"))
        });
        Ok(Self { from, to, flushed })
    }

    pub fn write(self, data: &File) -> io::Result<()> {
        let numbers = [self.from, self.to, self.flushed].map(u64::to_le_bytes);
        data.write_all_at(numbers.as_flattened(), PLACE)
    }

    /// Says that the entry of a commit is flushed.
    pub fn write_flushed(data: &File, transaction: u64) -> io::Result<()> {
        data.write_all_at(&transaction.to_le_bytes(), PLACE + FLUSHED)
    }

    /// Whether a checkpoint began, and nobody knows of its header that it is on disk.
    pub fn is_open(self) -> bool {
        self.from != self.to
    }

    /// Whether a journal that begins with this nonce is the data file's.
    pub fn names(self, nonce: u64) -> bool {
        nonce != 0 && [self.from, self.to].contains(&nonce)
    }
}
