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
        let (whole, hops, cuttable, source) = match packet.first().map(|byte| byte >> 4) {
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
                    IpAddr::V4(head.src_addr()),
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
                    IpAddr::V6(head.src_addr()),
                )
            }
            _ => return Passage::Refused,
        };
        let Some(packet) = packet.get(..whole).filter(|_| is_host(source)) else {
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
