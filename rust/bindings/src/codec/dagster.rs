//! The parts of Dagster and of Python that the codec calls or compares with, imported once.

use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyDictMethods, PyTuple, PyTupleMethods, PyType, PyTypeMethods};

/// References into `dagster_shared` and the standard library.
pub(super) struct Dagster {
    pub whitelist_map: Py<PyAny>,
    pub serialize_value: Py<PyAny>,
    pub pack_object: Py<PyAny>,
    pub unpack_object: Py<PyAny>,
    pub inner_unpack_value: Py<PyAny>,
    pub unpack_context: Py<PyAny>,
    pub non_scalar_key_mapping: Py<PyAny>,
    pub enum_serializer: Py<PyAny>,
    pub object_serializer: Py<PyAny>,
    pub named_tuple_serializer: Py<PyAny>,
    pub dataclass_serializer: Py<PyAny>,
    pub pydantic_serializer: Py<PyAny>,
    pub empty_values: Py<PyTuple>,
    pub get_pydantic_base_model: Py<PyAny>,
    pub is_dataclass: Py<PyAny>,
    pub is_record: Py<PyAny>,
    pub serialization_error: Py<PyAny>,
    pub disable_dagster_warnings: Py<PyAny>,
    pub contextual_namespace: Py<PyAny>,
    pub jit_checked_new: Py<PyAny>,
    pub enum_class: Py<PyAny>,
    pub mapping_class: Py<PyAny>,
    pub sequence_class: Py<PyAny>,
    pub function_class: Py<PyAny>,
    /// `tuple.__iter__`, which a plain named tuple inherits.
    pub tuple_iter: Py<PyAny>,
    /// The code of `_asdict` as `collections.namedtuple` makes it.
    pub asdict_code: Py<PyAny>,
    pub object_init: Py<PyAny>,
    pub type_call: Py<PyAny>,
    pub json_dumps: Py<PyAny>,
    pub json_loads: Py<PyAny>,
    pub get_source: Py<PyAny>,
    /// The one NaN that json reads, so that it is one key of a dict and one item of a set.
    pub nan: Py<PyAny>,
    /// `{"key": str}`, with which Dagster sorts sets.
    pub sort_by_str: Py<PyDict>,
    pub str_encode: Py<PyAny>,
    /// Set when metadata is first read: the codec must not import more of Dagster than it needs.
    metadata_value: PyOnceLock<Py<PyType>>,
}

static DAGSTER: PyOnceLock<Dagster> = PyOnceLock::new();

impl Dagster {
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        DAGSTER.get_or_try_init(py, || Self::import(py))
    }

    /// Whether a value's class descends from `MetadataValue`; its other ways to be an instance of it
    /// (registration) do not count.
    pub(super) fn is_metadata_value(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let class = self.metadata_value.get_or_try_init(py, || {
            let module = py.import("dagster._core.definitions.metadata.metadata_value")?;
            let class = module.getattr("MetadataValue")?.cast_into::<PyType>()?;
            PyResult::Ok(class.unbind())
        })?;
        Ok(value
            .get_type()
            .mro()
            .iter_borrowed()
            .any(|ancestor| ancestor.is(class)))
    }

    fn import(py: Python<'_>) -> PyResult<Self> {
        let serdes = py.import("dagster_shared.serdes.serdes")?;
        let errors = py.import("dagster_shared.serdes.errors")?;
        let record = py.import("dagster_shared.record")?;
        let warnings = py.import("dagster_shared.utils.warnings")?;
        let builder = py.import("dagster_shared.check.builder")?;
        let abc = py.import("collections.abc")?;
        let json = py.import("dagster_shared.seven.json")?;
        let builtins = py.import("builtins")?;
        let of = |name: &str| serdes.getattr(name).map(Bound::unbind);
        let text: Bound<'_, PyType> = py.get_type::<pyo3::types::PyString>();
        let sort_by_str = PyDict::new(py);
        sort_by_str.set_item("key", &text)?;
        let sample = py
            .import("collections")?
            .getattr("namedtuple")?
            .call1(("Sample", "field"))?;
        Ok(Self {
            whitelist_map: of("_WHITELIST_MAP")?,
            serialize_value: of("serialize_value")?,
            pack_object: of("_pack_object")?,
            unpack_object: of("_unpack_object")?,
            inner_unpack_value: of("inner_unpack_value")?,
            unpack_context: of("UnpackContext")?,
            non_scalar_key_mapping: of("SerializableNonScalarKeyMapping")?,
            enum_serializer: of("EnumSerializer")?,
            object_serializer: of("ObjectSerializer")?,
            named_tuple_serializer: of("NamedTupleSerializer")?,
            dataclass_serializer: of("DataclassSerializer")?,
            pydantic_serializer: of("PydanticModelSerializer")?,
            empty_values: serdes
                .getattr("EMPTY_VALUES_TO_SKIP")?
                .cast_into::<PyTuple>()?
                .unbind(),
            get_pydantic_base_model: of("_get_pydantic_base_model")?,
            is_dataclass: of("is_dataclass")?,
            is_record: record.getattr("is_record")?.unbind(),
            serialization_error: errors.getattr("SerializationError")?.unbind(),
            disable_dagster_warnings: warnings.getattr("disable_dagster_warnings")?.unbind(),
            contextual_namespace: builder
                .getattr("EvalContext")?
                .getattr("contextual_namespace")?
                .unbind(),
            jit_checked_new: record.getattr("JitCheckedNew")?.unbind(),
            enum_class: py.import("enum")?.getattr("Enum")?.unbind(),
            mapping_class: abc.getattr("Mapping")?.unbind(),
            sequence_class: abc.getattr("Sequence")?.unbind(),
            function_class: py.import("types")?.getattr("FunctionType")?.unbind(),
            tuple_iter: builtins.getattr("tuple")?.getattr("__iter__")?.unbind(),
            asdict_code: sample.getattr("_asdict")?.getattr("__code__")?.unbind(),
            object_init: builtins.getattr("object")?.getattr("__init__")?.unbind(),
            type_call: builtins
                .getattr("type")?
                .getattr("__dict__")?
                .get_item("__call__")?
                .unbind(),
            json_dumps: json.getattr("dumps")?.unbind(),
            json_loads: json.getattr("loads")?.unbind(),
            nan: json.getattr("loads")?.call1(("NaN",))?.unbind(),
            get_source: py.import("inspect")?.getattr("getsource")?.unbind(),
            sort_by_str: sort_by_str.unbind(),
            str_encode: text.getattr("encode")?.unbind(),
            metadata_value: PyOnceLock::new(),
        })
    }
}
