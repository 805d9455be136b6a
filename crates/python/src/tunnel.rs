//! `RootlessTunnel`: a tunnel with a TCP/IP stack of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rand_core::Rng;
use wirewright_engine::{ConfigureError, Control, Engine, Limits, PeerConfig};
use wirewright_netstack::{Config, Netstack, Rootless};
use wirewright_runtime::{OsRandom, Shell, UdpSockets, fork};

use crate::connection::Connection;
use crate::datagrams::Datagrams;
use crate::error::os_error;
use crate::event::{self, Ident};
use crate::forwarding;
use crate::handle::{Handle, closed};
use crate::key::{PresharedKey, PublicKey, SecretKey};
use crate::listener::Listener;
use crate::peer::interval;
use crate::refusal::{self, Refusal};
use crate::shards;
use crate::status;

/// A tunnel in user space with its own TCP/IP stack; packets stay on the core's threads.
///
/// No method blocks, and each may be called from any thread. Ids are unique within a tunnel, over connections,
/// listeners, datagram sockets and pings, and never used again. After ``close``, and in a forked child, every
/// method but ``close`` and ``closed`` raises RuntimeError.
#[pyclass(module = "wirewright._core", frozen)]
pub(crate) struct RootlessTunnel(Handle);

#[pymethods]
impl RootlessTunnel {
    #[new]
    #[pyo3(signature = (private_key, addresses, *, listen_port = 0, listen_address = None, mtu = 1420, shards = 1, forwarding = None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        private_key: &SecretKey,
        addresses: Vec<String>,
        listen_port: u16,
        listen_address: Option<IpAddr>,
        mtu: usize,
        shards: u8,
        forwarding: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let shards = shards::checked(shards)?;
        let addresses = addresses
            .iter()
            .map(|text| address(text))
            .collect::<PyResult<_>>()?;
        let key = private_key.0.clone();
        let mut random = OsRandom::new();
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        let mut netstack = Netstack::new(Config::new(addresses, mtu), seed)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let forwarding = forwarding.map(forwarding::settings).transpose()?;
        let start = move || -> io::Result<Shell<Rootless>> {
            let _made_whole = fork::while_making();
            let sockets = UdpSockets::bind(listen_address, listen_port)?;
            let outside = match forwarding {
                Some(settings) => Some(forwarding::switched_on(&mut netstack, settings)?),
                None => None,
            };
            let engine = Engine::new((0..shards).map(|_| OsRandom::new()), &Limits::default(), mtu);
            let shell = Shell::start(engine, Rootless::new(netstack), sockets, outside)?;
            shell.with(|at, state| state.engine.set_private_key(at, Some(key), &mut state.output));
            Ok(shell)
        };
        let shell = py.detach(start).map_err(|error| os_error(py, &error, None))?;
        Ok(Self(Handle(Arc::new(shell))))
    }

    #[getter]
    fn listen_port(&self) -> u16 {
        self.0.0.port()
    }

    fn fileno(&self) -> PyResult<RawFd> {
        if self.closed() {
            Err(closed())
        } else {
            Ok(self.0.0.user().as_fd().as_raw_fd())
        }
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        if self.closed() {
            return Err(closed());
        }
        // First to rest, then to look: what comes in between wakes again.
        self.0.0.user().rest();
        let (events, due) = self.0.look(py, |at, state| {
            let events = event::drain(&mut state.interface);
            let deadline = state.interface.netstack.deadline();
            (events, deadline.is_some_and(|deadline| deadline <= at.now))
        })?;
        // A connection that was given up is freed once its last event is told, by the tunnel's thread.
        if due {
            let _ = self.0.with(py, |_, _| ());
        }
        event::to_list(py, events)
    }

    #[pyo3(signature = (public_key, *, preshared_key = None, endpoint = None, allowed_ips = Vec::new(), persistent_keepalive = None, rules = None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn add_peer(
        &self,
        py: Python<'_>,
        public_key: &PublicKey,
        preshared_key: Option<&PresharedKey>,
        endpoint: Option<(IpAddr, u16)>,
        allowed_ips: Vec<String>,
        persistent_keepalive: Option<u16>,
        rules: Option<Vec<String>>,
    ) -> PyResult<()> {
        let config = PeerConfig {
            preshared_key: preshared_key.map(|key| key.0.clone()),
            endpoint: endpoint.map(SocketAddr::from),
            allowed_ips: status::prefixes(&allowed_ips)?,
            replace_allowed_ips: true,
            persistent_keepalive: persistent_keepalive.map(interval),
            policy: rules.as_deref().map(status::policy).transpose()?,
        };
        self.set_peer(py, public_key, config)
    }

    /// Change a peer; a keyword that is not given leaves its setting as it is, None removes it.
    #[pyo3(signature = (public_key, **changes))]
    fn update_peer(
        &self,
        py: Python<'_>,
        public_key: &PublicKey,
        changes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut config = PeerConfig::default();
        for (name, value) in changes.into_iter().flatten() {
            match name.extract::<String>()?.as_str() {
                "preshared_key" => {
                    let key = value.extract::<Option<PyRef<'_, PresharedKey>>>()?;
                    config.preshared_key = Some(key.map(|key| key.0.clone()).unwrap_or_default());
                }
                "endpoint" => {
                    config.endpoint = value.extract::<Option<(IpAddr, u16)>>()?.map(SocketAddr::from)
                }
                "allowed_ips" => {
                    config.allowed_ips = status::prefixes(&value.extract::<Vec<String>>()?)?;
                    config.replace_allowed_ips = true;
                }
                "rules" => config.policy = Some(status::policy(&value.extract::<Vec<String>>()?)?),
                "persistent_keepalive" => {
                    config.persistent_keepalive = Some(value.extract::<Option<u16>>()?.and_then(interval));
                }
                other => {
                    return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                        "a peer has no setting {other:?}"
                    )));
                }
            }
        }
        let key = public_key.0;
        // To look first and to change then would bring back a peer that was removed in between.
        self.0
            .with(py, move |at, state| {
                let update = |control: &mut Control| control.update_peer(key, config);
                let outcome = state.engine.configure(at, update, &mut state.output);
                forwarding::recheck(state);
                outcome
            })?
            .map(|_| ())
            .map_err(|error| match error {
                ConfigureError::UnknownPeer => {
                    PyValueError::new_err(format!("no peer of this tunnel has the key {key}"))
                }
                error => PyValueError::new_err(error.to_string()),
            })
    }

    /// Set what the packet filter must know, and with it the filter; without own addresses (None) take it away.
    #[pyo3(signature = (own, protected = Vec::new()))]
    fn set_filter(&self, py: Python<'_>, own: Option<Vec<IpAddr>>, protected: Vec<String>) -> PyResult<()> {
        let guard = status::guard(own, &protected)?;
        self.0.with(py, move |at, state| {
            let set = |control: &mut Control| control.set_guard(guard);
            state.engine.configure(at, set, &mut state.output);
        })
    }

    fn remove_peer(&self, py: Python<'_>, public_key: &PublicKey) -> PyResult<bool> {
        let key = public_key.0;
        self.0.with(py, move |at, state| {
            let removed = state.engine.remove_peer(at, &key, &mut state.output);
            forwarding::recheck(state);
            removed
        })
    }

    /// The peer to which packets for an address go, or None.
    fn owner(&self, py: Python<'_>, address: IpAddr) -> PyResult<Option<PublicKey>> {
        let owner = self.0.look(py, move |_, state| state.engine.owner(address))?;
        Ok(owner.map(PublicKey))
    }

    /// One peer as `stats` has it, but without its allowed IPs; None if it is not there.
    fn peer<'py>(&self, py: Python<'py>, public_key: &PublicKey) -> PyResult<Option<Bound<'py, PyDict>>> {
        let key = public_key.0;
        let status = self
            .0
            .look(py, move |at, state| state.engine.status(&key, at.now))?;
        status.map(|status| status::peer(py, &status)).transpose()
    }

    fn initiate(&self, py: Python<'_>, public_key: &PublicKey) -> PyResult<()> {
        let key = public_key.0;
        self.0.with(py, move |at, state| {
            state.engine.initiate(at, &key, &mut state.output)
        })
    }

    #[pyo3(signature = (address, port, local_port = 0))]
    fn connect(&self, py: Python<'_>, address: IpAddr, port: u16, local_port: u16) -> PyResult<Connection> {
        let remote = SocketAddr::new(address, port);
        let (id, addresses) = self
            .0
            .with(py, move |at, state| -> Result<_, Refusal> {
                let netstack = &mut state.interface.netstack;
                let local = match local_port {
                    0 => None,
                    port => Some(SocketAddr::new(
                        netstack.source_for(address).ok_or(refusal::no_address(address))?,
                        port,
                    )),
                };
                let id = netstack.connect(at.now, remote, local)?;
                Ok((id, netstack.addresses(id).unwrap_or((remote, remote))))
            })?
            .map_err(Refusal::into_error)?;
        Ok(Connection::new(self.0.clone(), id, addresses))
    }

    #[pyo3(signature = (port, address = None, backlog = 128))]
    fn listen(
        &self,
        py: Python<'_>,
        port: u16,
        address: Option<IpAddr>,
        backlog: usize,
    ) -> PyResult<Listener> {
        let (id, port) = self
            .0
            .with(py, move |_, state| -> Result<_, Refusal> {
                let netstack = &mut state.interface.netstack;
                let id = netstack.listen(address, port, backlog)?;
                Ok((id, netstack.listener_port(id).unwrap_or(port)))
            })?
            .map_err(Refusal::into_error)?;
        Ok(Listener::new(self.0.clone(), id, port))
    }

    #[pyo3(signature = (port = 0, address = None))]
    fn bind(&self, py: Python<'_>, port: u16, address: Option<IpAddr>) -> PyResult<Datagrams> {
        let (id, local) = self
            .0
            .with(py, move |_, state| -> Result<_, Refusal> {
                let netstack = &mut state.interface.netstack;
                let id = netstack.bind(address, port)?;
                let bound = netstack.socket_addresses(id).map_or(port, |(_, port, _)| port);
                Ok((id, bound))
            })?
            .map_err(Refusal::into_error)?;
        Ok(Datagrams::new(self.0.clone(), id, address, local))
    }

    #[pyo3(signature = (address, payload = 56))]
    fn ping(&self, py: Python<'_>, address: IpAddr, payload: usize) -> PyResult<u64> {
        self.0
            .with(py, move |at, state| {
                state.interface.netstack.ping(at.now, address, payload)
            })?
            .map(Ident::of_ping)
            .map_err(|error| Refusal::from(error).into_error())
    }

    /// Forget an echo request: no event will tell of its reply.
    fn cancel_ping(&self, py: Python<'_>, ident: u64) -> PyResult<()> {
        self.0.look(py, move |_, state| {
            if let Some(id) = Ident::to_ping(ident) {
                state.interface.netstack.cancel_ping(id);
            }
        })
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // Python objects are made after the lock is let go: making one may collect garbage, and so close a
        // connection, which takes the lock.
        let (counters, peers, netstack, held, forwarded) = self.0.look(py, |at, state| {
            let netstack = &state.interface.netstack;
            (
                state.engine.counters(),
                status::snapshot(&state.engine, at.now),
                netstack.counters(),
                netstack.held(),
                netstack.forwarded(),
            )
        })?;
        let stats = PyDict::new(py);
        stats.set_item("counters", status::counters(py, &counters)?)?;
        stats.set_item("peers", status::peers(py, &peers)?)?;
        let stack = PyDict::new(py);
        for (name, count) in netstack.iter() {
            stack.set_item(name, count)?;
        }
        for (name, count) in [
            ("connections", held.connections),
            ("listeners", held.listeners),
            ("datagrams", held.datagrams),
            ("pings", held.pings),
        ] {
            stack.set_item(name, count)?;
        }
        stats.set_item("netstack", stack)?;
        stats.set_item("forwarding", forwarding::stats(py, forwarded, self.0.0.places())?)?;
        Ok(stats)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            // Peers are told that what was carried for them ends.
            let _ = self
                .0
                .0
                .with(|_, state| state.interface.netstack.end_forwarding());
            self.0.0.close();
        });
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.0.is_closed()
    }
}

impl RootlessTunnel {
    fn set_peer(&self, py: Python<'_>, public_key: &PublicKey, config: PeerConfig) -> PyResult<()> {
        let key = public_key.0;
        self.0
            .with(py, move |at, state| {
                let outcome = state.engine.set_peer(at, key, config, &mut state.output);
                forwarding::recheck(state);
                outcome
            })?
            .map(|_| ())
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

/// An address with an optional prefix length.
fn address(text: &str) -> PyResult<(IpAddr, u8)> {
    let bad = || {
        PyValueError::new_err(format!(
            "{text:?} is no address such as 10.0.0.2/24 or fd00::2/64"
        ))
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| bad())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match length.unwrap_or(bits) {
        length if length <= bits => Ok((address, length)),
        _ => Err(bad()),
    }
}
