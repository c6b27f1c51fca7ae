//! What this process knows of each store's shapes: definitions by ordinal, ordinals by shape.
//!
//! Filled from committed definitions alone. The locks are held for copies only, never while Python
//! runs or the GIL is free, so that a fork finds them open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use eventlog::value::Shape;

use crate::codec::{InternedShape, OrdinalCache};

/// Definitions by ordinal, dense from 0.
pub type Definitions = Arc<Vec<Arc<Shape>>>;

/// The shapes of one store.
#[derive(Debug, Default)]
pub struct StoreShapes {
    pub ordinals: OrdinalCache,
    definitions: Mutex<Definitions>,
}

static STORES: Mutex<Option<HashMap<[u8; 16], Arc<StoreShapes>>>> = Mutex::new(None);

impl StoreShapes {
    /// The shapes of the store with this id, shared by its handles.
    pub fn of(store: [u8; 16]) -> Arc<Self> {
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.get_or_insert_default().entry(store).or_default())
    }

    /// The definitions known so far.
    pub fn definitions(&self) -> Definitions {
        Arc::clone(
            &self
                .definitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Takes in definitions read from the store, from ordinal `from` on.
    pub fn learn(&self, from: usize, new: Vec<Shape>) {
        if new.is_empty() {
            return;
        }
        for (index, shape) in new.iter().enumerate() {
            let ordinal = u32::try_from(from + index).expect("ordinals are u32");
            self.ordinals
                .learn(&InternedShape::new(shape.clone()), ordinal);
        }
        let mut definitions = self
            .definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if definitions.len() < from + new.len() {
            let known = definitions.len();
            let more = new
                .into_iter()
                .skip(known.saturating_sub(from))
                .map(Arc::new);
            Arc::make_mut(&mut definitions).extend(more);
        }
    }
}
