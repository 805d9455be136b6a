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

/// The receiver index, if an IP packet holds the beginning of a data message in UDP.
pub(crate) fn data_message_receiver(packet: &[u8]) -> Option<u32> {
    const UDP: u8 = 17;
    const UDP_HEADER: usize = 8;
    const DATA: [u8; 4] = [4, 0, 0, 0];
    let first = *packet.first()?;
    let (protocol, header) = if first >> 4 == 4 {
        // Only the first of its fragments begins with a header of UDP.
        let fragment = be16(*packet.get(6)? & 0x1f, *packet.get(7)?);
        if fragment != 0 {
            return None;
        }
        (*packet.get(9)?, usize::from(first & 0xf) * 4)
    } else {
        (*packet.get(6)?, 40)
    };
    if protocol != UDP {
        return None;
    }
    let (kind, rest) = packet.get(header + UDP_HEADER..)?.split_first_chunk()?;
    (*kind == DATA).then_some(u32::from_le_bytes(*rest.first_chunk()?))
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

    #[test]
    fn a_data_message_in_udp_tells_its_receiver_in_both_families() {
        let message = [4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0];
        let mut v4 = [0; 28 + 9];
        (v4[0], v4[9]) = (0x45, 17);
        v4[28..].copy_from_slice(&message);
        let mut v6 = [0; 48 + 9];
        (v6[0], v6[6]) = (0x60, 17);
        v6[48..].copy_from_slice(&message);
        for packet in [&v4[..], &v6] {
            assert_eq!(data_message_receiver(packet), Some(0x1234_5678));
            assert_eq!(data_message_receiver(&packet[..packet.len() - 2]), None);
        }
        (v4[7], v6[6]) = (1, 6);
        for packet in [&v4[..], &v6, &[0x45], &[]] {
            assert_eq!(data_message_receiver(packet), None);
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(IpHeader::parse(&[0x50; 64]), Err(Malformed::Version));
        assert_eq!(IpHeader::parse(&[]), Err(Malformed::Version));
    }
}
