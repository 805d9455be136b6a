//! Keys read from and written to descriptors and files without passing through Python objects.

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use pyo3::{exceptions::PyValueError, prelude::*};
use wirewright_runtime::secret_file;
use zeroize::Zeroizing;

use crate::error::os_error;

/// Runs `work` without the interpreter's lock; where a signal interrupts it, Python's handlers run, and what
/// they raise (`KeyboardInterrupt`) ends it.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(secret_file::OnInterrupt<'_>) -> io::Result<T> + Send,
) -> PyResult<io::Result<T>> {
    let mut raised = None;
    let done = py.detach(|| {
        work(&mut || {
            Python::attach(|py| py.check_signals()).map_err(|error| {
                raised = Some(error);
                io::Error::from(io::ErrorKind::Interrupted)
            })
        })
    });
    raised.map_or(Ok(done), Err)
}

/// Reads the one key, in base64 with white space around it, that the descriptor gives.
pub(crate) fn read_key<K>(
    py: Python<'_>,
    descriptor: RawFd,
    parse: impl FnOnce(&str) -> Result<K, wirewright_protocol::KeyError>,
) -> PyResult<K> {
    /// Enough for a key and stray white space; anything longer is no key.
    const LIMIT: usize = 4096;
    let descriptor = borrow(descriptor)?;
    let read = interruptible(py, |on_interrupt| {
        secret_file::read_descriptor(descriptor, LIMIT, on_interrupt)
    })?;
    let bytes = read.map_err(|error| os_error(py, &error, None))?;
    let text = str::from_utf8(&bytes).map_err(|_| PyValueError::new_err("not a key: not text"))?;
    parse(text.trim_ascii()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Writes `text` and a line feed to the descriptor.
pub(crate) fn write_line(py: Python<'_>, descriptor: RawFd, text: &str) -> PyResult<()> {
    let mut line = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    write_all(py, descriptor, &line)
}

/// Writes all of `bytes` to the descriptor.
pub(crate) fn write_all(py: Python<'_>, descriptor: RawFd, bytes: &[u8]) -> PyResult<()> {
    let descriptor = borrow(descriptor)?;
    let written = interruptible(py, |on_interrupt| {
        secret_file::write_descriptor(descriptor, bytes, on_interrupt)
    })?;
    written.map_err(|error| os_error(py, &error, None))
}

fn borrow<'a>(descriptor: RawFd) -> PyResult<BorrowedFd<'a>> {
    if descriptor < 0 {
        return Err(PyValueError::new_err("a file descriptor is not negative"));
    }
    // SAFETY: the number is not -1, checked above. Whether it is open is the caller's affair, as with os.read:
    // a call on a closed descriptor fails with EBADF and touches no memory.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor) })
}
