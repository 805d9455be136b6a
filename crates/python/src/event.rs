//! What a tunnel tells its user, as tuples `(kind, id, detail)`.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::PyList;
use rustix::io::Errno;
use wirewright_engine::Notice;
use wirewright_netstack::{
    CloseReason, ConnectFailure, ConnectionId, Event, ListenerId, PingId, Rootless, SocketId, Unreachable,
};

use crate::key::PublicKey;

/// Ids that Python sees: the stack's names, with two bits that tell one kind from the other, so that they are unique
/// within a tunnel. A name has its place in the low half, and there are far fewer than 2^30 places.
pub(crate) struct Ident;

const KIND_SHIFT: u32 = 30;
const LOW: u64 = (1 << KIND_SHIFT) - 1;

impl Ident {
    pub(crate) fn of_connection(id: ConnectionId) -> u64 {
        id.to_bits()
    }

    pub(crate) fn of_listener(id: ListenerId) -> u64 {
        id.to_bits() | 1 << KIND_SHIFT
    }

    pub(crate) fn of_socket(id: SocketId) -> u64 {
        id.to_bits() | 2 << KIND_SHIFT
    }

    pub(crate) fn of_ping(id: PingId) -> u64 {
        let bits = id.to_bits();
        (bits & LOW) | 3 << KIND_SHIFT | bits >> KIND_SHIFT << 32
    }

    pub(crate) fn to_ping(ident: u64) -> Option<PingId> {
        (ident >> KIND_SHIFT & 3 == 3).then(|| PingId::from_bits((ident & LOW) | ident >> 32 << KIND_SHIFT))
    }
}

/// An event before it is a Python object.
pub(crate) struct Told(&'static str, u64, Detail);

enum Detail {
    None,
    Errno(Errno),
    Seconds(f64),
    Key(wirewright_protocol::PublicKey),
    Text(String),
}

/// Takes everything there is to tell.
pub(crate) fn drain(rootless: &mut Rootless) -> Vec<Told> {
    let mut told: Vec<Told> = rootless.netstack.events().filter_map(describe).collect();
    while let Some(notice) = rootless.next_notice() {
        match notice {
            Notice::HandshakeCompleted(key) => told.push(Told("handshake", 0, Detail::Key(key))),
            Notice::HandshakeGaveUp(key) => told.push(Told("gave_up", 0, Detail::Key(key))),
            Notice::EndpointChanged(_) => (),
        }
    }
    if let Some(reason) = rootless.take_stopped() {
        told.push(Told("stopped", 0, Detail::Text(reason)));
    }
    told
}

/// The tuples for Python.
pub(crate) fn to_list(py: Python<'_>, told: Vec<Told>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for Told(kind, id, detail) in told {
        match detail {
            Detail::None => list.append((kind, id, py.None()))?,
            Detail::Errno(errno) => list.append((kind, id, errno.raw_os_error()))?,
            Detail::Seconds(seconds) => list.append((kind, id, seconds))?,
            Detail::Key(key) => list.append((kind, id, PublicKey(key)))?,
            Detail::Text(text) => list.append((kind, id, text))?,
        }
    }
    Ok(list)
}

fn describe(event: Event) -> Option<Told> {
    Some(match event {
        Event::Connected(id) => Told("connected", Ident::of_connection(id), Detail::None),
        Event::ConnectFailed(id, failure) => {
            let errno = match failure {
                ConnectFailure::Refused => Errno::CONNREFUSED,
                ConnectFailure::Unreachable(kind) => unreachable_errno(kind),
                ConnectFailure::Aborted => Errno::CONNABORTED,
                _ => Errno::TIMEDOUT,
            };
            Told("failed", Ident::of_connection(id), Detail::Errno(errno))
        }
        Event::Readable(id) => Told("readable", Ident::of_connection(id), Detail::None),
        Event::Writable(id) => Told("writable", Ident::of_connection(id), Detail::None),
        Event::Closed(id, reason) => {
            let detail = match reason {
                CloseReason::Reset => Detail::Errno(Errno::CONNRESET),
                CloseReason::TimedOut => Detail::Errno(Errno::TIMEDOUT),
                CloseReason::Aborted => Detail::Errno(Errno::CONNABORTED),
                _ => Detail::None,
            };
            Told("closed", Ident::of_connection(id), detail)
        }
        Event::Delivered(id) => Told("closed", Ident::of_connection(id), Detail::None),
        Event::Accepted(id) => Told("accepted", Ident::of_listener(id), Detail::None),
        Event::Datagram(id) => Told("datagram", Ident::of_socket(id), Detail::None),
        Event::DatagramWritable(id) => Told("writable", Ident::of_socket(id), Detail::None),
        Event::Pong { id, elapsed, .. } => {
            Told("pong", Ident::of_ping(id), Detail::Seconds(elapsed.as_secs_f64()))
        }
        Event::PingUnreachable(id, kind) => {
            Told("unreachable", Ident::of_ping(id), Detail::Text(kind.to_string()))
        }
        // A soft error: the attempt goes on, and what ends it tells of this, too.
        _ => return None,
    })
}

fn unreachable_errno(kind: Unreachable) -> Errno {
    match kind {
        Unreachable::Port => Errno::CONNREFUSED,
        Unreachable::Prohibited => Errno::ACCESS,
        _ => Errno::HOSTUNREACH,
    }
}

/// An address as asyncio shows it.
pub(crate) fn pair(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}
