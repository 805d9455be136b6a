//! Cutting a TCP super-segment into segments, as a network card with segmentation offload does.

use core::fmt;

use crate::checksum::Sum;
use crate::tcp::{self, Class, Segment};

/// Where segments are written: segment `i` starts at `bytes[i * stride + start]`.
#[derive(Debug)]
pub struct Slots<'a> {
    /// The memory of all slots.
    pub bytes: &'a mut [u8],
    /// Distance between the starts of two slots, in bytes.
    pub stride: usize,
    /// Where in its slot a segment starts, in bytes: room for a header in front.
    pub start: usize,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How many segments.
    pub count: usize,
    /// Length of each packet but the last, in bytes.
    pub len: usize,
    /// Length of the last packet, in bytes; not longer than `len`.
    pub last_len: usize,
}

/// Why a packet could not be cut. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// The packet is no TCP segment in IPv4 or in IPv6 without extension headers, it is a fragment, or the
    /// length in its IP header is not its length.
    NotTcp,
    /// Several segments cannot share a SYN or RST.
    Flags,
    /// Segments without payload have no end.
    ZeroSegment,
    /// The slab has no room for the segments.
    NoRoom {
        /// How many segments there are.
        count: usize,
        /// Length of the longest packet, in bytes.
        len: usize,
    },
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotTcp => f.write_str("the packet is not a whole TCP segment"),
            Self::Flags => f.write_str("a TCP segment with SYN or RST cannot be cut"),
            Self::ZeroSegment => f.write_str("the segment size is zero: it must be at least one byte"),
            Self::NoRoom { count, len } => {
                write!(
                    f,
                    "there is no room for {count} segments of {len} bytes: use a larger slab or stride"
                )
            }
        }
    }
}

impl core::error::Error for SplitError {}

/// Cuts the TCP super-segment `packet` into segments with at most `segment_len` bytes of payload each.
///
/// Sequence numbers and IPv4 identifications count on; FIN and PSH stay on the last segment only, CWR on the
/// first only (RFC 3168, 6.1.2: it answers once); the urgent pointer, which counts from the sequence number,
/// moves with it. All checksums are computed afresh: that of a super-segment covers at most its pseudo-header.
///
/// # Errors
///
/// If `packet` cannot be cut, or `slots` have no room; nothing was written then.
pub fn split(packet: &[u8], segment_len: usize, slots: Slots<'_>) -> Result<Segments, SplitError> {
    let Class::Tcp(whole) = tcp::classify(packet) else {
        return Err(SplitError::NotTcp);
    };
    if segment_len == 0 {
        return Err(SplitError::ZeroSegment);
    }
    let count = whole.payload.len().div_ceil(segment_len).max(1);
    if count > 1 && whole.flags() & (tcp::SYN | tcp::RST) != 0 {
        return Err(SplitError::Flags);
    }
    let headers = whole.ip.len() + whole.tcp.len();
    let len = headers + segment_len.min(whole.payload.len());
    let last_len = headers + whole.payload.len() - (count - 1) * segment_len;
    let Slots { bytes, stride, start } = slots;
    let last_end = (count - 1)
        .checked_mul(stride)
        .and_then(|at| at.checked_add(start)?.checked_add(last_len));
    if start.checked_add(len).is_none_or(|end| end > stride) || last_end.is_none_or(|end| end > bytes.len()) {
        return Err(SplitError::NoRoom { count, len });
    }
    for index in 0..count {
        let from = index * segment_len;
        let payload = &whole.payload[from..whole.payload.len().min(from + segment_len)];
        let at = index * stride + start;
        let place = Place {
            index,
            from,
            is_last: index + 1 == count,
        };
        write_segment(
            &whole,
            payload,
            place,
            &mut bytes[at..at + headers + payload.len()],
        );
    }
    Ok(Segments { count, len, last_len })
}

/// Of a segment in its super-segment.
struct Place {
    index: usize,
    /// Offset of its payload.
    from: usize,
    is_last: bool,
}

fn write_segment(whole: &Segment<'_>, payload: &[u8], place: Place, packet: &mut [u8]) {
    let (ip, rest) = packet.split_at_mut(whole.ip.len());
    let (tcp, body) = rest.split_at_mut(whole.tcp.len());
    ip.copy_from_slice(whole.ip);
    tcp.copy_from_slice(whole.tcp);
    body.copy_from_slice(payload);

    if !whole.is_v6() {
        tcp::put16(ip, tcp::IPV4_ID, whole.ipv4_id().wrapping_add(place.index as u16));
    }
    let sequence = whole.sequence().wrapping_add(place.from as u32);
    tcp[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
    if !place.is_last {
        tcp[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
    }
    if place.index > 0 {
        tcp[tcp::FLAGS] &= !tcp::CWR;
    }
    if whole.flags() & tcp::URG != 0 {
        let urgent = usize::from(tcp::be16(whole.tcp, tcp::URGENT)).checked_sub(place.from);
        if urgent.is_none() {
            tcp[tcp::FLAGS] &= !tcp::URG;
        }
        tcp::put16(tcp, tcp::URGENT, urgent.unwrap_or(0) as u16);
    }
    // The copy has just been written, so it is summed from the nearest cache.
    let sum = Sum::new().bytes(body);
    tcp::seal_headers(ip, tcp, body.len(), sum);
}
