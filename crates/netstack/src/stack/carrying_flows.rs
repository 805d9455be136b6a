//! UDP flows and pings that are carried.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::UDP_HEADER_LEN;
use wirewright_protocol::Instant;
use wirewright_runtime::Owner;
use wirewright_runtime::outside::{Complaint, Failure, Order, Report};

use super::carrying_streams::codes;
use super::{Netstack, datagrams};
use crate::address::is_host;
use crate::demux::{Discard, IpPacket, Tuple};
use crate::forward::flows::{Flow, FlowKey};
use crate::forward::places::Full;
use crate::forward::quote::Quote;
use crate::forward::{Carried, name_of};
use crate::icmp::{HEADER_LEN, Outgoing};
use crate::slots::Handle;

impl Netstack {
    /// A datagram for somebody outside.
    pub(super) fn carry_datagram(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Result<(), Discard> {
        let datagram = packet.udp()?;
        // An answer could not be sent.
        if datagram.source.port() == 0 {
            return Err(Discard::Malformed);
        }
        let ends = Tuple {
            local: datagram.destination,
            remote: datagram.source,
        };
        let Some(handle) = self.flow(now, false, ends, packet, owner) else {
            return Ok(());
        };
        if let Some(forward) = &mut self.forward {
            forward.counters.datagrams_out += 1;
            forward
                .orders
                .send(name_of(handle), packet.hop_limit - 1, |bytes| {
                    bytes.extend_from_slice(datagram.payload);
                });
        }
        Ok(())
    }

    /// An echo request for somebody outside.
    pub(super) fn carry_echo(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        rest: [u8; 4],
        payload: &[u8],
        owner: Owner<'_>,
    ) -> Result<(), Discard> {
        let [i1, i2, s1, s2] = rest;
        let ends = Tuple {
            local: SocketAddr::new(packet.destination, 0),
            remote: SocketAddr::new(packet.source, u16::from_be_bytes([i1, i2])),
        };
        let Some(handle) = self.flow(now, true, ends, packet, owner) else {
            return Ok(());
        };
        if let Some(forward) = &mut self.forward {
            forward.counters.echo_requests_out += 1;
            let kind = if packet.source.is_ipv4() { 8 } else { 128 };
            forward
                .orders
                .send(name_of(handle), packet.hop_limit - 1, |bytes| {
                    // The host puts an identifier of its own, and the checksum.
                    bytes.extend([kind, 0, 0, 0, i1, i2, s1, s2]);
                    bytes.extend_from_slice(payload);
                });
        }
        Ok(())
    }

    /// The flow that a packet of a peer belongs to, begun if need be.
    fn flow(
        &mut self,
        now: Instant,
        is_echo: bool,
        ends: Tuple,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Option<Handle> {
        let forward = self.forward.as_mut()?;
        let key = FlowKey::new(is_echo, &ends);
        if let Some(&handle) = forward.flows.get(&key) {
            if let Some(Carried::Flow(flow)) = forward.carried.get_mut(handle) {
                flow.asked(Quote::of(packet), now);
            }
            return Some(handle);
        }
        let (peer, own) = self.admit(now, packet, owner)?;
        let forward = self.forward.as_mut()?;
        match forward.flow_places.take(peer) {
            Ok(()) => (),
            Err(full) => {
                match full {
                    Full::All => forward.counters.flows_full += 1,
                    Full::Peer => forward.counters.flows_full_of_peer += 1,
                }
                return None;
            }
        }
        let flow = Flow::new(is_echo, ends, peer, Quote::of(packet), now);
        let (kind, until) = (flow.kind(), flow.until(&forward.settings));
        let Some(handle) = forward.carried.insert(Carried::Flow(Box::new(flow))) else {
            forward.flow_places.give_back(peer);
            forward.counters.flows_full += 1;
            return None;
        };
        if let Some(Carried::Flow(flow)) = forward.carried.get_mut(handle) {
            forward.deadlines.set(handle, &mut flow.deadline, Some(until));
        }
        forward.counters.flows_begun += 1;
        forward.flows.insert(key, handle);
        forward.orders.push(Order::Open {
            name: name_of(handle),
            kind,
            remote: ends.local,
            own,
        });
        Some(handle)
    }

    pub(super) fn flow_reported(&mut self, now: Instant, handle: Handle, report: Report, bytes: &[u8]) {
        let Some(Carried::Flow(flow)) = self.carried_mut(handle) else {
            return;
        };
        let (quote, client, is_echo) = (flow.quote, flow.client().ip(), flow.is_echo);
        let peer = Some(flow.peer);
        match report {
            Report::Received(_) => {
                // It may stay for longer now, which is found out when the shorter time is over.
                flow.answered(now);
                let ends = flow.ends;
                if is_echo {
                    self.answer_echo(&ends, bytes);
                } else {
                    self.answer_datagram(&ends, bytes);
                }
            }
            Report::Complained(complaint) => self.pass_complaint(now, handle, complaint),
            Report::Lost => self.count(|counters| counters.datagrams_lost += 1),
            Report::Failed(failure) => {
                self.end_flow(handle);
                if is_echo && failure == Failure::Prohibited {
                    self.count(|counters| counters.echo_not_permitted += 1);
                }
                self.tell_failure(now, failure, &quote, (peer, client), false);
            }
            Report::Opened | Report::Ended | Report::Sent(_) => (),
        }
    }

    fn answer_datagram(&mut self, ends: &Tuple, payload: &[u8]) {
        let header = if ends.local.is_ipv4() { 20 } else { 40 } + UDP_HEADER_LEN;
        self.send_answer(header + payload.len(), |buffer| {
            datagrams::emit(buffer, ends.local, ends.remote, payload);
        });
        self.count(|counters| counters.datagrams_in += 1);
    }

    /// An ICMP message as the host's socket has it.
    fn answer_echo(&mut self, ends: &Tuple, message: &[u8]) {
        let wanted = if ends.local.is_ipv4() { 0 } else { 129 };
        let split = message.split_first_chunk::<HEADER_LEN>();
        let Some((&[kind, code, _, _, _, _, s1, s2], payload)) = split else {
            return self.count(|counters| counters.answers_ignored += 1);
        };
        if (kind, code) != (wanted, 0) {
            return self.count(|counters| counters.answers_ignored += 1);
        }
        let [i1, i2] = ends.remote.port().to_be_bytes();
        let between = (ends.local.ip(), ends.remote.ip());
        let reply = Outgoing::message(between, (wanted, 0), [i1, i2, s1, s2], payload);
        self.send_answer(reply.len(), |buffer| reply.emit(buffer));
        self.count(|counters| counters.echo_replies_in += 1);
    }

    /// Sends a packet of `len` bytes to a peer, in fragments if it is too long for the tunnel.
    fn send_answer(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        if !self.outbox.has_room_for_sender(len) {
            forward.counters.answers_lost += 1;
            return;
        }
        forward.cutter.emit(len, self.mtu, &mut self.outbox, fill);
    }

    /// Passes an ICMP error on, in the name of who said it.
    fn pass_complaint(&mut self, now: Instant, handle: Handle, complaint: Complaint) {
        let Some(Carried::Flow(flow)) = self.carried_mut(handle) else {
            return;
        };
        let (client, remote) = (flow.client().ip(), flow.ends.local.ip());
        let peer = Some(flow.peer);
        let quote = match complaint.sequence {
            Some(sequence) if flow.is_echo => flow.quote.with_sequence(sequence),
            _ => flow.quote,
        };
        let (kind, code) = (complaint.kind, complaint.code);
        // Unreachable but for "too long", time exceeded, a faulty parameter.
        let is_passed = match client {
            IpAddr::V4(_) => matches!((kind, code), (3, 0..=3 | 5..) | (11 | 12, _)),
            IpAddr::V6(_) => matches!(kind, 1 | 3 | 4),
        };
        if !is_passed {
            return self.count(|counters| counters.errors_ignored += 1);
        }
        self.count(|counters| counters.errors_passed += 1);
        // That nobody listens is what the destination itself says, whatever stands before it.
        let refused = (kind, code) == codes(Failure::Refused, client);
        let offender = complaint
            .offender
            .filter(|offender| is_host(*offender) && offender.is_ipv4() == client.is_ipv4());
        let from = if refused { Some(remote) } else { offender };
        if let Some(from) = from.or_else(|| self.own.source_for(client)) {
            self.object_from(now, from, quote.bytes(), (peer, client), (kind, code), [0; 4]);
        }
    }

    pub(super) fn end_flow(&mut self, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Flow(mut flow)) = forward.carried.remove(handle) else {
            return;
        };
        forward.deadlines.set(handle, &mut flow.deadline, None);
        forward.flow_places.give_back(flow.peer);
        forward.flows.remove(&flow.key());
        let name = name_of(handle);
        forward.orders.push(Order::Close { name, abort: false });
    }
}
