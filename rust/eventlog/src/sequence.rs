//! The number of a record.

use serde::{Deserialize, Serialize};

use crate::store::lmdb::LmdbError;

/// A record's place in the log: dense, from 1, in commit order. Dagster's `storage_id`.
///
/// Sequences are never given again: a removed record leaves a husk under its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first record; also "none" in rows that hold a sequence.
    pub const ZERO: Self = Self(0);

    /// The sequence of that number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// None for [`Sequence::ZERO`].
    pub fn known(self) -> Option<Self> {
        (self.0 != 0).then_some(self)
    }

    /// The sequence after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The key of the `log` tree.
    pub fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads the last eight bytes of a key, where every key that holds a sequence has it.
    ///
    /// # Errors
    ///
    /// Corruption, if the key is shorter: only a damaged page has such a key.
    pub fn from_key_end(key: &[u8]) -> Result<Self, LmdbError> {
        let tail = key.last_chunk::<8>().ok_or(LmdbError::SHORT_KEY)?;
        Ok(Self(u64::from_be_bytes(*tail)))
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
