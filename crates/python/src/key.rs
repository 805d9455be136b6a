//! `SecretKey`, `PublicKey` and `PresharedKey`: handles to keys.

use std::os::fd::RawFd;

use getrandom::SysRng;
use pyo3::{
    buffer::PyBuffer,
    exceptions::{PyOSError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyString, PyTuple, PyType},
};
use rand_core::UnwrapErr;
use wirewright_protocol::{self as protocol, KeyError};

use crate::secret_io;

/// A handle to a key that is not shown: what those of secret and preshared keys have in common, and what one has alone.
macro_rules! hidden_key {
    ($(#[$doc:meta])* $key:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[pyclass(module = "wirewright._core", frozen, eq)]
        #[derive(PartialEq)]
        pub(crate) struct $key(pub(crate) protocol::$key);

        #[pymethods]
        impl $key {
            /// Draw a new key from the operating system's random source.
            #[staticmethod]
            fn generate() -> PyResult<Self> {
                Ok(Self(protocol::$key::generate(&mut random()?)))
            }

            /// Read 44 characters of base64; CPython cannot wipe the text it is given.
            #[staticmethod]
            fn from_base64(text: &str) -> PyResult<Self> {
                protocol::$key::from_base64(text).map(Self).map_err(bad_key)
            }

            /// Copy the key into a Python string, which CPython cannot wipe.
            fn expose<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
                PyString::new(py, &self.0.to_base64())
            }

            /// Write the key in base64 and a line feed to a file descriptor, without passing it through Python.
            fn write(&self, py: Python<'_>, descriptor: RawFd) -> PyResult<()> {
                secret_io::write_line(py, descriptor, &self.0.to_base64())
            }

            /// Take the key from a buffer of its 32 bytes, which stays the caller's, to be wiped.
            #[staticmethod]
            #[pyo3(signature = (buffer, /))]
            fn from_buffer(py: Python<'_>, buffer: PyBuffer<u8>) -> PyResult<Self> {
                protocol::$key::written(|key| {
                    check_length(&buffer)?;
                    buffer.copy_to_slice(py, key)
                })
                .map(Self)
            }

            /// Copy the key's 32 bytes into a writable buffer of that length, which is the caller's to wipe.
            #[pyo3(signature = (buffer, /))]
            fn copy_into(&self, py: Python<'_>, buffer: PyBuffer<u8>) -> PyResult<()> {
                check_length(&buffer)?;
                if buffer.readonly() {
                    return Err(PyTypeError::new_err("the buffer cannot be written to"));
                }
                buffer.copy_from_slice(py, self.0.as_bytes())
            }

            fn __repr__(&self) -> &'static str {
                concat!(stringify!($key), "(hidden)")
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
                Err(not_pickled(stringify!($key)))
            }

            $($own)*
        }
    };
}

hidden_key! {
    /// A Curve25519 secret key that stays in the core's memory and is wiped with its last handle.
    SecretKey {
        /// Read the one key that a file descriptor gives, without passing it through Python.
        #[staticmethod]
        fn read(py: Python<'_>, descriptor: RawFd) -> PyResult<Self> {
            secret_io::read_key(py, descriptor, protocol::SecretKey::from_base64).map(Self)
        }

        /// The public half of the pair, reckoned anew each time.
        #[getter]
        fn public_key(&self) -> PublicKey {
            PublicKey(self.0.public())
        }
    }
}

hidden_key! {
    /// A preshared key that stays in the core's memory and is wiped with its last handle.
    PresharedKey {}
}

/// A Curve25519 public key, the name of a peer. `str()` is its base64.
#[pyclass(module = "wirewright._core", frozen, eq, ord, hash)]
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PublicKey(pub(crate) protocol::PublicKey);

#[pymethods]
impl PublicKey {
    /// Read 44 characters of base64.
    #[staticmethod]
    fn from_base64(text: &str) -> PyResult<Self> {
        protocol::PublicKey::from_base64(text).map(Self).map_err(bad_key)
    }

    /// Read 64 hexadecimal digits.
    #[staticmethod]
    fn from_hex(text: &str) -> PyResult<Self> {
        protocol::PublicKey::from_hex(text).map(Self).map_err(bad_key)
    }

    /// Whether no handshake with this key can succeed, because every shared secret with it is zero.
    #[getter]
    fn is_low_order(&self) -> bool {
        self.0.is_low_order()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("PublicKey({})", self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let read = PyType::new::<Self>(py).getattr("from_base64")?;
        (read, (self.0.to_string(),)).into_pyobject(py)
    }
}

/// The exception for text that is no key.
pub(crate) fn bad_key(error: KeyError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The exception for an attempt to pickle what must not leave the process.
pub(crate) fn not_pickled(class: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "a {class} is not pickled: that would copy a secret; call expose() if it must be"
    ))
}

fn check_length(buffer: &PyBuffer<u8>) -> PyResult<()> {
    match buffer.len_bytes() {
        32 => Ok(()),
        other => Err(PyValueError::new_err(format!("a key has 32 bytes, not {other}"))),
    }
}

/// The system's random source, after a draw that shows it to work: the generator itself can report no error.
fn random() -> PyResult<UnwrapErr<SysRng>> {
    getrandom::fill(&mut [0; 1])
        .map_err(|error| PyOSError::new_err(format!("the system gives no random numbers: {error}")))?;
    Ok(UnwrapErr(SysRng))
}
