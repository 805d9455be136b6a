//! Copying between Python's buffers and ours.
//!
//! Another thread may write to a Python buffer at any time, so that no Rust reference to its bytes may exist: they are
//! copied through raw pointers, and only what was copied is looked at.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Copies the first bytes of a buffer, at most `most`.
pub(crate) fn copy_from(buffer: &PyBuffer<u8>, most: usize) -> PyResult<Vec<u8>> {
    let source = buffer.as_slice_ptr().ok_or_else(not_contiguous)?;
    let count = source.len().min(most);
    let mut bytes: Vec<u8> = Vec::with_capacity(count);
    // SAFETY: `source` points to `source.len()` readable bytes as long as `buffer` holds the view; `bytes` has room for
    // `count` of them and is a new allocation, so they do not overlap; after the copy that many are initialised.
    unsafe {
        std::ptr::copy_nonoverlapping(source.cast::<u8>().as_ptr(), bytes.as_mut_ptr(), count);
        bytes.set_len(count);
    }
    Ok(bytes)
}

/// How many bytes fit into a buffer that may be written to.
pub(crate) fn room(buffer: &PyBuffer<u8>) -> PyResult<usize> {
    if buffer.readonly() {
        return Err(PyTypeError::new_err(
            "the buffer must be one that can be written to",
        ));
    }
    buffer
        .as_slice_ptr()
        .map(|target| target.len())
        .ok_or_else(not_contiguous)
}

/// Copies `bytes` to the beginning of a buffer, as far as they fit; returns how many did.
pub(crate) fn copy_to(buffer: &PyBuffer<u8>, bytes: &[u8]) -> PyResult<usize> {
    let count = room(buffer)?.min(bytes.len());
    let target = buffer.as_slice_ptr().ok_or_else(not_contiguous)?;
    // SAFETY: `target` points to at least `count` writable bytes, which `room` checked, as long as `buffer` holds the
    // view; `bytes` is our own memory, which no Python buffer shares.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.cast::<u8>().as_ptr(), count) };
    Ok(count)
}

fn not_contiguous() -> PyErr {
    PyTypeError::new_err("the buffer must be contiguous bytes")
}
