//! The text of an asset key, as `AssetKey.to_string()` gives it.

use eventlog::value::push_json_str;
use pyo3::intern;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyStringMethods, PyTuple, PyTupleMethods, PyType};

static ASSET_KEY: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// What `key.to_string()` gives.
///
/// Python's `json.dumps` takes longer than all else that is read of an event, so the parts of an
/// `AssetKey` are written here; anything else is asked.
pub fn key_text(key: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = key.py();
    let class = ASSET_KEY.import(py, "dagster._core.definitions.asset_key", "AssetKey")?;
    if key.get_type().is(class) {
        let parts = key.getattr(intern!(py, "parts"))?;
        if let Ok(parts) = parts.cast_exact::<PyTuple>()
            && let Some(text) = parts_text(parts)
        {
            return Ok(text);
        }
    }
    let text = key.call_method0(intern!(py, "to_string"))?;
    Ok(text.cast::<PyString>()?.to_str()?.to_owned())
}

/// The parts as Python's `json.dumps` writes a list of them; None where one is no plain string in UTF-8.
fn parts_text(parts: &Bound<'_, PyTuple>) -> Option<String> {
    let mut text = String::with_capacity(64);
    text.push('[');
    for (index, part) in parts.iter_borrowed().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        push_json_str(
            &mut text,
            part.cast_exact::<PyString>().ok()?.to_str().ok()?,
        );
    }
    text.push(']');
    Some(text)
}
