//! Writing scalars: strings with their facets and surrogates, integers of any size.

use eventlog::value::{Writer, merge_surrogate_pairs};
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyBytes, PyBytesMethods, PyFloat, PyInt, PyString, PyStringMethods};

use super::dagster::Dagster;

/// A value that the record keeps beside the body, as the caller took it from the object.
#[derive(Debug, Clone)]
pub enum FacetValue<'py> {
    Str(Bound<'py, PyString>),
    Float(f64),
}

impl<'py> FacetValue<'py> {
    /// A facet of a `str` or a `float`; none of anything else, `None` included.
    pub fn of(value: &Bound<'py, PyAny>) -> Option<Self> {
        if let Ok(text) = value.cast::<PyString>() {
            return Some(Self::Str(text.clone()));
        }
        let float = value.cast_exact::<PyFloat>().ok()?;
        Some(Self::Float(float.extract().ok()?))
    }
}

/// Shorter strings cost no more than a reference.
const SHORTEST_FACET: usize = 4;

/// A record's facets, arranged to be told apart from most strings by length alone.
pub(super) struct Facets<'a> {
    /// Address of the Python string, its text, the facet's index.
    strings: Vec<(usize, &'a str, u8)>,
    floats: Vec<(u64, u8)>,
    /// Bit n: some facet string has a length of n modulo 64.
    lengths: u64,
}

impl<'a> Facets<'a> {
    pub(super) fn new(values: &'a [Option<FacetValue<'_>>]) -> Self {
        let mut facets = Self {
            strings: Vec::with_capacity(values.len()),
            floats: Vec::new(),
            lengths: 0,
        };
        for (index, value) in values.iter().enumerate() {
            let Ok(index) = u8::try_from(index) else {
                break;
            };
            match value {
                // A string with surrogates is no facet that a record could hold.
                Some(FacetValue::Str(value)) => {
                    if let Ok(text) = value.to_str()
                        && text.len() >= SHORTEST_FACET
                    {
                        facets.strings.push((value.as_ptr() as usize, text, index));
                        facets.lengths |= 1 << (text.len() % 64);
                    }
                }
                Some(FacetValue::Float(value)) => facets.floats.push((value.to_bits(), index)),
                None => {}
            }
        }
        facets
    }

    fn string(&self, address: usize, text: &str) -> Option<u8> {
        if self.lengths & (1 << (text.len() % 64)) == 0 || text.len() < SHORTEST_FACET {
            return None;
        }
        let same = |(at, facet, _): &&(usize, &str, u8)| *at == address || *facet == text;
        self.strings.iter().find(same).map(|(_, _, index)| *index)
    }

    fn float(&self, value: f64) -> Option<u8> {
        let bits = value.to_bits();
        let found = self.floats.iter().find(|(facet, _)| *facet == bits);
        found.map(|(_, index)| *index)
    }
}

/// Writes a string, or a subclass of it by its content.
pub(super) fn write_text(
    out: &mut Writer,
    facets: &Facets<'_>,
    value: &Bound<'_, PyString>,
) -> PyResult<()> {
    match value.to_str() {
        Ok(text) => match facets.string(value.as_ptr() as usize, text) {
            Some(index) => out.facet(index),
            None => out.str(text),
        },
        Err(_) => write_wtf8(out, &to_wtf8(value)?),
    }
    Ok(())
}

/// The bytes of a string as JSON would carry them: lone surrogates kept, pairs merged.
pub(super) fn to_wtf8(value: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    let py = value.py();
    let encode = Dagster::get(py)?.str_encode.bind(py);
    let bytes = encode.call1((value, "utf-8", "surrogatepass"))?;
    merge_surrogate_pairs(bytes.cast::<PyBytes>()?.as_bytes())
        .ok_or_else(|| PyUnicodeEncodeError::new_err("a string that is not WTF-8"))
}

pub(super) fn write_wtf8(out: &mut Writer, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.str(text),
        Err(_) => out.surrogates(bytes),
    }
}

pub(super) fn write_float(out: &mut Writer, facets: &Facets<'_>, value: f64) {
    match facets.float(value) {
        Some(index) => out.facet(index),
        None => out.float(value),
    }
}

pub(super) fn write_int(out: &mut Writer, value: &Bound<'_, PyInt>) -> PyResult<()> {
    if let Ok(value) = value.extract() {
        out.int(value);
    } else if let Ok(value) = value.extract() {
        out.uint(value);
    } else {
        // Refused by Python beyond its limit on digits, as by its json.
        let decimal = value.repr()?;
        out.big_int(decimal.to_str()?);
    }
    Ok(())
}
