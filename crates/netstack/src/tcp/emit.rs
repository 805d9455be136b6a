//! Segments as packets: an IP header, a TCP header with the options that we know, a payload, and their checksums.

use core::net::IpAddr;

use wirewright_offload::checksum::{Sum, pseudo_v4, pseudo_v6};

use super::receiver::BLOCKS;
use crate::demux::Tuple;
use crate::device::PacketSink;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

pub(super) const TCP_HEADER_LEN: usize = 20;
const TCP: u8 = 6;
const HOPS: u8 = 64;
/// The most that a data offset can tell.
const MOST_OPTIONS: usize = 40;

/// The IP header's length.
pub(super) fn ip_header_len(tuple: &Tuple) -> usize {
    if tuple.local.is_ipv4() { 20 } else { 40 }
}

/// The head of a segment.
#[derive(Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) sequence: u32,
    pub(super) ack_number: u32,
    pub(super) flags: u8,
    /// The field, scaled already.
    pub(super) window: u16,
    pub(super) options: Options,
}

/// TCP options, padded to whole words.
#[derive(Clone, Copy)]
pub(super) struct Options {
    bytes: [u8; MOST_OPTIONS],
    len: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes: [0; MOST_OPTIONS],
            len: 0,
        }
    }
}

impl Options {
    /// What a SYN says: the largest segment, the scale of window fields if any, and whether SACK blocks are understood.
    pub(super) fn of_syn(segment: u16, scale: Option<u8>, selective: bool) -> Self {
        let mut options = Self::default();
        let [high, low] = segment.to_be_bytes();
        options.push(&[2, 4, high, low]);
        if let Some(scale) = scale {
            options.push(&[1, 3, 3, scale]);
        }
        if selective {
            options.push(&[1, 1, 4, 2]);
        }
        options
    }

    /// SACK blocks.
    pub(super) fn of_blocks(blocks: &[(u32, u32)]) -> Self {
        let mut options = Self::default();
        let blocks = blocks.get(..blocks.len().min(BLOCKS)).unwrap_or_default();
        let Some(len) = u8::try_from(2 + 8 * blocks.len())
            .ok()
            .filter(|_| !blocks.is_empty())
        else {
            return options;
        };
        options.push(&[1, 1, 5, len]);
        for (left, right) in blocks {
            options.push(&left.to_be_bytes());
            options.push(&right.to_be_bytes());
        }
        options
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Writes a segment with `payload_len` bytes of payload, which `payload` fills in. Returns the packet's length.
pub(super) fn emit(
    tuple: &Tuple,
    head: &Head,
    payload_len: usize,
    payload: impl FnOnce(&mut [u8]),
    sink: &mut impl PacketSink,
) -> usize {
    let (ip_len, options) = (ip_header_len(tuple), head.options.as_slice());
    let header_len = TCP_HEADER_LEN + options.len();
    let total = ip_len + header_len + payload_len;
    sink.packet(total, |packet| {
        let Some((ip, segment)) = packet.split_at_mut_checked(ip_len) else {
            return;
        };
        let sum = write_ip(tuple, segment.len(), ip);
        let Some((header, rest)) = segment.split_at_mut_checked(header_len) else {
            return;
        };
        payload(rest);
        write_header(tuple, head, header);
        let sum = sum.bytes(header).bytes(rest).checksum();
        if let Some(place) = header.get_mut(16..18) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    });
    total
}

/// Writes the IP header, and returns the sum of the pseudo-header.
fn write_ip(tuple: &Tuple, len: usize, ip: &mut [u8]) -> Sum {
    // A packet is no longer than an MTU, which fits.
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    match (tuple.local.ip(), tuple.remote.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = len.saturating_add(20).to_be_bytes();
            let [a, b, c, d] = from.octets();
            let [e, f, g, h] = to.octets();
            // No identification, "don't fragment" set (RFC 6864 4.1).
            let mut header = [
                0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, TCP, 0, 0, a, b, c, d, e, f, g, h,
            ];
            let [high, low] = Sum::new().bytes(&header).checksum().to_be_bytes();
            (header[10], header[11]) = (high, low);
            ip.copy_from_slice(&header);
            pseudo_v4(from.octets(), to.octets(), TCP, len)
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let [high, low] = len.to_be_bytes();
            if let Some((fixed, addresses)) = ip.split_at_mut_checked(8)
                && let Some((source, destination)) = addresses.split_at_mut_checked(16)
            {
                fixed.copy_from_slice(&[0x60, 0, 0, 0, high, low, TCP, HOPS]);
                source.copy_from_slice(&octets(from));
                destination.copy_from_slice(&octets(to));
            }
            pseudo_v6(octets(from), octets(to), TCP, len.into())
        }
    }
}

fn write_header(tuple: &Tuple, head: &Head, header: &mut [u8]) {
    let words = u8::try_from(header.len() / 4).unwrap_or(0);
    let mut fixed = [0; TCP_HEADER_LEN];
    let mut at = 0;
    let mut push = |bytes: &[u8]| {
        if let Some(place) = fixed.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    push(&tuple.local.port().to_be_bytes());
    push(&tuple.remote.port().to_be_bytes());
    push(&head.sequence.to_be_bytes());
    push(&head.ack_number.to_be_bytes());
    push(&[words << 4, head.flags]);
    push(&head.window.to_be_bytes());
    if let Some((place, options)) = header.split_at_mut_checked(TCP_HEADER_LEN) {
        place.copy_from_slice(&fixed);
        options.copy_from_slice(head.options.as_slice());
    }
}
