//! How one field of an object is written: its place in the object, its skip rule, its serializer.

use std::sync::Arc;

use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{
    PyBool, PyDict, PyDictMethods, PyFloat, PyInt, PyList, PyListMethods, PyString, PyTuple,
};

use super::dagster::Dagster;
use super::known::{Known, recognise};
use super::registry::Codec;
use super::shapes::InternedShape;

/// When a field is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Never,
    WhenNone,
    WhenEmpty,
}

/// What a field serializer does with a value before it is written.
pub(super) enum FieldPack {
    /// `pack(value, **kwargs)`, whose result is written.
    Call { pack: Py<PyAny>, kwargs: Py<PyDict> },
    /// Metadata, as a list of objects of this shape (description, entry_data, label).
    Metadata { entry: Arc<InternedShape> },
    /// The value itself.
    AsIs,
}

/// One field of a plan.
pub(super) struct WriteField {
    /// Storage name, as a key of dicts.
    pub key: Py<PyString>,
    /// Position in the tuple, where the object is one.
    pub index: usize,
    /// Key in the object's `__dict__`, where it has one.
    pub attribute: Py<PyString>,
    pub skip: Skip,
    pub pack: Option<FieldPack>,
}

impl FieldPack {
    /// How `serializer`, a field serializer, packs.
    pub(super) fn compile(
        codec: &Codec,
        serializer: &Bound<'_, PyAny>,
        descent_path: &str,
    ) -> PyResult<Self> {
        let py = serializer.py();
        let pack = serializer.getattr("pack")?;
        match recognise(&pack) {
            Some(Known::AsIsPack) => return Ok(Self::AsIs),
            Some(Known::MetadataPack) => {
                let entry = codec.plan_for_storage_name(py, "EventMetadataEntry")?;
                if let Some(entry) = entry
                    && entry.shape.fields == ["description", "entry_data", "label"]
                    && entry.shape.constants.is_empty()
                {
                    let entry = Arc::clone(&entry.shape);
                    return Ok(Self::Metadata { entry });
                }
            }
            _ => {}
        }
        let kwargs = PyDict::new(py);
        kwargs.set_item("whitelist_map", codec.whitelist_map.bind(py))?;
        kwargs.set_item("descent_path", descent_path)?;
        Ok(Self::Call {
            pack: pack.unbind(),
            kwargs: kwargs.unbind(),
        })
    }
}

/// Whether a field with this value is left out.
pub(super) fn skips(skip: Skip, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match skip {
        Skip::Never => Ok(false),
        Skip::WhenNone => Ok(value.is_none()),
        Skip::WhenEmpty => {
            if let Ok(list) = value.cast_exact::<PyList>() {
                return Ok(list.is_empty());
            }
            if let Ok(dict) = value.cast_exact::<PyDict>() {
                return Ok(dict.is_empty());
            }
            let never_equal = value.is_exact_instance_of::<PyString>()
                || value.is_exact_instance_of::<PyInt>()
                || value.is_exact_instance_of::<PyFloat>()
                || value.is_exact_instance_of::<PyBool>()
                || value.is_exact_instance_of::<PyTuple>();
            if never_equal {
                return Ok(false);
            }
            let py = value.py();
            Dagster::get(py)?
                .empty_values
                .bind(py)
                .as_any()
                .contains(value)
        }
    }
}
