//! A codec: one whitelist map of Dagster's, and the plans compiled from it.
//!
//! Plans are kept by the identity of the Python class (writing) or of the shape (reading). Whoever
//! uses one first asks the registry whether the serializer it was compiled from is still the one in
//! force: modules that are imported later, and tests, change the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use eventlog::value::{Shape, ShapeKind};
use pyo3::intern;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyDict, PyDictMethods, PyFrozenSet, PySet, PyString, PyTuple, PyType, PyTypeMethods,
};

use super::construct::ReadPlan;
use super::dagster::Dagster;
use super::hash::NumberMap;
use super::plan::{WritePlan, class_of};
use super::shapes::InternedShape;
use super::strings::Strings;

/// Plans for a Dagster registry.
pub struct Codec {
    pub(super) whitelist_map: Py<PyAny>,
    pub(super) object_serializers: Py<PyDict>,
    pub(super) object_deserializers: Py<PyDict>,
    pub(super) enum_serializers: Py<PyDict>,
    pub(super) object_type_map: Py<PyAny>,
    /// By address of the class, which each entry keeps alive.
    kinds: RwLock<NumberMap<(Py<PyType>, Kind)>>,
    /// By address of the shape, which each plan keeps alive.
    reads: RwLock<NumberMap<Arc<ReadPlan>>>,
    /// What the last page left; none while one is being read. Locked only to take and to put back.
    strings: Mutex<Option<Strings>>,
}

/// More than any deployment has classes or shapes; beyond it the caches start anew.
const CACHED: usize = 16_384;

/// What Dagster's serdes makes of instances of a class, in the order in which it asks.
#[derive(Clone)]
pub(super) enum Kind {
    NonScalarKeyMapping,
    Enum(Arc<EnumPlan>),
    Object(Arc<WritePlan>),
    Set,
    FrozenSet,
    Text,
    Mapping,
    Sequence,
}

/// How to write the members of one enum.
pub(super) struct EnumPlan {
    pub class_name: Py<PyString>,
    pub serializer: Py<PyAny>,
    /// The packed text of a member depends on nothing but the member.
    pub plain: bool,
    /// By address of the member, which each entry keeps alive.
    members: Mutex<NumberMap<(Py<PyAny>, Arc<InternedShape>)>>,
}

static DEFAULT: PyOnceLock<Arc<Codec>> = PyOnceLock::new();

impl Codec {
    /// The codec of Dagster's global registry.
    pub fn of_dagster(py: Python<'_>) -> PyResult<Arc<Self>> {
        let codec = DEFAULT.get_or_try_init(py, || {
            let map = Dagster::get(py)?.whitelist_map.bind(py);
            Self::new(map).map(Arc::new)
        })?;
        Ok(Arc::clone(codec))
    }

    /// A codec of another `WhitelistMap`.
    pub fn new(whitelist_map: &Bound<'_, PyAny>) -> PyResult<Self> {
        let dict = |name: &str| -> PyResult<Py<PyDict>> {
            Ok(whitelist_map.getattr(name)?.cast_into::<PyDict>()?.unbind())
        };
        Ok(Self {
            whitelist_map: whitelist_map.clone().unbind(),
            object_serializers: dict("object_serializers")?,
            object_deserializers: dict("object_deserializers")?,
            enum_serializers: dict("enum_serializers")?,
            object_type_map: whitelist_map.getattr("object_type_map")?.unbind(),
            kinds: RwLock::default(),
            reads: RwLock::default(),
            strings: Mutex::default(),
        })
    }

    /// The strings of the pages before; new ones where another page has them.
    pub(super) fn take_strings(&self) -> Strings {
        let mut strings = self.strings.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = strings.take();
        drop(strings);
        taken.unwrap_or_else(Strings::new)
    }

    /// Keeps strings for the next page.
    pub(super) fn keep_strings(&self, strings: Strings) {
        let replaced = {
            let mut kept = self.strings.lock().unwrap_or_else(PoisonError::into_inner);
            kept.replace(strings)
        };
        // Python objects are let go here, behind the lock.
        drop(replaced);
    }

    /// What a value is to Dagster's serdes; none where it is refused.
    pub(super) fn kind_of(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Kind>> {
        let py = value.py();
        let address = value.get_type_ptr() as usize;
        let cached = {
            let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
            kinds.get(&address).map(|(_, kind)| kind.clone())
        };
        if let Some(kind) = cached
            && self.is_in_force(py, &kind)?
        {
            return Ok(Some(kind));
        }
        let kind = self.classify(value)?;
        let class = value.get_type();
        if let Some(kind) = &kind
            && value.getattr(intern!(py, "__class__"))?.is(&class)
        {
            let entry = (class.unbind(), kind.clone());
            let replaced = {
                let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
                let full = kinds.len() >= CACHED;
                let all = full.then(|| std::mem::take(&mut *kinds));
                (kinds.insert(address, entry), all)
            };
            // Python objects are let go here, behind the lock.
            drop(replaced);
        }
        Ok(kind)
    }

    fn is_in_force(&self, py: Python<'_>, kind: &Kind) -> PyResult<bool> {
        let (registry, name, serializer) = match kind {
            Kind::Object(plan) => (&self.object_serializers, &plan.class_name, &plan.serializer),
            Kind::Enum(plan) => (&self.enum_serializers, &plan.class_name, &plan.serializer),
            _ => return Ok(true),
        };
        let current = registry.bind(py).get_item(name)?;
        Ok(current.is_some_and(|current| current.is(serializer)))
    }

    fn classify<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Kind>> {
        let py = value.py();
        let dagster = Dagster::get(py)?;
        if value.get_type().is(&dagster.non_scalar_key_mapping) {
            return Ok(Some(Kind::NonScalarKeyMapping));
        }
        let class = value
            .getattr(intern!(py, "__class__"))?
            .cast_into::<PyType>()?;
        let class_name = class.getattr("__name__")?.cast_into::<PyString>()?;
        if value.is_instance(dagster.enum_class.bind(py))? {
            let serializer = self.enum_serializers.bind(py).get_item(&class_name)?;
            return serializer
                .map(|it| {
                    EnumPlan::compile(dagster, class_name, &it).map(|it| Kind::Enum(Arc::new(it)))
                })
                .transpose();
        }
        let base_model = dagster.get_pydantic_base_model.bind(py).call0()?;
        let is_object = (value.is_instance_of::<PyTuple>() && value.hasattr("_fields")?)
            || value.is_instance(&base_model)?
            || (dagster.is_dataclass.bind(py).call1((value,))?.is_truthy()?
                && !value.is_instance_of::<PyType>());
        if is_object {
            let serializer = self.object_serializers.bind(py).get_item(&class_name)?;
            return serializer
                .map(|it| {
                    WritePlan::compile(self, &class, &it).map(|it| Kind::Object(Arc::new(it)))
                })
                .transpose();
        }
        let kind = if value.is_instance_of::<PySet>() {
            Kind::Set
        } else if value.is_instance_of::<PyFrozenSet>() {
            Kind::FrozenSet
        } else if value.is_instance_of::<PyString>() {
            Kind::Text
        } else if value.is_instance(dagster.mapping_class.bind(py))? {
            Kind::Mapping
        } else if value.is_instance(dagster.sequence_class.bind(py))? {
            Kind::Sequence
        } else {
            return Ok(None);
        };
        Ok(Some(kind))
    }

    /// The plan of the class that is stored under a name, if objects of it may be written.
    pub(super) fn plan_for_storage_name(
        &self,
        py: Python<'_>,
        name: &str,
    ) -> PyResult<Option<Arc<WritePlan>>> {
        let Some(serializer) = self.object_deserializers.bind(py).get_item(name)? else {
            return Ok(None);
        };
        let plan = self.plan_for_serializer(&serializer)?;
        Ok(plan.filter(|plan| plan.shape.name == name))
    }

    /// The plan of a serializer's own class.
    pub(super) fn plan_for_serializer(
        &self,
        serializer: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Arc<WritePlan>>> {
        let py = serializer.py();
        let Some(class) = class_of(serializer)? else {
            return Ok(None);
        };
        let cached = {
            let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
            kinds
                .get(&(class.as_type_ptr() as usize))
                .map(|(_, kind)| kind.clone())
        };
        if let Some(Kind::Object(plan)) = cached
            && plan.serializer.is(serializer)
        {
            return Ok(Some(plan));
        }
        let name = class.getattr("__name__")?;
        let current = self.object_serializers.bind(py).get_item(name)?;
        if !current.is_some_and(|current| current.is(serializer)) {
            return Ok(None);
        }
        let plan = Arc::new(WritePlan::compile(self, &class, serializer)?);
        let entry = (class.clone().unbind(), Kind::Object(Arc::clone(&plan)));
        let replaced = {
            let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
            kinds.insert(class.as_type_ptr() as usize, entry)
        };
        drop(replaced);
        Ok(Some(plan))
    }

    /// The plan for reading what was written with a shape.
    pub(super) fn read_plan(&self, py: Python<'_>, shape: &Arc<Shape>) -> PyResult<Arc<ReadPlan>> {
        let address = Arc::as_ptr(shape) as usize;
        let cached = {
            let reads = self.reads.read().unwrap_or_else(PoisonError::into_inner);
            reads.get(&address).cloned()
        };
        if let Some(plan) = cached
            && plan.is_in_force(py, self)?
        {
            return Ok(plan);
        }
        let plan = Arc::new(ReadPlan::compile(py, self, shape)?);
        let replaced = {
            let mut reads = self.reads.write().unwrap_or_else(PoisonError::into_inner);
            let full = reads.len() >= CACHED;
            let all = full.then(|| std::mem::take(&mut *reads));
            (reads.insert(address, Arc::clone(&plan)), all)
        };
        drop(replaced);
        Ok(plan)
    }
}

impl EnumPlan {
    fn compile(
        dagster: &Dagster,
        class_name: Bound<'_, PyString>,
        serializer: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let base = dagster.enum_serializer.bind(serializer.py());
        let class = serializer.get_type();
        let mut plain = true;
        for hook in ["pack", "get_storage_name"] {
            plain &= class.getattr(hook)?.is(&base.getattr(hook)?);
        }
        Ok(Self {
            class_name: class_name.unbind(),
            serializer: serializer.clone().unbind(),
            plain,
            members: Mutex::new(HashMap::default()),
        })
    }

    /// The shape of a member that was packed before.
    pub(super) fn cached(&self, member: &Bound<'_, PyAny>) -> Option<Arc<InternedShape>> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let found = members.get(&(member.as_ptr() as usize));
        found.map(|(_, shape)| Arc::clone(shape))
    }

    /// The shape of a member with this packed text, kept for the next time where that is right.
    pub(super) fn shape(&self, member: &Bound<'_, PyAny>, text: &str) -> Arc<InternedShape> {
        let shape = InternedShape::new(Shape {
            kind: ShapeKind::Enum,
            name: text.to_owned(),
            fields: Vec::new(),
            constants: String::new(),
            plan: 0,
        });
        if self.plain {
            let entry = (member.clone().unbind(), Arc::clone(&shape));
            let replaced = {
                let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
                members.insert(member.as_ptr() as usize, entry)
            };
            drop(replaced);
        }
        shape
    }
}
