//! Dagster's hooks and field serializers whose effect the codec knows, told by their source.
//!
//! Each is recognised by the fingerprint of its source text, so a changed one is simply called, as
//! any other is: knowing less costs time, never truth. A test tells when the installed Dagster has
//! sources that are not listed here.

use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyString, PyStringMethods};

use super::dagster::Dagster;
use super::hash::fingerprint;

/// What a recognised piece of source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// `MetadataFieldSerializer.pack`: a list of `EventMetadataEntry` dicts, one per label.
    MetadataPack,
    /// `MetadataFieldSerializer.unpack`: label to value, from a list of `MetadataEntry`.
    MetadataUnpack,
    /// `JsonDataFieldSerializer.pack`: the value as it is.
    AsIsPack,
    /// `DagsterEventSerializer.before_unpack`: nothing, unless the event type is an old one.
    EventBeforeUnpack,
    /// `_handle_back_compat`, which the former calls.
    EventBackCompat,
    /// `AssetMaterializationSerializer.before_unpack`: nothing, unless there is no asset key.
    MaterializationBeforeUnpack,
    /// `DagsterRunSerializer.before_unpack`: nothing, unless there is one of [`OLD_RUN_FIELDS`].
    RunBeforeUnpack,
    /// `MetadataEntry`: keeps label, description and a value that is a `MetadataValue`.
    MetadataEntryClass,
    /// `normalize_metadata_value`, which the former calls: a `MetadataValue` is kept.
    NormalizeMetadataValue,
    /// `normalize_renamed_param`, which the former calls.
    NormalizeRenamedParam,
    /// `normalize_tags`, which, being strict, asks the next two of each key and value.
    NormalizeTags,
    /// `is_valid_tag_key`: matches `VALID_TAG_KEY_REGEX`.
    IsValidTagKey,
    /// `is_valid_strict_tag_value`: matches `VALID_STRICT_TAG_VALUE_REGEX`.
    IsValidStrictTagValue,
}

/// Fingerprints of the sources, over Dagster 1.13.26 to 1.13.29.
const SOURCES: &[(Known, u64)] = &[
    (Known::MetadataPack, 0x33cc20bc2beca438),
    (Known::MetadataUnpack, 0xb9138b9efc20b92d),
    (Known::AsIsPack, 0x028d8f759daecd3c),
    (Known::EventBeforeUnpack, 0x7f08c92e52d09109),
    (Known::EventBackCompat, 0x2dc3f6eec4aaf7bc),
    (Known::MaterializationBeforeUnpack, 0x6f593f451301d767),
    (Known::RunBeforeUnpack, 0x8ba1dd3cf90d966f),
    (Known::MetadataEntryClass, 0xb5fb744cad3e3293),
    (Known::NormalizeMetadataValue, 0x6fac5cd102dd0588),
    (Known::NormalizeRenamedParam, 0x09e44656ac7f8f22),
    (Known::NormalizeTags, 0x4885f83abfd20396),
    (Known::IsValidTagKey, 0xb2b6336d376d54a9),
    (Known::IsValidStrictTagValue, 0x3ff636fc1904ccef),
];

/// What runs of older versions have, and `DagsterRunSerializer.before_unpack` rewrites.
pub(super) const OLD_RUN_FIELDS: [&str; 4] = [
    "environment_dict",
    "previous_run_id",
    "selector",
    "solid_subset",
];

/// The event types that `_handle_back_compat` rewrites.
const OLD_EVENT_TYPES: [&str; 6] = [
    "PIPELINE_PROCESS_START",
    "PIPELINE_PROCESS_STARTED",
    "PIPELINE_PROCESS_EXITED",
    "ASSET_STORE_OPERATION",
    "STEP_MATERIALIZATION",
    "PIPELINE_INIT_FAILURE",
];

/// What a function or class is, if its source is known.
pub(super) fn recognise(function: &Bound<'_, PyAny>) -> Option<Known> {
    let found = source_fingerprint(function).ok()?;
    let known = SOURCES.iter().find(|(_, source)| *source == found);
    known.map(|(known, _)| *known)
}

/// The fingerprint by which a source is recognised; an error where Python has no source for it.
pub(super) fn source_fingerprint(function: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = function.py();
    let source = Dagster::get(py)?.get_source.bind(py).call1((function,))?;
    Ok(fingerprint(source.cast::<PyString>()?.to_str()?))
}

/// Whether an attribute of the module that defines a function is the known one.
pub(super) fn module_has(function: &Bound<'_, PyAny>, name: &str, known: Known) -> bool {
    let found = || -> PyResult<Option<Known>> {
        let globals = function.getattr("__globals__")?;
        Ok(recognise(&globals.get_item(name)?))
    };
    found().ok().flatten() == Some(known)
}

/// Whether `_handle_back_compat` leaves an event of this type alone.
pub(super) fn is_current_event_type(event_type: &Bound<'_, PyAny>) -> bool {
    event_type
        .cast_exact::<PyString>()
        .ok()
        .and_then(|text| text.to_str().ok())
        .is_some_and(|text| !OLD_EVENT_TYPES.contains(&text))
}
