//! Shapes on the writing side: interned once per process, numbered once per store.
//!
//! A plan holds its shape as an [`InternedShape`], whose small process-wide `key` makes looking up a
//! store's ordinal an index into a table. An [`OrdinalCache`] belongs to one store (by its id) and
//! learns an ordinal only after the commit that defines it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use eventlog::value::Shape;

/// A shape with a number of its own in this process.
#[derive(Debug)]
pub struct InternedShape {
    key: usize,
    shape: Shape,
}

/// Every shape this process has written with. Locked only with the GIL held and never while Python
/// runs, so a fork cannot copy it locked.
static INTERNED: LazyLock<Mutex<HashMap<Shape, Arc<InternedShape>>>> =
    LazyLock::new(|| Mutex::new(HashMap::new()));

impl InternedShape {
    pub fn new(shape: Shape) -> Arc<Self> {
        let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
        let key = interned.len();
        Arc::clone(interned.entry(shape).or_insert_with_key(|shape| {
            Arc::new(Self {
                key,
                shape: shape.clone(),
            })
        }))
    }

    /// Dense from zero, for tables indexed by it.
    pub fn key(&self) -> usize {
        self.key
    }
}

impl Deref for InternedShape {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

/// Where the encoder asks for the ordinals of a store. It must not run Python.
pub trait ShapeIds {
    /// The ordinal of a shape, if the store is known to define it.
    fn ordinal(&mut self, shape: &Arc<InternedShape>) -> Option<u32>;
}

/// The ordinals of one store, as far as this process has seen them.
#[derive(Debug, Default)]
pub struct OrdinalCache {
    ordinals: RwLock<Vec<Option<u32>>>,
}

impl OrdinalCache {
    /// Notes the ordinal of a shape whose definition is committed.
    pub fn learn(&self, shape: &InternedShape, ordinal: u32) {
        let mut ordinals = self
            .ordinals
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if ordinals.len() <= shape.key {
            ordinals.resize(shape.key + 1, None);
        }
        ordinals[shape.key] = Some(ordinal);
    }
}

impl ShapeIds for &OrdinalCache {
    fn ordinal(&mut self, shape: &Arc<InternedShape>) -> Option<u32> {
        let ordinals = self.ordinals.read().unwrap_or_else(PoisonError::into_inner);
        ordinals.get(shape.key).copied().flatten()
    }
}
