//! The stack: what stands between packets, connections, sockets and the caller.
//!
//! `mod.rs` takes packets in and gives them out; `tcp` moves segments to connections, `streams` and `listening`
//! are what a caller does with them, `datagrams` and `messages` are UDP and ICMP, `events` tells. `forwarding`,
//! `carrying_streams` and `carrying_flows` are for what is not ours ([`crate::forward`]).

mod carrying_flows;
mod carrying_streams;
mod datagrams;
mod events;
mod forwarding;
mod listening;
mod messages;
mod streams;
mod tcp;

use std::collections::{HashMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use wirewright_protocol::Instant;
use wirewright_runtime::Owner;

use crate::address::LocalAddresses;
use crate::config::{Config, ConfigError, Control, Limits, Timing};
use crate::connection::Connection;
use crate::counters::Counters;
use crate::datagram::DatagramSockets;
use crate::deadlines::Deadlines;
use crate::demux::{Discard, IpPacket, Protocol, TupleKey};
use crate::device::{PacketSink, Sent};
use crate::forward::Forwarder;
use crate::hash::KeyedHash;
use crate::initial_sequence::InitialSequences;
use crate::limiter::Limiters;
use crate::listener::Listeners;
use crate::outbox::Outbox;
use crate::ping::Pings;
use crate::ports::ConnectionPorts;
use crate::slots::{Handle, Slots};
use crate::tcp::Budget;
use crate::time_wait::TimeWait;

pub use forwarding::Forwarded;
pub(crate) use forwarding::destination_of;
pub use streams::Read;

/// A TCP/IP host with the tunnel's addresses. See the crate's documentation for its shape and its bounds.
pub struct Netstack {
    own: LocalAddresses,
    mtu: usize,
    control: Control,
    limits: Limits,
    timing: Timing,
    counters: Counters,
    rng: ChaCha20Rng,
    initial_sequences: InitialSequences,
    ports: ConnectionPorts,

    connections: Slots<Box<Connection>>,
    /// What wider windows are taken from.
    budget: Budget,
    by_tuple: HashMap<TupleKey, Handle, KeyedHash>,
    /// What is left of released connections in TIME-WAIT.
    time_wait: TimeWait,
    /// Connections with something to do at the next poll. Connections are freed only when taken from here, so no
    /// stale name ever stands in it.
    ready: VecDeque<Handle>,
    deadlines: Deadlines,
    listeners: Listeners,
    datagrams: DatagramSockets,
    /// Sockets whose sender found no room.
    blocked_senders: Vec<Handle>,
    pings: Pings,
    outbox: Outbox,
    limiters: Limiters,
    events: VecDeque<events::Source>,

    /// What it carries for others, if it does.
    forward: Option<Box<Forwarder>>,
    /// Carried connections that have something to tell.
    carried_events: VecDeque<Handle>,
}

/// What the user of a stack holds and has not given back, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Connections that were not released.
    pub connections: usize,
    /// Listeners that were not closed.
    pub listeners: usize,
    /// Datagram sockets that were not closed.
    pub datagrams: usize,
    /// Echo requests without a reply.
    pub pings: usize,
}

impl Netstack {
    /// A stack whose sequence numbers, ports and identifiers come from `seed`, which must be secret, random, and
    /// never used twice.
    pub fn new(config: Config, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.check()?;
        let Config {
            addresses,
            mtu,
            control,
            limits,
            timing,
        } = config;
        let mut rng = ChaCha20Rng::from_seed(seed);
        let by_tuple = HashMap::with_hasher(KeyedHash::new(&mut rng));
        let time_wait = TimeWait::new(limits.connections / 4, KeyedHash::new(&mut rng));
        let initial_sequences = InitialSequences::new(&mut rng);
        let ports = ConnectionPorts::new(&mut rng);
        let [identifier, ..] = random_pair(&mut rng);
        Ok(Self {
            own: LocalAddresses::new(addresses),
            mtu,
            control,
            counters: Counters::default(),
            connections: Slots::new(limits.connections),
            budget: Budget::new(limits.window_growth),
            by_tuple,
            time_wait,
            ready: VecDeque::new(),
            deadlines: Deadlines::default(),
            listeners: Listeners::new(limits.listeners),
            datagrams: DatagramSockets::new(limits.datagram_sockets, limits.datagram_queue),
            blocked_senders: Vec::new(),
            pings: Pings::new(limits.pings, identifier),
            outbox: Outbox::new(limits.outbox, mtu),
            limiters: Limiters::new(limits.error_replies, KeyedHash::new(&mut rng)),
            events: VecDeque::new(),
            forward: None,
            carried_events: VecDeque::new(),
            rng,
            initial_sequences,
            ports,
            limits,
            timing,
        })
    }

    /// Takes one decrypted IP packet of at most 65535 bytes. What stands behind the packet's own length (WireGuard
    /// pads) is ignored. What it provokes leaves with the next [`Self::poll`].
    pub fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.receive_for(now, packet, &|_| None);
    }

    /// The same where the stack forwards: `owner` tells to which peer an address belongs.
    pub fn receive_for(&mut self, now: Instant, packet: &[u8], owner: Owner<'_>) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += packet.len() as u64;
        if self.forward.is_some() && self.takes_fragment(now, packet, owner) {
            return;
        }
        self.take(now, packet, owner);
    }

    fn take(&mut self, now: Instant, packet: &[u8], owner: Owner<'_>) {
        let forwards = self.forward.is_some();
        let outcome = IpPacket::parse(packet, &self.own, forwards).and_then(|packet| match packet.protocol {
            _ if packet.foreign => self.receive_foreign(now, &packet, owner),
            Protocol::Tcp => self.receive_segment(now, &packet, owner),
            Protocol::Udp => self.receive_datagram(now, &packet, owner),
            Protocol::Icmpv4 | Protocol::Icmpv6 => self.receive_message(now, &packet),
        });
        if let Err(discard) = outcome {
            *self.counter_of(discard) += 1;
        }
    }

    /// Does what is due: hands out waiting packets, lets connections with work send, ends what took too long.
    /// Connections wait when the sink has no room; then call again when it has.
    pub fn poll(&mut self, now: Instant, sink: &mut impl PacketSink) {
        self.relay(now);
        self.flush_outbox(sink);
        while let Some(handle) = self.deadlines.take_due(now) {
            if let Some(connection) = self.connections.get_mut(handle) {
                connection.deadline = None;
                make_ready(connection, handle, &mut self.ready);
            }
        }
        while sink.has_room() {
            let Some(handle) = self.ready.pop_front() else {
                break;
            };
            self.run(handle, now, sink);
        }
        self.time_wait.expire(now);
        self.counters.pings_expired += self.pings.expire(now, self.timing.ping);
    }

    /// When to poll again, if nothing else happens before: at once (the clock's origin) if something is ready,
    /// which after a poll means that the sink had no room.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if !self.ready.is_empty() || !self.outbox.is_empty() || self.has_carried_work() {
            return Some(Instant::from_nanos(0));
        }
        let carried = self
            .forward
            .as_ref()
            .and_then(|forward| forward.deadlines.earliest());
        self.deadlines.earliest().into_iter().chain(carried).min()
    }

    /// The own address that a packet to `remote` leaves from.
    #[must_use]
    pub fn source_for(&self, remote: core::net::IpAddr) -> Option<core::net::IpAddr> {
        self.own.source_for(remote)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            outbox_overflow: self.outbox.overflow,
            ..self.counters
        }
    }

    /// Connections in any state, those nobody holds any more included unless they are in TIME-WAIT.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// What the user holds.
    #[must_use]
    pub fn held(&self) -> Held {
        let held = |connection: &Connection| {
            connection.listener.is_none() && connection.carried.is_none() && !connection.released
        };
        Held {
            connections: self
                .connections
                .iter()
                .filter(|(_, connection)| held(connection))
                .count(),
            listeners: self.listeners.len(),
            datagrams: self.datagrams.len(),
            pings: self.pings.len(),
        }
    }

    fn flush_outbox(&mut self, sink: &mut impl PacketSink) {
        if let Some(forward) = &mut self.forward {
            let sent = forward.between.waiting.flush(sink);
            self.count_sent(sent);
        }
        let sent = self.outbox.flush(sink);
        self.count_sent(sent);
        if self.outbox.is_empty() {
            self.wake_senders();
        }
    }

    fn count_sent(&mut self, sent: Sent) {
        self.counters.packets_sent += sent.packets;
        self.counters.bytes_sent += sent.bytes;
    }

    fn counter_of(&mut self, discard: Discard) -> &mut u64 {
        match discard {
            Discard::Malformed => &mut self.counters.dropped_malformed,
            Discard::Checksum => &mut self.counters.dropped_checksum,
            Discard::NotOurs => &mut self.counters.dropped_not_ours,
            Discard::Source => &mut self.counters.dropped_source,
            Discard::Fragment => &mut self.counters.dropped_fragment,
            Discard::Protocol => &mut self.counters.dropped_protocol,
        }
    }
}

fn make_ready(connection: &mut Connection, handle: Handle, ready: &mut VecDeque<Handle>) {
    if !connection.ready {
        connection.ready = true;
        ready.push_back(handle);
    }
}

/// Two random 16-bit numbers.
#[allow(clippy::cast_possible_truncation)] // the two halves
fn random_pair(rng: &mut impl Rng) -> [u16; 2] {
    let bits = rng.next_u32();
    [bits as u16, (bits >> 16) as u16]
}
