//! Recipes: constructors that only check their arguments and keep them in a tuple.
//!
//! Most of Dagster's classes are such tuples. Where the codec knows a constructor, by the fingerprint
//! of its source or because `@record` generated it, it makes the same checks itself and builds the
//! tuple. A recipe never refuses: values it is not sure of go to the constructor, whose checks,
//! conversions and errors are the real ones.

use std::collections::HashMap;

use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::types::{
    PyBool, PyDict, PyDictMethods, PyFloat, PyFrozenSet, PyInt, PyList, PyListMethods, PySet,
    PyString, PyStringMethods, PyTuple, PyType, PyTypeMethods,
};

use super::call::new_tuple;
use super::constructors::{Ask, DAGSTER_RUN, EVENT_DATA, known};
use super::dagster::Dagster;
use super::known::{Known, recognise};

/// What a constructor asks of an argument that it then keeps as it is.
enum Check {
    Anything,
    Str,
    Int,
    Float,
    Bool,
    Dict,
    EmptyList,
    Instance(Vec<Py<PyType>>),
    /// A dict of labels and metadata values.
    Metadata,
    /// A dict of tags of an asset's event.
    Tags(TagRule),
    /// By event type: the class that the data of an event must have, and whether None will do.
    EventData(HashMap<String, Option<(Py<PyType>, bool)>>),
    /// Not kept as it is: a list of strings that becomes a tuple.
    Strings,
    /// A list whose items all pass.
    ListOf(Box<Check>),
    /// A set or frozen set whose items all pass.
    SetOf(Box<Check>),
    /// A dict of strings by strings.
    StringDict,
    /// A dict by strings.
    ByStrings,
    /// Nothing; only None will do, if that is optional.
    Nothing,
}

/// Which tags `validate_asset_event_tags` lets pass, or a part of them.
struct TagRule {
    /// Keys and beginnings of keys that Dagster itself sets, whose values it does not check.
    names: Vec<String>,
    prefixes: Vec<String>,
    /// Whether all others are checked by the patterns that [`is_plain_tag`] is within.
    knows_others: bool,
}

/// One place of the tuple.
struct Slot {
    /// Number of the stored field that goes here.
    field: usize,
    optional: bool,
    /// Whether a new dict takes the place of None.
    fills_dict: bool,
    check: Check,
}

/// How to build objects of one class without its constructor.
pub(super) struct Recipe {
    slots: Vec<Slot>,
    rule: Option<Rule>,
    /// Whether the class keeps nothing beside its fields, which are there before it. Where none of them can
    /// be given more, Python's collector need not look at the object, of which a page has many.
    acyclic: bool,
}

/// What a constructor asks of several of its arguments together.
enum Rule {
    Event(EventRule),
    Run(RunRule),
}

impl Rule {
    /// Whether the values are such as the constructor keeps.
    fn holds(&self, values: &[Bound<'_, PyAny>]) -> bool {
        let given = |field: usize| !values[field].is_none();
        match self {
            Self::Event(rule) => {
                (given(rule.step_handle) || !given(rule.node_handle))
                    && (given(rule.step_key) || !given(rule.step_handle))
            }
            Self::Run(rule) => {
                given(rule.root) == given(rule.parent)
                    && (given(rule.origin) || !values[rule.status].is(&rule.queued))
            }
        }
    }
}

/// `DagsterRun` has both a root and a parent or none, and an origin where it is queued.
struct RunRule {
    root: usize,
    parent: usize,
    status: usize,
    origin: usize,
    queued: Py<PyAny>,
}

impl RunRule {
    fn of(
        globals: &Bound<'_, PyAny>,
        number: impl Fn(&str) -> Option<usize>,
    ) -> PyResult<Option<Self>> {
        let statuses = globals.get_item("DagsterRunStatus")?;
        let queued = statuses.getattr("QUEUED")?.unbind();
        let rule = || {
            Some(Self {
                root: number("root_run_id")?,
                parent: number("parent_run_id")?,
                status: number("status")?,
                origin: number("remote_job_origin")?,
                queued,
            })
        };
        Ok(rule())
    }
}

/// `DagsterEvent` fills in a step handle and a step key that are not given.
struct EventRule {
    event_type: usize,
    step_handle: usize,
    node_handle: usize,
    step_key: usize,
}

impl EventRule {
    fn of(number: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        Some(Self {
            event_type: number("event_type_value")?,
            step_handle: number("step_handle")?,
            node_handle: number("node_handle")?,
            step_key: number("step_key")?,
        })
    }
}

impl Recipe {
    /// The recipe of a class whose `__new__` is `new`, with parameters in the order of the fields;
    /// none where the constructor may do more than a recipe can.
    pub(super) fn compile<'py>(
        class: &Bound<'py, PyType>,
        new: &Bound<'py, PyAny>,
        parameters: &[Py<PyString>],
    ) -> PyResult<Option<Self>> {
        let py = class.py();
        let mut names = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            names.push(parameter.bind(py).to_str()?);
        }
        let fields: Vec<String> = class.getattr("_fields")?.extract()?;
        if fields.len() != names.len() || !keeps_its_arguments(class)? {
            return Ok(None);
        }
        let number = |name: &str| names.iter().position(|parameter| *parameter == name);
        if let Some(checks) = record_checks(class, new, &fields)? {
            let slot = |(name, (optional, check)): (&String, _)| {
                Some(Slot {
                    field: number(name)?,
                    optional,
                    fills_dict: false,
                    check,
                })
            };
            let slots: Option<Vec<_>> = fields.iter().zip(checks).map(slot).collect();
            let acyclic = keeps_no_caches(class)?;
            return Ok(slots.map(|slots| Self {
                slots,
                rule: None,
                acyclic,
            }));
        }
        let Some(known) = known(new)? else {
            return Ok(None);
        };
        if !known.slots.iter().map(|slot| slot.0).eq(fields.iter()) {
            return Ok(None);
        }
        let globals = new.getattr("__globals__")?;
        let mut slots = Vec::with_capacity(fields.len());
        let mut rule = None;
        if known.source == DAGSTER_RUN {
            rule = RunRule::of(&globals, number)?.map(Rule::Run);
            if rule.is_none() {
                return Ok(None);
            }
        }
        for (_, parameter, ask) in known.slots {
            let Some(field) = number(parameter) else {
                return Ok(None);
            };
            if matches!(ask, Ask::EventData) {
                rule = EventRule::of(number).map(Rule::Event);
                if rule.is_none() {
                    return Ok(None);
                }
            }
            let checked = match ask {
                Ask::Annotated | Ask::AnnotatedOrDict => {
                    let annotations = class.getattr("__record_annotations__")?;
                    annotated(&annotations.get_item(parameter)?)?
                }
                ask => Some(ask.check(&globals)?),
            };
            let Some((optional, check)) = checked else {
                return Ok(None);
            };
            slots.push(Slot {
                field,
                optional,
                fills_dict: matches!(ask, Ask::AnnotatedOrDict),
                check,
            });
        }
        Ok(Some(Self {
            slots,
            rule,
            acyclic: keeps_no_caches(class)?,
        }))
    }

    /// Whether objects are built without these fields, in which the constructor fills in a dict.
    pub(super) fn does_without(&self, absent: &[usize]) -> bool {
        let is_filled = |field| {
            let mut filled = self.slots.iter().filter(|slot| slot.fills_dict);
            filled.any(|slot| slot.field == field)
        };
        absent.iter().all(|field| is_filled(*field))
    }

    /// The object of `class` with these field values; none where only the constructor can tell.
    pub(super) fn build<'py>(
        &self,
        class: &Bound<'py, PyAny>,
        values: &[Bound<'py, PyAny>],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = class.py();
        let dagster = Dagster::get(py)?;
        if self.rule.as_ref().is_some_and(|rule| !rule.holds(values)) {
            return Ok(None);
        }
        let event_type = match &self.rule {
            Some(Rule::Event(rule)) => Some(&values[rule.event_type]),
            _ => None,
        };
        let mut kept = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let value = &values[slot.field];
            if slot.fills_dict && value.is_none() {
                kept.push(PyDict::new(py).into_any());
                continue;
            }
            let passes = (slot.optional && value.is_none())
                || slot.check.passes(dagster, value, event_type)?;
            if !passes {
                return Ok(None);
            }
            match (&slot.check, value.cast_exact::<PyList>()) {
                (Check::Strings, Ok(list)) => kept.push(list.to_tuple().into_any()),
                _ => kept.push(value.clone()),
            }
        }
        new_tuple(class.cast()?, kept, self.acyclic).map(Some)
    }
}

impl Ask {
    fn check(self, globals: &Bound<'_, PyAny>) -> PyResult<(bool, Check)> {
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(globals.get_item(name)?.cast_into::<PyType>()?.unbind())
        };
        let classes = |names: &[&str]| {
            names
                .iter()
                .map(|name| class(name))
                .collect::<PyResult<_>>()
        };
        Ok(match self {
            Self::Str => (false, Check::Str),
            Self::OptStr => (true, Check::Str),
            Self::OptInt => (true, Check::Int),
            Self::Int => (false, Check::Int),
            Self::Float => (false, Check::Float),
            Self::Bool => (false, Check::Bool),
            Self::Dict => (false, Check::Dict),
            Self::EmptyList => (false, Check::EmptyList),
            Self::Instance(names) => (false, Check::Instance(classes(names)?)),
            Self::OptInstance(names) => (true, Check::Instance(classes(names)?)),
            Self::Metadata => (false, Check::Metadata),
            Self::Tags => (false, Check::Tags(TagRule::of_dagster(globals.py())?)),
            Self::OptTags => (true, Check::Tags(TagRule::of_dagster(globals.py())?)),
            Self::Strings => (false, Check::Strings),
            Self::StringList => (false, Check::ListOf(Box::new(Check::Str))),
            Self::OnlyNone => (true, Check::Nothing),
            // Asked by the class's own annotations.
            Self::Annotated | Self::AnnotatedOrDict => (false, Check::Anything),
            Self::EventData => {
                let mut rules = HashMap::new();
                for member in globals.get_item("DagsterEventType")?.try_iter()? {
                    let member = member?;
                    let name: String = member.getattr("name")?.extract()?;
                    let rule = EVENT_DATA.iter().find(|(event, _, _)| *event == name);
                    let rule =
                        rule.map(|(_, data, optional)| PyResult::Ok((class(data)?, *optional)));
                    rules.insert(member.getattr("value")?.extract()?, rule.transpose()?);
                }
                (false, Check::EventData(rules))
            }
        })
    }
}

impl Check {
    fn passes(
        &self,
        dagster: &Dagster,
        value: &Bound<'_, PyAny>,
        event_type: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        Ok(match self {
            Self::Anything => true,
            Self::Str => value.is_exact_instance_of::<PyString>(),
            Self::Int => value.is_exact_instance_of::<PyInt>(),
            Self::Float => value.is_exact_instance_of::<PyFloat>(),
            Self::Bool => value.is_exact_instance_of::<PyBool>(),
            Self::Dict => value.is_exact_instance_of::<PyDict>(),
            Self::EmptyList => value
                .cast_exact::<PyList>()
                .is_ok_and(|list| list.is_empty()),
            Self::Instance(classes) => is_one_of(classes, value),
            Self::Strings => match value.cast_exact::<PyList>() {
                Ok(list) => list
                    .iter()
                    .all(|item| item.is_exact_instance_of::<PyString>()),
                Err(_) => false,
            },
            Self::Metadata => match value.cast_exact::<PyDict>() {
                Ok(dict) => {
                    for (label, value) in dict {
                        if !label.is_exact_instance_of::<PyString>()
                            || !dagster.is_metadata_value(&value)?
                        {
                            return Ok(false);
                        }
                    }
                    true
                }
                Err(_) => false,
            },
            Self::ListOf(check) => match value.cast_exact::<PyList>() {
                Ok(list) => {
                    for item in list {
                        if !check.passes(dagster, &item, None)? {
                            return Ok(false);
                        }
                    }
                    true
                }
                Err(_) => false,
            },
            Self::SetOf(check) => {
                if !value.is_exact_instance_of::<PySet>()
                    && !value.is_exact_instance_of::<PyFrozenSet>()
                {
                    return Ok(false);
                }
                for item in value.try_iter()? {
                    if !check.passes(dagster, &item?, None)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::ByStrings => match value.cast_exact::<PyDict>() {
                Ok(dict) => dict
                    .iter()
                    .all(|(key, _)| key.is_exact_instance_of::<PyString>()),
                Err(_) => false,
            },
            Self::Nothing => false,
            Self::StringDict => match value.cast_exact::<PyDict>() {
                Ok(dict) => dict.iter().all(|(key, value)| {
                    key.is_exact_instance_of::<PyString>()
                        && value.is_exact_instance_of::<PyString>()
                }),
                Err(_) => false,
            },
            Self::Tags(rule) => match value.cast_exact::<PyDict>() {
                Ok(dict) => dict.iter().all(|(key, value)| rule.passes(&key, &value)),
                Err(_) => false,
            },
            Self::EventData(rules) => {
                let text = event_type.and_then(|text| text.cast_exact::<PyString>().ok());
                match text
                    .and_then(|text| text.to_str().ok())
                    .map(|text| rules.get(text))
                {
                    None | Some(None) => false,
                    Some(Some(None)) => true,
                    Some(Some(Some((class, optional)))) => {
                        value.get_type().is(class) || (*optional && value.is_none())
                    }
                }
            }
        })
    }
}

fn is_one_of(classes: &[Py<PyType>], value: &Bound<'_, PyAny>) -> bool {
    let class = value.get_type_ptr();
    classes.iter().any(|it| it.as_ptr() == class.cast())
}

impl TagRule {
    fn of_dagster(py: Python<'_>) -> PyResult<Self> {
        let versions = py.import("dagster._core.definitions.data_version")?;
        let of = |name: &str| -> PyResult<String> { versions.getattr(name)?.extract() };
        let tags = py.import("dagster._utils.tags")?;
        let pattern =
            |name: &str| -> PyResult<String> { tags.getattr(name)?.getattr("pattern")?.extract() };
        let knows_others = [
            ("normalize_tags", Known::NormalizeTags),
            ("is_valid_tag_key", Known::IsValidTagKey),
            ("is_valid_strict_tag_value", Known::IsValidStrictTagValue),
        ]
        .iter()
        .all(|(name, known)| {
            let function = tags.getattr(*name).ok();
            function.and_then(|function| recognise(&function)) == Some(*known)
        }) && pattern("VALID_STRICT_TAG_VALUE_REGEX")? == TAG_VALUE
            && pattern("VALID_TAG_KEY_REGEX")
                .is_ok_and(|key| key.starts_with(TAG_KEY_BEGINS) && key.ends_with(TAG_KEY_ENDS));
        Ok(Self {
            names: vec![of("CODE_VERSION_TAG")?, of("DATA_VERSION_TAG")?],
            prefixes: vec![
                of("INPUT_DATA_VERSION_TAG_PREFIX")?,
                of("INPUT_EVENT_POINTER_TAG_PREFIX")?,
            ],
            knows_others,
        })
    }

    fn passes(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
        let text = |text| <Bound<'_, PyAny>>::cast_exact::<PyString>(text).ok();
        let Some(Ok(key)) = text(key).map(|key| key.to_str()) else {
            return false;
        };
        self.names.iter().any(|name| name == key)
            || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
            || self.knows_others
                && text(value)
                    .and_then(|value| value.to_str().ok())
                    .is_some_and(|value| is_plain_tag(key, value))
    }
}

const TAG_VALUE: &str = "^[A-Za-z0-9_.-]{0,63}$";
const TAG_KEY_BEGINS: &str = "^([A-Za-z0-9_.-]{1,63}/|";
const TAG_KEY_ENDS: &str = ")?[A-Za-z0-9_.-]{1,63}$";

/// Whether a tag is a key with at most one namespace, and a value, as the patterns above have them.
/// A key that names a dimension of a partition, by which the constructor goes, has two.
fn is_plain_tag(key: &str, value: &str) -> bool {
    let is_plain = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        text.len() <= 63 && text.bytes().all(is_allowed)
    };
    let (namespace, name) = key.split_once('/').unwrap_or(("a", key));
    !namespace.is_empty()
        && !name.is_empty()
        && is_plain(namespace)
        && is_plain(name)
        && is_plain(value)
}

/// Whether the tuple behind a class is a plain named tuple.
fn keeps_its_arguments(class: &Bound<'_, PyType>) -> PyResult<bool> {
    if !class.is_subclass_of::<PyTuple>()? {
        return Ok(false);
    }
    let mut base = class.getattr_opt("__nt_new__")?;
    if base.is_none() {
        for ancestor in class.mro().try_iter()?.skip(1) {
            let own = ancestor?
                .getattr("__dict__")?
                .call_method1("get", ("__new__",))?;
            if !own.is_none() {
                base = own.getattr_opt("__func__")?;
                break;
            }
        }
    }
    let Some(globals) = base
        .map(|base| base.getattr_opt("__globals__"))
        .transpose()?
        .flatten()
    else {
        return Ok(false);
    };
    // `collections.namedtuple` gives its `__new__` a module of this name.
    let module: String = globals.get_item("__name__")?.extract()?;
    Ok(module.starts_with("namedtuple_"))
}

/// Whether no attribute of a class is one that keeps its value in the object.
fn keeps_no_caches(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let cached_property = py.import("functools")?.getattr("cached_property")?;
    for ancestor in class.mro().try_iter()? {
        let own = ancestor?.getattr("__dict__")?;
        for attribute in own.call_method0("values")?.try_iter()? {
            let attribute = attribute?;
            // As `dagster_shared.utils.cached_method` names what it makes of a method.
            let is_cached_method = match attribute.getattr_opt("__code__")? {
                Some(code) => code
                    .getattr("co_name")?
                    .extract::<String>()?
                    .ends_with("cached_method_wrapper"),
                None => false,
            };
            if is_cached_method || attribute.is_instance(&cached_property)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The checks of a generated `__new__`, as `dagster_shared.check.builder` writes them; none where
/// the class has another constructor or asks for something that is not checked here.
fn record_checks(
    class: &Bound<'_, PyType>,
    new: &Bound<'_, PyAny>,
    fields: &[String],
) -> PyResult<Option<Vec<(bool, Check)>>> {
    let py = class.py();
    let name: String = new.getattr("__name__")?.extract()?;
    if name != "__checked_new__" && name != "__defaults_new__" {
        return Ok(None);
    }
    let annotations = class.getattr("__record_annotations__")?;
    let defaults = class.getattr("__record_defaults__")?;
    let mut checks = Vec::with_capacity(fields.len());
    for field in fields {
        if name == "__checked_new__" {
            match annotated(&annotations.get_item(field)?)? {
                Some(check) => checks.push(check),
                None => return Ok(None),
            }
        } else {
            checks.push((true, Check::Anything));
        }
        // None stands for a default that is an empty list or dict.
        if defaults.contains(field)? && checks.last().is_some_and(|(optional, _)| *optional) {
            let default = defaults.get_item(field)?;
            if default.eq(PyList::empty(py))? || default.eq(PyDict::new(py))? {
                return Ok(None);
            }
        }
    }
    Ok(Some(checks))
}

/// What the generated code asks of a value with this annotation, and whether None will do.
fn annotated(annotation: &Bound<'_, PyAny>) -> PyResult<Option<(bool, Check)>> {
    let py = annotation.py();
    let typing = py.import("typing")?;
    if annotation.is(&typing.getattr("Any")?) {
        return Ok(Some((true, Check::Anything)));
    }
    let origin = typing.call_method1("get_origin", (annotation,))?;
    if origin.is_none() {
        return Ok(scalar(annotation).map(|check| (false, check)));
    }
    let arguments = typing
        .call_method1("get_args", (annotation,))?
        .cast_into::<PyTuple>()?;
    if origin.is(&typing.getattr("Annotated")?) {
        return annotated(&arguments.get_item(0)?);
    }
    let is_union = origin.is(&typing.getattr("Union")?)
        || py
            .import("types")?
            .getattr_opt("UnionType")?
            .is_some_and(|union| origin.is(&union));
    let arguments: Vec<Bound<'_, PyAny>> = arguments.extract()?;
    let collections = py.import("collections.abc")?;
    let is_plain = |argument: &Bound<'_, PyAny>| -> PyResult<bool> {
        Ok(typing.call_method1("get_origin", (argument,))?.is_none())
    };
    if let [item] = arguments.as_slice()
        && is_plain(item)?
        && let Some(item) = scalar(item).map(Box::new)
    {
        return Ok(if origin.is(&collections.getattr("Sequence")?) {
            Some((false, Check::ListOf(item)))
        } else if origin.is(&collections.getattr("Set")?) {
            Some((false, Check::SetOf(item)))
        } else {
            None
        });
    }
    if let [key, value] = arguments.as_slice()
        && origin.is(&collections.getattr("Mapping")?)
    {
        let string = py.get_type::<PyString>();
        if !key.is(&string) {
            return Ok(None);
        }
        return Ok(if value.is(&string) {
            Some((false, Check::StringDict))
        } else if value.is(py.get_type::<PyAny>()) {
            Some((false, Check::ByStrings))
        } else {
            None
        });
    }
    if let [inner, none] = arguments.as_slice()
        && is_union
        && none.is(py.None().bind(py).get_type())
    {
        return Ok(annotated(inner)?.map(|(_, check)| (true, check)));
    }
    Ok(None)
}

fn scalar(annotation: &Bound<'_, PyAny>) -> Option<Check> {
    let py = annotation.py();
    let class = annotation.cast::<PyType>().ok()?;
    Some(if class.is(py.get_type::<PyString>()) {
        Check::Str
    } else if class.is(py.get_type::<PyInt>()) {
        Check::Int
    } else if class.is(py.get_type::<PyFloat>()) {
        Check::Float
    } else if class.is(py.get_type::<PyBool>()) {
        Check::Bool
    } else {
        // An instance of exactly this class passes whatever test for instances it has.
        Check::Instance(vec![class.clone().unbind()])
    })
}
