//! What a `RootlessTunnel` carries for its peers: settings from Python, and counters to it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wirewright_netstack::{Forwarded, Forwarding, Netstack, Rootless};
use wirewright_runtime::State;
use wirewright_runtime::outside::Outside;

/// The settings of a mapping with all names of `wirewright.tunnel.forwarding.CoreForwarding`.
pub(crate) fn settings(mapping: &Bound<'_, PyDict>) -> PyResult<Forwarding> {
    let number = |name| field(mapping, name)?.extract::<usize>();
    let seconds = |name| {
        let seconds = field(mapping, name)?.extract::<f64>()?;
        Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
    };
    let reach: Vec<String> = field(mapping, "reach")?.extract()?;
    Ok(Forwarding {
        reach: reach.iter().map(|text| network(text)).collect::<PyResult<_>>()?,
        host: field(mapping, "host")?.extract()?,
        connections: number("connections")?,
        connections_per_peer: number("connections_per_peer")?,
        flows: number("flows")?,
        flows_per_peer: number("flows_per_peer")?,
        connect: seconds("connect_timeout")?,
        connection_idle: seconds("connection_idle")?,
        datagram_idle: seconds("datagram_idle")?,
        unanswered_idle: seconds("unanswered_idle")?,
        echo_idle: seconds("echo_idle")?,
    })
}

/// Has a stack forward, by sockets of the host.
pub(crate) fn switched_on(netstack: &mut Netstack, settings: Forwarding) -> io::Result<Outside> {
    let outside = Outside::new(settings.connections.saturating_add(settings.flows))?;
    netstack.forward(settings.within(outside.places()));
    Ok(outside)
}

/// Ends what is carried for who has its address no more. To be called after peers changed.
pub(crate) fn recheck(state: &mut State<Rootless>) {
    let engine = &state.engine;
    state.interface.netstack.recheck(&|address| engine.owner(address));
}

/// What is counted, as Python has it; nothing if nothing is forwarded.
pub(crate) fn stats(
    py: Python<'_>,
    forwarded: Option<Forwarded>,
    places: usize,
) -> PyResult<Bound<'_, PyDict>> {
    let stats = PyDict::new(py);
    if let Some(forwarded) = forwarded {
        stats.set_item("connections", forwarded.connections)?;
        stats.set_item("flows", forwarded.flows)?;
        stats.set_item("places", places)?;
        for (name, count) in forwarded.counters.iter() {
            stats.set_item(name, count)?;
        }
    }
    Ok(stats)
}

fn field<'py>(mapping: &Bound<'py, PyDict>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    mapping
        .get_item(name)?
        .ok_or_else(|| PyKeyError::new_err(format!("forwarding has no {name}")))
}

fn network(text: &str) -> PyResult<(IpAddr, u8)> {
    let bad = || PyValueError::new_err(format!("{text:?} is no network such as 10.0.0.0/8"));
    let (address, length) = text.split_once('/').ok_or_else(bad)?;
    let (address, length): (IpAddr, u8) = (
        address.parse().map_err(|_| bad())?,
        length.parse().map_err(|_| bad())?,
    );
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if length <= bits {
        Ok((address, length))
    } else {
        Err(bad())
    }
}
