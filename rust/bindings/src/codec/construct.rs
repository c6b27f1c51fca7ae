//! Read plans: how an object of one shape becomes a Python object again.
//!
//! A native plan calls the class with the stored values, as the base `ObjectSerializer.unpack` would.
//! It exists only where nothing else may happen: the shape was written by the serializer in force,
//! all fields are parameters, and every hook is a known one. Everything else is a dict that Dagster
//! unpacks. The first construction of a class is Dagster's too, since a record compiles its
//! constructor then, from the frame that calls it.

use std::sync::{Arc, OnceLock};

use eventlog::value::{Shape, ShapeKind};
use pyo3::intern;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::types::{PyDict, PyDictMethods, PyString, PyTuple, PyType, PyTypeMethods};

use super::dagster::Dagster;
use super::known::{Known, OLD_RUN_FIELDS, is_current_event_type, module_has, recognise};
use super::plan::{class_of, is_overridden};
use super::recipe::Recipe;
use super::registry::Codec;

/// How to read what was written with one shape.
pub(super) struct ReadPlan {
    pub shape: Arc<Shape>,
    /// The name under which the registry must still have (or not have) `serializer`.
    registered_name: Py<PyString>,
    serializer: Option<Py<PyAny>>,
    /// The packed dict, in its order.
    pub entries: Vec<Entry>,
    pub native: Option<Native>,
    /// The enum member, where reading it has no more to it than that.
    pub member: Option<Py<PyAny>>,
}

/// One entry of the packed dict of an object.
pub(super) enum Entry {
    /// The field with this number.
    Field(usize, Py<PyString>),
    Constant(Py<PyString>, Py<PyAny>),
    /// A constant that somebody could change: its JSON text.
    Fresh(Py<PyString>, Py<PyString>),
}

/// What unpacks a field after its values are read.
pub(super) enum FieldUnpack {
    Call(Py<PyAny>),
    /// Label to value, from a list of `MetadataEntry`; which may never have to exist.
    Metadata,
}

/// When a `before_unpack` hook is known to change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    Always,
    /// If these two fields are there and the first is a current event type.
    CurrentEvent {
        event_type: usize,
        specific: usize,
    },
    /// If this field is neither absent nor None.
    Given(usize),
}

/// Construction without a dict.
pub(super) struct Native {
    class: Py<PyType>,
    /// Parameter names, in the order of the fields.
    pub names: Vec<Py<PyString>>,
    pub all_names: Py<PyTuple>,
    /// By field number.
    pub unpacks: Vec<(usize, FieldUnpack)>,
    pub idle: Idle,
    /// The serializer may make something of a failed construction.
    pub recovers: bool,
    target: OnceLock<Target>,
}

/// What to call: the class, or its `__new__` where calling the class would do no more than that.
pub(super) struct Target {
    pub class: Py<PyAny>,
    pub new: Option<Py<PyAny>>,
    /// What stands for `new` where the fields are there that it needs.
    pub recipe: Option<Recipe>,
}

impl ReadPlan {
    pub(super) fn compile(py: Python<'_>, codec: &Codec, shape: &Arc<Shape>) -> PyResult<Self> {
        let name = match shape.kind {
            ShapeKind::Object => shape.name.as_str(),
            ShapeKind::Enum => shape.name.split('.').next().unwrap_or_default(),
        };
        let registered_name = PyString::intern(py, name);
        let registry = match shape.kind {
            ShapeKind::Object => &codec.object_deserializers,
            ShapeKind::Enum => &codec.enum_serializers,
        };
        let serializer = registry.bind(py).get_item(&registered_name)?;
        let mut plan = Self {
            shape: Arc::clone(shape),
            registered_name: registered_name.unbind(),
            serializer: serializer.clone().map(Bound::unbind),
            entries: Vec::new(),
            native: None,
            member: None,
        };
        match (shape.kind, &serializer) {
            (ShapeKind::Enum, Some(serializer)) => plan.member = plain_member(shape, serializer)?,
            (ShapeKind::Enum, None) => {}
            (ShapeKind::Object, serializer) => {
                plan.entries = entries(py, shape)?;
                if let Some(serializer) = serializer {
                    plan.native = Native::compile(codec, shape, serializer)?;
                }
            }
        }
        Ok(plan)
    }

    /// Whether objects of this shape are entries of metadata, as they are written today.
    pub(super) fn is_metadata_entry(&self) -> bool {
        self.native.is_some()
            && self.shape.name == "EventMetadataEntry"
            && self.shape.fields == ["description", "entry_data", "label"]
    }

    /// Whether the registry still says what it said when this plan was made.
    pub(super) fn is_in_force(&self, py: Python<'_>, codec: &Codec) -> PyResult<bool> {
        let registry = match self.shape.kind {
            ShapeKind::Object => &codec.object_deserializers,
            ShapeKind::Enum => &codec.enum_serializers,
        };
        let current = registry.bind(py).get_item(&self.registered_name)?;
        let same = match (&current, &self.serializer) {
            (Some(current), Some(serializer)) => current.is(serializer),
            (None, None) => true,
            _ => false,
        };
        match &self.native {
            Some(native) if same => native.is_in_force(py),
            _ => Ok(same),
        }
    }
}

impl Native {
    fn compile(
        codec: &Codec,
        shape: &Shape,
        serializer: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Self>> {
        let py = serializer.py();
        let dagster = Dagster::get(py)?;
        let Some(class) = class_of(serializer)? else {
            return Ok(None);
        };
        let today = codec.plan_for_serializer(serializer)?;
        if today.is_none_or(|today| **today.shape != *shape)
            || is_overridden(dagster, serializer, "unpack")?
        {
            return Ok(None);
        }
        let Some(idle) = idle_hook(dagster, shape, serializer)? else {
            return Ok(None);
        };
        let parameters: Vec<String> = serializer.getattr("constructor_param_names")?.extract()?;
        let loaded = serializer.getattr("loaded_field_names")?;
        let loaded_name =
            |key: &str| -> PyResult<String> { loaded.call_method1("get", (key, key))?.extract() };
        for (key, _) in constants(py, shape)? {
            if parameters.contains(&loaded_name(&key)?) {
                return Ok(None);
            }
        }
        let customs = serializer.getattr("field_serializers")?;
        let mut names = Vec::with_capacity(shape.fields.len());
        let mut unpacks = Vec::new();
        for (number, key) in shape.fields.iter().enumerate() {
            let name = loaded_name(key)?;
            if !parameters.contains(&name) || names.contains(&name) {
                return Ok(None);
            }
            let custom = customs.call_method1("get", (&name,))?;
            if custom.is_truthy()? {
                unpacks.push((number, FieldUnpack::compile(codec, &custom)?));
            }
            names.push(name);
        }
        let recovers = is_overridden(dagster, serializer, "handle_unpack_error")?;
        if recovers && !unpacks.is_empty() {
            // A second attempt by Dagster would need the values as they were.
            return Ok(None);
        }
        let names: Vec<_> = names
            .iter()
            .map(|name| PyString::intern(py, name))
            .collect();
        Ok(Some(Self {
            class: class.unbind(),
            all_names: PyTuple::new(py, &names)?.unbind(),
            names: names.into_iter().map(Bound::unbind).collect(),
            unpacks,
            idle,
            recovers,
            target: OnceLock::new(),
        }))
    }

    /// The field that holds metadata.
    pub(super) fn metadata(&self) -> Option<usize> {
        let is_metadata =
            |(_, unpack): &&(usize, FieldUnpack)| matches!(unpack, FieldUnpack::Metadata);
        self.unpacks
            .iter()
            .find(is_metadata)
            .map(|(field, _)| *field)
    }

    /// What to call; none before the class has been constructed once by Dagster.
    pub(super) fn target(&self, py: Python<'_>) -> PyResult<Option<&Target>> {
        if let Some(target) = self.target.get() {
            return Ok(Some(target));
        }
        let dagster = Dagster::get(py)?;
        let class = self.class.bind(py);
        for ancestor in class.mro().try_iter()? {
            let own = ancestor?.getattr("__dict__")?;
            let new = own.call_method1("get", ("__new__",))?;
            if new.is_instance(dagster.jit_checked_new.bind(py))? {
                return Ok(None);
            }
        }
        let new = plain_new(dagster, class)?;
        let recipe = match &new {
            Some(new) => Recipe::compile(class, new.bind(py), &self.names)?,
            None => None,
        };
        let class = class.clone().into_any().unbind();
        let target = Target { class, new, recipe };
        Ok(Some(self.target.get_or_init(|| target)))
    }

    fn is_in_force(&self, py: Python<'_>) -> PyResult<bool> {
        match self.target.get() {
            None => Ok(true),
            Some(target) => match &target.new {
                None => Ok(true),
                Some(new) => Ok(self.class.bind(py).getattr(intern!(py, "__new__"))?.is(new)),
            },
        }
    }
}

impl FieldUnpack {
    fn compile(codec: &Codec, serializer: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = serializer.py();
        let unpack = serializer.getattr("unpack")?;
        if recognise(&unpack) == Some(Known::MetadataUnpack)
            && let Some(entry) = codec.plan_for_storage_name(py, "EventMetadataEntry")?
        {
            let class = entry.class.bind(py);
            let new = class.getattr("__new__")?;
            let new = py.import("inspect")?.call_method1("unwrap", (new,))?;
            if recognise(class) == Some(Known::MetadataEntryClass)
                && module_has(
                    &new,
                    "normalize_metadata_value",
                    Known::NormalizeMetadataValue,
                )
                && module_has(
                    &new,
                    "normalize_renamed_param",
                    Known::NormalizeRenamedParam,
                )
            {
                return Ok(Self::Metadata);
            }
        }
        Ok(Self::Call(unpack.unbind()))
    }
}

/// When `before_unpack` changes nothing; none where that is not known.
fn idle_hook(
    dagster: &Dagster,
    shape: &Shape,
    serializer: &Bound<'_, PyAny>,
) -> PyResult<Option<Idle>> {
    if !is_overridden(dagster, serializer, "before_unpack")? {
        return Ok(Some(Idle::Always));
    }
    let hook = serializer.get_type().getattr("before_unpack")?;
    let field = |name: &str| shape.fields.iter().position(|field| field == name);
    Ok(match recognise(&hook) {
        Some(Known::EventBeforeUnpack)
            if module_has(&hook, "_handle_back_compat", Known::EventBackCompat) =>
        {
            field("event_type_value")
                .zip(field("event_specific_data"))
                .map(|(event_type, specific)| Idle::CurrentEvent {
                    event_type,
                    specific,
                })
        }
        Some(Known::MaterializationBeforeUnpack) => field("asset_key").map(Idle::Given),
        Some(Known::RunBeforeUnpack) => {
            let mut names = shape.fields.clone();
            let constants = constants(serializer.py(), shape)?;
            names.extend(constants.into_iter().map(|(name, _)| name));
            let is_old = |name: &String| OLD_RUN_FIELDS.contains(&name.as_str());
            (!names.iter().any(is_old)).then_some(Idle::Always)
        }
        _ => None,
    })
}

impl Idle {
    /// Whether the hook has nothing to do for an object with these values.
    pub(super) fn holds(self, value_of: impl Fn(usize) -> Option<bool>) -> bool {
        match self {
            Self::Always => true,
            Self::CurrentEvent {
                event_type,
                specific,
            } => value_of(event_type) == Some(true) && value_of(specific).is_some(),
            Self::Given(field) => value_of(field) == Some(true),
        }
    }

    /// What `holds` wants to know of a value that is there.
    pub(super) fn asks(self, field: usize, value: &Bound<'_, PyAny>) -> bool {
        match self {
            Self::CurrentEvent { event_type, .. } if event_type == field => {
                is_current_event_type(value)
            }
            _ => !value.is_none(),
        }
    }
}

/// `class.__new__`, if calling the class comes to calling just that.
fn plain_new(dagster: &Dagster, class: &Bound<'_, PyType>) -> PyResult<Option<Py<PyAny>>> {
    let new = class.getattr("__new__")?;
    let plain = new.get_type().is(&dagster.function_class)
        && class.getattr("__init__")?.is(&dagster.object_init)
        && class.get_type().getattr("__call__")?.is(&dagster.type_call);
    Ok(plain.then(|| new.unbind()))
}

/// The member behind an enum's shape, where `EnumSerializer.unpack` is what finds it.
fn plain_member(shape: &Shape, serializer: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = serializer.py();
    let base = Dagster::get(py)?.enum_serializer.bind(py);
    let plain = serializer
        .get_type()
        .getattr("unpack")?
        .is(&base.getattr("unpack")?);
    let Some((_, member)) = shape.name.split_once('.').filter(|_| plain) else {
        return Ok(None);
    };
    // A member that does not exist any more is Dagster's to complain about.
    let found = serializer.call_method1("unpack", (member,));
    Ok(found
        .ok()
        .filter(|_| !member.contains('.'))
        .map(Bound::unbind))
}

/// The constants of a shape, with their values.
fn constants<'py>(py: Python<'py>, shape: &Shape) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    if shape.constants.is_empty() {
        return Ok(Vec::new());
    }
    let loaded = Dagster::get(py)?
        .json_loads
        .bind(py)
        .call1((&shape.constants,))?;
    loaded
        .cast::<PyDict>()?
        .iter()
        .map(|(key, value)| Ok((key.extract()?, value)))
        .collect()
}

fn entries(py: Python<'_>, shape: &Shape) -> PyResult<Vec<Entry>> {
    let dumps = Dagster::get(py)?.json_dumps.bind(py);
    let mut named: Vec<(String, Entry)> = Vec::with_capacity(shape.fields.len() + 1);
    let class = PyString::intern(py, "__class__").unbind();
    let name = PyString::new(py, &shape.name).into_any().unbind();
    named.push(("__class__".to_owned(), Entry::Constant(class, name)));
    for (number, field) in shape.fields.iter().enumerate() {
        let key = PyString::intern(py, field).unbind();
        named.push((field.clone(), Entry::Field(number, key)));
    }
    for (constant, value) in constants(py, shape)? {
        let key = PyString::intern(py, &constant).unbind();
        let changeable = value.hasattr("__len__")? && !value.is_instance_of::<PyString>();
        let entry = if changeable {
            let text = dumps.call1((&value,))?.cast_into::<PyString>()?;
            Entry::Fresh(key, text.unbind())
        } else {
            Entry::Constant(key, value.unbind())
        };
        named.push((constant, entry));
    }
    named.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(named.into_iter().map(|(_, entry)| entry).collect())
}
