//! `Connection`: a TCP connection through a tunnel.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wirewright_netstack::{ConnectionId, Read, WriteError};

use crate::bytes;
use crate::event::{Ident, pair};
use crate::handle::Handle;
use crate::refusal::Refusal;

/// A TCP connection; after a refusal (None, or fewer bytes taken than given) an event follows.
#[pyclass(module = "wirewright._core", frozen)]
pub(crate) struct Connection {
    tunnel: Handle,
    name: ConnectionId,
    local: SocketAddr,
    peer: SocketAddr,
    released: AtomicBool,
}

/// The most that one read or write copies.
const MOST: usize = 1 << 20;

thread_local! {
    /// Bytes on their way from the stack to Python: the stack is not locked while Python makes room for them.
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Connection {
    pub(crate) fn new(tunnel: Handle, name: ConnectionId, (local, peer): (SocketAddr, SocketAddr)) -> Self {
        Self {
            tunnel,
            name,
            local,
            peer,
            released: AtomicBool::new(false),
        }
    }

    /// Reads up to `limit` bytes and gives them to `take`. `None`: nothing there now.
    fn read_with<T>(
        &self,
        py: Python<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        let mut bytes = COPY.take();
        bytes.resize(limit.min(MOST).max(bytes.len()), 0);
        let room = bytes.get_mut(..limit.min(MOST)).unwrap_or(&mut []);
        let name = self.name;
        let read = self
            .tunnel
            .with(py, |_, state| state.interface.netstack.read(name, room));
        let result = match read {
            Ok(Read::Data(count)) => take(bytes.get(..count).unwrap_or(&[])).map(Some),
            Ok(Read::End) => take(&[]).map(Some),
            Ok(Read::Nothing) => Ok(None),
            // Reading and writing fail alike: with the number that tells why the connection is over.
            Ok(Read::Failed(reason)) => Err(Refusal::from(WriteError::Closed(reason)).into_error()),
            Err(error) => Err(error),
        };
        COPY.set(bytes);
        result
    }

    fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            let name = self.name;
            self.tunnel.release(move |netstack| netstack.release(name));
        }
    }
}

#[pymethods]
impl Connection {
    #[getter]
    fn id(&self) -> u64 {
        Ident::of_connection(self.name)
    }

    #[getter]
    fn local(&self) -> (String, u16) {
        pair(self.local)
    }

    #[getter]
    fn peer(&self) -> (String, u16) {
        pair(self.peer)
    }

    fn read<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.read_with(py, limit, |bytes| Ok(PyBytes::new(py, bytes)))
    }

    fn readinto(&self, py: Python<'_>, buffer: PyBuffer<u8>) -> PyResult<Option<usize>> {
        self.read_with(py, bytes::room(&buffer)?, |bytes| bytes::copy_to(&buffer, bytes))
    }

    fn write(&self, py: Python<'_>, data: PyBuffer<u8>) -> PyResult<usize> {
        let name = self.name;
        let bytes = bytes::copy_from(&data, MOST)?;
        let written = self
            .tunnel
            .with(py, |_, state| state.interface.netstack.write(name, &bytes))?;
        written.map_err(|error| Refusal::from(error).into_error())
    }

    fn write_eof(&self, py: Python<'_>) -> PyResult<()> {
        let name = self.name;
        self.tunnel
            .with(py, |_, state| state.interface.netstack.shutdown(name))
    }

    fn close(&self) {
        self.release();
    }

    fn abort(&self) {
        if !self.released.load(Ordering::Acquire) {
            let name = self.name;
            self.tunnel.release(move |netstack| netstack.abort(name));
        }
        self.release();
    }
}

/// A connection that nobody holds is given up.
impl Drop for Connection {
    fn drop(&mut self) {
        self.release();
    }
}
