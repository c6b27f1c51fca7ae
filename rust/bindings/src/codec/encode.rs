//! Python values to bodies: Dagster's `_transform_for_serialization`, written as bytes.
//!
//! The walk mirrors Dagster's order of questions about a value and json's treatment of what comes
//! out. It never words a refusal: when anything fails, Dagster's own `serialize_value` is asked for
//! the same value, and its error is the one that is raised.

use std::sync::Arc;

use eventlog::value::{MAX_DEPTH, Writer};
use pyo3::exceptions::{PyException, PyRecursionError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyErr, PyResult, Python};
use pyo3::types::{
    PyBool, PyDict, PyDictMethods, PyFloat, PyFloatMethods, PyInt, PyList, PyListMethods, PyString,
    PyStringMethods, PyTuple, PyTupleMethods,
};

use super::call::Level;
use super::dagster::Dagster;
use super::field::{FieldPack, Skip, WriteField, skips};
use super::keys::json_entries;
use super::plan::{Access, WritePlan};
use super::registry::{Codec, EnumPlan, Kind};
use super::scalar::{FacetValue, Facets, write_float, write_int, write_text, write_wtf8};
use super::shapes::{InternedShape, ShapeIds};

/// What became of a value.
#[derive(Debug)]
pub enum Encoded {
    Body(Vec<u8>),
    /// The store does not define these shapes yet; define them in a commit and encode again.
    Missing(Vec<Arc<InternedShape>>),
}

/// Encodes a value as `serialize_value` would serialize it, or raises what that raises.
///
/// Strings and floats that equal one of `facets` become references to it, by its index.
pub fn encode<'py>(
    codec: &Codec,
    value: &Bound<'py, PyAny>,
    facets: &[Option<FacetValue<'py>>],
    shapes: &mut dyn ShapeIds,
) -> PyResult<Encoded> {
    let py = value.py();
    let mut encoder = Encoder {
        py,
        codec,
        dagster: Dagster::get(py)?,
        out: Writer::new(),
        facets: Facets::new(facets),
        shapes,
        missing: Vec::new(),
        depth: 0,
        packed: false,
    };
    if let Err(error) = encoder.value(value) {
        return Err(dagsters_error(codec, value, error));
    }
    if !encoder.missing.is_empty() {
        return Ok(Encoded::Missing(encoder.missing));
    }
    let body = encoder.out.finish();
    body.map(Encoded::Body)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The error that Dagster has for a value which the codec could not encode.
fn dagsters_error(codec: &Codec, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    if !error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyRecursionError>(py) {
        return error;
    }
    let serialize = || {
        let dagster = Dagster::get(py)?;
        let arguments = (value, codec.whitelist_map.bind(py));
        dagster.serialize_value.bind(py).call1(arguments)
    };
    serialize().err().unwrap_or(error)
}

struct Encoder<'a, 'py> {
    py: Python<'py>,
    codec: &'a Codec,
    dagster: &'static Dagster,
    out: Writer,
    facets: Facets<'a>,
    shapes: &'a mut dyn ShapeIds,
    missing: Vec<Arc<InternedShape>>,
    depth: usize,
    /// Inside what a serializer packed: a dict with `__class__` there is an object.
    packed: bool,
}

impl<'py> Encoder<'_, 'py> {
    fn value(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            return write_text(&mut self.out, &self.facets, text);
        }
        if value.is_none() {
            self.out.nil();
        } else if let Ok(int) = value.cast_exact::<PyInt>() {
            return write_int(&mut self.out, int);
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            write_float(&mut self.out, &self.facets, float.value());
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.out.bool(flag.extract()?);
        } else {
            return self.collection(value);
        }
        Ok(())
    }

    /// Anything that may hold other values.
    fn collection(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let _level = Level::enter(self.py)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(PyRecursionError::new_err(message));
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            self.list(list)?;
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict)?;
        } else {
            match self.codec.kind_of(value)? {
                Some(Kind::Object(plan)) => self.object(&plan, value)?,
                Some(Kind::Enum(plan)) => self.enum_member(&plan, value)?,
                Some(Kind::NonScalarKeyMapping) => self.mapping_items(value)?,
                Some(Kind::Set) => self.set(value, false)?,
                Some(Kind::FrozenSet) => self.set(value, true)?,
                Some(Kind::Text) => write_text(&mut self.out, &self.facets, value.cast()?)?,
                Some(Kind::Mapping) => {
                    let plain = PyDict::new(self.py);
                    for (key, value) in items_of(value)? {
                        plain.set_item(key, value)?;
                    }
                    self.dict(&plain)?;
                }
                Some(Kind::Sequence) => {
                    let items: Vec<_> = value.try_iter()?.collect::<PyResult<_>>()?;
                    self.items(&items)?;
                }
                None => return Err(self.refusal(value)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A stand-in: Dagster's own words replace it.
    fn refusal(&self, value: &Bound<'py, PyAny>) -> PyErr {
        let message = format!("Unhandled value type {}", value.get_type());
        match self
            .dagster
            .serialization_error
            .bind(self.py)
            .call1((message,))
        {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }

    fn list(&mut self, list: &Bound<'py, PyList>) -> PyResult<()> {
        let length = list.len();
        self.out.array(length);
        for index in 0..length {
            // A hook further down may have changed the list.
            let item = list.get_item(index)?;
            self.value(&item)?;
        }
        if list.len() != length {
            return Err(PyRuntimeError::new_err("list changed size during encoding"));
        }
        Ok(())
    }

    fn items(&mut self, items: &[Bound<'py, PyAny>]) -> PyResult<()> {
        self.out.array(items.len());
        items.iter().try_for_each(|item| self.value(item))
    }

    fn dict(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<()> {
        if self.packed && self.packed_object(dict)? {
            return Ok(());
        }
        // Taken out at once: encoding a value may run Python, which may change the dict.
        let entries: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = dict.iter().collect();
        let mut sorted = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            match key.cast_exact::<PyString>().map(|key| key.to_str()) {
                Ok(Ok(key)) => sorted.push((key, value)),
                _ => return self.odd_dict(dict),
            }
        }
        // UTF-8 sorts as its code points do, which is how Python compares strings.
        sorted.sort_unstable_by_key(|(key, _)| *key);
        self.out.map(sorted.len());
        for (key, value) in sorted {
            self.out.str(key);
            self.value(value)?;
        }
        Ok(())
    }

    /// A dict with keys that are not all plain strings in UTF-8.
    fn odd_dict(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<()> {
        let entries = json_entries(dict)?;
        self.out.map(entries.len());
        for (key, value) in &entries {
            write_wtf8(&mut self.out, key);
            self.value(value)?;
        }
        Ok(())
    }

    /// Writes a packed dict as the object it stands for; false where it must stay a dict.
    fn packed_object(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<bool> {
        let Some(name) = dict.get_item(intern!(self.py, "__class__"))? else {
            return Ok(false);
        };
        let Ok(Ok(name)) = name.cast_exact::<PyString>().map(|name| name.to_str()) else {
            return Ok(false);
        };
        let Some(plan) = self.codec.plan_for_storage_name(self.py, name)? else {
            return Ok(false);
        };
        let mut known = 1;
        for (key, constant) in &plan.constants {
            let value = dict.get_item(key)?;
            let same = |value: &Bound<'py, PyAny>| -> PyResult<bool> {
                let constant = constant.bind(self.py);
                Ok(value.get_type().is(constant.get_type()) && value.eq(constant)?)
            };
            if !value
                .as_ref()
                .is_some_and(|value| same(value).unwrap_or(false))
            {
                return Ok(false);
            }
            known += 1;
        }
        let mut values = Vec::with_capacity(plan.fields.len());
        for field in &plan.fields {
            let value = dict.get_item(&field.key)?;
            known += usize::from(value.is_some());
            values.push(value);
        }
        if known != dict.len() {
            return Ok(false);
        }
        let ordinal = self.ordinal(&plan.shape);
        self.out.object(ordinal, values.len());
        for value in values {
            match value {
                Some(value) => self.value(&value)?,
                None => self.out.absent(),
            }
        }
        Ok(true)
    }

    fn set(&mut self, value: &Bound<'py, PyAny>, frozen: bool) -> PyResult<()> {
        let items = PyList::empty(self.py);
        for item in value.try_iter()? {
            items.append(item?)?;
        }
        if items.len() > 1 {
            let by_str = self.dagster.sort_by_str.bind(self.py);
            items.call_method("sort", (), Some(by_str))?;
        }
        match frozen {
            true => self.out.frozen_set(items.len()),
            false => self.out.set(items.len()),
        }
        items.iter().try_for_each(|item| self.value(&item))
    }

    fn mapping_items(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let pairs = items_of(value)?;
        self.out.mapping_items(pairs.len());
        for (key, value) in &pairs {
            self.value(key)?;
            self.value(value)?;
        }
        Ok(())
    }

    fn enum_member(&mut self, plan: &EnumPlan, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Some(shape) = plan.cached(value) {
            let ordinal = self.ordinal(&shape);
            self.out.enum_member(ordinal);
            return Ok(());
        }
        let path = format!("<root:{}>", plan.class_name.bind(self.py));
        let arguments = (value, self.codec.whitelist_map.bind(self.py), path);
        let packed = plan
            .serializer
            .bind(self.py)
            .call_method1("pack", arguments)?;
        match packed.cast_exact::<PyString>().map(|text| text.to_str()) {
            Ok(Ok(text)) => {
                let shape = plan.shape(value, text);
                let ordinal = self.ordinal(&shape);
                self.out.enum_member(ordinal);
                Ok(())
            }
            // Whatever else it is, json has to make something of it.
            _ => {
                self.out.map(1);
                self.out.str("__enum__");
                self.value(&packed)
            }
        }
    }

    fn object(&mut self, plan: &WritePlan, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let replaced;
        let source = match &plan.before_pack {
            None => value,
            Some(before_pack) => {
                replaced = before_pack.bind(self.py).call1((value,))?;
                &replaced
            }
        };
        let outside = std::mem::replace(&mut self.packed, false);
        let done = source.get_type().is(&plan.class) && self.native_object(plan, source)?;
        if !done {
            self.object_by_dagster(plan, value)?;
        }
        self.packed = outside;
        Ok(())
    }

    /// Writes an object from its fields; false, with nothing written, where they are not the plan's.
    fn native_object(&mut self, plan: &WritePlan, source: &Bound<'py, PyAny>) -> PyResult<bool> {
        match plan.access {
            Access::Items => Ok(false),
            Access::Tuple(length) => {
                let values = source.cast::<PyTuple>()?.as_slice();
                if values.len() != length {
                    return Ok(false);
                }
                let ordinal = self.ordinal(&plan.shape);
                self.out.object(ordinal, plan.fields.len());
                for field in &plan.fields {
                    self.field(field, &values[field.index])?;
                }
                Ok(true)
            }
            Access::Dict(only_fields) => {
                let attributes = source.getattr(intern!(self.py, "__dict__"))?;
                let Ok(attributes) = attributes.cast_exact::<PyDict>() else {
                    return Ok(false);
                };
                if only_fields && attributes.len() != plan.fields.len() {
                    return Ok(false);
                }
                let mut values = Vec::with_capacity(plan.fields.len());
                for field in &plan.fields {
                    match attributes.get_item(&field.attribute)? {
                        Some(value) => values.push(value),
                        None => return Ok(false),
                    }
                }
                let ordinal = self.ordinal(&plan.shape);
                self.out.object(ordinal, plan.fields.len());
                for (field, value) in plan.fields.iter().zip(&values) {
                    self.field(field, value)?;
                }
                Ok(true)
            }
        }
    }

    /// Writes an object as its serializer's `pack_items` gives it.
    fn object_by_dagster(&mut self, plan: &WritePlan, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let path = format!("<root:{}>", plan.class_name.bind(self.py));
        let pack_object = self.dagster.pack_object.bind(self.py);
        let whitelist_map = self.codec.whitelist_map.bind(self.py);
        let packed = pack_object.call1((value, whitelist_map, path))?;
        self.packed = true;
        self.dict(packed.cast()?)
    }

    fn field(&mut self, field: &WriteField, value: &Bound<'py, PyAny>) -> PyResult<()> {
        match &field.pack {
            None | Some(FieldPack::AsIs) => self.kept(field.skip, value),
            Some(FieldPack::Call { pack, kwargs }) => {
                let kwargs = Some(kwargs.bind(self.py));
                let packed = pack.bind(self.py).call((value,), kwargs)?;
                self.packed = true;
                self.kept(field.skip, &packed)?;
                self.packed = false;
                Ok(())
            }
            Some(FieldPack::Metadata { entry }) => self.metadata(field.skip, entry, value),
        }
    }

    fn kept(&mut self, skip: Skip, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if skips(skip, value)? {
            self.out.absent();
            return Ok(());
        }
        self.value(value)
    }

    /// Metadata as the list of entries that `MetadataFieldSerializer` makes of it.
    fn metadata(
        &mut self,
        skip: Skip,
        entry: &Arc<InternedShape>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let pairs = items_of(value)?;
        if pairs.is_empty() && skip == Skip::WhenEmpty {
            self.out.absent();
            return Ok(());
        }
        let ordinal = if pairs.is_empty() {
            0
        } else {
            self.ordinal(entry)
        };
        self.out.array(pairs.len());
        for (label, value) in &pairs {
            self.out.object(ordinal, 3);
            self.out.nil();
            self.value(value)?;
            self.value(label)?;
        }
        Ok(())
    }

    fn ordinal(&mut self, shape: &Arc<InternedShape>) -> u32 {
        self.shapes.ordinal(shape).unwrap_or_else(|| {
            if !self.missing.iter().any(|it| Arc::ptr_eq(it, shape)) {
                self.missing.push(Arc::clone(shape));
            }
            // The body will not be used.
            0
        })
    }
}

type Pairs<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// What `.items()` gives, taken out at once.
fn items_of<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Pairs<'py>> {
    if let Ok(dict) = mapping.cast_exact::<PyDict>() {
        return Ok(dict.iter().collect());
    }
    let items = mapping.call_method0(intern!(mapping.py(), "items"))?;
    items.try_iter()?.map(|item| item?.extract()).collect()
}
