//! From bytes to what they are and whom they are for. Every length is checked here, and every checksum.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use crate::address::{LocalAddresses, is_host};

/// Without options.
const TCP_HEADER_LEN: usize = 20;

/// A packet for one of our addresses, or for one outside where the stack forwards, from an address someone can have.
pub(crate) struct IpPacket<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hop_limit: u8,
    /// It is not for one of our addresses.
    pub(crate) foreign: bool,
    pub(crate) protocol: Protocol,
    /// Header and payload, without what stood behind the packet's end.
    pub(crate) whole: &'a [u8],
    pub(crate) payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Icmpv4,
    Icmpv6,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    Malformed,
    Checksum,
    NotOurs,
    Source,
    Fragment,
    Protocol,
}

/// What a connection is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A tuple as bytes, IPv4 addresses mapped into IPv6: one write for the hash.
pub(crate) type TupleKey = [u8; 36];

impl Tuple {
    pub(crate) fn key(&self) -> TupleKey {
        let mut key = [0; 36];
        let (local, rest) = key.split_at_mut(16);
        let (remote, ports) = rest.split_at_mut(16);
        local.copy_from_slice(&mapped(self.local.ip()));
        remote.copy_from_slice(&mapped(self.remote.ip()));
        let both = u32::from(self.local.port()) << 16 | u32::from(self.remote.port());
        ports.copy_from_slice(&both.to_be_bytes());
        key
    }
}

/// The head of a TCP segment whose checksum is right.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) tuple: Tuple,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) rst: bool,
    pub(crate) sequence: u32,
    pub(crate) ack_number: u32,
    /// The field as it stands, not scaled.
    pub(crate) window: u16,
    /// What its sender has beyond the acknowledgement (RFC 2018).
    pub(crate) sack: [Option<(u32, u32)>; 3],
    /// Of a SYN only: the largest segment its sender takes, the scale of its later window fields, and whether it
    /// understands SACK blocks.
    pub(crate) most_segment: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) selective: bool,
    /// Sequence numbers it takes: bytes, and one each for SYN and FIN.
    pub(crate) segment_len: usize,
    pub(crate) payload_len: usize,
}

impl Segment {
    /// Whether it is what a connection begins with: a SYN that answers nothing.
    pub(crate) fn is_first(&self) -> bool {
        self.syn && !self.ack && !self.rst
    }
}

/// A UDP datagram whose checksum is right.
pub(crate) struct Udp<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) payload: &'a [u8],
}

impl<'a> IpPacket<'a> {
    /// What is not for one of our `own` addresses is taken if the stack `forwards`.
    pub(crate) fn parse(bytes: &'a [u8], own: &LocalAddresses, forwards: bool) -> Result<Self, Discard> {
        let packet = match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(bytes, own, forwards),
            Some(6) => Self::parse_v6(bytes, own, forwards),
            _ => Err(Discard::Malformed),
        }?;
        if !is_host(packet.source) || own.contains(packet.source) {
            return Err(Discard::Source);
        }
        Ok(packet)
    }

    fn parse_v4(bytes: &'a [u8], own: &LocalAddresses, forwards: bool) -> Result<Self, Discard> {
        let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Discard::Malformed)?;
        let header_len = usize::from(packet.header_len());
        let total_len = usize::from(packet.total_len());
        if !packet.verify_checksum() {
            return Err(Discard::Checksum);
        }
        let destination = IpAddr::V4(packet.dst_addr());
        let foreign = !own.contains(destination);
        if foreign && !forwards {
            return Err(Discard::NotOurs);
        }
        if packet.more_frags() || packet.frag_offset() != 0 {
            return Err(Discard::Fragment);
        }
        Ok(Self {
            source: IpAddr::V4(packet.src_addr()),
            destination,
            hop_limit: packet.hop_limit(),
            foreign,
            protocol: match packet.next_header() {
                IpProtocol::Tcp => Protocol::Tcp,
                IpProtocol::Udp => Protocol::Udp,
                IpProtocol::Icmp => Protocol::Icmpv4,
                _ => return Err(Discard::Protocol),
            },
            whole: bytes.get(..total_len).ok_or(Discard::Malformed)?,
            payload: bytes.get(header_len..total_len).ok_or(Discard::Malformed)?,
        })
    }

    fn parse_v6(bytes: &'a [u8], own: &LocalAddresses, forwards: bool) -> Result<Self, Discard> {
        let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Discard::Malformed)?;
        let header_len = packet.header_len();
        let total_len = packet.total_len();
        let destination = IpAddr::V6(packet.dst_addr());
        let foreign = !own.contains(destination);
        if foreign && !forwards {
            return Err(Discard::NotOurs);
        }
        Ok(Self {
            source: IpAddr::V6(packet.src_addr()),
            destination,
            hop_limit: packet.hop_limit(),
            foreign,
            protocol: match packet.next_header() {
                IpProtocol::Tcp => Protocol::Tcp,
                IpProtocol::Udp => Protocol::Udp,
                IpProtocol::Icmpv6 => Protocol::Icmpv6,
                IpProtocol::Ipv6Frag => return Err(Discard::Fragment),
                _ => return Err(Discard::Protocol),
            },
            whole: bytes.get(..total_len).ok_or(Discard::Malformed)?,
            payload: bytes.get(header_len..total_len).ok_or(Discard::Malformed)?,
        })
    }

    pub(crate) fn segment(&self) -> Result<Segment, Discard> {
        let packet = TcpPacket::new_checked(self.payload).map_err(|_| Discard::Malformed)?;
        if !packet.verify_checksum(&self.source.into(), &self.destination.into()) {
            return Err(Discard::Checksum);
        }
        if packet.src_port() == 0 || packet.dst_port() == 0 {
            return Err(Discard::Malformed);
        }
        let (syn, payload_len) = (packet.syn(), packet.payload().len());
        // Most segments carry no options.
        let options = if usize::from(packet.header_len()) > TCP_HEADER_LEN {
            packet.options_summary().unwrap_or_default()
        } else {
            Default::default()
        };
        #[allow(clippy::cast_sign_loss)] // smoltcp keeps a number without a sign in an i32
        Ok(Segment {
            tuple: Tuple {
                local: SocketAddr::new(self.destination, packet.dst_port()),
                remote: SocketAddr::new(self.source, packet.src_port()),
            },
            syn,
            ack: packet.ack(),
            rst: packet.rst(),
            sequence: packet.seq_number().0 as u32,
            ack_number: packet.ack_number().0 as u32,
            window: packet.window_len(),
            sack: options.sack_ranges,
            most_segment: options.max_segment_size.filter(|_| syn),
            window_scale: options.window_scale.filter(|_| syn),
            selective: syn && options.sack_permitted,
            segment_len: packet.segment_len(),
            payload_len,
        })
    }

    pub(crate) fn udp(&self) -> Result<Udp<'a>, Discard> {
        let packet = UdpPacket::new_checked(self.payload).map_err(|_| Discard::Malformed)?;
        // Over IPv6 a checksum of zero is not allowed to mean none (RFC 8200 8.1).
        let omitted = packet.checksum() == 0;
        let right = if omitted {
            self.source.is_ipv4()
        } else {
            packet.verify_checksum(&self.source.into(), &self.destination.into())
        };
        if !right {
            return Err(Discard::Checksum);
        }
        if packet.dst_port() == 0 {
            return Err(Discard::Malformed);
        }
        Ok(Udp {
            source: SocketAddr::new(self.source, packet.src_port()),
            destination: SocketAddr::new(self.destination, packet.dst_port()),
            payload: packet.payload(),
        })
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
