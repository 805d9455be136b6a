//! `Datagrams`: a UDP socket inside a tunnel.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wirewright_netstack::{SendError, SocketId};

use crate::bytes;
use crate::event::{Ident, pair};
use crate::handle::Handle;
use crate::refusal::Refusal;

/// A UDP socket; after a refused send "writable" follows, "datagram" when something came.
#[pyclass(module = "wirewright._core", frozen)]
pub(crate) struct Datagrams {
    tunnel: Handle,
    name: SocketId,
    address: Option<IpAddr>,
    port: u16,
    closed: AtomicBool,
}

/// A payload and who sent it.
type Received<'py> = (Bound<'py, PyBytes>, (String, u16));

/// The largest payload of a datagram.
const LARGEST: usize = 65_535;

impl Datagrams {
    pub(crate) fn new(tunnel: Handle, name: SocketId, address: Option<IpAddr>, port: u16) -> Self {
        Self {
            tunnel,
            name,
            address,
            port,
            closed: AtomicBool::new(false),
        }
    }

    fn release(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            let name = self.name;
            self.tunnel.release(move |netstack| netstack.close_socket(name));
        }
    }
}

#[pymethods]
impl Datagrams {
    #[getter]
    fn id(&self) -> u64 {
        Ident::of_socket(self.name)
    }

    /// The address, or the unspecified one if the socket takes datagrams for all of the tunnel's, and the port.
    #[getter]
    fn local(&self) -> (String, u16) {
        let address = self
            .address
            .map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string());
        (address, self.port)
    }

    fn send(&self, py: Python<'_>, data: PyBuffer<u8>, address: IpAddr, port: u16) -> PyResult<bool> {
        let (name, remote) = (self.name, SocketAddr::new(address, port));
        let bytes = bytes::copy_from(&data, LARGEST)?;
        let sent = self.tunnel.with(py, |_, state| {
            state.interface.netstack.send_to(name, Some(remote), &bytes)
        })?;
        match sent {
            Ok(()) => Ok(true),
            Err(SendError::Full) => Ok(false),
            Err(error) => Err(Refusal::from(error).into_error()),
        }
    }

    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Received<'py>>> {
        let name = self.name;
        let received = self.tunnel.look(py, |_, state| {
            let mut buffer = vec![0; LARGEST];
            let datagram = state.interface.netstack.receive_from(name, &mut buffer)?;
            buffer.truncate(datagram.len);
            Some((buffer, datagram.source))
        })?;
        Ok(received.map(|(bytes, source)| (PyBytes::new(py, &bytes), pair(source))))
    }

    fn close(&self) {
        self.release();
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.release();
    }
}
