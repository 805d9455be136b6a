//! The few fields of an inner IP packet that routing needs.

use core::net::IpAddr;

/// Why an inner packet cannot be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Neither IPv4 nor IPv6.
    Version,
    /// Shorter than its header or than its length field says.
    Length,
}

/// The addresses and the length of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpHeader {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The length that the header gives; what follows is padding.
    pub(crate) len: usize,
}

impl IpHeader {
    /// Reads the header of `packet`, which may be followed by padding.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let (source, destination, minimum, len) = match packet.first().map(|byte| byte >> 4) {
            Some(4) => {
                let header: &[u8; 20] = packet.first_chunk().ok_or(Malformed::Length)?;
                let (source, destination) = (array::<4>(header, 12), array::<4>(header, 16));
                (
                    IpAddr::from(source),
                    IpAddr::from(destination),
                    20,
                    be16(header[2], header[3]),
                )
            }
            Some(6) => {
                let header: &[u8; 40] = packet.first_chunk().ok_or(Malformed::Length)?;
                let (source, destination) = (array::<16>(header, 8), array::<16>(header, 24));
                (
                    IpAddr::from(source),
                    IpAddr::from(destination),
                    40,
                    40 + be16(header[4], header[5]),
                )
            }
            _ => return Err(Malformed::Version),
        };
        if len < minimum || len > packet.len() {
            return Err(Malformed::Length);
        }
        Ok(Self {
            source,
            destination,
            len,
        })
    }
}

/// A packet that may be of a tunnel inside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nested {
    /// The receiver index, if the packet holds the beginning of a data message; a later fragment of one has none.
    pub(crate) receiver: Option<u32>,
    /// How many routers it may pass yet.
    pub(crate) hop_limit: u8,
}

impl Nested {
    /// Looks whether an IP packet holds a data message in UDP, or a later fragment of UDP, which may be of one.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        const UDP: u8 = 17;
        const UDP_HEADER: usize = 8;
        const FRAGMENT: u8 = 44;
        const FRAGMENT_HEADER: usize = 8;
        const V6_HEADER: usize = 40;
        const DATA: [u8; 4] = [4, 0, 0, 0];
        let first = *packet.first()?;
        let (hop_limit, protocol, offset, header) = if first >> 4 == 4 {
            let offset = be16(*packet.get(6)? & 0x1f, *packet.get(7)?);
            (
                *packet.get(8)?,
                *packet.get(9)?,
                offset,
                usize::from(first & 0xf) * 4,
            )
        } else {
            let (hop_limit, next) = (*packet.get(7)?, *packet.get(6)?);
            if next == FRAGMENT {
                let [protocol, _, high, low]: [u8; 4] = *packet.get(V6_HEADER..)?.first_chunk()?;
                (
                    hop_limit,
                    protocol,
                    be16(high, low) >> 3,
                    V6_HEADER + FRAGMENT_HEADER,
                )
            } else {
                (hop_limit, next, 0, V6_HEADER)
            }
        };
        // A tunnel's messages go to one host each. What goes to many often has a single hop.
        if protocol != UDP || is_multicast(packet)? {
            return None;
        }
        if offset != 0 {
            return Some(Self {
                receiver: None,
                hop_limit,
            });
        }
        let (kind, rest) = packet.get(header + UDP_HEADER..)?.split_first_chunk::<4>()?;
        let receiver = u32::from_le_bytes(*rest.first_chunk()?);
        (*kind == DATA).then_some(Self {
            receiver: Some(receiver),
            hop_limit,
        })
    }
}

fn is_multicast(packet: &[u8]) -> Option<bool> {
    if *packet.first()? >> 4 == 4 {
        Some(packet.get(16)? >> 4 == 0xe)
    } else {
        Some(*packet.get(24)? == 0xff)
    }
}

fn be16(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low]))
}

fn array<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    core::array::from_fn(|index| header.get(offset + index).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_header_gives_addresses_and_length_without_the_padding() {
        let mut packet = [0; 32];
        packet[0] = 0x45;
        packet[3] = 21;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
        let header = IpHeader::parse(&packet).unwrap();
        assert_eq!(
            (header.source, header.destination),
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
        );
        assert_eq!(header.len, 21);
    }

    #[test]
    fn an_ipv6_header_gives_addresses_and_length() {
        let mut packet = [0; 48];
        packet[0] = 0x60;
        packet[5] = 8;
        packet[23] = 1;
        packet[39] = 2;
        let header = IpHeader::parse(&packet).unwrap();
        assert_eq!(header.source, "::1".parse::<IpAddr>().unwrap());
        assert_eq!(header.destination, "::2".parse::<IpAddr>().unwrap());
        assert_eq!(header.len, 48);
    }

    #[test]
    fn a_length_field_beyond_the_packet_is_refused() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[3] = 21;
        assert_eq!(IpHeader::parse(&packet), Err(Malformed::Length));
        packet[3] = 19;
        assert_eq!(IpHeader::parse(&packet), Err(Malformed::Length));
        assert_eq!(IpHeader::parse(&packet[..19]), Err(Malformed::Length));
    }

    const MESSAGE: [u8; 9] = [4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0];

    fn v4() -> [u8; 28 + 9] {
        let mut packet = [0; 28 + 9];
        (packet[0], packet[8], packet[9]) = (0x45, 64, 17);
        packet[28..].copy_from_slice(&MESSAGE);
        packet
    }

    fn v6() -> [u8; 48 + 9] {
        let mut packet = [0; 48 + 9];
        (packet[0], packet[6], packet[7]) = (0x60, 17, 64);
        packet[48..].copy_from_slice(&MESSAGE);
        packet
    }

    fn fragment_of_v6(offset: u16) -> [u8; 56 + 9] {
        let mut packet = [0; 56 + 9];
        (packet[0], packet[6], packet[7], packet[40]) = (0x60, 44, 64, 17);
        packet[42..44].copy_from_slice(&(offset << 3 | 1).to_be_bytes());
        packet[56..].copy_from_slice(&MESSAGE);
        packet
    }

    #[test]
    fn a_data_message_in_udp_tells_its_receiver_in_both_families() {
        let expected = Some(Nested {
            receiver: Some(0x1234_5678),
            hop_limit: 64,
        });
        for packet in [&v4()[..], &v6(), &fragment_of_v6(0)] {
            assert_eq!(Nested::parse(packet), expected);
            for len in 0..packet.len() - 1 {
                assert_eq!(Nested::parse(&packet[..len]), None);
            }
        }
    }

    #[test]
    fn a_later_fragment_of_udp_may_be_of_a_data_message() {
        let mut fragment = v4();
        fragment[7] = 1;
        let expected = Some(Nested {
            receiver: None,
            hop_limit: 64,
        });
        for packet in [&fragment[..], &fragment_of_v6(1)] {
            assert_eq!(Nested::parse(packet), expected);
        }
    }

    #[test]
    fn other_protocols_and_other_messages_are_no_tunnel() {
        let (mut tcp4, mut tcp6, mut other, mut alike) = (v4(), v6(), v4(), v4());
        // What begins with the same byte is no message yet.
        (tcp4[9], tcp6[6], other[28], alike[31]) = (6, 6, 1, 1);
        let mut fragment = fragment_of_v6(1);
        fragment[40] = 6;
        for packet in [&tcp4[..], &tcp6, &other, &alike, &fragment, &[0x45], &[]] {
            assert_eq!(Nested::parse(packet), None);
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(IpHeader::parse(&[0x50; 64]), Err(Malformed::Version));
        assert_eq!(IpHeader::parse(&[]), Err(Malformed::Version));
    }
}
