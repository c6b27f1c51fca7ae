//! Bodies: the packed JSON value of a Dagster object, in a compact and lossless encoding.
//!
//! A body is MessagePack with nine extension types (`marker`). Objects and enum members name a
//! [`Shape`] by its ordinal, so class and field names stand once in a store and not in each body.
//! This module writes and reads bodies and prints them as the JSON text that Dagster's serdes would
//! have stored; it knows nothing of Python. Bytes come from disk, so every reader here answers any
//! input with a value or an [`Error`], never with a panic or an unbounded recursion.

mod error;
mod float;
mod json;
mod marker;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod write;
mod wtf8;

pub use error::Error;
pub use json::{JsonPrinter, push_json_str, to_packed_json};
pub use marker::MAX_DEPTH;
pub use read::{Reader, Token};
pub use shape::{Facet, Shape, ShapeKind, ShapeSource};
pub use write::Writer;
pub use wtf8::{merge_surrogate_pairs, replace_surrogates};
