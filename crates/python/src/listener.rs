//! `Listener`: a TCP port that accepts.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use wirewright_netstack::ListenerId;

use crate::connection::Connection;
use crate::event::Ident;
use crate::handle::Handle;

/// A TCP port that accepts; "accepted" comes when the queue was empty and is not any more.
#[pyclass(module = "wirewright._core", frozen)]
pub(crate) struct Listener {
    tunnel: Handle,
    name: ListenerId,
    #[pyo3(get)]
    port: u16,
    closed: AtomicBool,
}

impl Listener {
    pub(crate) fn new(tunnel: Handle, name: ListenerId, port: u16) -> Self {
        Self {
            tunnel,
            name,
            port,
            closed: AtomicBool::new(false),
        }
    }

    fn release(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            let name = self.name;
            self.tunnel.release(move |netstack| netstack.close_listener(name));
        }
    }
}

#[pymethods]
impl Listener {
    #[getter]
    fn id(&self) -> u64 {
        Ident::of_listener(self.name)
    }

    fn accept(&self, py: Python<'_>) -> PyResult<Option<Connection>> {
        let name = self.name;
        let accepted = self
            .tunnel
            .look(py, |_, state| state.interface.netstack.accept(name))?;
        Ok(accepted.map(|(id, local, remote)| Connection::new(self.tunnel.clone(), id, (local, remote))))
    }

    fn close(&self) {
        self.release();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.release();
    }
}
