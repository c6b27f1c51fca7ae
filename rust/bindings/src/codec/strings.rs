//! Strings of what is read: short ones are kept from one page to the next, since the names of keys, event
//! types, jobs and steps come again with nearly every event.

use std::hash::Hasher;

use pyo3::prelude::{Bound, Py, Python};
use pyo3::types::{PyString, PyStringMethods};

use super::call::ascii_string;
use super::hash::NumberHasher;

/// Longer strings are unlikely to come again.
const LONGEST_KEPT: usize = 48;
/// A power of two. Each place keeps the string that came there last.
const PLACES: usize = 4096;
/// From here on copying costs more than finding out that a text is ASCII.
const LONG: usize = 256;

/// The last short ASCII string of each hash.
pub(super) struct Strings(Vec<Option<Py<PyString>>>);

impl Strings {
    pub(super) fn new() -> Self {
        let mut places = Vec::new();
        places.resize_with(PLACES, || None);
        Self(places)
    }

    /// A string of this text; the one made before, where that is still kept.
    pub(super) fn get<'py>(&mut self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        if text.len() > LONGEST_KEPT {
            if text.len() >= LONG {
                return ascii_string(py, text);
            }
            return PyString::new(py, text);
        }
        let place = &mut self.0[place_of(text.as_bytes())];
        if let Some(kept) = place {
            let kept = kept.bind(py);
            if kept.to_str().is_ok_and(|it| it == text) {
                return kept.clone();
            }
        }
        let string = PyString::new(py, text);
        // Of others Python would keep the UTF-8 beside the string, once asked for it.
        if text.is_ascii() {
            *place = Some(string.clone().unbind());
        }
        string
    }
}

fn place_of(text: &[u8]) -> usize {
    let mut hasher = NumberHasher::default();
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        hasher.write_u64(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hasher.write_u64(u64::from_le_bytes(last) ^ ((text.len() as u64) << 56));
    hasher.finish() as usize % PLACES
}
