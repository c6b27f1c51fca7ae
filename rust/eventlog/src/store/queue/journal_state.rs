//! How far the journal is, shared by every process. Holders of the writer lock alone use it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Its place in the mapped header.
#[derive(Default)]
#[repr(C)]
pub struct Journaled {
    /// 1 once an opener has looked whether there is something to recover.
    pub recovered: AtomicU32,
    /// 1 while the fields below hold; else the next writer makes a checkpoint first.
    ready: AtomicU32,
    /// 1 from a commit's entry to its end.
    in_flight: AtomicU32,
    /// 1 once the disk has lost what it was given.
    lost: AtomicU32,
    generation: AtomicU64,
    /// Where the next entry goes.
    offset: AtomicU64,
    /// The last transaction of whose freed pages the journal knows.
    noted: AtomicU64,
}

impl Journaled {
    /// As it is while nobody has the store open.
    pub fn reset(&self) {
        for flag in [&self.recovered, &self.ready, &self.in_flight, &self.lost] {
            flag.store(0, Ordering::Relaxed);
        }
    }
}

/// How far the journal is, shared by every process. Holders of the writer lock alone use it.
#[derive(Clone, Copy)]
pub struct JournalState<'q>(pub(super) &'q Journaled);

impl JournalState<'_> {
    /// Whether the last writer left the journal in order.
    pub fn is_ready(self) -> bool {
        self.0.ready.load(Ordering::Relaxed) == 1 && self.0.in_flight.load(Ordering::Relaxed) == 0
    }

    pub fn set_ready(self, ready: bool) {
        self.0.ready.store(ready.into(), Ordering::Relaxed);
    }

    pub fn set_in_flight(self, in_flight: bool) {
        self.0.in_flight.store(in_flight.into(), Ordering::Relaxed);
    }

    pub fn is_lost(self) -> bool {
        self.0.lost.load(Ordering::Relaxed) == 1
    }

    pub fn set_lost(self) {
        self.0.lost.store(1, Ordering::Relaxed);
    }

    pub fn generation(self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }

    /// Where the next entry goes.
    pub fn offset(self) -> u64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    /// The last transaction of whose freed pages the journal knows.
    pub fn noted(self) -> u64 {
        self.0.noted.load(Ordering::Relaxed)
    }

    /// Begins anew after a checkpoint.
    pub fn begin(self, generation: u64, offset: u64, noted: u64) {
        self.0.generation.store(generation, Ordering::Relaxed);
        self.advance(offset, noted);
        self.set_ready(true);
    }

    /// Goes on after a commit.
    pub fn advance(self, offset: u64, noted: u64) {
        self.0.offset.store(offset, Ordering::Relaxed);
        self.0.noted.store(noted, Ordering::Relaxed);
        self.set_in_flight(false);
    }
}
