//! `run_interface`: a system tunnel, for as long as it lasts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wirewright_linux::process;
use wirewright_linux::tun::{Tun, TunOffloads};
use wirewright_linux::udp::UdpOffloads;
use wirewright_linux::{Config, Device, LogLevel, MTU, inherited};

use crate::error::os_error;

/// Make the interface ``name`` and serve it until it is deleted, its socket file is removed, or ``stop`` (a descriptor)
/// becomes readable. ``ready`` is called with the interface's name when interface and socket are there. ``without`` names
/// offloads to do without: tun-tcp, tun-udp, udp-send, udp-receive. The descriptors of a TUN device and of a listening UAPI
/// socket are given away. ``undumpable`` is for a process that is there for the interface alone: the kernel then writes no
/// core file of it. ``log`` is silent, error or verbose. ``mtu``, in bytes, is what a TUN device of another network namespace was
/// given there; any other device is given it.
#[pyfunction]
#[pyo3(signature = (name, *, stop, ready, shards = 1, tun_descriptor = None, uapi_descriptor = None, without = None, undumpable = false, log = "silent", mtu = MTU))]
#[expect(clippy::too_many_arguments, reason = "they have names in Python")]
pub(crate) fn run_interface(
    py: Python<'_>,
    name: &str,
    stop: RawFd,
    ready: &Bound<'_, PyAny>,
    shards: u8,
    tun_descriptor: Option<RawFd>,
    uapi_descriptor: Option<RawFd>,
    without: Option<Vec<String>>,
    undumpable: bool,
    log: &str,
    mtu: usize,
) -> PyResult<()> {
    let shards = crate::shards::checked(shards)?;
    let (tun_offloads, udp_offloads) = offloads(&without.unwrap_or_default())?;
    let log = log_level(log)?;
    if undumpable {
        process::refuse_core_files();
    }
    let start = || -> io::Result<(String, Device)> {
        // SAFETY: the caller passes a descriptor that is open during the call; it is only duplicated.
        let stop: OwnedFd = unsafe { BorrowedFd::borrow_raw(stop) }
            .as_fd()
            .try_clone_to_owned()?;
        let tun = match tun_descriptor {
            // SAFETY: the caller gives the descriptor away: it was inherited for this purpose.
            Some(number) => Tun::from_descriptor(unsafe { inherited(number) }?, tun_offloads)?,
            None => Tun::create(name, usize::from(shards), tun_offloads)?,
        };
        let uapi = uapi_descriptor
            // SAFETY: likewise.
            .map(|number| unsafe { inherited(number) })
            .transpose()?;
        let config = Config {
            udp_offloads,
            log,
            uapi,
            mtu,
        };
        Ok((tun.name().to_owned(), Device::start(config, tun, stop)?))
    };
    let (name, device) = py.detach(start).map_err(|error| os_error(py, &error, None))?;
    ready.call1((name,))?;
    py.detach(|| device.run())
        .map_err(|error| os_error(py, &error, None))
}

fn log_level(name: &str) -> PyResult<LogLevel> {
    match name {
        "silent" => Ok(LogLevel::Silent),
        "error" => Ok(LogLevel::Error),
        "verbose" => Ok(LogLevel::Verbose),
        other => Err(PyValueError::new_err(format!(
            "there is no log level {other:?}; there are silent, error and verbose"
        ))),
    }
}

fn offloads(without: &[String]) -> PyResult<(TunOffloads, UdpOffloads)> {
    let mut tun = TunOffloads::ALL;
    let mut udp = UdpOffloads {
        send: true,
        receive: true,
    };
    for name in without {
        match name.as_str() {
            "tun-tcp" => tun.tcp = false,
            "tun-udp" => tun.udp = false,
            "udp-send" => udp.send = false,
            "udp-receive" => udp.receive = false,
            other => {
                return Err(PyValueError::new_err(format!(
                    "there is no offload {other:?}; there are tun-tcp, tun-udp, udp-send and udp-receive"
                )));
            }
        }
    }
    Ok((tun, udp))
}
