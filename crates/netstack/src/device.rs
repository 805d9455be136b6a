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
}

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
}

impl<'a, S: PacketSink> Port<'a, S> {
    pub(crate) fn new(incoming: Option<&'a [u8]>, sink: &'a mut S, mtu: usize) -> Self {
        Self {
            incoming,
            sink,
            mtu,
            sent: Sent::default(),
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
            },
        ))
    }

    fn transmit(&mut self, _: Micros) -> Option<Outgoing<'_, S>> {
        self.sink.has_room().then_some(Outgoing {
            sink: self.sink,
            sent: &mut self.sent,
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

pub(crate) struct Outgoing<'a, S> {
    sink: &'a mut S,
    sent: &'a mut Sent,
}

impl<S: PacketSink> TxToken for Outgoing<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let sent = self.sent;
        sent.packets += 1;
        sent.bytes += len as u64;
        self.sink.packet(len, |buffer| {
            let result = f(buffer);
            sent.last = SentSegment::of(buffer).unwrap_or_default();
            result
        })
    }
}

impl SentSegment {
    /// smoltcp adds neither IPv4 options nor extension headers.
    fn of(packet: &[u8]) -> Option<Self> {
        let ip = if packet.first()? >> 4 == 4 { 20 } else { 40 };
        let sequence = packet.get(ip + 4..ip + 8)?.try_into().ok()?;
        let headers = ip + usize::from(packet.get(ip + 12)? >> 4) * 4;
        let flags = *packet.get(ip + 13)?;
        let syn = u32::from(flags >> 1 & 1);
        Some(Self {
            sequence: u32::from_be_bytes(sequence).wrapping_add(syn),
            len: u32::try_from(packet.len().checked_sub(headers)?).ok()?,
            fin: flags & 1 != 0,
        })
    }
}
