//! The head of a peer's packet, kept to be quoted in an ICMP error about it.

use crate::demux::IpPacket;

/// A header of IPv4 with all options, and eight bytes more (RFC 792); one of IPv6 takes less.
const MOST: usize = 68;
/// What an error must quote of what follows the IP header.
const BEHIND: usize = 8;

#[derive(Clone, Copy)]
pub(crate) struct Quote {
    bytes: [u8; MOST],
    len: u8,
}

impl Quote {
    pub(crate) fn of(packet: &IpPacket<'_>) -> Self {
        let header = packet.whole.len().saturating_sub(packet.payload.len());
        let len = packet.whole.len().min(header + BEHIND).min(MOST);
        let mut bytes = [0; MOST];
        for (to, from) in bytes.iter_mut().zip(packet.whole.iter().take(len)) {
            *to = *from;
        }
        Self {
            bytes,
            len: u8::try_from(len).unwrap_or(0),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }

    /// The same with another sequence number, for an error about an earlier echo request.
    pub(crate) fn with_sequence(mut self, sequence: u16) -> Self {
        let len = usize::from(self.len);
        if let Some([high, low]) = self.bytes.get_mut(len.saturating_sub(2)..len) {
            [*high, *low] = sequence.to_be_bytes();
        }
        self
    }
}
