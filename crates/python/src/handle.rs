//! What a tunnel, its connections, listeners and sockets share.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use wirewright_engine::Moment;
use wirewright_netstack::{Netstack, Rootless};
use wirewright_runtime::{Shell, State, fork};

/// A tunnel that goes on as long as somebody holds it, and is not closed.
#[derive(Clone)]
pub(crate) struct Handle(pub(crate) Arc<Shell<Rootless>>);

impl Handle {
    /// Works with the state machines while other Python threads go on; the tunnel's thread does what follows.
    pub(crate) fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Moment, &mut State<Rootless>) -> T + Send,
    ) -> PyResult<T> {
        py.detach(|| self.0.with(work)).ok_or_else(closed)
    }

    /// Looks at the state machines; nothing is to follow.
    pub(crate) fn look<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Moment, &mut State<Rootless>) -> T + Send,
    ) -> PyResult<T> {
        py.detach(|| self.0.look(work)).ok_or_else(closed)
    }

    /// Gives something up; after the tunnel was closed there is nothing left to give up.
    pub(crate) fn release(&self, work: impl FnOnce(&mut Netstack) + Send) {
        // A collector may run while this thread forks, and so holds the lock. What is given up then ends with the tunnel.
        if fork::is_forking() {
            return;
        }
        Python::attach(|py| py.detach(|| self.0.with(|_, state| work(&mut state.interface.netstack))));
    }
}

/// The last holder ends the tunnel, and must not make other Python threads wait for that.
impl Drop for Handle {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) > 1 {
            return;
        }
        if fork::is_forking() {
            fork::drop_afterwards(self.0.clone());
        } else {
            Python::attach(|py| py.detach(|| self.0.close()));
        }
    }
}

/// The exception for a tunnel that is closed.
pub(crate) fn closed() -> PyErr {
    PyRuntimeError::new_err("the tunnel is closed")
}
