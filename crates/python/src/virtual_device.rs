//! `VirtualDevice`: the engine in virtual time, for tests and the simulator.
//!
//! Nothing here is random or knows the time by itself: Python gives both, so that a whole network can be run again to
//! the byte.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use rand_core::{TryCryptoRng, TryRng};
use wirewright_engine::{Batch, Endpoint, Engine, Limits, Moment, Notice, Output, PeerConfig};
use wirewright_protocol::{Instant, WallTime};
use zeroize::Zeroizing;

use crate::key::{PresharedKey, PublicKey, SecretKey};
use crate::peer::interval;
use crate::shards;
use crate::status;

/// A WireGuard interface in virtual time. `now` is monotonic time and `wall` Unix time, both in nanoseconds.
#[pyclass(module = "wirewright._core")]
pub(crate) struct VirtualDevice {
    engine: Engine<PythonRandom>,
    output: Output,
    failure: Failure,
}

#[pymethods]
impl VirtualDevice {
    /// Make an interface that draws its randomness from `random(length) -> bytes`.
    #[new]
    #[pyo3(signature = (random, *, shards = 1, mtu = 1420))]
    fn new(py: Python<'_>, random: Py<PyAny>, shards: u8, mtu: usize) -> PyResult<Self> {
        let shards = shards::checked(shards)?;
        if !(576..=65_475).contains(&mtu) {
            return Err(PyValueError::new_err(format!(
                "mtu must be between 576 and 65475, not {mtu}"
            )));
        }
        let failure = Failure::default();
        let rngs = (0..shards).map(|_| PythonRandom {
            draw: random.clone_ref(py),
            failure: failure.clone(),
        });
        let engine = Engine::new(rngs, &Limits::default(), mtu);
        let device = Self {
            engine,
            output: Output::default(),
            failure,
        };
        device.failure.take()?;
        Ok(device)
    }

    /// Set the private key, or remove it with None; all sessions end.
    fn set_private_key(&mut self, now: u64, wall: u64, key: Option<&SecretKey>) -> PyResult<()> {
        self.engine
            .set_private_key(moment(now, wall), key.map(|key| key.0.clone()), &mut self.output);
        self.failure.take()
    }

    /// Add a peer or change it; what is None stays as it is. A keepalive of 0 turns it off.
    #[pyo3(signature = (now, wall, public_key, *, preshared_key = None, endpoint = None, allowed_ips = None, persistent_keepalive = None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn set_peer(
        &mut self,
        now: u64,
        wall: u64,
        public_key: &PublicKey,
        preshared_key: Option<&PresharedKey>,
        endpoint: Option<(IpAddr, u16)>,
        allowed_ips: Option<Vec<String>>,
        persistent_keepalive: Option<u16>,
    ) -> PyResult<()> {
        let config = PeerConfig {
            preshared_key: preshared_key.map(|key| key.0.clone()),
            endpoint: endpoint.map(SocketAddr::from),
            replace_allowed_ips: allowed_ips.is_some(),
            allowed_ips: status::prefixes(allowed_ips.as_deref().unwrap_or_default())?,
            persistent_keepalive: persistent_keepalive.map(interval),
            policy: None,
        };
        let result = self
            .engine
            .set_peer(moment(now, wall), public_key.0, config, &mut self.output);
        self.failure.take()?;
        result
            .map(|_| ())
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Remove a peer; False if there was none.
    fn remove_peer(&mut self, now: u64, wall: u64, public_key: &PublicKey) -> bool {
        self.engine
            .remove_peer(moment(now, wall), &public_key.0, &mut self.output)
    }

    /// Let a datagram arrive, by default in the shard that a socket filter would choose.
    #[pyo3(signature = (now, wall, datagram, source, *, shard = None))]
    fn receive(
        &mut self,
        now: u64,
        wall: u64,
        datagram: &[u8],
        source: (IpAddr, u16),
        shard: Option<u8>,
    ) -> PyResult<()> {
        let at = moment(now, wall);
        let mut batch = Batch::new(1, datagram.len().max(1));
        batch.push_datagram(Endpoint::new(source.into()), datagram.len(), |bytes| {
            bytes.copy_from_slice(datagram)
        });
        let shard = shard.unwrap_or_else(|| self.engine.steer(datagram));
        self.engine.receive_in(shard, at, batch, &mut self.output);
        self.engine.handshakes(at, false, &mut self.output);
        self.failure.take()
    }

    /// Let many datagrams of one source arrive at once, and leave handshake messages waiting.
    fn receive_batch(
        &mut self,
        now: u64,
        wall: u64,
        datagrams: Vec<Vec<u8>>,
        source: (IpAddr, u16),
    ) -> PyResult<()> {
        let longest = datagrams.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut batch = Batch::new(datagrams.len().max(1), longest);
        for datagram in &datagrams {
            batch.push_datagram(Endpoint::new(source.into()), datagram.len(), |bytes| {
                bytes.copy_from_slice(datagram)
            });
        }
        self.engine.receive(moment(now, wall), batch, &mut self.output);
        self.failure.take()
    }

    /// Work on handshake messages that wait.
    fn handshakes(&mut self, now: u64, wall: u64) -> PyResult<()> {
        self.engine.handshakes(moment(now, wall), false, &mut self.output);
        self.failure.take()
    }

    /// Send an inner IP packet; ValueError if it is longer than the MTU.
    fn send(&mut self, now: u64, wall: u64, packet: &[u8]) -> PyResult<()> {
        let Some(mut batch) = self.engine.batch() else {
            return Ok(());
        };
        if !batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)) {
            return Err(PyValueError::new_err(format!(
                "a packet of {} bytes does not fit the MTU",
                packet.len()
            )));
        }
        self.engine.send(moment(now, wall), batch, &mut self.output);
        self.failure.take()
    }

    /// Let all timers that are due expire.
    fn tick(&mut self, now: u64, wall: u64) -> PyResult<()> {
        self.engine.tick(moment(now, wall), &mut self.output);
        self.failure.take()
    }

    /// The time at which `tick` is to be called at the latest, or None.
    #[getter]
    fn deadline(&self) -> Option<u64> {
        self.engine.deadline().map(Instant::as_nanos)
    }

    /// Take what is to be done: tuples ("datagram", bytes, (address, port)), ("packet", bytes), ("handshake", key),
    /// ("gave_up", key) and ("moved", key).
    fn actions<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for batch in self.output.datagrams.drain(..) {
            for (slot, bytes) in batch.packets() {
                let remote = (slot.path.remote.ip().to_string(), slot.path.remote.port());
                list.append(("datagram", PyBytes::new(py, bytes), remote))?;
            }
            self.engine.recycle(batch);
        }
        for batch in self.output.packets.drain(..) {
            for (_, bytes) in batch.packets() {
                list.append(("packet", PyBytes::new(py, bytes)))?;
            }
            self.engine.recycle(batch);
        }
        for notice in self.output.notices.drain(..) {
            let (kind, key) = match notice {
                Notice::HandshakeCompleted(key) => ("handshake", key),
                Notice::HandshakeGaveUp(key) => ("gave_up", key),
                Notice::EndpointChanged(key) => ("moved", key),
            };
            list.append((kind, PublicKey(key)))?;
        }
        Ok(list)
    }

    /// All counters of the device, by name.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        status::counters(py, &self.engine.counters())
    }

    /// All peers at the time `now`, each as a dictionary.
    fn peers<'py>(&self, py: Python<'py>, now: u64) -> PyResult<Bound<'py, PyList>> {
        status::peers(py, &status::snapshot(&self.engine, Instant::from_nanos(now)))
    }

    /// How many receiver indices are given out.
    #[getter]
    fn indices_in_use(&self) -> usize {
        self.engine
            .shards()
            .iter()
            .map(wirewright_engine::Shard::indices_in_use)
            .sum()
    }
}

/// Randomness from a Python callable.
struct PythonRandom {
    draw: Py<PyAny>,
    failure: Failure,
}

/// The first exception of the callable; the engine cannot fail in the middle, so it is raised when the call ends.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<PyErr>>>);

impl Failure {
    fn take(&self) -> PyResult<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map_or(Ok(()), Err)
    }
}

impl PythonRandom {
    fn fill(&self, target: &mut [u8]) {
        let outcome = Python::attach(|py| -> PyResult<()> {
            // Python's own copy cannot be wiped.
            let bytes: Zeroizing<Vec<u8>> =
                Zeroizing::new(self.draw.call1(py, (target.len(),))?.extract(py)?);
            if bytes.len() != target.len() {
                let message = format!("random({}) gave {} bytes", target.len(), bytes.len());
                return Err(PyValueError::new_err(message));
            }
            target.copy_from_slice(&bytes);
            Ok(())
        });
        if let Err(error) = outcome {
            self.failure
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
        }
    }
}

impl TryRng for PythonRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        self.fill(target);
        Ok(())
    }
}

impl TryCryptoRng for PythonRandom {}

/// The time of a call from nanoseconds.
fn moment(now: u64, wall: u64) -> Moment {
    let wall = WallTime {
        seconds: wall / 1_000_000_000,
        nanos: (wall % 1_000_000_000) as u32,
    };
    Moment {
        now: Instant::from_nanos(now),
        wall,
    }
}
