//! `ShapeTable`: a codec with its shapes in memory, for tests and for looking at a body by hand.

use std::sync::{Arc, Mutex, PoisonError};

use eventlog::value::{Facet, Shape, ShapeKind, to_packed_json};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::types::{PyBytes, PyDict, PyDictMethods, PyString, PyStringMethods};
use pyo3::{pyclass, pymethods};

use super::constructors::known;
use super::decode::with_page;
use super::encode::{Encoded, encode};
use super::known::recognise;
use super::registry::Codec;
use super::scalar::FacetValue;
use super::shapes::OrdinalCache;

/// Facets as tests give them: strings, floats and None.
type Facets<'py> = Option<Vec<Bound<'py, PyAny>>>;

/// Encodes, decodes and prints bodies, defining shapes as they come.
#[pyclass(frozen, module = "dagster_lmdb._core")]
pub struct ShapeTable {
    codec: Arc<Codec>,
    store: Arc<Store>,
}

#[derive(Default)]
struct Store {
    /// Shared with whoever decodes at the time.
    shapes: Mutex<Arc<Vec<Arc<Shape>>>>,
    ordinals: OrdinalCache,
}

impl Store {
    fn snapshot(&self) -> Arc<Vec<Arc<Shape>>> {
        let shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shapes)
    }
}

#[pymethods]
impl ShapeTable {
    #[new]
    #[pyo3(signature = (whitelist_map=None))]
    fn new(py: Python<'_>, whitelist_map: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self {
            codec: codec_of(py, whitelist_map)?,
            store: Arc::default(),
        })
    }

    /// A table of the same shapes for a process with another registry.
    #[pyo3(signature = (whitelist_map=None))]
    fn seen_by(&self, py: Python<'_>, whitelist_map: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self {
            codec: codec_of(py, whitelist_map)?,
            store: Arc::clone(&self.store),
        })
    }

    #[pyo3(signature = (obj, facets=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        obj: &Bound<'py, PyAny>,
        facets: Facets<'py>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let facets: Vec<_> = facets.iter().flatten().map(FacetValue::of).collect();
        // Once more than twice: a serializer may answer differently the second time.
        for _ in 0..4 {
            match encode(&self.codec, obj, &facets, &mut &self.store.ordinals)? {
                Encoded::Body(body) => return Ok(PyBytes::new(py, &body)),
                Encoded::Missing(missing) => {
                    let mut shapes = self
                        .store
                        .shapes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    for shape in missing {
                        let ordinal = u32::try_from(shapes.len())?;
                        Arc::make_mut(&mut shapes).push(Arc::new(Shape::clone(&shape)));
                        self.store.ordinals.learn(&shape, ordinal);
                    }
                }
            }
        }
        Err(PyRuntimeError::new_err(
            "the shapes of a value never settled",
        ))
    }

    #[pyo3(signature = (body, facets=None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        facets: Facets<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let facets = facets.unwrap_or_default();
        let facets = borrow(&facets)?;
        with_page(py, &self.codec, &*self.store.snapshot(), 1, |page| {
            page.decode(body, &facets)
        })
    }

    /// The values of many bodies with the same facets, as one page.
    #[pyo3(signature = (bodies, facets=None))]
    fn decode_page<'py>(
        &self,
        py: Python<'py>,
        bodies: Vec<Bound<'py, PyBytes>>,
        facets: Facets<'py>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        use pyo3::types::PyBytesMethods;
        let facets = facets.unwrap_or_default();
        let facets = borrow(&facets)?;
        with_page(
            py,
            &self.codec,
            &*self.store.snapshot(),
            bodies.len(),
            |page| {
                bodies
                    .iter()
                    .map(|body| page.decode(body.as_bytes(), &facets))
                    .collect()
            },
        )
    }

    /// The JSON text that `serialize_value` gives for what a body holds.
    #[pyo3(signature = (body, facets=None))]
    fn packed_json(&self, body: &[u8], facets: Facets<'_>) -> PyResult<String> {
        let facets = facets.unwrap_or_default();
        to_packed_json(body, &borrow(&facets)?, &*self.store.snapshot())
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The shapes by ordinal, as dicts; `native` says that reading one needs none of Dagster's hooks.
    fn shapes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let describe = |shape: &Arc<Shape>| {
            let dict = PyDict::new(py);
            let kind = match shape.kind {
                ShapeKind::Object => "object",
                ShapeKind::Enum => "enum",
            };
            dict.set_item("kind", kind)?;
            dict.set_item("name", &shape.name)?;
            dict.set_item("fields", &shape.fields)?;
            dict.set_item("constants", &shape.constants)?;
            dict.set_item("plan", shape.plan)?;
            let plan = self.codec.read_plan(py, shape)?;
            dict.set_item("native", plan.native.is_some() || plan.member.is_some())?;
            Ok(dict)
        };
        self.store.snapshot().iter().map(describe).collect()
    }

    /// Whether the codec knows what a hook or a constructor of Dagster's does, by its source.
    #[staticmethod]
    fn recognises(function: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(recognise(function).is_some() || known(function)?.is_some())
    }
}

fn codec_of(py: Python<'_>, whitelist_map: Option<&Bound<'_, PyAny>>) -> PyResult<Arc<Codec>> {
    match whitelist_map {
        Some(map) => Ok(Arc::new(Codec::new(map)?)),
        None => Codec::of_dagster(py),
    }
}

fn borrow<'a>(facets: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<Option<Facet<'a>>>> {
    let one = |facet: &'a Bound<'_, PyAny>| {
        if facet.is_none() {
            return Ok(None);
        }
        if let Ok(text) = facet.cast::<PyString>() {
            return Ok(Some(Facet::Str(text.to_str()?)));
        }
        match facet.extract() {
            Ok(value) => Ok(Some(Facet::Float(value))),
            Err(_) => Err(PyTypeError::new_err("a facet is a str, a float or None")),
        }
    };
    facets.iter().map(one).collect()
}
