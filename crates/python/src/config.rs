//! `ConfigText` and `HiddenText`: a configuration file without its secrets, and the secrets.

use std::{os::fd::RawFd, path::PathBuf};

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyTuple},
};
use subtle::ConstantTimeEq;
use wirewright_config::redact::{self, MAX_TEXT, is_space};
use wirewright_protocol::{self as protocol, KeyError};
use wirewright_runtime::secret_file;
use zeroize::Zeroizing;

use crate::{
    error::os_error,
    key::{PresharedKey, SecretKey, bad_key, not_pickled},
    secret_io::{interruptible, write_all},
};

/// A piece of a configuration that is, or may be, a key: wiped with its last handle, never shown.
#[pyclass(module = "wirewright._core", frozen)]
pub(crate) struct HiddenText(Zeroizing<Vec<u8>>);

/// A key that can be written into a configuration.
#[derive(FromPyObject)]
pub(crate) enum AnyKey<'py> {
    Secret(Bound<'py, SecretKey>),
    Preshared(Bound<'py, PresharedKey>),
}

#[pymethods]
impl HiddenText {
    /// The text of a key, to be placed into a configuration.
    #[staticmethod]
    fn of(key: AnyKey<'_>) -> Self {
        let text = match key {
            AnyKey::Secret(key) => key.get().0.to_base64(),
            AnyKey::Preshared(key) => key.get().0.to_base64(),
        };
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// The secret key that is written here; white space within it is passed over, as `wg` does.
    fn secret_key(&self) -> PyResult<SecretKey> {
        self.parse(protocol::SecretKey::from_base64).map(SecretKey)
    }

    /// The preshared key that is written here; white space within it is passed over, as `wg` does.
    fn preshared_key(&self) -> PyResult<PresharedKey> {
        self.parse(protocol::PresharedKey::from_base64).map(PresharedKey)
    }

    /// Copy the text into a Python string, which CPython cannot wipe.
    fn expose<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    fn __repr__(&self) -> &'static str {
        "HiddenText(hidden)"
    }

    fn __copy__(handle: Bound<'_, Self>) -> Bound<'_, Self> {
        handle
    }

    #[pyo3(signature = (memo, /))]
    fn __deepcopy__<'py>(handle: Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        let _ = memo;
        handle
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_pickled("HiddenText"))
    }
}

impl HiddenText {
    fn parse<K>(&self, parse: impl FnOnce(&str) -> Result<K, KeyError>) -> PyResult<K> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len()));
        text.extend(self.0.iter().copied().filter(|&byte| !is_space(byte)));
        let text = str::from_utf8(&text).map_err(|_| bad_key(KeyError::Base64))?;
        parse(text).map_err(bad_key)
    }
}

/// The text of a configuration with placeholders where secrets stood, and the secrets.
#[pyclass(module = "wirewright._core", frozen, get_all)]
pub(crate) struct ConfigText {
    /// The text; the secret number N is `\0N\0`.
    text: Py<PyBytes>,
    /// The secrets, by number.
    secrets: Py<PyTuple>,
    /// Permission bits of the file, if it is a regular one.
    mode: Option<u32>,
    /// Whether every user of the machine can read the file.
    readable_by_others: bool,
}

#[pymethods]
impl ConfigText {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (length, secrets) = (self.text.bind(py).len()?, self.secrets.bind(py).len());
        Ok(format!("ConfigText({length} bytes, {secrets} hidden)"))
    }
}

/// Read a configuration file; its keys stay in the core.
#[pyfunction]
pub(crate) fn read_config(py: Python<'_>, path: PathBuf) -> PyResult<ConfigText> {
    let file = interruptible(py, |on_interrupt| {
        secret_file::read(&path, MAX_TEXT, on_interrupt)
    })?;
    match file {
        Ok(file) => config_text(py, &file.bytes, file.mode, file.readable_by_others),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Err(too_long()),
        Err(error) => Err(os_error(py, &error, Some(&path))),
    }
}

/// Take apart a configuration given as bytes; CPython cannot wipe what it is given.
#[pyfunction]
pub(crate) fn parse_config_bytes(py: Python<'_>, text: &[u8]) -> PyResult<ConfigText> {
    config_text(py, text, None, false)
}

/// Put the secrets back into the text and replace the file by the result, readable by its owner only.
#[pyfunction]
pub(crate) fn write_config(
    py: Python<'_>,
    path: PathBuf,
    text: &[u8],
    secrets: Vec<Bound<'_, HiddenText>>,
) -> PyResult<()> {
    let whole = spliced(text, &secrets)?;
    py.detach(|| secret_file::write_atomically(&path, &whole))
        .map_err(|error| os_error(py, &error, Some(&path)))
}

/// Put the secrets back into the text and write the result to an open file.
#[pyfunction]
pub(crate) fn write_revealed(
    py: Python<'_>,
    descriptor: RawFd,
    text: &[u8],
    secrets: Vec<Bound<'_, HiddenText>>,
) -> PyResult<()> {
    write_all(py, descriptor, &spliced(text, &secrets)?)
}

/// Put the secrets back into the text and copy the result into Python, which cannot wipe it.
#[pyfunction]
pub(crate) fn reveal_config<'py>(
    py: Python<'py>,
    text: &[u8],
    secrets: Vec<Bound<'py, HiddenText>>,
) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &spliced(text, &secrets)?))
}

fn config_text(
    py: Python<'_>,
    text: &[u8],
    mode: Option<u32>,
    readable_by_others: bool,
) -> PyResult<ConfigText> {
    let redacted = py.detach(|| redact::redact(text)).map_err(|error| match error {
        redact::RedactError::Nul { line } => PyValueError::new_err((error.to_string(), line)),
        redact::RedactError::TooLong => too_long(),
    })?;
    let secrets = PyTuple::new(
        py,
        redacted.secrets.into_iter().map(HiddenText).collect::<Vec<_>>(),
    )?;
    let text = PyBytes::new(py, &redacted.text);
    Ok(ConfigText {
        text: text.unbind(),
        secrets: secrets.unbind(),
        mode,
        readable_by_others,
    })
}

fn too_long() -> PyErr {
    PyValueError::new_err((redact::RedactError::TooLong.to_string(), None::<usize>))
}

fn spliced(text: &[u8], secrets: &[Bound<'_, HiddenText>]) -> PyResult<Zeroizing<Vec<u8>>> {
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.get().0.as_slice()).collect();
    redact::splice(text, &secrets).map_err(|error| PyValueError::new_err(error.to_string()))
}
