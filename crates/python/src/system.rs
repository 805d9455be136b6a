//! `run_interface`: a system tunnel, for as long as it lasts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use pyo3::prelude::*;
use wirewright_linux::tun::{self, Tun, TunOffloads};
use wirewright_linux::udp::UdpOffloads;
use wirewright_linux::{Config, Device};

use crate::error::os_error;

/// Make the interface ``name`` and serve it until it is deleted, its socket file is removed, or ``stop`` (a descriptor)
/// becomes readable. ``ready`` is called with the interface's name when interface and socket are there.
#[pyfunction]
#[pyo3(signature = (name, *, stop, ready, shards = 1, tun_descriptor = None, tun_tcp = true, tun_udp = true, udp_send = true, udp_receive = true))]
pub(crate) fn run_interface(
    py: Python<'_>,
    name: &str,
    stop: RawFd,
    ready: &Bound<'_, PyAny>,
    shards: u8,
    tun_descriptor: Option<RawFd>,
    tun_tcp: bool,
    tun_udp: bool,
    udp_send: bool,
    udp_receive: bool,
) -> PyResult<()> {
    let offloads = TunOffloads {
        tcp: tun_tcp,
        udp: tun_udp,
    };
    let config = Config {
        udp_offloads: UdpOffloads {
            send: udp_send,
            receive: udp_receive,
        },
    };
    let start = || -> io::Result<(String, Device)> {
        // SAFETY: the caller passes a descriptor that is open during the call; it is only duplicated.
        let stop: OwnedFd = unsafe { BorrowedFd::borrow_raw(stop) }
            .as_fd()
            .try_clone_to_owned()?;
        let tun = match tun_descriptor {
            // SAFETY: the caller gives the descriptor away: it was inherited for this purpose.
            Some(number) => Tun::from_descriptor(unsafe { tun::inherited(number) }?, offloads)?,
            None => Tun::create(name, usize::from(shards.max(1)), offloads)?,
        };
        Ok((tun.name().to_owned(), Device::start(&config, tun, stop)?))
    };
    let (name, device) = py.detach(start).map_err(|error| os_error(py, &error, None))?;
    ready.call1((name,))?;
    py.detach(|| device.run())
        .map_err(|error| os_error(py, &error, None))
}
