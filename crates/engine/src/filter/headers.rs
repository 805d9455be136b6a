//! What the filter reads of a packet: who, to whom, by which protocol and between which ports.

use core::net::IpAddr;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers that a packet may have; more serve only to keep routers busy (RFC 8504 lets a host say how many).
const MOST_EXTENSIONS: usize = 8;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// A packet, as far as the filter is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) content: Content,
    /// Of the first of several fragments: what tells the others.
    pub(super) first: Option<First>,
}

/// The first of several fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) packet: Packet,
    /// Bytes from its beginning that were read to judge it.
    pub(super) judged: usize,
}

/// What all fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// With IPv6 that of the fragment header itself: later fragments do not tell the protocol (RFC 8200, section 4.5).
    protocol: u8,
    id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Tcp(Ports, u8),
    Udp(Ports),
    /// An echo request or reply with its identifier.
    Echo {
        request: bool,
        id: u16,
    },
    /// An ICMP error about a packet of which this is known.
    Error(Quoted),
    /// ICMP that is neither echo nor an error about something of which we know.
    OtherIcmp,
    /// Another protocol.
    Other,
    /// A fragment that is not the first, so that nothing else is known, with its offset in bytes.
    Later(Packet, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) source: u16,
    pub(super) destination: u16,
}

/// What an ICMP error tells of the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) subject: Subject,
}

/// What tells flows between the same two addresses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Ports(Ports),
    Echo { request: bool, id: u16 },
    Other,
}

/// A packet that is cut short, leads elsewhere than it says, or has too many headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Headers {
    /// Reads a packet, without anything behind its end.
    pub(super) fn parse(packet: &[u8]) -> Result<Self, Unreadable> {
        let network = Network::parse(packet)?;
        let mut headers = Self {
            source: network.source,
            destination: network.destination,
            protocol: network.protocol,
            content: Content::Other,
            first: None,
        };
        if let Some(fragment) = network.fragment.filter(|fragment| fragment.offset > 0) {
            headers.content = Content::Later(network.packet(fragment), fragment.offset);
            return Ok(headers);
        }
        let body = network.body;
        let (content, judged) = match network.kind() {
            Kind::Tcp => {
                let header: &[u8; 20] = body.first_chunk().ok_or(Unreadable)?;
                (Content::Tcp(ports(header), header[13]), header.len())
            }
            Kind::Udp => {
                let header: &[u8; 8] = body.first_chunk().ok_or(Unreadable)?;
                (Content::Udp(ports(header)), header.len())
            }
            Kind::Icmp => match icmp(body, network.source.is_ipv4())? {
                // What it is about could be written over by a later one.
                Content::Error(_) if network.fragment.is_some_and(|fragment| fragment.more) => {
                    (Content::OtherIcmp, 8)
                }
                content => (content, 8),
            },
            Kind::Other => (Content::Other, 0),
        };
        headers.content = content;
        headers.first = network
            .fragment
            .filter(|fragment| fragment.more)
            .map(|fragment| First {
                packet: network.packet(fragment),
                judged: fragment.before + judged,
            });
        Ok(headers)
    }
}

/// An IP header, and those between it and the protocol's own.
struct Network<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    fragment: Option<Fragment>,
    body: &'a [u8],
}

#[derive(Clone, Copy)]
struct Fragment {
    id: u32,
    /// In bytes.
    offset: usize,
    more: bool,
    /// Bytes of extension headers between it and the body.
    before: usize,
}

enum Kind {
    Tcp,
    Udp,
    Icmp,
    Other,
}

impl<'a> Network<'a> {
    fn parse(packet: &'a [u8]) -> Result<Self, Unreadable> {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(packet),
            Some(6) => Self::parse_v6(packet),
            _ => Err(Unreadable),
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Result<Self, Unreadable> {
        let header: &[u8; 20] = packet.first_chunk().ok_or(Unreadable)?;
        let len = usize::from(header[0] & 0xf) * 4;
        let options = packet.get(20..len).ok_or(Unreadable)?;
        if is_source_routed(options) {
            return Err(Unreadable);
        }
        let flags = u16::from_be_bytes([header[6], header[7]]);
        let fragment = Fragment {
            id: u16::from_be_bytes([header[4], header[5]]).into(),
            offset: usize::from(flags & 0x1fff) * 8,
            more: flags & 0x2000 != 0,
            before: 0,
        };
        Ok(Self {
            source: array::<4>(header, 12).into(),
            destination: array::<4>(header, 16).into(),
            protocol: header[9],
            fragment: (fragment.more || fragment.offset > 0).then_some(fragment),
            body: packet.get(len..).ok_or(Unreadable)?,
        })
    }

    fn parse_v6(packet: &'a [u8]) -> Result<Self, Unreadable> {
        let header: &[u8; 40] = packet.first_chunk().ok_or(Unreadable)?;
        let (mut next, mut rest) = (header[6], packet.get(40..).ok_or(Unreadable)?);
        let mut fragment: Option<Fragment> = None;
        for _ in 0..=MOST_EXTENSIONS {
            let known = fragment.is_some();
            let len = match next {
                HOP_BY_HOP | DESTINATION_OPTIONS => extension_len(rest)?,
                // A packet that has still to go elsewhere has another destination than it says.
                ROUTING if rest.get(3) == Some(&0) => extension_len(rest)?,
                ROUTING => return Err(Unreadable),
                FRAGMENT if known => return Err(Unreadable),
                FRAGMENT => {
                    let bytes: &[u8; 8] = rest.first_chunk().ok_or(Unreadable)?;
                    let flags = u16::from_be_bytes([bytes[2], bytes[3]]);
                    fragment = Some(Fragment {
                        id: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
                        offset: usize::from(flags & !7),
                        more: flags & 1 != 0,
                        before: 0,
                    });
                    bytes.len()
                }
                protocol => return Ok(Self::v6(header, protocol, fragment, rest)),
            };
            next = *rest.first().ok_or(Unreadable)?;
            rest = rest.get(len..).ok_or(Unreadable)?;
            if let Some(fragment) = fragment.as_mut().filter(|_| known) {
                fragment.before += len;
            }
            if fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(Self::v6(header, next, fragment, rest));
            }
        }
        Err(Unreadable)
    }

    fn v6(header: &[u8; 40], protocol: u8, fragment: Option<Fragment>, body: &'a [u8]) -> Self {
        Self {
            source: array::<16>(header, 8).into(),
            destination: array::<16>(header, 24).into(),
            protocol,
            fragment,
            body,
        }
    }

    fn packet(&self, fragment: Fragment) -> Packet {
        Packet {
            source: self.source,
            destination: self.destination,
            protocol: if self.source.is_ipv4() {
                self.protocol
            } else {
                FRAGMENT
            },
            id: fragment.id,
        }
    }

    fn kind(&self) -> Kind {
        match (self.protocol, self.source.is_ipv4()) {
            (TCP, _) => Kind::Tcp,
            (UDP, _) => Kind::Udp,
            (ICMP, true) | (ICMPV6, false) => Kind::Icmp,
            _ => Kind::Other,
        }
    }
}

/// The length of an extension header (RFC 8200, section 4).
fn extension_len(header: &[u8]) -> Result<usize, Unreadable> {
    header
        .get(1)
        .map(|len| (usize::from(*len) + 1) * 8)
        .ok_or(Unreadable)
}

/// Whether the options of an IPv4 header lead the packet elsewhere (RFC 791: loose and strict source routes), or cannot be
/// read.
fn is_source_routed(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    while let Some(kind) = options.first() {
        let len = match *kind {
            END => return false,
            NOTHING => 1,
            LOOSE | STRICT => return true,
            _ => match options.get(1) {
                Some(len) if *len >= 2 => usize::from(*len),
                _ => return true,
            },
        };
        let Some(rest) = options.get(len..) else {
            return true;
        };
        options = rest;
    }
    false
}

fn icmp(body: &[u8], is_v4: bool) -> Result<Content, Unreadable> {
    let header: &[u8; 8] = body.first_chunk().ok_or(Unreadable)?;
    if let Some(request) = echo(header[0], is_v4) {
        let id = u16::from_be_bytes([header[4], header[5]]);
        return Ok(Content::Echo { request, id });
    }
    // Destination unreachable, time exceeded, parameter problem; for IPv6 also packet too big. Not redirect: who may
    // change a peer's routes?
    let is_error = match is_v4 {
        true => matches!(header[0], 3 | 11 | 12),
        false => matches!(header[0], 1..=4),
    };
    let quoted = body.get(8..).filter(|_| is_error).and_then(quoted);
    Ok(quoted
        .filter(|quoted| quoted.source.is_ipv4() == is_v4)
        .map_or(Content::OtherIcmp, Content::Error))
}

/// Whether a type of ICMP is an echo request (true) or reply.
fn echo(kind: u8, is_v4: bool) -> Option<bool> {
    match (kind, is_v4) {
        (8, true) | (128, false) => Some(true),
        (0, true) | (129, false) => Some(false),
        _ => None,
    }
}

/// The packet that an error is about, of which eight bytes behind the IP header are enough (RFC 792).
fn quoted(packet: &[u8]) -> Option<Quoted> {
    let network = Network::parse(packet).ok()?;
    if network.fragment.is_some_and(|fragment| fragment.offset > 0) {
        return None;
    }
    let start: Option<&[u8; 8]> = network.body.first_chunk();
    let subject = match network.kind() {
        Kind::Tcp | Kind::Udp => Subject::Ports(ports(start?)),
        Kind::Icmp => {
            let start = start?;
            Subject::Echo {
                request: echo(start[0], network.source.is_ipv4())?,
                id: u16::from_be_bytes([start[4], start[5]]),
            }
        }
        Kind::Other => Subject::Other,
    };
    Some(Quoted {
        source: network.source,
        destination: network.destination,
        protocol: network.protocol,
        subject,
    })
}

fn ports(header: &[u8]) -> Ports {
    let [a, b, c, d] = array::<4>(header, 0);
    Ports {
        source: u16::from_be_bytes([a, b]),
        destination: u16::from_be_bytes([c, d]),
    }
}

fn array<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    core::array::from_fn(|index| header.get(offset + index).copied().unwrap_or(0))
}
