//! The header that a TUN device with `IFF_VNET_HDR` puts in front of every packet (the virtio specification 1.2,
//! section 5.1.6), and what it asks for.
//!
//! A program on this host may leave a checksum to be completed by whoever sends the packet on the wire, and hand over a
//! packet that is larger than the wire takes. The header says so. Its fields are in the machine's byte order
//! (tuntap.rst: unless `TUNSETVNETLE` says otherwise). `hdr_len` is never trusted: it is a hint, and has been wrong.

use crate::checksum::Sum;
use crate::tcp;

/// Bytes of the header.
pub const HEADER_LEN: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// A flag of the two for TCP: the flow uses ECN.
const GSO_ECN: u8 = 0x80;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The checksum to complete, if any.
    pub checksum: Option<Partial>,
    /// How to cut the packet, if it is to be cut.
    pub segments: Option<(Kind, u16)>,
}

/// A checksum field that holds the sum of the pseudo-header only. Offsets are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Where what is to be summed begins, from the packet's first byte.
    pub start: u16,
    /// Where the field is, from there.
    pub offset: u16,
}

/// What a super-packet consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP segments in IPv4.
    Tcp4,
    /// TCP segments in IPv6.
    Tcp6,
    /// UDP datagrams in either.
    Udp,
}

impl Header {
    /// Reads a header. `None` if it asks for something that was not offered.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let &[
            flags,
            kind,
            _,
            _,
            size_a,
            size_b,
            start_a,
            start_b,
            offset_a,
            offset_b,
        ] = bytes;
        let segment = u16::from_ne_bytes([size_a, size_b]);
        let segments = match kind & !GSO_ECN {
            0 => None,
            GSO_TCP4 => Some((Kind::Tcp4, segment)),
            GSO_TCP6 => Some((Kind::Tcp6, segment)),
            GSO_UDP => Some((Kind::Udp, segment)),
            _ => return None,
        };
        let checksum = (flags & NEEDS_CHECKSUM != 0).then(|| Partial {
            start: u16::from_ne_bytes([start_a, start_b]),
            offset: u16::from_ne_bytes([offset_a, offset_b]),
        });
        Some(Self { checksum, segments })
    }

    /// Writes the header of a packet whose headers have `headers` bytes.
    #[must_use]
    pub fn write(&self, headers: u16) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        if let Some((_, segment)) = self.segments {
            put(2, headers);
            put(4, segment);
        }
        if let Some(Partial { start, offset }) = self.checksum {
            put(6, start);
            put(8, offset);
        }
        bytes[0] = if self.checksum.is_some() {
            NEEDS_CHECKSUM
        } else {
            0
        };
        bytes[1] = match self.segments {
            None => 0,
            Some((Kind::Tcp4, _)) => GSO_TCP4,
            Some((Kind::Tcp6, _)) => GSO_TCP6,
            Some((Kind::Udp, _)) => GSO_UDP,
        };
        bytes
    }
}

impl Partial {
    /// Whether it is the checksum of a transport header that begins at `start`, with its field at `offset`.
    pub(crate) fn is_at(self, start: usize, offset: usize) -> bool {
        (usize::from(self.start), usize::from(self.offset)) == (start, offset)
    }

    /// Completes the checksum of a packet. False if it points outside of it; then nothing has changed.
    pub fn complete(self, packet: &mut [u8]) -> bool {
        let (start, offset) = (usize::from(self.start), usize::from(self.offset));
        let Some(summed) = packet
            .get_mut(start..)
            .filter(|summed| summed.len() >= offset + 2)
        else {
            return false;
        };
        // The field holds the sum of the pseudo-header, which belongs to the sum. A zero would mean "no checksum" for
        // UDP; its other form means the same to all.
        let sum = Sum::new().bytes(summed).udp_checksum();
        tcp::put16(summed, offset, sum);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_of_zeros_asks_for_nothing() {
        assert_eq!(Header::parse(&[0; 10]), Some(Header::default()));
        assert_eq!(Header::default().write(40), [0; 10]);
    }

    #[test]
    fn what_is_written_is_read() {
        for kind in [Kind::Tcp4, Kind::Tcp6, Kind::Udp] {
            let header = Header {
                checksum: Some(Partial {
                    start: 20,
                    offset: 16,
                }),
                segments: Some((kind, 1380)),
            };
            assert_eq!(Header::parse(&header.write(52)), Some(header));
        }
    }

    #[test]
    fn ecn_is_a_flag_beside_the_kind() {
        let mut bytes = [0; 10];
        (bytes[1], bytes[4]) = (GSO_TCP4 | GSO_ECN, 7);
        let segments = Header::parse(&bytes).unwrap().segments;
        assert_eq!(segments, Some((Kind::Tcp4, u16::from_ne_bytes([7, 0]))));
    }

    #[test]
    fn what_was_not_offered_is_refused() {
        // The old UDP fragmentation offload, and kinds that do not exist.
        for kind in [2, 3, 6, 0x7f] {
            let mut bytes = [0; 10];
            bytes[1] = kind;
            assert_eq!(Header::parse(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn a_completed_checksum_makes_the_message_intact(
            mut packet in prop::collection::vec(any::<u8>(), 2..200),
            start in 0..200_u16,
            offset in 0..200_u16,
        ) {
            let before = packet.clone();
            let inside = usize::from(start) + usize::from(offset) + 2 <= packet.len();
            let offset = if inside { offset & !1 } else { offset };
            let partial = Partial { start, offset };
            prop_assert_eq!(partial.complete(&mut packet), inside);
            if !inside {
                prop_assert_eq!(packet, before);
                return Ok(());
            }
            // With the pseudo-header's sum taken away again, the message sums up.
            let pseudo = tcp::be16(&before, usize::from(start + offset));
            let sum = Sum::new().bytes(&packet[usize::from(start)..]).word(pseudo);
            prop_assert!(sum.is_intact());
        }

        #[test]
        fn no_header_makes_it_panic(bytes: [u8; HEADER_LEN]) {
            if let Some(header) = Header::parse(&bytes) {
                let _ = header.write(40);
            }
        }
    }
}
