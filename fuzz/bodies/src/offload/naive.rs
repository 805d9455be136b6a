//! Packets byte by byte, checksums by the definition: what the offloads must not be told from.

/// What a packet is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn number(self) -> u8 {
        if self == Self::Tcp { 6 } else { 17 }
    }

    /// Where the checksum is in the header.
    pub(super) fn field(self) -> usize {
        if self == Self::Tcp { 16 } else { 6 }
    }
}

/// Where the parts of a packet begin.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) is_v6: bool,
    /// The transport header.
    pub(super) transport: usize,
    pub(super) payload: usize,
}

const SYN_OR_RST: u8 = 0x06;
const FIN_OR_PSH: u8 = 0x09;
const URG: u8 = 0x20;
const CWR: u8 = 0x80;

/// The layout of a whole packet without extension headers whose lengths are true; a UDP length of zero is that of a
/// super-datagram.
pub(super) fn layout(packet: &[u8], transport: Transport) -> Option<Layout> {
    let is_v6 = packet.first()? >> 4 == 6;
    let at = if is_v6 {
        let own = packet.len().checked_sub(40)?;
        (packet[6] == transport.number() && usize::from(word(packet, 4)) == own).then_some(40)?
    } else {
        let len = usize::from(packet.first()? & 15) * 4;
        let is_v4 = packet[0] >> 4 == 4 && packet.len() >= 20.max(len) && len >= 20;
        let is_whole = is_v4 && word(packet, 6) & 0x3fff == 0 && usize::from(word(packet, 2)) == packet.len();
        (is_whole && packet[9] == transport.number()).then_some(len)?
    };
    layout_from(packet, transport, at)
}

/// The same of a packet in which extension headers may stand before a transport header, which is at `at`.
pub(super) fn layout_behind(packet: &[u8], transport: Transport, at: usize) -> Option<Layout> {
    if packet.first()? >> 4 != 6 {
        return layout(packet, transport).filter(|layout| layout.transport == at);
    }
    let is_whole = packet.len() >= 40 && usize::from(word(packet, 4)) == packet.len() - 40;
    let mut chain = vec![(*packet.get(6)?, 40)];
    while let Some(&(kind, from)) = chain.last()
        && ![6, 17, 44, 50, 51, 58, 59].contains(&kind)
    {
        let len = (usize::from(*packet.get(from + 1)?) + 1) * 8;
        chain.push((packet[from], from + len));
    }
    let is_there = is_whole && chain.last() == Some(&(transport.number(), at)) && at <= packet.len();
    is_there.then(|| layout_from(packet, transport, at)).flatten()
}

fn layout_from(packet: &[u8], transport: Transport, at: usize) -> Option<Layout> {
    let rest = &packet[at..];
    let header = match transport {
        Transport::Tcp => usize::from(rest.get(12)? >> 4) * 4,
        Transport::Udp => 8,
    };
    let shortest = if transport == Transport::Tcp { 20 } else { 8 };
    let fits = (shortest..=rest.len()).contains(&header);
    let told = (fits && transport == Transport::Udp).then(|| usize::from(word(rest, 4)));
    let is_true = told.is_none_or(|len| len == 0 || len == rest.len());
    (fits && is_true).then_some(Layout {
        is_v6: packet[0] >> 4 == 6,
        transport: at,
        payload: at + header,
    })
}

/// How many packets of `segment` bytes of payload each a super-packet is; `None` if it cannot be cut.
pub(super) fn count(packet: &[u8], transport: Transport, layout: Layout, segment: usize) -> Option<usize> {
    if segment == 0 {
        return None;
    }
    let count = (packet.len() - layout.payload).div_ceil(segment).max(1);
    let is_bare = transport == Transport::Udp || packet[layout.transport + 13] & SYN_OR_RST == 0;
    (count == 1 || is_bare).then_some(count)
}

/// The packet `index` of a super-packet that can be cut.
pub(super) fn piece(
    packet: &[u8],
    transport: Transport,
    layout: Layout,
    segment: usize,
    index: usize,
) -> Vec<u8> {
    let payload = &packet[layout.payload..];
    let from = index * segment;
    let to = payload.len().min(from + segment);
    let mut piece = [&packet[..layout.payload], &payload[from..to]].concat();
    if !layout.is_v6 {
        let id = word(packet, 4).wrapping_add(index as u16);
        put(&mut piece, 4, id);
    }
    if transport == Transport::Tcp {
        let tcp = &mut piece[layout.transport..];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(from as u32);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        if to < payload.len() {
            tcp[13] &= !FIN_OR_PSH;
        }
        if index > 0 {
            tcp[13] &= !CWR;
        }
        if tcp[13] & URG != 0 {
            let urgent = usize::from(word(tcp, 18));
            if urgent < from {
                tcp[13] &= !URG;
            }
            put(tcp, 18, urgent.saturating_sub(from) as u16);
        }
    }
    seal(&mut piece, transport, layout);
    if layout.is_v6 && layout.transport > 40 {
        // Who talks to whom is known from the checksum alone; the length in it was that of the whole.
        let field = layout.transport + transport.field();
        put(&mut piece, field, 0);
        let lengths = [packet.len(), piece.len()].map(|len| (len - layout.transport) as u16);
        let pseudo = [word(packet, field), !lengths[0], lengths[1]].map(u16::to_be_bytes);
        let sum = !sum(&[pseudo.as_flattened(), &piece[layout.transport..]].concat());
        let is_none = sum == 0 && transport == Transport::Udp;
        put(&mut piece, field, if is_none { 0xffff } else { sum });
    }
    piece
}

/// Writes true lengths and right checksums.
pub(super) fn seal(packet: &mut [u8], transport: Transport, layout: Layout) {
    let len = packet.len();
    let (number, field) = (transport.number(), transport.field());
    if layout.is_v6 {
        put(packet, 4, (len - 40) as u16);
    } else {
        put(packet, 2, len as u16);
        put(packet, 10, 0);
        let sum = !sum(&packet[..layout.transport]);
        put(packet, 10, sum);
    }
    let rest = len - layout.transport;
    if transport == Transport::Udp {
        put(packet, layout.transport + 4, rest as u16);
    }
    put(packet, layout.transport + field, 0);
    let addresses = if layout.is_v6 { 8..40 } else { 12..20 };
    let pseudo = [
        &packet[addresses],
        &(rest as u32).to_be_bytes(),
        &[0, 0, 0, number],
        &packet[layout.transport..],
    ];
    let mut sum = !sum(&pseudo.concat());
    if sum == 0 && transport == Transport::Udp {
        sum = 0xffff;
    }
    put(packet, layout.transport + field, sum);
}

/// RFC 1071: words are added, and what was carried out is added again. 65,535 bytes carry less than 2^16 times.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let (words, last) = bytes.as_chunks::<2>();
    let mut sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    sum += last.first().map_or(0, |byte| u32::from(*byte) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
