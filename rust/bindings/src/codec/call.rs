//! The two places where the codec must speak C: bounding recursion and calling with named values.

use pyo3::ffi;
use pyo3::prelude::{Bound, PyAny, PyErr, PyResult, Python};
use pyo3::types::{PyTuple, PyTupleMethods};

/// One level of recursion, counted by Python, given back when dropped.
pub(super) struct Level<'py>(Python<'py>);

impl<'py> Level<'py> {
    /// Enters a level; a `RecursionError` where Python's limit is reached.
    pub(super) fn enter(py: Python<'py>) -> PyResult<Self> {
        // SAFETY: the thread is attached (`py`) and the text is a static C string.
        let refused = unsafe { ffi::Py_EnterRecursiveCall(c" in a Dagster value".as_ptr()) };
        if refused != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Self(py))
    }
}

impl Drop for Level<'_> {
    fn drop(&mut self) {
        let _attached = self.0;
        // SAFETY: `enter` succeeded on this thread, which `_attached` shows to be attached still.
        unsafe { ffi::Py_LeaveRecursiveCall() }
    }
}

/// `callable(*positional, **named)`, where `arguments` are the positional values and then one value
/// for each of `names`.
pub(super) fn call_with_names<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(positional) = arguments.len().checked_sub(names.len()) else {
        return Err(pyo3::exceptions::PySystemError::new_err(
            "more names than values in a call of the codec",
        ));
    };
    // SAFETY: `Bound` is a transparent wrapper of a non-null object pointer, so the slice is an array
    // of `arguments.len()` such pointers, which live through the call; the names are a tuple of
    // strings, one for each value behind the positional ones. The result is a new reference or null.
    unsafe {
        let result = ffi::PyObject_Vectorcall(
            callable.as_ptr(),
            arguments.as_ptr().cast(),
            positional,
            names.as_ptr(),
        );
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}
