//! What a shard knows of one of its home peers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use wirewright_protocol::{Conversation, PresharedKey, PublicKey, WallTime};

use crate::counters::{Counters, Event};
use crate::directory::PeerRef;
use crate::filter::Ledger;
use crate::limits::Limits;

/// Where a peer's datagrams go: its address, and the local address they must leave from, if one is known
/// (a reply should come from the address that the peer wrote to).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The local address that its last authenticated datagram came to.
    pub source: Option<IpAddr>,
}

impl Endpoint {
    /// A placeholder that no datagram is ever sent to.
    pub const UNSPECIFIED: Self = Self {
        remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        source: None,
    };

    /// An endpoint as configured: the kernel chooses the source address.
    #[must_use]
    pub const fn new(mut remote: SocketAddr) -> Self {
        // An IPv4 address in IPv6 clothes would go to the socket that cannot reach it. A link-local address keeps its scope.
        if let IpAddr::V4(address) = remote.ip().to_canonical() {
            remote = SocketAddr::new(IpAddr::V4(address), remote.port());
        }
        Self { remote, source: None }
    }
}

/// A peer as `wg show` would describe it. It holds no secret.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its public key.
    pub public_key: PublicKey,
    /// Where its last authenticated datagram came from, else what was configured.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed.
    pub last_handshake: Option<WallTime>,
    /// Bytes received in authenticated messages, headers and tags included.
    pub received_bytes: u64,
    /// Bytes sent in messages, headers and tags included.
    pub sent_bytes: u64,
    /// The configured persistent keepalive.
    pub persistent_keepalive: Option<Duration>,
    /// Whether a session is there that can send now.
    pub has_session: bool,
    /// Flows that the packet filter remembers of it.
    pub flows: usize,
    /// What went wrong with this peer.
    pub counters: Counters,
}

/// A peer with its pre-shared key, for the answer to a request of `wg(8)`.
pub struct PeerReport {
    /// Which peer it is.
    pub id: PeerRef,
    /// What is no secret.
    pub status: PeerStatus,
    /// The pre-shared key, if there is one.
    pub preshared_key: Option<PresharedKey>,
}

/// A home peer: the conversation with it, where it is, and what waits for a session.
pub(crate) struct Peer {
    pub(crate) id: PeerRef,
    pub(crate) conversation: Conversation,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) staged: Staged,
    pub(crate) last_handshake: Option<WallTime>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// Most peers never see an error, and most interfaces have no filter: what these need costs nothing before.
    extras: Option<Box<Extras>>,
}

#[derive(Default)]
struct Extras {
    counters: Counters,
    /// What the packet filter let through.
    ledger: Option<Box<Ledger>>,
}

impl Peer {
    pub(crate) fn new(id: PeerRef, public_key: PublicKey) -> Self {
        Self {
            id,
            conversation: Conversation::new(public_key),
            endpoint: None,
            staged: Staged::default(),
            last_handshake: None,
            received_bytes: 0,
            sent_bytes: 0,
            extras: None,
        }
    }

    pub(crate) fn count(&mut self, event: Event, by: u64) {
        self.extras.get_or_insert_default().counters.add(event, by);
    }

    /// Flows that the packet filter remembers of it.
    pub(crate) fn flows(&self) -> usize {
        self.ledger().map_or(0, Ledger::flows)
    }

    /// What the packet filter let through, if there is a filter and there was a packet.
    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        self.extras.as_deref()?.ledger.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn ledger_mut(&mut self) -> Option<&mut Ledger> {
        self.extras.as_deref_mut()?.ledger.as_deref_mut()
    }

    /// The same, made if it is not there.
    pub(crate) fn ledger_or(&mut self, make: impl FnOnce() -> Ledger) -> &mut Ledger {
        let extras = self.extras.get_or_insert_default();
        extras.ledger.get_or_insert_with(|| Box::new(make()))
    }

    /// The packet filter forgets what it let through.
    pub(crate) fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        self.extras.as_deref_mut()?.ledger.take()
    }

    pub(crate) fn counters(&self) -> Counters {
        let extras = self.extras.as_deref();
        extras.map(|extras| extras.counters.clone()).unwrap_or_default()
    }

    /// Something authentic came this way, and the next goes back there. True if the address is another than before.
    pub(crate) fn heard_over(&mut self, path: Endpoint) -> bool {
        let before = self.endpoint.replace(path);
        before.is_none_or(|before| before.remote != path.remote)
    }

    /// The source address may have been the reason for silence, so the next datagram lets the kernel choose.
    pub(crate) fn forget_source(&mut self) {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.source = None;
        }
    }
}

/// Plaintext packets that wait for a session, oldest first, bounded in number and, over the whole shard, in bytes.
#[derive(Default)]
pub(crate) struct Staged {
    packets: alloc::collections::VecDeque<Box<[u8]>>,
}

impl Staged {
    /// Adds a packet; returns how many of the oldest had to go.
    pub(crate) fn push(&mut self, packet: &[u8], limits: &Limits, shard_bytes: &mut usize) -> u64 {
        let mut dropped = 0;
        while !self.packets.is_empty()
            && (self.packets.len() >= limits.staged_packets_per_peer
                || *shard_bytes + packet.len() > limits.staged_bytes)
        {
            self.pop(shard_bytes);
            dropped += 1;
        }
        if *shard_bytes + packet.len() > limits.staged_bytes {
            return dropped + 1;
        }
        *shard_bytes += packet.len();
        self.packets.push_back(packet.into());
        dropped
    }

    pub(crate) fn pop(&mut self, shard_bytes: &mut usize) -> Option<Box<[u8]>> {
        let packet = self.packets.pop_front()?;
        *shard_bytes -= packet.len();
        if self.packets.is_empty() {
            // An idle peer keeps no buffer.
            self.packets = alloc::collections::VecDeque::new();
        }
        Some(packet)
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Drops everything; returns how many packets that were.
    pub(crate) fn clear(&mut self, shard_bytes: &mut usize) -> u64 {
        let mut dropped = 0;
        while self.pop(shard_bytes).is_some() {
            dropped += 1;
        }
        dropped
    }
}

/// Indices that conversations gave up, to be released from the table.
pub(crate) type Retired = Vec<u32>;
#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn an_endpoint_keeps_its_scope_and_no_disguise() {
        let kept = |text: &str| Endpoint::new(text.parse().unwrap()).remote.to_string();
        assert_eq!(kept("[fe80::1%3]:1"), "[fe80::1%3]:1");
        assert_eq!(kept("[::ffff:192.0.2.1%3]:1"), "192.0.2.1:1");
        assert_eq!(kept("192.0.2.1:1"), "192.0.2.1:1");
    }

    #[test]
    fn a_peer_without_a_session_fits_384_bytes() {
        // Sessions, a pending handshake, staged packets and counters are behind boxes that an idle peer does not have.
        assert!(size_of::<Peer>() <= 384, "{} bytes", size_of::<Peer>());
    }
}
