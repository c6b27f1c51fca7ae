//! Frames that were copied out of a snapshot, one after the other in one piece of memory.

use std::ops::Range;

use crate::sequence::Sequence;

/// Frames that are copied out at once.
const FRAMES: usize = 20_000;
/// Their bytes, but for one frame.
const BYTES: usize = 16 << 20;

/// Frames and their sequences, in the order of the log.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    places: Vec<(Sequence, Range<usize>)>,
}

impl Frames {
    /// Adds a frame.
    pub fn push(&mut self, sequence: Sequence, frame: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.places.push((sequence, begin..self.bytes.len()));
    }

    /// Whether these are as many as are to be in memory, or worked on in one commit.
    pub fn is_full(&self) -> bool {
        self.places.len() >= FRAMES || self.bytes.len() >= BYTES
    }

    /// Number of frames.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The last frame.
    pub fn last(&self) -> Option<(Sequence, &[u8])> {
        let (sequence, place) = self.places.last()?;
        Some((*sequence, &self.bytes[place.clone()]))
    }

    /// All frames, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Sequence, &[u8])> {
        let frame = |place: &Range<usize>| &self.bytes[place.clone()];
        self.places
            .iter()
            .map(move |(sequence, place)| (*sequence, frame(place)))
    }
}
