//! The places where the codec must speak C: bounding recursion, calling with named values, and making
//! tuples of Dagster's classes.

use pyo3::ffi;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyErr, PyResult, Python};
use pyo3::types::{PyString, PyTuple, PyTupleMethods, PyType, PyTypeMethods};

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

/// `tuple.__new__(class, items)`, without the tuple and the call in between.
///
/// With `untracked`, Python's collector of cycles does not look at the object where none of its items can
/// come to refer to it, as is the collector's own way with plain tuples. An attribute set later may.
pub(super) fn new_tuple<'py>(
    class: &Bound<'py, PyType>,
    items: Vec<Bound<'py, PyAny>>,
    untracked: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    if !class.is_subclass_of::<PyTuple>()? {
        return Err(pyo3::exceptions::PySystemError::new_err(
            "the codec makes a tuple of a class that is none",
        ));
    }
    let length = ffi::Py_ssize_t::try_from(items.len())?;
    let untracked = untracked && items.iter().all(refers_to_nothing_new);
    let class = class.as_type_ptr();
    // SAFETY: the class derives from tuple, whose `__new__` for a subclass is what follows: the class's
    // own allocation, which zeroes the object, and a new reference into each of its places, which are
    // `length`. The object is nobody else's before it is returned, and the collector passes over places
    // that are null. What the collector does not track it is not told to let go, and deallocation asks.
    unsafe {
        let Some(allocate) = (*class).tp_alloc else {
            return Err(pyo3::exceptions::PySystemError::new_err(
                "a class without an allocator",
            ));
        };
        let object = Bound::from_owned_ptr_or_err(py, allocate(class, length))?;
        for (place, item) in (0..).zip(items) {
            ffi::PyTuple_SET_ITEM(object.as_ptr(), place, item.into_ptr());
        }
        if untracked {
            ffi::PyObject_GC_UnTrack(object.as_ptr().cast());
        }
        Ok(object)
    }
}

/// Whether an object refers to none that come after it: it has no references that the collector
/// follows, or is a tuple of such objects. A dict or a list may be given more, also where it is empty.
fn refers_to_nothing_new(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive. Only those that the collector can track have what the second asks for.
    unsafe {
        ffi::PyObject_IS_GC(object.as_ptr()) == 0
            || (object.is_instance_of::<PyTuple>()
                && ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0)
    }
}

/// The string of a text that is ASCII, which is copied and not looked at once more.
pub(super) fn ascii_string<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    let string = ffi::Py_ssize_t::try_from(text.len())
        .ok()
        .filter(|_| text.is_ascii())
        // SAFETY: the thread is attached; a new string, or null where there is no memory for it.
        .map(|length| unsafe { ffi::PyUnicode_New(length, 0x7f) })
        .filter(|string| !string.is_null());
    let Some(string) = string else {
        // Without memory: said by the other way, if it has none either.
        drop(PyErr::take(py));
        return PyString::new(py, text);
    };
    // SAFETY: the string is new, nobody else's, and has a place of one byte for each of the text's,
    // which is ASCII, as the string was told that its characters are; with them it is complete.
    unsafe {
        let data = ffi::PyUnicode_DATA(string).cast::<u8>();
        std::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        Bound::from_owned_ptr(py, string).cast_into_unchecked()
    }
}
