//! Joining consecutive TCP segments of a flow into one, so that a TCP stack pays once for many.
//!
//! The rules are those of generic receive offload in the Linux kernel: what comes out must be what a sender
//! could have handed to segmentation offload, so that cutting it apart again gives the packets that came in.
//! Two segments are joined if
//!
//! - both checksums of both are right: a damaged segment must not be laundered by a fresh checksum;
//! - they follow each other in sequence, and carry data;
//! - they agree in addresses, ports, acknowledgment, window and every byte of options (so in timestamps too);
//! - their flags are ACK alone, with PSH allowed on the last, which ends the joined segment;
//! - they agree in traffic class (so in the ECN field), TTL or hop limit, flow label and "don't fragment";
//! - their IPv4 identifications are consecutive; with "don't fragment" those mean nothing (RFC 6864, 4.1);
//! - the second is not longer than the first, and every one but the last has the length of the first.
//!
//! Everything else passes through as it came, in its flow's order.

use alloc::vec::Vec;

use crate::checksum::Sum;
use crate::tcp::{self, Class, FlowKey, Segment};

/// The longest packet that comes out of joining.
pub const MAX_BYTES: usize = 65_535;

/// Joins TCP segments of a bounded number of flows at a time.
///
/// Packets held back come out at [`flush`](Self::flush), which belongs at the end of every batch. The order of
/// packets within a flow is kept; between flows it is not.
pub struct Coalescer {
    /// The first `active` are in use, those that began earlier first.
    flows: Vec<Flow>,
    active: usize,
    max_bytes: usize,
}

impl Coalescer {
    /// A coalescer for up to `flows` flows (at least one) and joined packets of up to `max_bytes` bytes (at most
    /// [`MAX_BYTES`]). All memory, `flows * max_bytes`, is reserved here and none later.
    #[must_use]
    pub fn new(flows: usize, max_bytes: usize) -> Self {
        let max_bytes = max_bytes.min(MAX_BYTES);
        let flows = (0..flows.max(1))
            .map(|_| Flow::with_capacity(max_bytes))
            .collect();
        Self {
            flows,
            active: 0,
            max_bytes,
        }
    }

    /// Takes the next IP packet. `sink` receives what is complete by that: packets passed through untouched
    /// (`packet` itself among them) and joined ones, with right lengths and checksums.
    pub fn push(&mut self, packet: &[u8], mut sink: impl FnMut(&[u8])) {
        let segment = match tcp::classify(packet) {
            Class::Tcp(segment) => segment,
            Class::Foreign => return sink(packet),
            Class::Opaque => {
                // It may belong to any flow, and must not overtake it.
                self.flush(&mut sink);
                return sink(packet);
            }
        };
        let key = segment.flow();
        let flow = self.flows[..self.active]
            .iter()
            .position(|flow| flow.key == Some(key));
        let payload = Sum::new().bytes(segment.payload);
        let joinable = is_joinable(&segment) && segment.is_intact(payload);

        if let Some(index) = flow {
            if joinable && self.flows[index].continues_with(&segment, self.max_bytes) {
                let is_last = self.flows[index].append(&segment, payload);
                if is_last {
                    self.close(index, &mut sink);
                }
                return;
            }
            self.close(index, &mut sink);
        }
        // Nothing can be joined to a segment with PSH, so there is no reason to hold it back.
        if !joinable || segment.flags() & tcp::PSH != 0 || packet.len() > self.max_bytes {
            return sink(packet);
        }
        if self.active == self.flows.len() {
            self.close(0, &mut sink);
        }
        self.flows[self.active].begin(key, packet, &segment, payload);
        self.active += 1;
    }

    /// Hands out everything that is held back, flows that began earlier first.
    pub fn flush(&mut self, mut sink: impl FnMut(&[u8])) {
        for flow in &mut self.flows[..self.active] {
            sink(flow.finish());
        }
        self.active = 0;
    }

    /// Whether nothing is held back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active == 0
    }

    fn close(&mut self, index: usize, sink: &mut impl FnMut(&[u8])) {
        sink(self.flows[index].finish());
        self.flows[index..self.active].rotate_left(1);
        self.active -= 1;
    }
}

/// Whether a segment, if its checksums are right, may be part of a joined one.
pub(crate) fn is_joinable(segment: &Segment<'_>) -> bool {
    let has_ip_options = !segment.is_v6() && segment.ip.len() != 20;
    let reserved = segment.tcp[12] & 0x0f;
    let flags = segment.flags() & !tcp::PSH;
    !has_ip_options && reserved == 0 && flags == tcp::ACK && !segment.payload.is_empty()
}

/// One packet that grows.
struct Flow {
    key: Option<FlowKey>,
    packet: Vec<u8>,
    ip_len: usize,
    tcp_len: usize,
    /// Length of the first segment's payload.
    segment_len: usize,
    segments: usize,
    /// Of the payload so far, so that the final checksum does not take another pass over it.
    payload: Sum,
    last_id: u16,
}

impl Flow {
    fn with_capacity(max_bytes: usize) -> Self {
        Self {
            key: None,
            packet: Vec::with_capacity(max_bytes),
            ip_len: 0,
            tcp_len: 0,
            segment_len: 0,
            segments: 0,
            payload: Sum::new(),
            last_id: 0,
        }
    }

    /// `packet` fits the capacity.
    fn begin(&mut self, key: FlowKey, packet: &[u8], segment: &Segment<'_>, payload: Sum) {
        self.key = Some(key);
        self.packet.clear();
        self.packet.extend_from_slice(packet);
        self.ip_len = segment.ip.len();
        self.tcp_len = segment.tcp.len();
        self.segment_len = segment.payload.len();
        self.segments = 1;
        self.payload = payload;
        if !segment.is_v6() {
            self.last_id = segment.ipv4_id();
        }
    }

    fn continues_with(&self, segment: &Segment<'_>, max_bytes: usize) -> bool {
        let (ip, rest) = self.packet.split_at(self.ip_len);
        let (tcp, payload) = rest.split_at(self.tcp_len);
        let first = Segment { ip, tcp, payload };
        segment.payload.len() <= self.segment_len
            && self.packet.len() + segment.payload.len() <= max_bytes
            && segment.sequence() == first.sequence().wrapping_add(payload.len() as u32)
            && same_ip_fields(first.ip, segment.ip, self.last_id)
            && same_tcp_fields(first.tcp, segment.tcp)
    }

    /// Adds a segment that continues this one. Returns whether nothing can follow it.
    fn append(&mut self, segment: &Segment<'_>, payload: Sum) -> bool {
        let is_odd = (self.packet.len() - self.ip_len - self.tcp_len) % 2 == 1;
        self.payload = self
            .payload
            .plus(if is_odd { payload.at_odd_offset() } else { payload });
        self.packet.extend_from_slice(segment.payload);
        self.packet[self.ip_len + tcp::FLAGS] |= segment.flags() & tcp::PSH;
        self.segments += 1;
        if !segment.is_v6() {
            self.last_id = segment.ipv4_id();
        }
        segment.flags() & tcp::PSH != 0 || segment.payload.len() < self.segment_len
    }

    fn finish(&mut self) -> &[u8] {
        if self.segments > 1 {
            let (ip, rest) = self.packet.split_at_mut(self.ip_len);
            let (tcp, payload) = rest.split_at_mut(self.tcp_len);
            let parties = tcp::parties(ip, tcp::TCP);
            tcp::seal_headers(ip, tcp, parties, payload.len(), self.payload);
        }
        self.key = None;
        &self.packet
    }
}

/// Of the headers of two packets of one flow, so of one version.
pub(crate) fn same_ip_fields(first: &[u8], next: &[u8], last_id: u16) -> bool {
    if tcp::is_v6(first) {
        // Version, traffic class and flow label; hop limit.
        return first[..4] == next[..4] && first[7] == next[7];
    }
    let dont_fragment = first[6] & 0x40 != 0;
    // Version and header length, type of service; flags; TTL.
    first[..2] == next[..2]
        && first[6..8] == next[6..8]
        && first[8] == next[8]
        && (dont_fragment || tcp::be16(next, tcp::IPV4_ID) == last_id.wrapping_add(1))
}

pub(crate) fn same_tcp_fields(first: &[u8], next: &[u8]) -> bool {
    // Acknowledgment, header length; window; urgent pointer, options. What flags there may be is known.
    first[8..13] == next[8..13]
        && first[14..16] == next[14..16]
        && first[tcp::URGENT..] == next[tcp::URGENT..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_buffer_is_allocated_after_construction() {
        // An IPv4 packet: 20 bytes of header, protocol 6; a TCP header without options; right checksums.
        fn packet(sequence: u32, payload_len: usize) -> Vec<u8> {
            let mut packet = alloc::vec![0; 40 + payload_len];
            packet[0] = 0x45;
            packet[6] = 0x40;
            packet[9] = 6;
            packet[20 + 4..20 + 8].copy_from_slice(&sequence.to_be_bytes());
            packet[20 + 12] = 0x50;
            packet[20 + 13] = tcp::ACK;
            let (ip, rest) = packet.split_at_mut(20);
            let parties = tcp::parties(ip, tcp::TCP);
            tcp::seal_headers(ip, &mut rest[..20], parties, payload_len, Sum::new());
            packet
        }
        let mut coalescer = Coalescer::new(1, MAX_BYTES);
        let before = coalescer.flows[0].packet.as_ptr();
        let mut lengths = Vec::new();
        let payload_len = (MAX_BYTES - 40) / 5;
        for i in 0..6 {
            coalescer.push(&packet(i * payload_len as u32, payload_len), |bytes| {
                lengths.push(bytes.len())
            });
        }
        coalescer.flush(|bytes| lengths.push(bytes.len()));
        assert_eq!(lengths, [MAX_BYTES, 40 + payload_len]);
        assert_eq!(coalescer.flows[0].packet.as_ptr(), before);
        assert_eq!(coalescer.flows[0].packet.capacity(), MAX_BYTES);
    }
}
