//! Dagster's objects to bodies and back, with Dagster's own serdes as the law.
//!
//! What a body says is always what `serialize_value` would have said of the same object, and what
//! is read back is what `deserialize_value` gives for that text; where this module cannot follow
//! Dagster natively it calls Dagster. Plans are compiled from Dagster's registry once per class and
//! checked against it at each use. No Rust lock is held while Python may run. Everything here needs
//! the GIL; the engine's side of it (`eventlog::value`) needs none.

mod call;
mod collector;
mod construct;
mod constructors;
mod dagster;
mod decode;
mod encode;
mod field;
mod hash;
mod keys;
mod known;
mod metadata;
mod plan;
mod recipe;
mod registry;
mod scalar;
mod shapes;
mod strings;
mod table;

pub use decode::{Page, decode, with_page};
pub use encode::{Encoded, encode};
pub use registry::Codec;
pub use scalar::FacetValue;
pub use shapes::{InternedShape, OrdinalCache, ShapeIds};
pub use table::ShapeTable;
