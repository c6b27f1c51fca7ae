//! Bodies to Python values: what `deserialize_value` gives for the JSON that a body stands for.
//!
//! Values are built bottom-up as json's object hook sees them. A [`Page`] reads many bodies inside
//! one set of Dagster's deserializing contexts. As soon as a body holds something Dagster does not
//! know, the rest of its objects are Dagster's to unpack, with the context that keeps account of it.

use std::sync::Arc;

use eventlog::value::{Error, Facet, MAX_DEPTH, Reader, ShapeKind, ShapeSource, Token};
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::intern;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyErr, PyResult, Python};
use pyo3::types::{
    PyDict, PyDictMethods, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PySetMethods, PyString,
    PyStringMethods, PyTuple,
};

use super::call::{Level, call_with_names};
use super::collector::PausedCollector;
use super::construct::{Entry, FieldUnpack, Native, ReadPlan};
use super::dagster::Dagster;
use super::metadata::metadata_by_label;
use super::registry::Codec;
use super::strings::Strings;

/// Values that most events have at once, so that the stack need not grow.
const STACK: usize = 64;
/// Bodies from which on the collector's looking costs more than pausing it.
const MANY: usize = 64;

/// Many bodies, read one after the other.
pub struct Page<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) codec: &'a Codec,
    pub(super) dagster: &'static Dagster,
    shapes: &'a dyn ShapeSource,
    /// Dagster's contexts, once entered.
    contexts: Vec<Bound<'py, PyAny>>,
    /// By ordinal.
    plans: Vec<Option<Arc<ReadPlan>>>,
    strings: Strings,
    /// The last string made of each facet.
    facet_strings: Vec<Option<Bound<'py, PyString>>>,
    /// Values of the objects that are being read.
    pub(super) stack: Vec<Bound<'py, PyAny>>,
    _paused: Option<PausedCollector<'py>>,
}

/// Decodes one body; for several, `with_page` costs less.
pub fn decode<'py>(
    py: Python<'py>,
    codec: &Codec,
    body: &[u8],
    facets: &[Option<Facet<'_>>],
    shapes: &dyn ShapeSource,
) -> PyResult<Bound<'py, PyAny>> {
    with_page(py, codec, shapes, 1, |page| page.decode(body, facets))
}

/// Runs `read` with a page of so many bodies, inside the contexts in which Dagster deserializes.
pub fn with_page<'py, T>(
    py: Python<'py>,
    codec: &Codec,
    shapes: &dyn ShapeSource,
    bodies: usize,
    read: impl FnOnce(&mut Page<'_, 'py>) -> PyResult<T>,
) -> PyResult<T> {
    let mut page = Page {
        py,
        codec,
        dagster: Dagster::get(py)?,
        shapes,
        contexts: Vec::new(),
        plans: Vec::new(),
        strings: codec.take_strings(),
        facet_strings: Vec::new(),
        stack: Vec::with_capacity(STACK),
        _paused: (bodies >= MANY)
            .then(|| PausedCollector::new(py))
            .transpose()?,
    };
    let result = read(&mut page);
    let result = page.leave(result);
    codec.keep_strings(page.strings);
    result
}

impl<'py> Page<'_, 'py> {
    /// The value of a body whose record has these facets.
    pub fn decode(
        &mut self,
        body: &[u8],
        facets: &[Option<Facet<'_>>],
    ) -> PyResult<Bound<'py, PyAny>> {
        self.stack.clear();
        let mut decoder = Decoder {
            reader: Reader::new(body),
            facets,
            context: None,
            depth: 0,
            page: self,
        };
        let value = decoder.value()?;
        decoder.reader.end().map_err(damaged)?;
        decoder.finish(value)
    }

    pub(super) fn plan(&mut self, ordinal: u32) -> PyResult<Arc<ReadPlan>> {
        let number = ordinal as usize;
        if let Some(Some(plan)) = self.plans.get(number) {
            return Ok(Arc::clone(plan));
        }
        let shape = self
            .shapes
            .shape(ordinal)
            .ok_or(Error::UnknownShape(ordinal));
        let plan = self.codec.read_plan(self.py, &shape.map_err(damaged)?)?;
        if self.plans.len() <= number {
            self.plans.resize(number + 1, None);
        }
        self.plans[number] = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Enters Dagster's contexts, before its code or that of a constructor runs for the first time.
    /// A page that is read natively throughout does without them.
    pub(super) fn enter(&mut self) -> PyResult<()> {
        if !self.contexts.is_empty() {
            return Ok(());
        }
        let py = self.py;
        let types = self.codec.object_type_map.bind(py);
        let silence = self.dagster.disable_dagster_warnings.bind(py).call0()?;
        let names = self.dagster.contextual_namespace.bind(py).call1((types,))?;
        for context in [silence, names] {
            context.call_method0(intern!(py, "__enter__"))?;
            self.contexts.push(context);
        }
        Ok(())
    }

    /// Leaves the contexts as a `with` statement would that ends with this result.
    fn leave<T>(&mut self, result: PyResult<T>) -> PyResult<T> {
        let py = self.py;
        let exit = intern!(py, "__exit__");
        while let Some(context) = self.contexts.pop() {
            match &result {
                Ok(_) => {
                    context.call_method1(exit, (py.None(), py.None(), py.None()))?;
                }
                Err(error) => {
                    let arguments = (error.get_type(py), error.value(py), error.traceback(py));
                    // These never swallow an error; one of their own would hide the cause.
                    let _ = context.call_method1(exit, arguments);
                }
            }
        }
        result
    }

    fn string(&mut self, text: &str) -> Bound<'py, PyString> {
        self.strings.get(self.py, text)
    }

    fn float(&self, value: f64) -> Bound<'py, PyAny> {
        if value.is_nan() {
            return self.dagster.nan.bind(self.py).clone();
        }
        PyFloat::new(self.py, value).into_any()
    }

    fn facet_string(&mut self, index: usize, text: &str) -> Bound<'py, PyString> {
        if self.facet_strings.len() <= index {
            self.facet_strings.resize(index + 1, None);
        }
        let cached = &mut self.facet_strings[index];
        match cached {
            Some(string) if string.to_str().is_ok_and(|it| it == text) => string.clone(),
            _ => cached.insert(PyString::new(self.py, text)).clone(),
        }
    }
}

/// The error for a body that is not one.
pub(super) fn damaged(error: Error) -> PyErr {
    match error {
        Error::TooDeep => PyRecursionError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// One body being read.
pub(super) struct Decoder<'p, 'b, 'a, 'py> {
    pub(super) page: &'p mut Page<'a, 'py>,
    pub(super) reader: Reader<'b>,
    facets: &'p [Option<Facet<'p>>],
    /// Dagster's context, made when something first needs it, and its set of unknown values.
    context: Option<(Bound<'py, PyAny>, Bound<'py, PySet>)>,
    depth: usize,
}

/// The values of an object on the page's stack, above a place for its class.
pub(super) struct Fields<'f> {
    pub base: usize,
    pub count: usize,
    /// Numbers of the fields that are not there, ascending.
    pub absent: &'f [usize],
    /// The field whose metadata is a dict already.
    pub ready: Option<usize>,
}

impl Fields<'_> {
    fn place(&self, field: usize) -> Option<usize> {
        match self.absent.binary_search(&field) {
            Ok(_) => None,
            Err(before) => Some(self.base + 1 + field - before),
        }
    }
}

impl<'py> Decoder<'_, '_, '_, 'py> {
    pub(super) fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let token = self.reader.token().map_err(damaged)?;
        self.value_of(token)
    }

    pub(super) fn value_of(&mut self, token: Token<'_>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        Ok(match token {
            Token::Str(text) => self.page.string(text).into_any(),
            Token::Nil => py.None().into_bound(py),
            Token::Bool(value) => pyo3::types::PyBool::new(py, value).to_owned().into_any(),
            Token::Int(value) => PyInt::new(py, value).into_any(),
            Token::UInt(value) => PyInt::new(py, value).into_any(),
            Token::Float(value) => self.page.float(value),
            Token::BigInt(decimal) => py.get_type::<PyInt>().call1((decimal,))?,
            Token::Surrogates(bytes) => self.surrogates(bytes)?.into_any(),
            Token::Facet(index) => {
                let facet = self.facets.get(index as usize).copied().flatten();
                match facet.ok_or(Error::BadFacet(index)).map_err(damaged)? {
                    Facet::Str(text) => self.page.facet_string(index as usize, text).into_any(),
                    Facet::Float(value) => self.page.float(value),
                }
            }
            Token::Absent => return Err(damaged(Error::MisplacedAbsent)),
            Token::Enum(ordinal) => self.enum_member(ordinal)?,
            Token::Array(_)
            | Token::Map(_)
            | Token::Object { .. }
            | Token::Set(_)
            | Token::FrozenSet(_)
            | Token::MappingItems(_) => self.collection(token)?,
        })
    }

    fn collection(&mut self, token: Token<'_>) -> PyResult<Bound<'py, PyAny>> {
        let _level = Level::enter(self.page.py)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(damaged(Error::TooDeep));
        }
        let value = match token {
            Token::Object { ordinal, fields } => self.object(ordinal, fields)?,
            Token::Map(length) => self.dict(length)?,
            Token::Set(length) => {
                let items = self.list(length)?;
                self.page.enter()?;
                PySet::new(self.page.py, &items)?.into_any()
            }
            Token::FrozenSet(length) => {
                let items = self.list(length)?;
                self.page.enter()?;
                PyFrozenSet::new(self.page.py, &items)?.into_any()
            }
            Token::MappingItems(pairs) => self.mapping_items(pairs)?,
            Token::Array(length) => self.list(length)?.into_any(),
            other => return self.value_of(other),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self, length: usize) -> PyResult<Bound<'py, PyList>> {
        let base = self.page.stack.len();
        for _ in 0..length {
            let item = self.value()?;
            self.page.stack.push(item);
        }
        PyList::new(self.page.py, self.page.stack.drain(base..))
    }

    fn dict(&mut self, length: usize) -> PyResult<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.page.py);
        let mut special = false;
        for _ in 0..length {
            let key = match self.reader.key().map_err(damaged)? {
                Token::Str(key) => {
                    special |= is_special(key);
                    self.page.string(key)
                }
                Token::Surrogates(bytes) => self.surrogates(bytes)?,
                _ => return Err(damaged(Error::BadKey)),
            };
            dict.set_item(key, self.value()?)?;
        }
        if special {
            return self.unpacked_by_dagster(&dict);
        }
        Ok(dict.into_any())
    }

    fn mapping_items(&mut self, pairs: usize) -> PyResult<Bound<'py, PyAny>> {
        let base = self.page.stack.len();
        for _ in 0..pairs * 2 {
            let value = self.value()?;
            self.page.stack.push(value);
        }
        self.page.enter()?;
        let dict = PyDict::new(self.page.py);
        for pair in 0..pairs {
            let key = self.page.stack[base + 2 * pair].clone();
            let value = self.page.stack[base + 2 * pair + 1].clone();
            dict.set_item(self.unpacked_again(key)?, self.unpacked_again(value)?)?;
        }
        self.page.stack.truncate(base);
        Ok(dict.into_any())
    }

    /// Dagster unpacks keys and values of a mapping once more, which only lists and dicts notice.
    fn unpacked_again(&mut self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyDict>() {
            return Ok(value);
        }
        let py = self.page.py;
        let context = self.context()?.clone();
        let arguments = (value, self.page.codec.whitelist_map.bind(py), context);
        self.page
            .dagster
            .inner_unpack_value
            .bind(py)
            .call1(arguments)
    }

    fn surrogates(&self, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
        let encoded = pyo3::types::PyBytes::new(self.page.py, bytes);
        let decoded = encoded.call_method1(
            intern!(self.page.py, "decode"),
            (
                intern!(self.page.py, "utf-8"),
                intern!(self.page.py, "surrogatepass"),
            ),
        );
        let decoded = decoded.map_err(|_| damaged(Error::BadString))?;
        Ok(decoded.cast_into::<PyString>()?)
    }

    fn enum_member(&mut self, ordinal: u32) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        let plan = self.page.plan(ordinal)?;
        if plan.shape.kind != ShapeKind::Enum {
            return Err(damaged(Error::WrongKind(ordinal)));
        }
        if let Some(member) = &plan.member {
            return Ok(member.bind(py).clone());
        }
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "__enum__"), &plan.shape.name)?;
        self.unpacked_by_dagster(&dict)
    }

    fn object(&mut self, ordinal: u32, count: usize) -> PyResult<Bound<'py, PyAny>> {
        let plan = self.page.plan(ordinal)?;
        if plan.shape.kind != ShapeKind::Object {
            return Err(damaged(Error::WrongKind(ordinal)));
        }
        let expected = plan.shape.fields.len();
        if expected != count {
            let found = count;
            return Err(damaged(Error::FieldCount {
                ordinal,
                expected,
                found,
            }));
        }
        let metadata = plan.native.as_ref().and_then(Native::metadata);
        let base = self.page.stack.len();
        let place_of_class = self.page.py.None().into_bound(self.page.py);
        self.page.stack.push(place_of_class);
        let mut absent = Vec::new();
        let mut ready = None;
        for field in 0..count {
            let value = match self.reader.token().map_err(damaged)? {
                Token::Absent => {
                    absent.push(field);
                    continue;
                }
                Token::Array(length) if metadata == Some(field) => {
                    let (value, is_dict) = self.metadata(length)?;
                    ready = is_dict.then_some(field);
                    value
                }
                token => self.value_of(token)?,
            };
            self.page.stack.push(value);
        }
        let fields = Fields {
            base,
            count,
            absent: &absent,
            ready,
        };
        let object = match &plan.native {
            Some(native) => self.construct(&plan, native, &fields)?,
            None => self.construct_by_dagster(&plan, &fields)?,
        };
        self.page.stack.truncate(base);
        Ok(object)
    }

    /// The object of a class that Dagster would build by calling it with its fields.
    fn construct(
        &mut self,
        plan: &ReadPlan,
        native: &Native,
        fields: &Fields<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        let stack = &self.page.stack;
        let idle = native.idle.holds(|field| {
            let place = fields.place(field)?;
            Some(native.idle.asks(field, &stack[place]))
        });
        let target = native.target(py)?;
        let (Some(target), true, false) = (target, idle, self.saw_unknown()) else {
            return self.construct_by_dagster(plan, fields);
        };
        self.unpack_fields(native, fields)?;
        if let Some(recipe) = &target.recipe
            && recipe.does_without(fields.absent)
        {
            let values = &self.page.stack[fields.base + 1..];
            let class = target.class.bind(py);
            let built = if fields.absent.is_empty() {
                recipe.build(class, values)?
            } else {
                let mut there = values.iter();
                let value = |field| match fields.absent.binary_search(&field) {
                    Ok(_) => Some(py.None().into_bound(py)),
                    Err(_) => there.next().cloned(),
                };
                let all: Option<Vec<_>> = (0..fields.count).map(value).collect();
                all.map_or(Ok(None), |all| recipe.build(class, &all))?
            };
            if let Some(object) = built {
                return Ok(object);
            }
        }
        self.page.enter()?;
        let some_names;
        let names = if fields.absent.is_empty() {
            native.all_names.bind(py)
        } else {
            let there =
                (0..fields.count).filter(|field| fields.absent.binary_search(field).is_err());
            let there: Vec<_> = there.map(|field| &native.names[field]).collect();
            some_names = PyTuple::new(py, there)?;
            &some_names
        };
        let result = match &target.new {
            Some(new) => {
                self.page.stack[fields.base] = target.class.bind(py).clone();
                call_with_names(new.bind(py), &self.page.stack[fields.base..], names)
            }
            None => {
                let values = &self.page.stack[fields.base + 1..];
                call_with_names(target.class.bind(py), values, names)
            }
        };
        match result {
            // Dagster fails in the same way and then asks the serializer to recover.
            Err(_) if native.recovers => self.construct_by_dagster(plan, fields),
            result => result,
        }
    }

    /// Runs the field serializers on their values, in the order of the fields.
    fn unpack_fields(&mut self, native: &Native, fields: &Fields<'_>) -> PyResult<()> {
        let py = self.page.py;
        let calls = |(field, unpack): &&(usize, FieldUnpack)| {
            matches!(unpack, FieldUnpack::Call(_)) || fields.ready != Some(*field)
        };
        let Some((first, _)) = native.unpacks.iter().find(calls) else {
            return Ok(());
        };
        for field in *first..fields.count {
            let Some(place) = fields.place(field) else {
                continue;
            };
            let value = self.page.stack[place].clone();
            let unpack = native.unpacks.iter().find(|(number, _)| *number == field);
            let unpacked = match unpack {
                Some((_, FieldUnpack::Call(unpack))) => {
                    self.call_unpack(unpack.bind(py).clone(), value)?
                }
                Some((_, FieldUnpack::Metadata)) if fields.ready != Some(field) => {
                    metadata_by_label(&value)?
                }
                // A field serializer may have met something unknown.
                None if self.saw_unknown() => self
                    .context()?
                    .call_method1(intern!(py, "assert_no_unknown_values"), (value,))?,
                _ => continue,
            };
            self.page.stack[place] = unpacked;
        }
        Ok(())
    }

    fn call_unpack(
        &mut self,
        unpack: Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        self.page.enter()?;
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "whitelist_map"), &self.page.codec.whitelist_map)?;
        kwargs.set_item(intern!(py, "context"), self.context()?)?;
        unpack.call((value,), Some(&kwargs))
    }

    /// Hands an object to Dagster as the dict that json would have read.
    pub(super) fn construct_by_dagster(
        &mut self,
        plan: &ReadPlan,
        fields: &Fields<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        let dict = PyDict::new(py);
        for entry in &plan.entries {
            match entry {
                Entry::Field(field, key) => {
                    let Some(place) = fields.place(*field) else {
                        continue;
                    };
                    let value = self.page.stack[place].clone();
                    if fields.ready == Some(*field) {
                        dict.set_item(key, self.metadata_entries(value.cast()?)?)?;
                    } else {
                        dict.set_item(key, value)?;
                    }
                }
                Entry::Constant(key, value) => dict.set_item(key, value)?,
                Entry::Fresh(key, text) => {
                    let value = self.page.dagster.json_loads.bind(py).call1((text,))?;
                    dict.set_item(key, value)?;
                }
            }
        }
        self.unpacked_by_dagster(&dict)
    }

    fn unpacked_by_dagster(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.page.py;
        self.page.enter()?;
        let context = self.context()?.clone();
        let arguments = (dict, self.page.codec.whitelist_map.bind(py), context);
        self.page.dagster.unpack_object.bind(py).call1(arguments)
    }

    fn context(&mut self) -> PyResult<&Bound<'py, PyAny>> {
        if self.context.is_none() {
            let py = self.page.py;
            let context = self.page.dagster.unpack_context.bind(py).call0()?;
            let observed = context.getattr(intern!(py, "observed_unknown_serdes_values"))?;
            self.context = Some((context, observed.cast_into()?));
        }
        match &self.context {
            Some((context, _)) => Ok(context),
            None => Err(PyValueError::new_err("no context")),
        }
    }

    pub(super) fn saw_unknown(&self) -> bool {
        let context = self.context.as_ref();
        context.is_some_and(|(_, observed)| !observed.is_empty())
    }

    fn finish(self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match &self.context {
            Some((context, _)) => context.call_method1("finalize_unpack", (value,)),
            None => Ok(value),
        }
    }
}

/// Whether json's object hook would look twice at a dict with this key.
fn is_special(key: &str) -> bool {
    matches!(
        key,
        "__class__" | "__enum__" | "__set__" | "__frozenset__" | "__mapping_items__"
    )
}
