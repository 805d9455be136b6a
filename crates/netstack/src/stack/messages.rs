//! ICMP: echo in both directions, and errors that concern something of ours.

use core::net::IpAddr;

use rand_core::Rng;
use wirewright_protocol::Instant;

use super::{Netstack, events};
use crate::address::is_host;
use crate::demux::{Discard, IpPacket, Tuple};
use crate::device::PacketSink;
use crate::error::PingError;
use crate::event::{Event, Unreachable};
use crate::icmp::{HEADER_LEN, Message, Outgoing, Quoted};
use crate::slots::PingId;

impl Netstack {
    /// Forgets an echo request: its reply will be nobody's.
    pub fn cancel_ping(&mut self, id: PingId) {
        self.pings.cancel(id);
    }

    /// Sends an echo request with `payload_len` bytes of payload. `Event::Pong` tells of the reply; requests
    /// without one are forgotten after `Timing::ping`, or when there are more than `Limits::pings`.
    pub fn ping(
        &mut self,
        now: Instant,
        destination: IpAddr,
        payload_len: usize,
    ) -> Result<PingId, PingError> {
        if !is_host(destination) {
            return Err(PingError::InvalidRemote);
        }
        let source = self
            .own
            .source_for(destination)
            .ok_or(PingError::NoLocalAddress)?;
        let header = if destination.is_ipv4() { 20 } else { 40 } + HEADER_LEN;
        let most = self.mtu - header;
        if payload_len > most {
            return Err(PingError::TooLong {
                len: payload_len,
                most,
            });
        }
        if !self.outbox.has_room_for_sender(header + payload_len) {
            return Err(PingError::Full);
        }
        let token = self.rng.next_u64().to_be_bytes();
        let (id, sequence, forgot) = self.pings.begin(destination, token, payload_len, now);
        self.counters.pings_expired += u64::from(forgot);
        let payload: Vec<u8> = token.iter().copied().cycle().take(payload_len).collect();
        let request = Outgoing::echo_request(source, destination, self.pings.identifier, sequence, &payload);
        self.outbox.packet(request.len(), |buffer| request.emit(buffer));
        Ok(id)
    }

    pub(super) fn receive_message(&mut self, now: Instant, packet: &IpPacket<'_>) -> Result<(), Discard> {
        match Message::parse(packet)? {
            Message::EchoRequest { rest, payload } => {
                let reply = Outgoing::echo_reply(packet, rest, payload);
                // A request longer than our MTU could only be answered in fragments.
                if reply.len() <= self.mtu {
                    self.outbox.packet(reply.len(), |buffer| reply.emit(buffer));
                    self.counters.echo_requests += 1;
                } else {
                    self.counters.echo_requests_too_long += 1;
                }
            }
            Message::EchoReply {
                identifier,
                sequence,
                payload,
            } => {
                self.receive_echo_reply(now, packet, identifier, sequence, payload);
            }
            Message::Error { kind, quoted } if self.concerns_us(kind, quoted) => {
                self.counters.icmp_errors += 1;
            }
            Message::Error { .. } | Message::Other => self.counters.icmp_errors_unmatched += 1,
        }
        Ok(())
    }

    fn receive_echo_reply(
        &mut self,
        now: Instant,
        packet: &IpPacket<'_>,
        identifier: u16,
        sequence: u16,
        payload: &[u8],
    ) {
        let ours = identifier == self.pings.identifier;
        let matched = ours
            .then(|| self.pings.take_reply(packet.source, sequence, payload))
            .flatten();
        let Some(ping) = matched else {
            self.counters.echo_replies_unmatched += 1;
            return;
        };
        self.counters.echo_replies += 1;
        self.tell(Event::Pong {
            id: ping.id,
            source: packet.source,
            sequence,
            payload_len: payload.len(),
            hop_limit: packet.hop_limit,
            elapsed: now.saturating_since(ping.sent),
        });
    }

    /// Passes an error on to what caused it. `false` if that is nothing of ours.
    fn concerns_us(&mut self, kind: Unreachable, quoted: Quoted) -> bool {
        match quoted {
            Quoted::Tcp {
                local,
                remote,
                sequence,
            } => {
                let Some(&handle) = self.by_tuple.get(&Tuple { local, remote }.key()) else {
                    return false;
                };
                let Some(connection) = self.connections.get_mut(handle) else {
                    return false;
                };
                self.counters.connections_touched += 1;
                // Established connections ignore errors, which anybody on the way could send (RFC 5927 5.2).
                let concerned = connection.awaits_answer_to(sequence);
                if concerned {
                    connection.note_unreachable(kind);
                    self.list_connection(handle);
                }
                concerned
            }
            Quoted::Udp { local, remote } => {
                let found = self.datagrams.find(local.ip(), local.port());
                let Some((handle, socket)) =
                    found.and_then(|handle| self.datagrams.get_mut(handle).map(|socket| (handle, socket)))
                else {
                    return false;
                };
                let concerned = socket.remote == Some(remote);
                if concerned {
                    socket.pending.unreachable = Some(kind);
                    self.list_socket(handle);
                }
                concerned
            }
            Quoted::Echo {
                destination,
                identifier,
                sequence,
            } => {
                let ping = self.pings.quoted(destination, identifier, sequence);
                if let Some(id) = ping {
                    self.tell(Event::PingUnreachable(id, kind));
                }
                ping.is_some()
            }
        }
    }

    /// Queues an event that no connection or socket holds. There may be two for each ping: a reply and an error.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(events::Source::Told(event));
    }
}
