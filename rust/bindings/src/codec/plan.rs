//! Plans: how objects of one Python class become objects of one shape.
//!
//! A plan is compiled from the serializer that Dagster's registry has for the class and holds as long
//! as that serializer is registered. Its fingerprint says which serializer's rules a body was written
//! by; a reader with another one leaves the reading to Dagster.

use std::sync::Arc;

use eventlog::value::{Shape, ShapeKind, to_packed_json};
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyDict, PyDictMethods, PyString, PyStringMethods, PyType};

use super::dagster::Dagster;
use super::field::{FieldPack, Skip, WriteField};
use super::hash::fingerprint;
use super::registry::Codec;
use super::shapes::InternedShape;

/// Where the values of an object's fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// In the tuple that the object is, of this length.
    Tuple(usize),
    /// In the object's `__dict__`; `true` where that must hold nothing else.
    Dict(bool),
    /// Dagster's `pack_items` has to say.
    Items,
}

/// How to write objects of one class.
pub(super) struct WritePlan {
    pub class: Py<PyType>,
    /// The class's name, under which the registry must still hold `serializer`.
    pub class_name: Py<PyString>,
    pub serializer: Py<PyAny>,
    pub shape: Arc<InternedShape>,
    pub before_pack: Option<Py<PyAny>>,
    pub access: Access,
    /// In stored order.
    pub fields: Vec<WriteField>,
    /// Storage name and value of the shape's constants.
    pub constants: Vec<(Py<PyString>, Py<PyAny>)>,
}

/// The hooks of a serializer, any of which a class may override.
const HOOKS: [&str; 7] = [
    "before_pack",
    "before_unpack",
    "get_storage_name",
    "handle_unpack_error",
    "object_as_mapping",
    "pack_items",
    "unpack",
];

/// A field before it has its place: its name in the object, the name by which the serializer's rules
/// know it (another one for aliases and renamed record fields), its storage name and its position.
struct Source {
    attribute: String,
    key: String,
    storage: String,
    index: usize,
}

impl WritePlan {
    pub(super) fn compile<'py>(
        codec: &Codec,
        class: &Bound<'py, PyType>,
        serializer: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let py = class.py();
        let dagster = Dagster::get(py)?;
        let class_name = class.getattr("__name__")?.cast_into::<PyString>()?;
        let storage_name: String = serializer.call_method0("get_storage_name")?.extract()?;

        let (mut access, keys) = native_access(dagster, class, serializer)?;
        let mut sources = sources(serializer, keys)?;
        let old_fields = serializer.getattr("old_fields")?;
        let mut constants = constants(dagster, &storage_name, &old_fields)?;
        let clashes = constants.as_ref().is_none_or(|(old, _)| {
            let old = old.iter().map(|(key, _)| key.as_str());
            let mut all: Vec<_> = old
                .chain(sources.iter().map(|it| it.storage.as_str()))
                .collect();
            all.push("__class__");
            all.sort_unstable();
            all.windows(2).any(|pair| pair[0] == pair[1])
        });
        if clashes {
            access = Access::Items;
        }
        if access == Access::Items {
            // Whatever `pack_items` says of the known names; a name beyond them makes it a map.
            sources = known_sources(serializer, sources, &old_fields)?;
            constants = Some((Vec::new(), String::new()));
        }
        sources.sort_by(|a, b| a.storage.cmp(&b.storage));
        let (constants, constants_text) = constants.unwrap_or_default();

        let shape = InternedShape::new(Shape {
            kind: ShapeKind::Object,
            name: storage_name,
            fields: sources
                .iter()
                .map(|source| source.storage.clone())
                .collect(),
            constants: constants_text,
            plan: plan_fingerprint(serializer, &sources)?,
        });
        let fields = sources
            .iter()
            .map(|source| write_field(codec, &class_name, serializer, source))
            .collect::<PyResult<_>>()?;
        let constants = constants
            .into_iter()
            .map(|(key, value)| (PyString::intern(py, &key).unbind(), value))
            .collect();
        let hook = is_overridden(dagster, serializer, "before_pack")?;
        Ok(Self {
            class: class.clone().unbind(),
            class_name: class_name.unbind(),
            serializer: serializer.clone().unbind(),
            shape,
            before_pack: hook
                .then(|| serializer.getattr("before_pack").map(Bound::unbind))
                .transpose()?,
            access,
            fields,
            constants,
        })
    }
}

/// Whether the serializer's class has a hook of its own.
pub(super) fn is_overridden(
    dagster: &Dagster,
    serializer: &Bound<'_, PyAny>,
    hook: &str,
) -> PyResult<bool> {
    let base = dagster
        .object_serializer
        .bind(serializer.py())
        .getattr(hook)?;
    Ok(!serializer.get_type().getattr(hook)?.is(&base))
}

/// How the values can be had without Dagster, and under which names Dagster would give them.
fn native_access(
    dagster: &Dagster,
    class: &Bound<'_, PyType>,
    serializer: &Bound<'_, PyAny>,
) -> PyResult<(Access, Vec<(String, String)>)> {
    let py = class.py();
    let unknown = (Access::Items, Vec::new());
    if is_overridden(dagster, serializer, "pack_items")? {
        return Ok(unknown);
    }
    let reads_as = serializer.get_type().getattr("object_as_mapping")?;
    let same_as = |base: &Py<PyAny>| -> PyResult<bool> {
        Ok(reads_as.is(&base.bind(py).getattr("object_as_mapping")?))
    };
    if same_as(&dagster.named_tuple_serializer)? {
        return tuple_access(dagster, class);
    }
    if same_as(&dagster.dataclass_serializer)? {
        let Ok(fields) = class.getattr("__dataclass_fields__") else {
            return Ok(unknown);
        };
        let names: Vec<String> = fields
            .try_iter()?
            .map(|it| it?.extract())
            .collect::<PyResult<_>>()?;
        let keys = names.into_iter().map(|name| (name.clone(), name)).collect();
        return Ok((Access::Dict(true), keys));
    }
    if same_as(&dagster.pydantic_serializer)? {
        let mut keys = Vec::new();
        for item in serializer
            .getattr("_model_fields")?
            .call_method0("items")?
            .try_iter()?
        {
            let (name, field): (String, Bound<'_, PyAny>) = item?.extract()?;
            let alias: Option<String> = field.getattr("alias")?.extract()?;
            let other_alias = !field.getattr("serialization_alias")?.is_none()
                || !field.getattr("validation_alias")?.is_none();
            if alias.is_none() && other_alias {
                return Ok(unknown);
            }
            let key = alias
                .filter(|alias| !alias.is_empty())
                .unwrap_or_else(|| name.clone());
            keys.push((name, key));
        }
        return Ok((Access::Dict(false), keys));
    }
    Ok(unknown)
}

/// A named tuple or record, as long as its class reads its fields the plain way.
fn tuple_access(
    dagster: &Dagster,
    class: &Bound<'_, PyType>,
) -> PyResult<(Access, Vec<(String, String)>)> {
    let py = class.py();
    let plain_iter = |name: &str| -> PyResult<bool> {
        Ok(class
            .getattr_opt(name)?
            .is_some_and(|it| it.is(&dagster.tuple_iter)))
    };
    let names: Vec<String> = class.getattr("_fields")?.extract()?;
    let length = names.len();
    let mut keys: Vec<_> = names.into_iter().map(|name| (name.clone(), name)).collect();
    let plain = if dagster.is_record.bind(py).call1((class,))?.is_truthy()? {
        let renamed: Bound<'_, PyAny> = class.getattr("__field_remap__")?;
        for (name, key) in &mut keys {
            if renamed.contains(&*name)? {
                *key = renamed.get_item(&*name)?.extract()?;
            }
        }
        plain_iter("__hidden_iter__")?
    } else {
        let code = class.getattr("_asdict")?.getattr_opt("__code__")?;
        plain_iter("__iter__")? && code.is_some_and(|code| code.is(&dagster.asdict_code))
    };
    let access = if plain {
        Access::Tuple(length)
    } else {
        Access::Items
    };
    Ok((access, keys))
}

fn sources(serializer: &Bound<'_, PyAny>, keys: Vec<(String, String)>) -> PyResult<Vec<Source>> {
    let storage_names = serializer.getattr("storage_field_names")?;
    keys.into_iter()
        .enumerate()
        .map(|(index, (attribute, key))| {
            let storage = storage_names.call_method1("get", (&key, &key))?.extract()?;
            Ok(Source {
                attribute,
                key,
                storage,
                index,
            })
        })
        .collect()
}

/// All names under which `pack_items` may reasonably give a value.
fn known_sources(
    serializer: &Bound<'_, PyAny>,
    sources: Vec<Source>,
    old_fields: &Bound<'_, PyAny>,
) -> PyResult<Vec<Source>> {
    let storage_names = serializer.getattr("storage_field_names")?;
    let mut names: Vec<String> = sources.into_iter().map(|source| source.storage).collect();
    if let Ok(parameters) = serializer.getattr("constructor_param_names") {
        for parameter in parameters.try_iter()? {
            let parameter = parameter?;
            names.push(
                storage_names
                    .call_method1("get", (&parameter, &parameter))?
                    .extract()?,
            );
        }
    }
    for name in old_fields.try_iter()? {
        names.push(name?.extract()?);
    }
    names.retain(|name| name != "__class__");
    names.sort_unstable();
    names.dedup();
    let source = |storage: String| Source {
        attribute: storage.clone(),
        key: storage.clone(),
        storage,
        index: 0,
    };
    Ok(names.into_iter().map(source).collect())
}

type Constants = (Vec<(String, Py<PyAny>)>, String);

/// The old fields and their JSON text; none where the engine would not print that text the same.
fn constants(
    dagster: &Dagster,
    storage_name: &str,
    old_fields: &Bound<'_, PyAny>,
) -> PyResult<Option<Constants>> {
    let py = old_fields.py();
    if !old_fields.is_truthy()? {
        return Ok(Some(Constants::default()));
    }
    let all = PyDict::new(py);
    all.update(old_fields.cast()?)?;
    let dumps = dagster.json_dumps.bind(py);
    let Ok(text) = dumps
        .call1((&all,))
        .and_then(|text| text.extract::<String>())
    else {
        return Ok(None);
    };
    let mut constants = Vec::with_capacity(all.len());
    for (key, value) in &all {
        let Ok(key) = key.extract() else {
            return Ok(None);
        };
        constants.push((key, value.unbind()));
    }
    all.set_item("__class__", storage_name)?;
    let expected: String = dumps.call1((&all,))?.extract()?;
    let shape = Arc::new(Shape {
        kind: ShapeKind::Object,
        name: storage_name.to_owned(),
        fields: Vec::new(),
        constants: text.clone(),
        plan: 0,
    });
    // An object of no fields, whose text is the constants alone.
    let printed = to_packed_json(&[0x91, 0xd4, 1, 0], &[], &vec![shape]);
    Ok(printed
        .is_ok_and(|it| it == expected)
        .then_some((constants, text)))
}

fn write_field(
    codec: &Codec,
    class_name: &Bound<'_, PyString>,
    serializer: &Bound<'_, PyAny>,
    source: &Source,
) -> PyResult<WriteField> {
    let py = class_name.py();
    let key = source.key.as_str();
    let has = |set: &str| serializer.getattr(set)?.contains(key);
    let skip = if has("skip_when_empty_fields")? {
        Skip::WhenEmpty
    } else if has("skip_when_none_fields")? {
        Skip::WhenNone
    } else {
        Skip::Never
    };
    let custom = serializer
        .getattr("field_serializers")?
        .call_method1("get", (key,))?;
    let path = format!("<root:{}>.{key}", class_name.to_str()?);
    let pack = match custom.is_truthy()? {
        true => Some(FieldPack::compile(codec, &custom, &path)?),
        false => None,
    };
    Ok(WriteField {
        key: PyString::intern(py, &source.storage).unbind(),
        index: source.index,
        attribute: PyString::intern(py, &source.attribute).unbind(),
        skip,
        pack,
    })
}

/// A number for the rules by which a serializer writes and reads.
fn plan_fingerprint(serializer: &Bound<'_, PyAny>, sources: &[Source]) -> PyResult<u64> {
    let mut text = String::new();
    let mut say = |part: &str| {
        text.push_str(part);
        text.push('\n');
    };
    let sorted = |value: Bound<'_, PyAny>| -> PyResult<String> {
        let mut parts = Vec::new();
        if !value.is_none() {
            for item in value.try_iter()? {
                parts.push(item?.str()?.to_str()?.to_owned());
            }
        }
        parts.sort_unstable();
        Ok(parts.join(","))
    };
    say(serializer.call_method0("get_storage_name")?.extract()?);
    for source in sources {
        say(&source.attribute);
        say(&source.key);
        say(&source.storage);
    }
    say("parameters");
    if let Ok(parameters) = serializer.getattr("constructor_param_names") {
        for parameter in parameters.try_iter()? {
            say(parameter?.extract()?);
        }
    }
    for names in [
        "skip_when_empty_fields",
        "skip_when_none_fields",
        "kwargs_fields",
    ] {
        say(names);
        say(&sorted(serializer.getattr(names)?)?);
    }
    for names in ["storage_field_names", "old_fields"] {
        say(names);
        say(&sorted(serializer.getattr(names)?.call_method0("items")?)?);
    }
    say("serializers");
    let mut serializers = Vec::new();
    for item in serializer
        .getattr("field_serializers")?
        .call_method0("items")?
        .try_iter()?
    {
        let (field, custom): (String, Bound<'_, PyAny>) = item?.extract()?;
        serializers.push(format!(
            "{field}={}",
            qualified_name(custom.get_type().as_any())?
        ));
    }
    serializers.sort_unstable();
    serializers.iter().for_each(|line| say(line));
    for hook in HOOKS {
        say(&qualified_name(&serializer.get_type().getattr(hook)?)?);
    }
    Ok(fingerprint(&text))
}

fn qualified_name(of: &Bound<'_, PyAny>) -> PyResult<String> {
    let module = of.getattr("__module__")?;
    let name = of.getattr("__qualname__")?;
    Ok(format!("{module}.{name}"))
}

/// The class a serializer is registered for, if it is a class.
pub(super) fn class_of<'py>(
    serializer: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyType>>> {
    Ok(serializer.getattr("klass")?.cast_into::<PyType>().ok())
}
