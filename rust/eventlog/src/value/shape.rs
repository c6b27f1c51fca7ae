//! Shapes: what is the same in every object of a class, kept once; and the facets beside a body.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a shape describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShapeKind {
    /// An object: one value per field.
    Object,
    /// One member of an enum: no fields.
    Enum,
}

/// The definition behind an ordinal.
///
/// Well formed when `fields` are distinct and in ascending order of their code points, the order in
/// which Dagster writes an object's keys; when no field is also a constant; and, for an enum, when
/// there are neither fields nor constants. Two shapes of one class are legal: each object says which
/// one it was written with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub kind: ShapeKind,
    /// Storage name of the class; for an enum member `Class.MEMBER`.
    pub name: String,
    /// Storage names of the fields, in stored order.
    pub fields: Vec<String>,
    /// A JSON object: fields with the same value in every object of the class. Empty text for none.
    pub constants: String,
    /// Fingerprint of the plan that wrote the object; 0 where nobody compares it.
    pub plan: u64,
}

/// Where a reader finds definitions.
pub trait ShapeSource {
    /// The shape with this ordinal; best the same `Arc` each time, since readers cache by it.
    fn shape(&self, ordinal: u32) -> Option<Arc<Shape>>;
}

impl ShapeSource for [Arc<Shape>] {
    fn shape(&self, ordinal: u32) -> Option<Arc<Shape>> {
        self.get(ordinal as usize).cloned()
    }
}

impl ShapeSource for Vec<Arc<Shape>> {
    fn shape(&self, ordinal: u32) -> Option<Arc<Shape>> {
        self.as_slice().shape(ordinal)
    }
}

/// A value that stands in the record beside the body, which the body may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Facet<'a> {
    Str(&'a str),
    Float(f64),
}
