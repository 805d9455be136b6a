//! Cutting a super-segment into packets, as a network card with segmentation offload does.
//!
//! # Theory
//!
//! Each packet is what its sender would have built: the headers again, with lengths, counters, flags and checksums of its
//! own. IPv6's extension headers may stand before TCP's header, and are repeated as they are. Where that header begins, the
//! virtio header tells, by the checksum that it asks for (`csum_start`); the chain of extension headers must come to the same
//! place, or the packet is refused. The checksum is one over addresses that need not stand in the IPv6 header: a routing
//! header has the last destination, a home address option the true source. Only the sender knew. But it left their sum in the
//! checksum's field, with the super-segment's length, which is taken away there.

use core::fmt;

use crate::checksum::Sum;
use crate::extension;
use crate::tcp::{self, IPV6_HEADER, Segment};
use crate::udp::{self, Datagram};
use crate::virtio::{Kind, Partial};

/// A TCP or UDP super-segment and how it is to be cut. Nothing is written before [`Split::write`].
#[derive(Clone, Copy)]
pub struct Split<'a> {
    whole: Whole<'a>,
    /// The sum of the pseudo-header without its length.
    parties: Sum,
    segment_len: usize,
    count: usize,
}

#[derive(Clone, Copy)]
enum Whole<'a> {
    Tcp(Segment<'a>),
    Udp(Datagram<'a>),
}

/// Why a packet could not be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// The packet is no TCP segment, it is a fragment, or the length in its IP header is not its length; or there are
    /// extension headers, and no checksum to complete that tells what they mean to it.
    NotTcp,
    /// Likewise for UDP; or the length in its UDP header is not that of header and payload.
    NotUdp,
    /// The checksum to complete is not that of its TCP or UDP header.
    Checksum,
    /// Several segments cannot share a SYN or RST.
    Flags,
    /// Segments without payload have no end.
    ZeroSegment,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTcp => "the packet is not a whole TCP segment",
            Self::NotUdp => "the packet is not a whole UDP datagram",
            Self::Checksum => "the checksum to complete is not that of the TCP or UDP header",
            Self::Flags => "a TCP segment with SYN or RST cannot be cut",
            Self::ZeroSegment => "the segment size is zero: it must be at least one byte",
        })
    }
}

impl core::error::Error for SplitError {}

impl<'a> Split<'a> {
    /// Cuts the super-segment `packet` as the header in front of it asks: into packets with at most `segment_len` bytes of
    /// payload each. `checksum` is what that header says of the checksum.
    ///
    /// # Errors
    /// Those of [`tcp`](Self::tcp) or [`udp`](Self::udp); [`SplitError::Checksum`].
    pub fn asked(
        packet: &'a [u8],
        kind: Kind,
        segment_len: usize,
        checksum: Option<Partial>,
    ) -> Result<Self, SplitError> {
        match kind {
            Kind::Tcp4 | Kind::Tcp6 => Self::tcp_with(packet, segment_len, checksum),
            Kind::Udp => Self::udp_with(packet, segment_len, checksum),
        }
    }

    /// Cuts the TCP super-segment `packet` into segments with at most `segment_len` bytes of payload each.
    ///
    /// Sequence numbers and IPv4 identifications count on; FIN and PSH stay on the last segment only, CWR on the
    /// first only (RFC 3168, 6.1.2: it answers once); the urgent pointer, which counts from the sequence number,
    /// moves with it. All checksums are computed afresh: that of a super-segment covers at most its pseudo-header.
    ///
    /// # Errors
    /// [`SplitError::NotTcp`], [`SplitError::Flags`], [`SplitError::ZeroSegment`].
    pub fn tcp(packet: &'a [u8], segment_len: usize) -> Result<Self, SplitError> {
        Self::tcp_with(packet, segment_len, None)
    }

    /// Cuts the UDP super-datagram `packet` into datagrams of at most `segment_len` bytes of payload each (what Linux
    /// calls `UDP_SEGMENT`; no fragments). IPv4 identifications count on; all checksums are computed.
    ///
    /// # Errors
    /// [`SplitError::NotUdp`], [`SplitError::ZeroSegment`].
    pub fn udp(packet: &'a [u8], segment_len: usize) -> Result<Self, SplitError> {
        Self::udp_with(packet, segment_len, None)
    }

    fn tcp_with(packet: &'a [u8], segment_len: usize, checksum: Option<Partial>) -> Result<Self, SplitError> {
        let (ip, rest) = parted(packet, tcp::TCP, checksum).ok_or(SplitError::NotTcp)?;
        let whole = Segment::of(ip, rest).ok_or(SplitError::NotTcp)?;
        let parties = parties(ip, rest, tcp::TCP, tcp::CHECKSUM, checksum)?;
        let count = count(whole.payload.len(), segment_len)?;
        if count > 1 && whole.flags() & (tcp::SYN | tcp::RST) != 0 {
            return Err(SplitError::Flags);
        }
        Ok(Self {
            whole: Whole::Tcp(whole),
            parties,
            segment_len,
            count,
        })
    }

    fn udp_with(packet: &'a [u8], segment_len: usize, checksum: Option<Partial>) -> Result<Self, SplitError> {
        let (ip, rest) = parted(packet, tcp::UDP, checksum).ok_or(SplitError::NotUdp)?;
        let whole = Datagram::of(ip, rest).ok_or(SplitError::NotUdp)?;
        let parties = parties(ip, rest, tcp::UDP, udp::CHECKSUM, checksum)?;
        Ok(Self {
            whole: Whole::Udp(whole),
            parties,
            segment_len,
            count: count(whole.payload.len(), segment_len)?,
        })
    }

    /// How many packets there will be; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Length of the packet `index`, in bytes. All but the last have the same.
    #[must_use]
    pub fn packet_len(&self, index: usize) -> usize {
        let (ip, transport, payload) = self.parts();
        let place = self.place(index, payload.len());
        ip.len() + transport.len() + place.len
    }

    /// Writes the packet `index` to `packet`, which must be of its length. False if it is not, or if there is no such
    /// packet.
    pub fn write(&self, index: usize, packet: &mut [u8]) -> bool {
        if index >= self.count || packet.len() != self.packet_len(index) {
            return false;
        }
        let (ip_header, transport_header, payload) = self.parts();
        let place = self.place(index, payload.len());
        let (ip, rest) = packet.split_at_mut(ip_header.len());
        let (transport, body) = rest.split_at_mut(transport_header.len());
        ip.copy_from_slice(ip_header);
        transport.copy_from_slice(transport_header);
        body.copy_from_slice(&payload[place.from..place.from + place.len]);
        // The copy has just been written, so it is summed from the nearest cache.
        let sum = Sum::new().bytes(body);
        match self.whole {
            Whole::Tcp(whole) => {
                count_identification(ip, whole.is_v6(), index);
                adjust_tcp(&whole, place, transport);
                tcp::seal_headers(ip, transport, self.parties, place.len, sum);
            }
            Whole::Udp(whole) => {
                count_identification(ip, whole.is_v6(), index);
                udp::seal_headers(ip, transport, self.parties, place.len, sum);
            }
        }
        true
    }

    fn parts(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        match self.whole {
            Whole::Tcp(whole) => (whole.ip, whole.tcp, whole.payload),
            Whole::Udp(whole) => (whole.ip, whole.udp, whole.payload),
        }
    }

    fn place(&self, index: usize, payload_len: usize) -> Place {
        let from = payload_len.min(index.saturating_mul(self.segment_len));
        Place {
            from,
            len: self.segment_len.min(payload_len - from),
            is_first: index == 0,
            is_last: index + 1 == self.count,
        }
    }
}

/// The packet parted before the header of that protocol. Behind extension headers that is looked for only where the checksum
/// tells who talks to whom.
fn parted(packet: &[u8], protocol: u8, checksum: Option<Partial>) -> Option<(&[u8], &[u8])> {
    match checksum {
        Some(_) if packet.first()? >> 4 == 6 => extension::before(packet, protocol),
        _ => tcp::ip_header_of(packet, protocol),
    }
}

/// The sum of the pseudo-header without its length, of a packet whose transport header, `rest`, is whole and has its checksum
/// at `field`.
fn parties(
    ip: &[u8],
    rest: &[u8],
    protocol: u8,
    field: usize,
    checksum: Option<Partial>,
) -> Result<Sum, SplitError> {
    if checksum.is_some_and(|partial| !partial.is_at(ip.len(), field)) {
        return Err(SplitError::Checksum);
    }
    Ok(if tcp::is_v6(ip) && ip.len() > IPV6_HEADER {
        Sum::new().word(tcp::be16(rest, field)).word(!(rest.len() as u16))
    } else {
        tcp::parties(ip, protocol)
    })
}

/// Of a segment in its super-segment.
#[derive(Clone, Copy)]
struct Place {
    /// Offset of its payload.
    from: usize,
    len: usize,
    is_first: bool,
    is_last: bool,
}

fn count(payload_len: usize, segment_len: usize) -> Result<usize, SplitError> {
    if segment_len == 0 {
        return Err(SplitError::ZeroSegment);
    }
    Ok(payload_len.div_ceil(segment_len).max(1))
}

fn count_identification(ip: &mut [u8], is_v6: bool, index: usize) {
    if !is_v6 {
        let first = tcp::be16(ip, tcp::IPV4_ID);
        tcp::put16(ip, tcp::IPV4_ID, first.wrapping_add(index as u16));
    }
}

fn adjust_tcp(whole: &Segment<'_>, place: Place, tcp: &mut [u8]) {
    let sequence = whole.sequence().wrapping_add(place.from as u32);
    tcp[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
    if !place.is_last {
        tcp[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
    }
    if !place.is_first {
        tcp[tcp::FLAGS] &= !tcp::CWR;
    }
    if whole.flags() & tcp::URG != 0 {
        let urgent = usize::from(tcp::be16(whole.tcp, tcp::URGENT)).checked_sub(place.from);
        if urgent.is_none() {
            tcp[tcp::FLAGS] &= !tcp::URG;
        }
        tcp::put16(tcp, tcp::URGENT, urgent.unwrap_or(0) as u16);
    }
}
