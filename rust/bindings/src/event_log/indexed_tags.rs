//! The tags of asset events that are indexed, as the storage's `get_asset_tags_to_index` chooses.

use pyo3::intern;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult};
use pyo3::types::{PyDict, PyDictMethods, PySet, PyString, PyStringMethods};

/// A tag's key and value.
pub type Tag<'py> = (Bound<'py, PyString>, Bound<'py, PyString>);

/// Chooses among the tags of a call's events. Asks once for events in a row whose tags have the same
/// keys: an answer depends on nothing else.
pub struct TagsToIndex<'a, 'py> {
    choose: &'a Bound<'py, PyAny>,
    /// The keys that were asked about last, in the order of their dict, and whether each is indexed.
    last: Vec<(Bound<'py, PyString>, bool)>,
}

impl<'a, 'py> TagsToIndex<'a, 'py> {
    /// Takes `get_asset_tags_to_index`: a set of tag keys to those of them to index.
    pub fn new(choose: &'a Bound<'py, PyAny>) -> Self {
        Self {
            choose,
            last: Vec::new(),
        }
    }

    /// The indexed tags of a materialization or an observation, in their order.
    pub fn of(&mut self, asset_event: &Bound<'py, PyAny>) -> PyResult<Vec<Tag<'py>>> {
        let py = asset_event.py();
        let tags = asset_event.getattr(intern!(py, "tags"))?;
        if tags.is_none() || tags.len()? == 0 {
            return Ok(Vec::new());
        }
        let tags = match tags.cast_into::<PyDict>() {
            Ok(tags) => tags,
            Err(error) => {
                PyDict::from_sequence(&error.into_inner().call_method0(intern!(py, "items"))?)?
            }
        };
        if !self.is_last(&tags)? {
            self.ask(&tags)?;
        }
        let mut indexed = Vec::new();
        for ((_, value), (key, is_indexed)) in tags.iter().zip(&self.last) {
            if *is_indexed {
                indexed.push((key.clone(), value.cast_into::<PyString>()?));
            }
        }
        Ok(indexed)
    }

    fn is_last(&self, tags: &Bound<'py, PyDict>) -> PyResult<bool> {
        if tags.len() != self.last.len() {
            return Ok(false);
        }
        for ((key, _), (last, _)) in tags.iter().zip(&self.last) {
            let same = key.is(last) || key.cast::<PyString>()?.to_str()? == last.to_str()?;
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ask(&mut self, tags: &Bound<'py, PyDict>) -> PyResult<()> {
        self.last.clear();
        let wanted = self.choose.call1((PySet::new(tags.py(), tags.keys())?,))?;
        for key in tags.keys() {
            let is_indexed = wanted.contains(&key)?;
            self.last.push((key.cast_into::<PyString>()?, is_indexed));
        }
        Ok(())
    }
}
