//! Errors of the core as Python's own exceptions.

use std::{io, path::Path};

use pyo3::{PyErr, Python, exceptions::PyOSError, prelude::*};

/// An `OSError` of the subclass that belongs to the error number, with its text and, if given, the file's name.
pub(crate) fn os_error(py: Python<'_>, error: &io::Error, path: Option<&Path>) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return match path {
            Some(path) => PyOSError::new_err(format!("{error}: '{}'", path.display())),
            None => PyOSError::new_err(error.to_string()),
        };
    };
    let text = py
        .import("os")
        .and_then(|os| os.call_method1("strerror", (number,)))
        .map(Bound::unbind);
    match text {
        Ok(text) => PyOSError::new_err((number, text, path.map(|path| path.as_os_str().to_owned()))),
        Err(failure) => failure,
    }
}
