//! Packets of one peer for another: back into the tunnel, one hop less.
//!
//! They are not looked into: what a peer may send another is the engine's filter's to say. A packet longer than ours cannot
//! leave; who forbids that it is cut is told so (RFC 1812 5.3.3, RFC 8200 5).

use core::net::IpAddr;

use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

use super::cut::Cutter;
use crate::address::is_host;
use crate::outbox::Outbox;

/// A header of IPv4 without options.
const PLAIN: u8 = 20;

pub(crate) struct Between {
    pub(crate) waiting: Outbox,
    mtu: usize,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It leaves with the next poll.
    Passed,
    /// It is no packet that may be passed on.
    Refused,
    /// It had no hop left.
    Exceeded,
    /// It is too long, and must not be cut.
    TooLong,
    /// Too much waits.
    Full,
}

impl Between {
    pub(crate) fn new(limit: usize, mtu: usize) -> Self {
        Self {
            waiting: Outbox::new(limit, mtu),
            mtu,
        }
    }

    /// Takes a packet whose destination is a peer's.
    pub(crate) fn pass(&mut self, packet: &[u8], cutter: &mut Cutter) -> Passage {
        let (whole, hops, cuttable, ends) = match packet.first().map(|byte| byte >> 4) {
            Some(4) => {
                let Ok(head) = Ipv4Packet::new_checked(packet) else {
                    return Passage::Refused;
                };
                if !head.verify_checksum() {
                    return Passage::Refused;
                }
                // A fragment that is cut again, or options, would be a router's work; they are rare.
                let is_plain = head.header_len() == PLAIN && !head.more_frags() && head.frag_offset() == 0;
                let cuttable = is_plain && !head.dont_frag();
                (
                    usize::from(head.total_len()),
                    head.hop_limit(),
                    cuttable,
                    [IpAddr::V4(head.src_addr()), IpAddr::V4(head.dst_addr())],
                )
            }
            Some(6) => {
                let Ok(head) = Ipv6Packet::new_checked(packet) else {
                    return Passage::Refused;
                };
                (
                    head.total_len(),
                    head.hop_limit(),
                    false,
                    [IpAddr::V6(head.src_addr()), IpAddr::V6(head.dst_addr())],
                )
            }
            _ => return Passage::Refused,
        };
        // A peer may have a network with groups in it.
        let is_between_hosts = ends.into_iter().all(is_host);
        let Some(packet) = packet.get(..whole).filter(|_| is_between_hosts) else {
            return Passage::Refused;
        };
        if hops <= 1 {
            return Passage::Exceeded;
        }
        if packet.len() > self.mtu && !cuttable {
            return Passage::TooLong;
        }
        if !self.waiting.has_room_for_sender(packet.len()) {
            return Passage::Full;
        }
        cutter.emit(packet.len(), self.mtu, &mut self.waiting, |room| {
            room.copy_from_slice(packet);
            one_hop_less(room);
        });
        Passage::Passed
    }
}

fn one_hop_less(packet: &mut [u8]) {
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        let mut head = Ipv4Packet::new_unchecked(packet);
        let hops = head.hop_limit().saturating_sub(1);
        head.set_hop_limit(hops);
        head.fill_checksum();
    } else {
        let mut head = Ipv6Packet::new_unchecked(packet);
        let hops = head.hop_limit().saturating_sub(1);
        head.set_hop_limit(hops);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::kept::Kept;

    fn v4(len: usize, hops: u8, dont_cut: bool) -> Vec<u8> {
        let mut packet = vec![0; len];
        let mut head = Ipv4Packet::new_unchecked(&mut packet);
        head.set_version(4);
        head.set_header_len(20);
        head.set_total_len(u16::try_from(len).unwrap());
        head.set_hop_limit(hops);
        head.set_dont_frag(dont_cut);
        head.set_src_addr([10, 9, 0, 1].into());
        head.set_dst_addr([10, 9, 0, 2].into());
        head.fill_checksum();
        packet
    }

    fn v6(len: usize, hops: u8) -> Vec<u8> {
        let mut packet = vec![0; len];
        let mut head = Ipv6Packet::new_unchecked(&mut packet);
        head.set_version(6);
        head.set_payload_len(u16::try_from(len - 40).unwrap());
        head.set_hop_limit(hops);
        head.set_src_addr("fd09::1".parse().unwrap());
        head.set_dst_addr("fd09::2".parse().unwrap());
        packet
    }

    fn pass(packet: &[u8]) -> (Passage, Vec<Vec<u8>>) {
        let (mut between, mut kept) = (Between::new(1 << 20, 1_420), Kept::default());
        let passage = between.pass(packet, &mut Cutter::new(1));
        between.waiting.flush(&mut kept);
        (passage, kept.0)
    }

    #[test]
    fn a_packet_passes_as_it_came_with_one_hop_less_and_without_what_stood_behind_it() {
        for (sent, expected) in [(v4(100, 64, true), v4(100, 63, true)), (v6(100, 2), v6(100, 1))] {
            let mut padded = sent.clone();
            padded.extend([7; 12]);
            assert_eq!(pass(&padded), (Passage::Passed, vec![expected]));
        }
    }

    #[test]
    fn what_has_no_hop_left_or_is_damaged_or_for_many_does_not_pass() {
        for packet in [v4(100, 1, true), v6(100, 1), v4(100, 0, true)] {
            assert_eq!(pass(&packet), (Passage::Exceeded, vec![]));
        }
        let mut damaged = v4(100, 64, true);
        damaged[13] ^= 1;
        let mut group = v6(100, 64);
        group[24] = 0xff;
        for packet in [damaged, group, vec![], vec![0x45; 10], vec![0x20; 60]] {
            assert_eq!(pass(&packet), (Passage::Refused, vec![]));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_only_where_it_may_be() {
        assert_eq!(pass(&v4(1_500, 64, true)), (Passage::TooLong, vec![]));
        assert_eq!(pass(&v6(1_500, 64)), (Passage::TooLong, vec![]));
        let (passage, pieces) = pass(&v4(1_500, 64, false));
        assert_eq!(passage, Passage::Passed);
        // Pieces are multiples of eight bytes.
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1_420, 100]);
    }

    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let (mut between, mut cutter) = (Between::new(10_000, 1_420), Cutter::new(1));
        let passed = (0..100)
            .filter(|_| between.pass(&v4(1_000, 64, true), &mut cutter) == Passage::Passed)
            .count();
        assert_eq!(passed, 7);
    }
}
