//! What must happen around `os.fork`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wirewright_runtime::fork;

/// Asks Python to call us around each fork, so that a child finds every tunnel closed and its keys wiped.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let hooks = PyDict::new(py);
    hooks.set_item("before", wrap_pyfunction!(before, module)?)?;
    hooks.set_item("after_in_parent", wrap_pyfunction!(after_in_parent, module)?)?;
    hooks.set_item("after_in_child", wrap_pyfunction!(after_in_child, module)?)?;
    os.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

#[pyfunction]
fn before(py: Python<'_>) {
    // Another thread may hold a tunnel's lock while it waits for the interpreter; it must get it. The locks are
    // kept by this thread, which is the one that forks.
    py.detach(fork::before);
}

#[pyfunction]
fn after_in_parent(py: Python<'_>) {
    // A tunnel that was given up meanwhile ends now, and other threads need not wait for that.
    py.detach(fork::after_in_parent);
}

#[pyfunction]
fn after_in_child() {
    fork::after_in_child();
}
