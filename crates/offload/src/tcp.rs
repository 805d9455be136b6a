//! A packet seen as a TCP segment, and the fields that change when segments are joined or cut.

use crate::checksum::{Sum, pseudo_v4, pseudo_v6};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const ICMPV6: u8 = 58;

const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
pub(crate) const CWR: u8 = 0x80;

/// Offsets in a TCP header.
pub(crate) const SEQUENCE: usize = 4;
pub(crate) const FLAGS: usize = 13;
pub(crate) const CHECKSUM: usize = 16;
pub(crate) const URGENT: usize = 18;
/// Offset of the identification in an IPv4 header.
pub(crate) const IPV4_ID: usize = 4;

/// What a packet is, as far as the order of TCP segments is concerned.
pub(crate) enum Class<'a> {
    /// A TCP segment in a packet of its own.
    Tcp(Segment<'a>),
    /// Possibly a part of some TCP flow, in a form that is not looked into: fragments, extension headers, a
    /// length that is not the packet's.
    Opaque,
    /// Certainly no part of a TCP flow.
    Foreign,
}

/// The parts of a TCP segment: none is shorter than its fixed part, the lengths in the headers are true. Extension headers
/// belong to the IP header.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) ip: &'a [u8],
    pub(crate) tcp: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// What tells flows apart: version, addresses and ports. A flow has one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    is_v6: bool,
    addresses: [u8; 32],
    ports: [u8; 4],
}

pub(crate) fn classify(packet: &[u8]) -> Class<'_> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => classify_v4(packet),
        Some(6) => classify_v6(packet),
        _ => Class::Foreign,
    }
}

fn classify_v4(packet: &[u8]) -> Class<'_> {
    let Some(fixed) = packet.first_chunk::<IPV4_HEADER>() else {
        return Class::Foreign;
    };
    if fixed[9] != TCP {
        return Class::Foreign;
    }
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let fragment = be16(fixed, 6) & 0x3fff; // more fragments, or an offset
    if header_len < IPV4_HEADER || usize::from(be16(fixed, 2)) != packet.len() || fragment != 0 {
        return Class::Opaque;
    }
    segment(packet, header_len)
}

fn classify_v6(packet: &[u8]) -> Class<'_> {
    let Some(fixed) = packet.first_chunk::<IPV6_HEADER>() else {
        return Class::Foreign;
    };
    match fixed[6] {
        TCP if IPV6_HEADER + usize::from(be16(fixed, 4)) == packet.len() => segment(packet, IPV6_HEADER),
        UDP | ICMPV6 => Class::Foreign,
        // Extension headers may have TCP behind them.
        _ => Class::Opaque,
    }
}

fn segment(packet: &[u8], ip_header_len: usize) -> Class<'_> {
    let parts = packet.split_at_checked(ip_header_len);
    parts
        .and_then(|(ip, rest)| Segment::of(ip, rest))
        .map_or(Class::Opaque, Class::Tcp)
}

impl FlowKey {
    /// Of two whole headers.
    pub(crate) fn of(ip: &[u8], transport: &[u8]) -> Self {
        let mut addresses = [0; 32];
        if is_v6(ip) {
            addresses.copy_from_slice(&ip[8..40]);
        } else {
            addresses[..8].copy_from_slice(&ip[12..20]);
        }
        Self {
            is_v6: is_v6(ip),
            addresses,
            ports: chunk(transport, 0),
        }
    }
}

impl<'a> Segment<'a> {
    /// A header and what is behind it, which is TCP's; `None` if that is shorter than it says.
    pub(crate) fn of(ip: &'a [u8], rest: &'a [u8]) -> Option<Self> {
        let offset = usize::from(rest.get(12)? >> 4) * 4;
        let (tcp, payload) = rest.split_at_checked(offset).filter(|_| offset >= TCP_HEADER)?;
        Some(Self { ip, tcp, payload })
    }

    pub(crate) fn is_v6(&self) -> bool {
        is_v6(self.ip)
    }

    pub(crate) fn flow(&self) -> FlowKey {
        FlowKey::of(self.ip, self.tcp)
    }

    pub(crate) fn sequence(&self) -> u32 {
        u32::from_be_bytes(chunk(self.tcp, SEQUENCE))
    }

    pub(crate) fn flags(&self) -> u8 {
        self.tcp[FLAGS]
    }

    pub(crate) fn ipv4_id(&self) -> u16 {
        be16(self.ip, IPV4_ID)
    }

    /// Whether both checksums are right, given the sum of the payload.
    pub(crate) fn is_intact(&self, payload: Sum) -> bool {
        let transport = pseudo_header(self.ip, TCP, self.tcp.len() + self.payload.len());
        ip_is_intact(self.ip) && transport.bytes(self.tcp).plus(payload).is_intact()
    }
}

/// Writes the lengths and checksums of a packet that consists of these headers and `payload_len` bytes of
/// payload with the sum `payload`. Headers and payload must fit the IP header's length field. `parties` is what
/// [`parties`] says, or stands for.
pub(crate) fn seal_headers(ip: &mut [u8], tcp: &mut [u8], parties: Sum, payload_len: usize, payload: Sum) {
    let transport_len = tcp.len() + payload_len;
    seal_ip_header(ip, transport_len);
    put16(tcp, CHECKSUM, 0);
    let sum = parties.word(transport_len as u16).bytes(tcp).plus(payload);
    put16(tcp, CHECKSUM, sum.checksum());
}

/// Writes the length, and over IPv4 the checksum, of an IP header before `len` bytes. Extension headers count as its end.
pub(crate) fn seal_ip_header(ip: &mut [u8], len: usize) {
    if is_v6(ip) {
        put16(ip, 4, (ip.len() - IPV6_HEADER + len) as u16);
    } else {
        put16(ip, 2, (ip.len() + len) as u16);
        put16(ip, 10, 0);
        let checksum = Sum::new().bytes(ip).checksum();
        put16(ip, 10, checksum);
    }
}

/// The IP header of an unfragmented packet of that protocol, and what is behind it. `None` for anything else, also for
/// extension headers and a length that is not the packet's.
pub(crate) fn ip_header_of(packet: &[u8], protocol: u8) -> Option<(&[u8], &[u8])> {
    match packet.first()? >> 4 {
        4 => {
            let fixed = packet.first_chunk::<IPV4_HEADER>()?;
            let header_len = usize::from(fixed[0] & 0x0f) * 4;
            let is_whole = be16(fixed, 6) & 0x3fff == 0 && usize::from(be16(fixed, 2)) == packet.len();
            let fits = fixed[9] == protocol && header_len >= IPV4_HEADER && is_whole;
            packet.split_at_checked(header_len).filter(|_| fits)
        }
        6 => {
            let fixed = packet.first_chunk::<IPV6_HEADER>()?;
            let fits = fixed[6] == protocol && IPV6_HEADER + usize::from(be16(fixed, 4)) == packet.len();
            packet.split_at_checked(IPV6_HEADER).filter(|_| fits)
        }
        _ => None,
    }
}

pub(crate) fn is_v6(ip: &[u8]) -> bool {
    ip[0] >> 4 == 6
}

/// IPv6 has no checksum of its header.
pub(crate) fn ip_is_intact(ip: &[u8]) -> bool {
    is_v6(ip) || Sum::new().bytes(ip).is_intact()
}

pub(crate) fn pseudo_header(ip: &[u8], protocol: u8, transport_len: usize) -> Sum {
    parties(ip, protocol).word(transport_len as u16)
}

/// The sum of a pseudo-header without its length: who talks to whom, and how.
pub(crate) fn parties(ip: &[u8], protocol: u8) -> Sum {
    if is_v6(ip) {
        pseudo_v6(chunk(ip, 8), chunk(ip, 24), protocol, 0)
    } else {
        pseudo_v4(chunk(ip, 12), chunk(ip, 16), protocol, 0)
    }
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(chunk(bytes, at))
}

pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// `N` bytes of a header whose length was checked when the packet was classified.
fn chunk<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|i| header[at + i])
}
