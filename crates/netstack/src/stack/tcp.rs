//! Segments to connections, and connections' turns.

use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use wirewright_protocol::{Instant, PublicKey};
use wirewright_runtime::Owner;

use super::{Netstack, make_ready};
use crate::connection::{Change, Connection};
use crate::demux::{Discard, IpPacket, Segment};
use crate::device::{PacketSink, checksums};
use crate::event::{CloseReason, Event};
use crate::slots::{ConnectionId, Handle};
use crate::tcp::{Egress, Setup};
use crate::time_wait::Verdict;

impl Netstack {
    pub(super) fn receive_segment(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        owner: Owner<'_>,
    ) -> Result<(), Discard> {
        let segment = packet.segment()?;
        if let Some(&handle) = self.by_tuple.get(&segment.tuple.key())
            && !self.gives_way(handle, now, &segment)
        {
            self.feed(handle, now, packet, &segment);
            return Ok(());
        }
        match self.time_wait.judge(&segment, now) {
            None | Some(Verdict::Reopen) => {}
            Some(Verdict::Ignore) => return Ok(()),
            Some(Verdict::Acknowledge(rest)) => {
                self.answer(
                    now,
                    &segment,
                    owner(packet.source),
                    TcpControl::None,
                    rest.send_next,
                    Some(rest.receive_next),
                );
                return Ok(());
            }
        }
        if segment.is_first() && packet.foreign {
            self.carry_stream(now, packet, &segment, owner);
        } else if segment.is_first() {
            self.offer(now, packet, &segment, owner);
        } else if !self.stop_dialing(&segment) {
            self.reset(now, &segment, owner(packet.source));
        }
        Ok(())
    }

    /// Takes its 4-tuple from a connection that is past when another seems to begin: [`TimeWait`] judges whether it
    /// does.
    ///
    /// [`TimeWait`]: crate::time_wait::TimeWait
    fn gives_way(&mut self, handle: Handle, now: Instant, segment: &Segment) -> bool {
        if !segment.is_first() {
            return false;
        }
        let Some(connection) = self.connections.get_mut(handle) else {
            return false;
        };
        if !connection.is_past(now) {
            return false;
        }
        let (key, rest) = (segment.tuple.key(), connection.leave(now));
        make_ready(connection, handle, &mut self.ready);
        self.by_tuple.remove(&key);
        if let Some(rest) = rest {
            self.counters.time_wait_evicted += u64::from(self.time_wait.insert(key, rest));
        }
        true
    }

    fn feed(&mut self, handle: Handle, now: Instant, packet: &IpPacket<'_>, segment: &Segment) {
        let Some(connection) = self.connections.get_mut(handle) else {
            return;
        };
        self.counters.connections_touched += 1;
        let header_len = packet.payload.len().saturating_sub(segment.payload_len);
        let payload = packet.payload.get(header_len..).unwrap_or_default();
        connection.ingress(now, payload, segment, &mut self.outbox);
        make_ready(connection, handle, &mut self.ready);
        self.after(handle, now);
    }

    /// A SYN: for a listener, or for nobody.
    fn offer(&mut self, now: Instant, packet: &IpPacket<'_>, segment: &Segment, owner: Owner<'_>) {
        let local = segment.tuple.local;
        let Some(listening) = self.listeners.find(local.ip(), local.port()) else {
            self.reset(now, segment, owner(packet.source));
            return;
        };
        let source = segment.tuple.remote.ip();
        let crowd = self.listeners.get_mut(listening);
        if let Some(victim) = crowd.and_then(|listener| listener.crowding_out(source)) {
            self.drop_half_open(victim, now);
        }
        let Some(listener) = self.listeners.get_mut(listening) else {
            return;
        };
        if !listener.has_room() {
            self.counters.backlog_overflow += 1;
            return;
        }
        if self.connections.is_full() {
            self.counters.connections_overflow += 1;
            return;
        }
        let setup = Setup {
            mtu: self.mtu,
            control: self.control,
            limits: &self.limits,
            timing: &self.timing,
            initial_sequence: self.initial_sequences.number(&segment.tuple, now),
            budget: &self.budget,
        };
        let Ok(connection) = Connection::listen(&setup, segment.tuple, listening, now) else {
            self.counters.connections_overflow += 1;
            return;
        };
        let Some(handle) = self.connections.insert(Box::new(connection)) else {
            return;
        };
        listener.begun(source, handle);
        self.counters.connections_offered += 1;
        self.by_tuple.insert(segment.tuple.key(), handle);
        self.feed(handle, now, packet, segment);
    }

    /// Ends a handshake with a listener, which makes room for another one.
    fn drop_half_open(&mut self, handle: Handle, now: Instant) {
        if let Some(connection) = self.connections.get_mut(handle) {
            connection.abort(CloseReason::Aborted);
            make_ready(connection, handle, &mut self.ready);
        }
        self.after(handle, now);
    }

    /// Answers a segment that belongs to nothing (RFC 9293 3.10.7.1).
    pub(super) fn reset(&mut self, now: Instant, segment: &Segment, peer: Option<PublicKey>) {
        if segment.rst {
            return;
        }
        let taken = u32::try_from(segment.segment_len).unwrap_or(0);
        let (sequence, ack_number) = if segment.ack {
            (segment.ack_number, None)
        } else {
            (0, Some(segment.sequence.wrapping_add(taken)))
        };
        if self.answer(now, segment, peer, TcpControl::Rst, sequence, ack_number) {
            self.counters.resets_sent += 1;
        }
    }

    /// Answers a peer's segment without a connection, unless too many of its were answered lately.
    fn answer(
        &mut self,
        now: Instant,
        segment: &Segment,
        peer: Option<PublicKey>,
        control: TcpControl,
        sequence: u32,
        ack_number: Option<u32>,
    ) -> bool {
        if !self.limiters.allow(peer, now) {
            self.counters.error_replies_suppressed += 1;
            return false;
        }
        #[allow(clippy::cast_possible_wrap)] // smoltcp keeps a number without a sign in an i32
        let number = |value: u32| TcpSeqNumber(value as i32);
        let reply = TcpRepr {
            src_port: segment.tuple.local.port(),
            dst_port: segment.tuple.remote.port(),
            control,
            seq_number: number(sequence),
            ack_number: ack_number.map(number),
            window_len: 0,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (source, destination) = (segment.tuple.local.ip().into(), segment.tuple.remote.ip().into());
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, reply.buffer_len(), 64);
        let checksum = checksums();
        self.outbox.packet(ip.buffer_len(), |buffer| {
            ip.emit(&mut *buffer, &checksum);
            if let Some(rest) = buffer.get_mut(ip.header_len()..) {
                reply.emit(
                    &mut TcpPacket::new_unchecked(rest),
                    &source,
                    &destination,
                    &checksum,
                );
            }
        });
        true
    }

    /// One connection's turn to send, and its end if it has come.
    pub(super) fn run(&mut self, handle: Handle, now: Instant, sink: &mut impl PacketSink) {
        let Some(connection) = self.connections.get_mut(handle) else {
            return;
        };
        self.counters.connections_touched += 1;
        connection.ready = false;
        connection.expire(now, &self.timing);
        if !connection.has_left(now) {
            let (outcome, sent) = connection.egress(now, sink);
            self.count_sent(sent);
            let Some(connection) = self.connections.get_mut(handle) else {
                return;
            };
            match outcome {
                Egress::Done => {}
                Egress::More => make_ready(connection, handle, &mut self.ready),
                Egress::Blocked => {
                    connection.ready = true;
                    self.ready.push_front(handle);
                }
            }
        }
        self.after(handle, now);
        let Some(connection) = self.connections.get_mut(handle) else {
            return;
        };
        if connection.reachable && connection.has_left(now) {
            connection.reachable = false;
            self.by_tuple.remove(&connection.tuple().key());
        }
        let unobserved = !connection.listed && !connection.ready;
        if let Some(rest) = connection.rest(now, &self.timing).filter(|_| unobserved) {
            let key = connection.tuple().key();
            self.by_tuple.remove(&key);
            self.deadlines.set(handle, &mut connection.deadline, None);
            self.free(handle);
            self.counters.time_wait_evicted += u64::from(self.time_wait.insert(key, rest));
            return;
        }
        let wanted = connection.next_deadline(now, &self.timing);
        let (spent, ready) = (connection.is_spent(now) && !connection.listed, connection.ready);
        self.deadlines
            .set(handle, &mut connection.deadline, wanted.filter(|_| !spent));
        if spent && !ready {
            self.free(handle);
        }
    }

    fn free(&mut self, handle: Handle) {
        let carried = self
            .connections
            .remove(handle)
            .and_then(|connection| connection.carried);
        if let Some(carried) = carried {
            self.stream_left(carried);
        }
    }

    /// Draws the consequences of what a packet or a turn did to a connection.
    pub(super) fn after(&mut self, handle: Handle, now: Instant) {
        let Some(connection) = self.connections.get_mut(handle) else {
            return;
        };
        let change = connection.observe(now, &self.timing);
        let delivered = connection.take_delivered();
        let (listening, source) = (connection.listener, connection.tuple().remote.ip());
        match change {
            Change::None => {}
            Change::Established => {
                self.counters.connections_established += 1;
                if let Some(listening) = listening {
                    self.queue_for_accept(listening, source, handle);
                }
            }
            Change::Failed => self.counters.connections_failed += 1,
            Change::Dropped => {
                self.counters.half_open_dropped += 1;
                // Who carries it lets it go, and may have done so.
                connection.released |= connection.carried.is_none();
                if let Some(listener) = listening.and_then(|handle| self.listeners.get_mut(handle)) {
                    listener.dropped(source, handle);
                }
            }
            Change::Closed(CloseReason::Reset) => self.counters.connections_reset += 1,
            Change::Closed(CloseReason::TimedOut) => self.counters.connections_timed_out += 1,
            Change::Closed(_) => {}
        }
        // Nobody ever knew the name of a connection that was dropped half-open.
        if delivered && change != Change::Dropped {
            self.tell(Event::Delivered(ConnectionId(handle)));
        }
        self.list_connection(handle);
    }
}
