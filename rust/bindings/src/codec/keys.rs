//! Dict keys, in the order and with the text that Python's json gives them.

use std::collections::HashMap;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{
    PyBool, PyDict, PyDictMethods, PyFloat, PyInt, PyList, PyListMethods, PyString,
    PyStringMethods, PyTypeMethods,
};

use super::scalar::to_wtf8;

/// Entries whose keys are not all plain strings, sorted and converted as `json.dumps` does.
///
/// Keys come as WTF-8. Keys that become equal (surrogate pairs, NaNs) are one entry, with the place
/// of the first and the value of the last, as a reader of that JSON would see it.
pub(super) fn json_entries<'py>(
    dict: &Bound<'py, PyDict>,
) -> PyResult<Vec<(Vec<u8>, Bound<'py, PyAny>)>> {
    let keys = PyList::new(dict.py(), dict.keys())?;
    // A mix of types fails here, as it does in json.
    keys.sort()?;
    let mut entries: Vec<(Vec<u8>, Bound<'py, PyAny>)> = Vec::with_capacity(keys.len());
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for key in keys.iter() {
        let text = key_text(&key)?;
        let value = dict.as_any().get_item(&key)?;
        match places.get(&text) {
            Some(place) => entries[*place].1 = value,
            None => {
                places.insert(text.clone(), entries.len());
                entries.push((text, value));
            }
        }
    }
    Ok(entries)
}

fn key_text(key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = key.py();
    if let Ok(text) = key.cast::<PyString>() {
        return to_wtf8(text);
    }
    if let Ok(float) = key.cast::<PyFloat>() {
        let value: f64 = float.extract()?;
        if value.is_nan() {
            return Ok(b"NaN".to_vec());
        }
        if value.is_infinite() {
            let text: &[u8] = if value > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            };
            return Ok(text.to_vec());
        }
        return plain_repr(&PyFloat::new(py, value));
    }
    if key.is_none() {
        return Ok(b"null".to_vec());
    }
    if let Ok(flag) = key.cast_exact::<PyBool>() {
        let text: &[u8] = if flag.extract()? { b"true" } else { b"false" };
        return Ok(text.to_vec());
    }
    if let Ok(int) = key.cast::<PyInt>() {
        // `int.__repr__`, whatever a subclass (an IntEnum) makes of it.
        let repr = py.get_type::<PyInt>().getattr("__repr__")?.call1((int,))?;
        return Ok(repr.cast::<PyString>()?.to_str()?.as_bytes().to_vec());
    }
    Err(PyTypeError::new_err(format!(
        "keys must be str, int, float, bool or None, not {}",
        key.get_type().name()?
    )))
}

fn plain_repr(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(value.repr()?.to_str()?.as_bytes().to_vec())
}
