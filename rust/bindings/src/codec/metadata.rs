//! Metadata: a dict in Python, a list of entry objects in what is stored.
//!
//! Dagster makes a `MetadataEntry` of each and then takes it apart again. Where an entry is no more
//! than a label and a `MetadataValue`, reading goes straight to the dict; the entries are made after
//! all where somebody is to see them.

use eventlog::value::Token;
use pyo3::intern;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyDict, PyDictMethods, PyList, PyListMethods, PyString};

use super::decode::{Decoder, Fields, damaged};

impl<'py> Decoder<'_, '_, '_, 'py> {
    /// Metadata from its list of entries: a dict (true) where that is all that would be left of the
    /// entries, else the list.
    pub(super) fn metadata(&mut self, length: usize) -> PyResult<(Bound<'py, PyAny>, bool)> {
        let py = self.page.py;
        let dict = PyDict::new(py);
        for done in 0..length {
            let token = self.reader.token().map_err(damaged)?;
            if let Token::Object { ordinal, fields: 3 } = token
                && self.page.plan(ordinal)?.is_metadata_entry()
                && !self.saw_unknown()
            {
                let base = self.page.stack.len();
                let place_of_class = py.None().into_bound(py);
                self.page.stack.push(place_of_class);
                for _ in 0..3 {
                    let value = self.value()?;
                    self.page.stack.push(value);
                }
                let plain = self.is_plain_entry(base)?;
                if plain {
                    let label = self.page.stack[base + 3].clone();
                    let value = self.page.stack[base + 2].clone();
                    self.page.stack.truncate(base);
                    dict.set_item(label, value)?;
                    continue;
                }
                let plan = self.page.plan(ordinal)?;
                let fields = Fields {
                    base,
                    count: 3,
                    absent: &[],
                    ready: None,
                };
                let entry = self.construct_by_dagster(&plan, &fields)?;
                self.page.stack.truncate(base);
                return Ok((
                    self.rest_of_entries(&dict, entry, length - done - 1)?,
                    false,
                ));
            }
            let entry = self.value_of(token)?;
            return Ok((
                self.rest_of_entries(&dict, entry, length - done - 1)?,
                false,
            ));
        }
        Ok((dict.into_any(), true))
    }

    /// Whether the entry on the stack (description, entry_data, label) is no more than its label and
    /// its value, which its class would keep as they are. A label that comes twice loses its first
    /// value here as it would in the end.
    fn is_plain_entry(&self, base: usize) -> PyResult<bool> {
        let [description, value, label] = &self.page.stack[base + 1..base + 4] else {
            return Ok(false);
        };
        Ok(description.is_none()
            && !self.saw_unknown()
            && label.is_exact_instance_of::<PyString>()
            && self.page.dagster.is_metadata_value(value)?)
    }

    fn rest_of_entries(
        &mut self,
        dict: &Bound<'py, PyDict>,
        entry: Bound<'py, PyAny>,
        left: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let entries = self.metadata_entries(dict)?;
        entries.append(entry)?;
        for _ in 0..left {
            entries.append(self.value()?)?;
        }
        Ok(entries.into_any())
    }

    /// The entries that a dict of metadata was read from.
    pub(super) fn metadata_entries(
        &mut self,
        dict: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = self.page.py;
        self.page.enter()?;
        let entries = PyList::empty(py);
        let deserializers = self.page.codec.object_deserializers.bind(py);
        for (label, value) in dict {
            let serializer = deserializers.as_any().get_item("EventMetadataEntry")?;
            let kwargs = PyDict::new(py);
            kwargs.set_item("description", py.None())?;
            kwargs.set_item("entry_data", value)?;
            kwargs.set_item("label", label)?;
            entries.append(serializer.getattr("klass")?.call((), Some(&kwargs))?)?;
        }
        Ok(entries)
    }
}

/// What `MetadataFieldSerializer.unpack` makes of a list of entries.
pub(super) fn metadata_by_label<'py>(entries: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = entries.py();
    let dict = PyDict::new(py);
    for entry in entries.try_iter()? {
        let entry = entry?;
        dict.set_item(
            entry.getattr(intern!(py, "label"))?,
            entry.getattr(intern!(py, "entry_data"))?,
        )?;
    }
    Ok(dict.into_any())
}
