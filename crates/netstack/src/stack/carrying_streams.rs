//! Connections that are carried: from a peer's SYN to the end of both halves.

use core::net::IpAddr;

use wirewright_protocol::{Instant, PublicKey};
use wirewright_runtime::Owner;
use wirewright_runtime::outside::{Failure, Kind, Order, Report};

use super::{Netstack, make_ready};
use crate::connection::{Connection, Received};
use crate::demux::{IpPacket, Segment};
use crate::event::CloseReason;
use crate::forward::places::Full;
use crate::forward::quote::Quote;
use crate::forward::streams::{Joined, MOST_UNSENT, Phase, Stream};
use crate::forward::{Carried, name_of};
use crate::slots::{ConnectionId, Handle};
use crate::tcp::Setup;

/// Bytes that are ordered in one round.
const MOST_ORDERED: usize = 1 << 20;
/// Bytes read at once from the peer's connection.
const PIECE: usize = 64 << 10;

impl Netstack {
    /// A SYN for somebody outside: asks the host to connect, and answers nothing yet.
    pub(super) fn carry_stream(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        segment: &Segment,
        owner: Owner<'_>,
    ) {
        let key = segment.tuple.key();
        let Some(forward) = &mut self.forward else {
            return;
        };
        if forward.dialing.contains_key(&key) {
            return;
        }
        let Some((peer, own)) = self.admit(now, packet, owner) else {
            return;
        };
        let Some(forward) = &mut self.forward else {
            return;
        };
        if self.connections.is_full() {
            self.counters.connections_overflow += 1;
            return;
        }
        match forward.stream_places.take(peer) {
            Ok(()) => (),
            Err(Full::All) => return forward.counters.connections_full += 1,
            Err(Full::Peer) => return forward.counters.connections_full_of_peer += 1,
        }
        let stream = Stream {
            tuple: segment.tuple,
            peer,
            phase: Phase::Dialing {
                syn: *segment,
                quote: Quote::of(packet),
            },
            last: now,
            deadline: None,
            pumped: false,
        };
        let Some(handle) = forward.carried.insert(Carried::Stream(Box::new(stream))) else {
            forward.stream_places.give_back(peer);
            return forward.counters.connections_full += 1;
        };
        if let Some(Carried::Stream(stream)) = forward.carried.get_mut(handle) {
            let until = now + forward.settings.connect;
            forward.deadlines.set(handle, &mut stream.deadline, Some(until));
        }
        forward.counters.connections_begun += 1;
        forward.dialing.insert(key, handle);
        forward.orders.push(Order::Open {
            name: name_of(handle),
            kind: Kind::Stream,
            remote: segment.tuple.local,
            own,
        });
    }

    /// A peer gives up what the host still connects. `true` if there was such a connection.
    pub(super) fn stop_dialing(&mut self, segment: &Segment) -> bool {
        let Some(forward) = &mut self.forward else {
            return false;
        };
        let Some(&handle) = forward.dialing.get(&segment.tuple.key()) else {
            return false;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get(handle) else {
            return false;
        };
        // Only who knows the number may do so (RFC 5961 3.2); other segments are early, or somebody's guess.
        let Phase::Dialing { syn, .. } = &stream.phase else {
            return false;
        };
        if segment.rst && segment.sequence == syn.sequence.wrapping_add(1) {
            forward.counters.connections_abandoned += 1;
            self.end_stream(handle);
        }
        true
    }

    pub(super) fn stream_reported(&mut self, now: Instant, handle: Handle, report: Report, bytes: &[u8]) {
        match report {
            Report::Opened => self.join(now, handle),
            Report::Failed(failure) => self.stream_failed(now, handle, failure),
            Report::Received(_) => self.stream_received(now, handle, bytes),
            Report::Ended => self.host_ended(handle),
            Report::Sent(len) => {
                if let Some(joined) = self.joined(handle) {
                    joined.unsent = joined.unsent.saturating_sub(len);
                    self.pump(now, handle);
                }
            }
            Report::Complained(_) | Report::Lost => (),
        }
    }

    /// The host is connected: now the peer is answered.
    fn join(&mut self, now: Instant, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get_mut(handle) else {
            return;
        };
        let Phase::Dialing { syn, .. } = stream.phase else {
            return;
        };
        let setup = Setup {
            mtu: self.mtu,
            control: self.control,
            limits: &forward.limits,
            timing: &self.timing,
            initial_sequence: self.initial_sequences.number(&stream.tuple, now),
            budget: &self.budget,
        };
        let made = Connection::carry(&setup, stream.tuple, handle, now).ok();
        let Some(connection) = made.and_then(|made| self.connections.insert(Box::new(made))) else {
            self.counters.connections_overflow += 1;
            return self.end_stream(handle);
        };
        let key = stream.tuple.key();
        forward.dialing.remove(&key);
        self.by_tuple.insert(key, connection);
        stream.phase = Phase::Joined(Joined::new(ConnectionId(connection)));
        stream.last = now;
        forward.counters.connections_joined += 1;
        self.counters.connections_offered += 1;
        let until = now + forward.settings.connection_idle;
        forward.deadlines.set(handle, &mut stream.deadline, Some(until));
        if let Some(answering) = self.connections.get_mut(connection) {
            answering.ingress(now, &[], &syn, &mut self.outbox);
            make_ready(answering, connection, &mut self.ready);
        }
        self.after(connection, now);
    }

    fn stream_failed(&mut self, now: Instant, handle: Handle, failure: Failure) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get(handle) else {
            return;
        };
        let peer = Some(stream.peer);
        let (syn, quote) = match stream.phase {
            Phase::Dialing { syn, quote } => (syn, quote),
            Phase::Joined(_) => {
                forward.counters.connections_broken += 1;
                return self.end_stream(handle);
            }
            // Its socket is closed; this was said before.
            Phase::Leaving(_) => return,
        };
        self.end_stream(handle);
        match failure {
            Failure::Refused | Failure::Reset => {
                self.count(|counters| counters.connections_refused += 1);
                self.reset(now, &syn, peer);
            }
            failure => self.tell_failure(now, failure, &quote, (peer, syn.tuple.remote.ip()), true),
        }
    }

    /// It took too long to connect, or it was idle for too long.
    pub(super) fn stream_expired(&mut self, now: Instant, handle: Handle) {
        if self.joined(handle).is_some() {
            self.count(|counters| counters.connections_idle += 1);
            self.end_stream(handle);
        } else {
            self.stream_failed(now, handle, Failure::TimedOut);
        }
    }

    fn stream_received(&mut self, now: Instant, handle: Handle, bytes: &[u8]) {
        let Some(Carried::Stream(stream)) = self.carried_mut(handle) else {
            return;
        };
        stream.last = now;
        let Some(joined) = stream.joined() else {
            return;
        };
        joined.granted = joined.granted.saturating_sub(bytes.len());
        let id = joined.connection;
        self.count(|counters| counters.bytes_in += bytes.len() as u64);
        match self.write(id, bytes) {
            Ok(taken) if taken < bytes.len() => {
                // More than was asked for. A hole in a stream must not look like one.
                self.count(|counters| counters.connections_broken += 1);
                self.end_stream(handle);
            }
            Ok(_) => self.grant(handle),
            // The peer's side is over; its event will say so.
            Err(_) => (),
        }
    }

    fn host_ended(&mut self, handle: Handle) {
        let Some(joined) = self.joined(handle) else {
            return;
        };
        joined.host_ended = true;
        let (id, is_over) = (joined.connection, joined.is_over());
        self.shutdown(id);
        if is_over {
            self.finish_stream(handle);
        }
    }

    /// What became of the peer's half.
    pub(super) fn carried_event(&mut self, now: Instant, connection: Handle) {
        let Some(half) = self.connections.get_mut(connection) else {
            return;
        };
        let pending = core::mem::take(&mut half.pending);
        half.listed = false;
        let Some(handle) = half.carried.filter(|_| !half.released) else {
            // It could not be freed while it stood here.
            make_ready(half, connection, &mut self.ready);
            return;
        };
        if pending.failed.is_some() {
            self.count(|counters| counters.connections_abandoned += 1);
            return self.end_stream(handle);
        }
        if pending.connected || pending.writable {
            self.grant(handle);
        }
        if pending.connected || pending.readable || pending.closed.is_some() {
            self.pump(now, handle);
        }
        if pending
            .closed
            .is_some_and(|reason| reason != CloseReason::Finished)
            && self.carried_mut(handle).is_some()
        {
            self.count(|counters| counters.connections_broken += 1);
            self.end_stream(handle);
        }
    }

    /// Lets the host's socket read as far as there is room on the way to the peer.
    fn grant(&mut self, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get_mut(handle) else {
            return;
        };
        let Some(joined) = stream.joined() else {
            return;
        };
        let Some(half) = self.connections.get_mut(joined.connection.0) else {
            return;
        };
        let (room, capacity) = half.room();
        let more = joined.more(room, capacity);
        if more > 0 {
            let name = name_of(handle);
            forward.orders.push(Order::Read { name, more });
        } else if joined.granted == 0 {
            half.want_room();
        }
    }

    /// Orders what the peer sent to be sent on, as far as the host's socket takes it.
    pub(super) fn pump(&mut self, now: Instant, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get_mut(handle) else {
            return;
        };
        let Phase::Joined(joined) = &mut stream.phase else {
            return;
        };
        let Some(half) = self.connections.get_mut(joined.connection.0) else {
            return;
        };
        let name = name_of(handle);
        let mut broke = false;
        while !joined.peer_ended && joined.unsent < MOST_UNSENT {
            if forward.orders.len() >= MOST_ORDERED {
                if !core::mem::replace(&mut stream.pumped, true) {
                    forward.pumps.push_back(handle);
                }
                break;
            }
            let wanted = half.unread().min(MOST_UNSENT - joined.unsent).min(PIECE);
            let mut outcome = Received::Nothing;
            forward.orders.send_some(name, wanted, |room| {
                // Without a byte to read, what is asked is whether there will be any.
                let mut one = [0];
                outcome = half.read(if room.is_empty() { &mut one } else { room });
                match outcome {
                    Received::Data(len) => len,
                    _ => 0,
                }
            });
            match outcome {
                Received::Data(len) => {
                    joined.unsent += len;
                    stream.last = now;
                    forward.counters.bytes_out += len as u64;
                    // The window may have opened enough to tell.
                    make_ready(half, joined.connection.0, &mut self.ready);
                }
                Received::Nothing => break,
                Received::End => {
                    joined.peer_ended = true;
                    forward.orders.push(Order::Finish { name });
                }
                Received::Failed(_) => {
                    broke = true;
                    break;
                }
            }
        }
        let is_over = joined.is_over();
        if broke {
            forward.counters.connections_broken += 1;
            self.end_stream(handle);
        } else if is_over {
            self.finish_stream(handle);
        }
    }

    /// Both directions have ended: lets go of the host's socket at once, and of the rest with [`Self::stream_left`].
    fn finish_stream(&mut self, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(stream)) = forward.carried.get_mut(handle) else {
            return;
        };
        let Phase::Joined(joined) = &stream.phase else {
            return;
        };
        let connection = joined.connection;
        stream.phase = Phase::Leaving(connection);
        forward.deadlines.set(handle, &mut stream.deadline, None);
        if core::mem::take(&mut stream.pumped) {
            forward.pumps.retain(|pumped| *pumped != handle);
        }
        let name = name_of(handle);
        forward.orders.push(Order::Close { name, abort: false });
        self.release(connection);
    }

    /// The peer's connection has left the stack, after [`Self::finish_stream`] if `handle` still means something.
    pub(super) fn stream_left(&mut self, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        if let Some(Carried::Stream(stream)) = forward.carried.remove(handle) {
            forward.stream_places.give_back(stream.peer);
        }
    }

    /// Lets go of both halves, and resets those that are not over.
    pub(super) fn end_stream(&mut self, handle: Handle) {
        let Some(forward) = &mut self.forward else {
            return;
        };
        let Some(Carried::Stream(mut stream)) = forward.carried.remove(handle) else {
            return;
        };
        forward.deadlines.set(handle, &mut stream.deadline, None);
        forward.stream_places.give_back(stream.peer);
        if stream.pumped {
            forward.pumps.retain(|pumped| *pumped != handle);
        }
        let name = name_of(handle);
        forward.orders.push(Order::Close { name, abort: true });
        match stream.phase {
            Phase::Dialing { .. } => {
                forward.dialing.remove(&stream.tuple.key());
            }
            Phase::Joined(Joined { connection, .. }) | Phase::Leaving(connection) => {
                self.abort(connection);
                self.release(connection);
            }
        }
    }

    /// Whose packet this is, and whether its destination may be the host's own. `None` if it may not be reached, which is
    /// told.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Option<(PublicKey, bool)> {
        let forward = self.forward.as_mut()?;
        if self.own.covers(packet.destination) {
            // A place for a peer, and nobody has it: to look for it outside would tell the outside who is where.
            forward.counters.nobody_inside += 1;
            let code = codes(Failure::HostUnreachable, packet.source);
            let to = (owner(packet.source), packet.source);
            self.object(now, packet.whole, to, code, [0; 4]);
            return None;
        }
        let permit = forward.reach.judge(packet.destination);
        let peer = owner(packet.source);
        let Some((permit, peer)) = permit.zip(peer) else {
            forward.counters.denied += 1;
            let code = codes(Failure::Prohibited, packet.source);
            self.object(now, packet.whole, (peer, packet.source), code, [0; 4]);
            return None;
        };
        Some((peer, permit.own))
    }

    /// Tells a peer, by an ICMP error about what is quoted, why nothing comes of it.
    pub(super) fn tell_failure(
        &mut self,
        now: Instant,
        failure: Failure,
        quote: &Quote,
        to: (Option<PublicKey>, IpAddr),
        is_stream: bool,
    ) {
        self.count(|counters| match failure {
            Failure::Own => counters.denied_own += 1,
            Failure::Exhausted => counters.exhausted += 1,
            _ if is_stream => counters.connections_unreachable += 1,
            _ => (),
        });
        // Who finds no room comes again.
        if failure != Failure::Exhausted {
            self.object(now, quote.bytes(), to, codes(failure, to.1), [0; 4]);
        }
    }

    fn joined(&mut self, handle: Handle) -> Option<&mut Joined> {
        match self.carried_mut(handle)? {
            Carried::Stream(stream) => stream.joined(),
            Carried::Flow(_) => None,
        }
    }

    pub(super) fn carried_mut(&mut self, handle: Handle) -> Option<&mut Carried> {
        self.forward.as_mut()?.carried.get_mut(handle)
    }
}

/// Type and code of the ICMP error that says so (RFC 792, RFC 1812 5.2.7.1; RFC 4443 3.1).
pub(super) fn codes(failure: Failure, family: IpAddr) -> (u8, u8) {
    match (failure, family) {
        (Failure::Refused, IpAddr::V4(_)) => (3, 3),
        (Failure::Refused, IpAddr::V6(_)) => (1, 4),
        (Failure::NetworkUnreachable, IpAddr::V4(_)) => (3, 0),
        (Failure::NetworkUnreachable, IpAddr::V6(_)) => (1, 0),
        (Failure::Prohibited | Failure::Own, IpAddr::V4(_)) => (3, 13),
        (Failure::Prohibited | Failure::Own, IpAddr::V6(_)) => (1, 1),
        (_, IpAddr::V4(_)) => (3, 1),
        (_, IpAddr::V6(_)) => (1, 3),
    }
}
