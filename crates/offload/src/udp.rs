//! A packet seen as a UDP datagram, and the fields that change when datagrams are joined or cut.

use crate::checksum::Sum;
use crate::tcp::{self, FlowKey};

pub(crate) const HEADER: usize = 8;
/// Offsets in a UDP header.
pub(crate) const LENGTH: usize = 4;
pub(crate) const CHECKSUM: usize = 6;

/// The parts of a UDP datagram in a packet of its own; the lengths in the headers are true. Extension headers belong to the
/// IP header.
#[derive(Clone, Copy)]
pub(crate) struct Datagram<'a> {
    pub(crate) ip: &'a [u8],
    pub(crate) udp: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// The packet as a datagram; `None` if it is another protocol, a fragment, has extension headers or lengths that are
/// not its own.
pub(crate) fn datagram(packet: &[u8]) -> Option<Datagram<'_>> {
    let (ip, rest) = tcp::ip_header_of(packet, tcp::UDP)?;
    Datagram::of(ip, rest)
}

impl<'a> Datagram<'a> {
    /// A header and what is behind it, which is UDP's; `None` if that has not the length that it says. A length of zero stands
    /// for "as long as the packet": super-datagrams may be longer than the field.
    pub(crate) fn of(ip: &'a [u8], rest: &'a [u8]) -> Option<Self> {
        let (udp, payload) = rest.split_at_checked(HEADER)?;
        let len = usize::from(tcp::be16(udp, LENGTH));
        (len == rest.len() || len == 0).then_some(Self { ip, udp, payload })
    }

    pub(crate) fn is_v6(&self) -> bool {
        tcp::is_v6(self.ip)
    }

    pub(crate) fn flow(&self) -> FlowKey {
        FlowKey::of(self.ip, self.udp)
    }

    /// Whether it may be part of a joined one, if its checksums are right.
    pub(crate) fn is_joinable(&self) -> bool {
        !self.payload.is_empty() && (self.is_v6() || self.ip.len() == 20)
    }

    /// Whether it has a checksum (over IPv4 it need not), its length is true, and both checksums are right, given the sum
    /// of the payload.
    pub(crate) fn is_intact(&self, payload: Sum) -> bool {
        let len = HEADER + self.payload.len();
        let transport = tcp::pseudo_header(self.ip, tcp::UDP, len);
        tcp::be16(self.udp, CHECKSUM) != 0
            && usize::from(tcp::be16(self.udp, LENGTH)) == len
            && tcp::ip_is_intact(self.ip)
            && transport.bytes(self.udp).plus(payload).is_intact()
    }
}

/// Writes the lengths and checksums of a packet that consists of these headers and `payload_len` bytes of payload with
/// the sum `payload`. `parties` is what [`tcp::parties`] says, or stands for.
pub(crate) fn seal_headers(ip: &mut [u8], udp: &mut [u8], parties: Sum, payload_len: usize, payload: Sum) {
    let len = HEADER + payload_len;
    tcp::seal_ip_header(ip, len);
    tcp::put16(udp, LENGTH, len as u16);
    tcp::put16(udp, CHECKSUM, 0);
    let sum = parties.word(len as u16).bytes(udp).plus(payload);
    tcp::put16(udp, CHECKSUM, sum.udp_checksum());
}
