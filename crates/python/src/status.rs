//! What an engine tells of itself, as Python objects; shared by the tunnel and the virtual device.

use std::net::IpAddr;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rand_core::CryptoRng;
use wirewright_engine::allowed_ips::Prefix;
use wirewright_engine::filter::{Guard, Policy};
use wirewright_engine::{Counters, Engine, PeerStatus};
use wirewright_protocol::Instant;

use crate::key::PublicKey;

/// Counters by name, all of them.
pub(crate) fn counters<'py>(py: Python<'py>, counters: &Counters) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (event, count) in counters.iter() {
        dict.set_item(event.name(), count)?;
    }
    Ok(dict)
}

/// All peers with their allowed IPs, to be shown when no lock is held any more.
pub(crate) fn snapshot<R: CryptoRng>(engine: &Engine<R>, now: Instant) -> Vec<(PeerStatus, Vec<Prefix>)> {
    let control = engine.control();
    let with_allowed_ips = |status: PeerStatus| {
        let peer = control.peer(&status.public_key);
        let prefixes = peer
            .into_iter()
            .flat_map(|peer| control.allowed_ips(peer))
            .collect();
        (status, prefixes)
    };
    engine.statuses(now).map(with_allowed_ips).collect()
}

/// All peers, each as a dictionary without secrets.
pub(crate) fn peers<'py>(
    py: Python<'py>,
    snapshot: &[(PeerStatus, Vec<Prefix>)],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (status, allowed) in snapshot {
        let dict = peer(py, status)?;
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        dict.set_item("allowed_ips", allowed)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// A peer without its allowed IPs, which may be many.
pub(crate) fn peer<'py>(py: Python<'py>, status: &PeerStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("public_key", PublicKey(status.public_key))?;
    dict.set_item(
        "endpoint",
        status
            .endpoint
            .map(|remote| (remote.ip().to_string(), remote.port())),
    )?;
    let handshake = status
        .last_handshake
        .map(|wall| wall.seconds as f64 + f64::from(wall.nanos) / 1e9);
    dict.set_item("last_handshake", handshake)?;
    dict.set_item("rx_bytes", status.received_bytes)?;
    dict.set_item("tx_bytes", status.sent_bytes)?;
    dict.set_item(
        "persistent_keepalive",
        status.persistent_keepalive.map(|interval| interval.as_secs()),
    )?;
    dict.set_item("has_session", status.has_session)?;
    dict.set_item("flows", status.flows)?;
    dict.set_item("counters", counters(py, &status.counters)?)?;
    Ok(dict)
}

/// What the packet filter must know, from text; None for no filter.
pub(crate) fn guard(own: Option<Vec<IpAddr>>, protected: &[String]) -> PyResult<Option<Guard>> {
    let Some(own) = own else {
        return Ok(None);
    };
    Guard::new(own, prefixes(protected)?).map(Some).ok_or_else(|| {
        PyValueError::new_err(format!(
            "a filter has at most {} own addresses, and as many protected networks",
            Guard::MOST
        ))
    })
}

/// What a peer may start, from text.
pub(crate) fn policy(texts: &[String]) -> PyResult<Policy> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| PyValueError::new_err(format!("{text:?} is no rule: {error}")))
    };
    texts.iter().map(parse).collect::<PyResult<_>>().map(Policy::new)
}

/// Prefixes from text.
pub(crate) fn prefixes(texts: &[String]) -> PyResult<Vec<Prefix>> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| PyValueError::new_err(format!("{text:?} is no allowed IP: {error}")))
    };
    texts.iter().map(parse).collect()
}
