//! Packets of peers for what is outside, and what the host's sockets say of it. See [`crate::forward`] for the theory.

use core::net::IpAddr;

use wirewright_protocol::{Instant, PublicKey};
use wirewright_runtime::Owner;
use wirewright_runtime::outside::{Orders, Reports};

use super::Netstack;
use crate::demux::{Discard, IpPacket, Protocol};
use crate::device::PacketSink;
use crate::forward::between::Passage;
use crate::forward::reassembly::Fragment;
use crate::forward::{Carried, ForwardCounters, Forwarder, Forwarding};
use crate::icmp::{Message, Outgoing};
use crate::slots::Handle;

/// Bytes of an ICMP error's quotation where the whole packet is at hand.
const QUOTED: usize = 520;

/// What a stack carries, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded {
    /// What was carried so far.
    pub counters: ForwardCounters,
    /// Connections now.
    pub connections: usize,
    /// UDP flows and pings now.
    pub flows: usize,
}

impl Netstack {
    /// From here on carries what comes for addresses outside.
    pub fn forward(&mut self, settings: Forwarding) {
        let forwarder = Forwarder::new(settings, &self.limits, self.mtu, &mut self.rng);
        self.forward = Some(Box::new(forwarder));
    }

    /// Whether it carries anything.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.forward.is_some()
    }

    /// What was carried, and what is. `None` if nothing is forwarded.
    #[must_use]
    pub fn forwarded(&self) -> Option<Forwarded> {
        let forward = self.forward.as_ref()?;
        let counters = ForwardCounters {
            fragments_lost: forward.reassembly.lost,
            ..forward.counters
        };
        Some(Forwarded {
            counters,
            connections: forward.stream_places.taken(),
            flows: forward.flow_places.taken(),
        })
    }

    /// Whether `address` is one of the stack's own.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(address)
    }

    /// Takes what the host's sockets tell.
    pub fn reported(&mut self, now: Instant, reports: &Reports) {
        for (name, report, bytes) in reports.iter() {
            let handle = Handle::from_bits(name);
            let Some(forward) = &mut self.forward else {
                return;
            };
            match forward.carried.get(handle) {
                Some(Carried::Stream(_)) => self.stream_reported(now, handle, report, bytes),
                Some(Carried::Flow(_)) => self.flow_reported(now, handle, report, bytes),
                // It was let go meanwhile.
                None => (),
            }
        }
    }

    /// Gives what the host's sockets are to do, in exchange for empty orders.
    pub fn order(&mut self, orders: &mut Orders) {
        if let Some(forward) = &mut self.forward {
            core::mem::swap(&mut forward.orders, orders);
        }
    }

    /// Ends what is carried for addresses that belong to somebody else by now, or to nobody.
    pub fn recheck(&mut self, owner: Owner<'_>) {
        self.end_all(|carried| owner(carried.client()) != Some(carried.peer()));
    }

    /// Ends everything that is carried, so that peers are told.
    pub fn end_forwarding(&mut self) {
        self.end_all(|_| true);
    }

    /// A packet for an address outside. `owner` tells whose an address is.
    pub(super) fn receive_foreign(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Result<(), Discard> {
        if packet.hop_limit <= 1 {
            self.count(|counters| counters.hops_exceeded += 1);
            let code = if packet.source.is_ipv4() { (11, 0) } else { (3, 0) };
            let to = (owner(packet.source), packet.source);
            self.object(now, packet.whole, to, code, [0; 4]);
            return Ok(());
        }
        match packet.protocol {
            Protocol::Tcp => self.receive_segment(now, packet, owner),
            Protocol::Udp => self.carry_datagram(now, packet, owner),
            Protocol::Icmpv4 | Protocol::Icmpv6 => match Message::parse(packet)? {
                Message::EchoRequest { rest, payload } => self.carry_echo(now, packet, rest, payload, owner),
                _ => {
                    self.count(|counters| counters.messages_ignored += 1);
                    Ok(())
                }
            },
        }
    }

    /// Takes a piece of a packet for an address outside. `true` if it was one.
    pub(super) fn takes_fragment(&mut self, now: Instant, packet: &[u8], owner: Owner<'_>) -> bool {
        let Some(fragment) = Fragment::parse(packet) else {
            return false;
        };
        if self.own.contains(fragment.destination()) {
            return false;
        }
        let Some(mut forward) = self.forward.take() else {
            return false;
        };
        let peer = owner(fragment.source());
        let whole = forward.reassembly.take(now, &fragment, peer).map(<[u8]>::to_vec);
        self.forward = Some(forward);
        if let Some(whole) = whole {
            self.take(now, &whole, owner);
        }
        true
    }

    /// A packet of one peer for another.
    pub(crate) fn pass_between(&mut self, now: Instant, packet: &[u8], owner: Owner<'_>) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let (counters, mtu) = (&mut forward.counters, self.mtu);
        let [.., m1, m2] = u32::try_from(mtu).unwrap_or(0).to_be_bytes();
        let source = match forward.between.pass(packet, &mut forward.cutter) {
            Passage::Passed => return counters.between_peers += 1,
            Passage::Refused => return counters.between_peers_refused += 1,
            Passage::Full => return counters.between_peers_full += 1,
            Passage::Exceeded => {
                counters.hops_exceeded += 1;
                None
            }
            Passage::TooLong => {
                counters.between_peers_too_long += 1;
                Some([0, 0, m1, m2])
            }
        };
        let Some(from) = source_of(packet) else {
            return;
        };
        let code = match (from, source) {
            (IpAddr::V4(_), None) => (11, 0),
            (IpAddr::V6(_), None) => (3, 0),
            (IpAddr::V4(_), Some(_)) => (3, 4),
            (IpAddr::V6(_), Some(_)) => (2, 0),
        };
        let to = (owner(from), from);
        self.object(now, packet, to, code, source.unwrap_or_default());
    }

    /// Work that waits: events of connections, bytes for the host, what is idle.
    pub(super) fn relay(&mut self, now: Instant) {
        while let Some(handle) = self.carried_events.pop_front() {
            self.carried_event(now, handle);
        }
        let waiting = self.forward.as_ref().map_or(0, |forward| forward.pumps.len());
        for _ in 0..waiting {
            let next = self
                .forward
                .as_mut()
                .and_then(|forward| forward.pumps.pop_front());
            if let Some(handle) = next {
                if let Some(Carried::Stream(stream)) = self.carried_mut(handle) {
                    stream.pumped = false;
                }
                self.pump(now, handle);
            }
        }
        while let Some(handle) = self
            .forward
            .as_mut()
            .and_then(|forward| forward.deadlines.take_due(now))
        {
            self.look_at(now, handle);
        }
    }

    /// Whether there is work for [`Self::relay`], or packets between peers wait.
    pub(super) fn has_carried_work(&self) -> bool {
        !self.carried_events.is_empty()
            || self
                .forward
                .as_ref()
                .is_some_and(|forward| !forward.pumps.is_empty() || !forward.between.waiting.is_empty())
    }

    /// Its deadline has come: perhaps something happened since it was set.
    fn look_at(&mut self, now: Instant, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let settings = &forward.settings;
        let (until, deadline) = match forward.carried.get_mut(handle) {
            Some(Carried::Stream(stream)) => (
                stream.until(settings.connect, settings.connection_idle),
                &mut stream.deadline,
            ),
            Some(Carried::Flow(flow)) => (flow.until(settings), &mut flow.deadline),
            None => return,
        };
        *deadline = None;
        if until > now {
            forward.deadlines.set(handle, deadline, Some(until));
            return;
        }
        match forward.carried.get(handle) {
            Some(Carried::Stream(_)) => self.stream_expired(now, handle),
            Some(Carried::Flow(_)) => {
                self.count(|counters| counters.flows_expired += 1);
                self.end_flow(handle);
            }
            None => (),
        }
    }

    fn end_all(&mut self, which: impl Fn(&Carried) -> bool) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let doomed: Vec<(Handle, bool)> = forward
            .carried
            .iter()
            .filter(|(_, carried)| which(carried))
            .map(|(handle, carried)| (handle, matches!(carried, Carried::Stream(_))))
            .collect();
        for (handle, is_stream) in doomed {
            self.count(|counters| counters.cut += 1);
            if is_stream {
                self.end_stream(handle);
            } else {
                self.end_flow(handle);
            }
        }
    }

    pub(super) fn count(&mut self, add: impl FnOnce(&mut ForwardCounters)) {
        if let Some(forward) = &mut self.forward {
            add(&mut forward.counters);
        }
    }

    /// Answers a packet, or what is quoted of one, by an ICMP error of the tunnel's own, unless it was an error itself. `to` is a
    /// peer's address, and whose it is; `code` has the error's type in front.
    pub(super) fn object(
        &mut self,
        now: Instant,
        packet: &[u8],
        to: (Option<PublicKey>, IpAddr),
        code: (u8, u8),
        rest: [u8; 4],
    ) {
        let Some(own) = self.own.source_for(to.1) else {
            self.counters.error_replies_suppressed += 1;
            return;
        };
        self.object_from(now, own, packet, to, code, rest);
    }

    /// The same in the name of somebody outside.
    pub(super) fn object_from(
        &mut self,
        now: Instant,
        from: IpAddr,
        packet: &[u8],
        (peer, to): (Option<PublicKey>, IpAddr),
        code: (u8, u8),
        rest: [u8; 4],
    ) {
        if from.is_ipv4() != to.is_ipv4() || is_icmp_error(packet) || is_for_many(packet) {
            return;
        }
        if !self.limiters.allow(peer, now) {
            self.counters.error_replies_suppressed += 1;
            return;
        }
        let quoted = packet.get(..packet.len().min(QUOTED)).unwrap_or_default();
        let error = Outgoing::message((from, to), code, rest, quoted);
        self.outbox.packet(error.len(), |buffer| error.emit(buffer));
    }
}

impl Carried {
    /// The peer's address.
    fn client(&self) -> IpAddr {
        match self {
            Self::Stream(stream) => stream.tuple.remote.ip(),
            Self::Flow(flow) => flow.ends.remote.ip(),
        }
    }

    fn peer(&self) -> wirewright_protocol::PublicKey {
        match self {
            Self::Stream(stream) => stream.peer,
            Self::Flow(flow) => flow.peer,
        }
    }
}

/// Where a packet says that it comes from.
fn source_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(12..)?.first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(8..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

/// Where a packet says that it goes to.
pub(crate) fn destination_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

/// Whether a packet is for a group, or for all: there is no error about such either.
fn is_for_many(packet: &[u8]) -> bool {
    match destination_of(packet) {
        Some(IpAddr::V4(v4)) => v4.is_multicast() || v4.is_broadcast(),
        Some(IpAddr::V6(v6)) => v6.is_multicast(),
        None => true,
    }
}

/// Whether a packet is an ICMP message other than an echo request: such are not answered by errors (RFC 1122 3.2.2,
/// RFC 4443 2.4e).
fn is_icmp_error(packet: &[u8]) -> bool {
    let at = |index: usize| packet.get(index).copied();
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            let header = at(0).map_or(20, |byte| usize::from(byte & 15) * 4);
            at(9) == Some(1) && at(header) != Some(8)
        }
        Some(6) => at(6) == Some(58) && at(40) != Some(128),
        _ => true,
    }
}
