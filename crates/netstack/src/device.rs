//! Where packets leave, and smoltcp's view of it.

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as Micros;

/// Takes packets to encrypt and send.
pub trait PacketSink {
    /// Whether a packet as large as the MTU fits. While it does not, connections wait and keep their data.
    fn has_room(&self) -> bool;

    /// Takes one packet: gives `fill` a buffer of exactly `len` bytes, of any content, and returns what it
    /// returns. Called only after `has_room` said yes.
    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R;
}

/// What smoltcp takes for a network device, for the time of one call: at most one packet in, packets out.
pub(crate) struct Port<'a, S> {
    pub(crate) incoming: Option<&'a [u8]>,
    pub(crate) sink: &'a mut S,
    pub(crate) mtu: usize,
    pub(crate) sent: Sent,
    /// The number behind everything sent so far, see [`Outgoing`].
    pub(crate) highest: Option<u32>,
}

const TCP_HEADER_LEN: usize = 20;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What went out through a port.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// The last segment.
    pub(crate) last: SentSegment,
}

/// A segment that smoltcp wrote.
#[derive(Clone, Copy, Default)]
pub(crate) struct SentSegment {
    /// The sequence number of its first byte, or of the one that will be: a SYN is behind it.
    pub(crate) sequence: u32,
    /// Bytes of payload.
    pub(crate) len: u32,
    pub(crate) fin: bool,
    /// It takes no sequence numbers, and its own says only how far we are.
    is_empty: bool,
}

impl<'a, S: PacketSink> Port<'a, S> {
    pub(crate) fn new(incoming: Option<&'a [u8]>, sink: &'a mut S, mtu: usize, highest: Option<u32>) -> Self {
        Self {
            incoming,
            sink,
            mtu,
            sent: Sent::default(),
            highest,
        }
    }
}

/// Incoming checksums are verified before a connection is looked for, so smoltcp need not do it again.
pub(crate) fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::default();
    checksum.ipv4 = Checksum::Tx;
    checksum.tcp = Checksum::Tx;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu;
    capabilities.checksum = checksum;
    capabilities
}

impl<S: PacketSink> Device for Port<'_, S> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t, S>
    where
        Self: 't;

    fn receive(&mut self, _: Micros) -> Option<(Incoming<'_>, Outgoing<'_, S>)> {
        let packet = self.incoming.take()?;
        Some((
            Incoming(packet),
            Outgoing {
                sink: self.sink,
                sent: &mut self.sent,
                highest: self.highest,
            },
        ))
    }

    fn transmit(&mut self, _: Micros) -> Option<Outgoing<'_, S>> {
        self.sink.has_room().then_some(Outgoing {
            sink: self.sink,
            sent: &mut self.sent,
            highest: self.highest,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

pub(crate) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Takes a packet from smoltcp.
///
/// After going back, smoltcp sends acknowledgements with the sequence number it went back to. A receiver must ignore
/// the acknowledgement in a segment whose sequence number lies behind (RFC 9293 3.10.7.4); if both sides went back,
/// neither would ever learn what the other has. So a segment that carries nothing gets the highest number.
pub(crate) struct Outgoing<'a, S> {
    sink: &'a mut S,
    sent: &'a mut Sent,
    highest: Option<u32>,
}

impl<S: PacketSink> TxToken for Outgoing<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let (sent, highest) = (self.sent, self.highest);
        sent.packets += 1;
        sent.bytes += len as u64;
        self.sink.packet(len, |buffer| {
            let result = f(buffer);
            sent.last = SentSegment::of(buffer).unwrap_or_default();
            if let Some(highest) = highest.filter(|_| sent.last.is_empty) {
                raise_sequence(buffer, highest);
            }
            result
        })
    }
}

/// Puts another sequence number into a segment and corrects its checksum (RFC 1624).
fn raise_sequence(packet: &mut [u8], to: u32) {
    let ip = ip_header_len(packet);
    let Some(segment) = packet.get_mut(ip..) else {
        return;
    };
    let Some(
        &mut [
            _,
            _,
            _,
            _,
            ref mut sequence @ ..,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            ref mut a,
            ref mut b,
            _,
            _,
        ],
    ) = segment.first_chunk_mut::<TCP_HEADER_LEN>()
    else {
        return;
    };
    let words = |bytes: [u8; 4]| {
        let [a, b, c, d] = bytes;
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
    };
    let old = words(*sequence);
    *sequence = to.to_be_bytes();
    let mut sum = u32::from(!u16::from_be_bytes([*a, *b]));
    for (old, new) in old.into_iter().zip(words(to.to_be_bytes())) {
        sum += u32::from(!old) + u32::from(new);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [high, low] = (!(sum as u16)).to_be_bytes();
    (*a, *b) = (high, low);
}

/// smoltcp adds neither IPv4 options nor extension headers.
fn ip_header_len(packet: &[u8]) -> usize {
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        20
    } else {
        40
    }
}

impl SentSegment {
    fn of(packet: &[u8]) -> Option<Self> {
        let ip = ip_header_len(packet);
        let sequence = packet.get(ip + 4..ip + 8)?.try_into().ok()?;
        let headers = ip + usize::from(packet.get(ip + 12)? >> 4) * 4;
        let flags = *packet.get(ip + 13)?;
        let (syn, fin) = (flags >> 1 & 1, flags & 1);
        // Its number is the one that it answers (RFC 9293 3.10.7.3).
        let is_answer = flags & (RST | ACK) == RST;
        let len = u32::try_from(packet.len().checked_sub(headers)?).ok()?;
        Some(Self {
            sequence: u32::from_be_bytes(sequence).wrapping_add(syn.into()),
            len,
            fin: fin != 0,
            is_empty: len == 0 && syn + fin == 0 && !is_answer,
        })
    }
}

#[cfg(test)]
impl SentSegment {
    pub(crate) fn data(sequence: u32, len: u32) -> Self {
        Self {
            sequence,
            len,
            fin: false,
            is_empty: len == 0,
        }
    }

    pub(crate) fn fin(sequence: u32) -> Self {
        Self {
            sequence,
            len: 0,
            fin: true,
            is_empty: false,
        }
    }
}
