//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the few messages a host sends and understands.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr};

use crate::demux::{Discard, IpPacket, Protocol};
use crate::device::checksums;
use crate::event::Unreachable;

/// Type, code, checksum and four more bytes.
pub(crate) const HEADER_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;
/// No ICMP error is longer than what every host must take (RFC 1812 4.3.2.3, RFC 4443 2.4c).
const MAX_ERROR_V4: usize = 576;
const MAX_ERROR_V6: usize = 1280;

/// A received message.
pub(crate) enum Message<'a> {
    EchoRequest {
        rest: [u8; 4],
        payload: &'a [u8],
    },
    EchoReply {
        identifier: u16,
        sequence: u16,
        payload: &'a [u8],
    },
    Error {
        kind: Unreachable,
        quoted: Quoted,
    },
    /// Well-formed, but nothing to act upon.
    Other,
}

/// The packet of ours an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoted {
    Tcp {
        local: SocketAddr,
        remote: SocketAddr,
        sequence: u32,
    },
    Udp {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Echo {
        destination: IpAddr,
        identifier: u16,
        sequence: u16,
    },
}

impl<'a> Message<'a> {
    pub(crate) fn parse(packet: &IpPacket<'a>) -> Result<Self, Discard> {
        let bytes = packet.payload;
        let (Some(&[kind, code, _, _, a, b, c, d]), Some(body)) =
            (bytes.first_chunk::<HEADER_LEN>(), bytes.get(HEADER_LEN..))
        else {
            return Err(Discard::Malformed);
        };
        let right = match (packet.source, packet.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Icmpv6Packet::new_unchecked(bytes).verify_checksum(&source, &destination)
            }
            _ => Icmpv4Packet::new_unchecked(bytes).verify_checksum(),
        };
        if !right {
            return Err(Discard::Checksum);
        }
        let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let error = match (packet.protocol, kind, code) {
            (Protocol::Icmpv4, 8, 0) | (Protocol::Icmpv6, 128, 0) => {
                return Ok(Self::EchoRequest {
                    rest: [a, b, c, d],
                    payload: body,
                });
            }
            (Protocol::Icmpv4, 0, 0) | (Protocol::Icmpv6, 129, 0) => {
                return Ok(Self::EchoReply {
                    identifier,
                    sequence,
                    payload: body,
                });
            }
            (Protocol::Icmpv4, 3, _) => unreachable_v4(code),
            (Protocol::Icmpv4, 11, 0) | (Protocol::Icmpv6, 3, 0) => Some(Unreachable::TimeExceeded),
            (Protocol::Icmpv6, 1, _) => unreachable_v6(code),
            _ => None,
        };
        Ok(match error.zip(Quoted::parse(body, packet.destination)) {
            Some((kind, quoted)) => Self::Error { kind, quoted },
            None => Self::Other,
        })
    }
}

/// RFC 1122 3.2.2.1, RFC 1812 5.2.7.1. Code 4 (fragmentation needed) is no error for a connection.
fn unreachable_v4(code: u8) -> Option<Unreachable> {
    match code {
        2 | 3 => Some(Unreachable::Port),
        9 | 10 | 13 => Some(Unreachable::Prohibited),
        0 | 1 | 5..=8 | 11 | 12 => Some(Unreachable::Host),
        _ => None,
    }
}

/// RFC 4443 3.1.
fn unreachable_v6(code: u8) -> Option<Unreachable> {
    match code {
        4 => Some(Unreachable::Port),
        1 | 5 => Some(Unreachable::Prohibited),
        0 | 2 | 3 | 6 => Some(Unreachable::Host),
        _ => None,
    }
}

impl Quoted {
    /// Reads the head of a packet that was cut off somewhere. `ours` is where the error was sent to, and so where
    /// the quoted packet must have come from.
    fn parse(bytes: &[u8], ours: IpAddr) -> Option<Self> {
        let (protocol, source, destination, body): (u8, IpAddr, IpAddr, &[u8]) = match bytes.first()? >> 4 {
            4 => {
                let header_len = usize::from(bytes.first()? & 0x0f) * 4;
                let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
                let destination: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
                (
                    *bytes.get(9)?,
                    source.into(),
                    destination.into(),
                    bytes.get(header_len.max(20)..)?,
                )
            }
            6 => {
                let source: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
                (
                    *bytes.get(6)?,
                    source.into(),
                    destination.into(),
                    bytes.get(40..)?,
                )
            }
            _ => return None,
        };
        let &[a, b, c, d, e, f, g, h] = body.first_chunk::<8>()?;
        if source != ours {
            return None;
        }
        let local = SocketAddr::new(source, u16::from_be_bytes([a, b]));
        let remote = SocketAddr::new(destination, u16::from_be_bytes([c, d]));
        match IpProtocol::from(protocol) {
            IpProtocol::Tcp => Some(Self::Tcp {
                local,
                remote,
                sequence: u32::from_be_bytes([e, f, g, h]),
            }),
            IpProtocol::Udp => Some(Self::Udp { local, remote }),
            IpProtocol::Icmp | IpProtocol::Icmpv6 if a == 8 || a == 128 => Some(Self::Echo {
                destination,
                identifier: u16::from_be_bytes([e, f]),
                sequence: u16::from_be_bytes([g, h]),
            }),
            _ => None,
        }
    }
}

/// A message to send.
pub(crate) struct Outgoing<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    kind: u8,
    code: u8,
    /// The four bytes behind the checksum.
    rest: [u8; 4],
    /// What the message ends with; the part before it, if any, is left to the filler.
    body: &'a [u8],
}

impl<'a> Outgoing<'a> {
    pub(crate) fn echo_request(
        source: IpAddr,
        destination: IpAddr,
        identifier: u16,
        sequence: u16,
        payload: &'a [u8],
    ) -> Self {
        let kind = if source.is_ipv4() { 8 } else { 128 };
        let ([a, b], [c, d]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
        Self {
            source,
            destination,
            kind,
            code: 0,
            rest: [a, b, c, d],
            body: payload,
        }
    }

    pub(crate) fn echo_reply(request: &IpPacket<'_>, rest: [u8; 4], payload: &'a [u8]) -> Self {
        let kind = if request.source.is_ipv4() { 0 } else { 129 };
        Self {
            source: request.destination,
            destination: request.source,
            kind,
            code: 0,
            rest,
            body: payload,
        }
    }

    /// Any message `between` two addresses, with its type and code, the four bytes behind the checksum, and what follows
    /// them.
    pub(crate) fn message(
        between: (IpAddr, IpAddr),
        (kind, code): (u8, u8),
        rest: [u8; 4],
        body: &'a [u8],
    ) -> Self {
        Self {
            source: between.0,
            destination: between.1,
            kind,
            code,
            rest,
            body,
        }
    }

    /// Nobody is bound to the port that `offending` asks for.
    pub(crate) fn port_unreachable(offending: &IpPacket<'a>) -> Self {
        let (kind, code, header, most) = match offending.source {
            IpAddr::V4(_) => (3, 3, 20, MAX_ERROR_V4),
            IpAddr::V6(_) => (1, 4, 40, MAX_ERROR_V6),
        };
        let quote = offending.whole.len().min(most - header - HEADER_LEN);
        Self {
            source: offending.destination,
            destination: offending.source,
            kind,
            code,
            rest: [0; 4],
            body: offending.whole.get(..quote).unwrap_or_default(),
        }
    }

    /// Bytes on the wire, IP header included.
    pub(crate) fn len(&self) -> usize {
        self.ip().buffer_len()
    }

    /// Writes the packet into a buffer of exactly [`Self::len`] bytes.
    pub(crate) fn emit(&self, buffer: &mut [u8]) {
        let ip = self.ip();
        ip.emit(&mut *buffer, &checksums());
        let Some(message) = buffer.get_mut(ip.header_len()..) else {
            return;
        };
        let Some((header, body)) = message.split_first_chunk_mut::<HEADER_LEN>() else {
            return;
        };
        let [a, b, c, d] = self.rest;
        *header = [self.kind, self.code, 0, 0, a, b, c, d];
        body.copy_from_slice(self.body);
        match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Icmpv6Packet::new_unchecked(message).fill_checksum(&source, &destination);
            }
            _ => Icmpv4Packet::new_unchecked(message).fill_checksum(),
        }
    }

    fn ip(&self) -> IpRepr {
        let protocol = if self.source.is_ipv4() {
            IpProtocol::Icmp
        } else {
            IpProtocol::Icmpv6
        };
        let len = HEADER_LEN + self.body.len();
        IpRepr::new(
            self.source.into(),
            self.destination.into(),
            protocol,
            len,
            HOP_LIMIT,
        )
    }
}
