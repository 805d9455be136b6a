//! Fragments of peers for what is outside, joined before they are carried on: a socket of the host takes whole datagrams.
//!
//! # Theory
//!
//! A datagram is known by addresses, protocol and identification (RFC 791 3.2, RFC 8200 4.5). Its pieces are put where they
//! belong until the last is known and none is missing. A piece that overlaps another one ends it, for such are made to pass
//! filters (RFC 5722, RFC 8200 4.5); an exact repetition is ignored.
//!
//! **Bounds.** There are few datagrams at once, fewer of one peer whatever addresses it has, and none for longer than
//! [`PATIENCE`]. The oldest of a peer that has all it may have makes room for its next one; where all places are taken, the oldest
//! of the peer that has most.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::VecDeque;

use smoltcp::wire::{Ipv4Packet, Ipv6Packet};
use wirewright_protocol::{Instant, PublicKey};

/// Between the 15 s that RFC 791 begins with and the 60 s of RFC 8200.
const PATIENCE: Duration = Duration::from_secs(30);
/// Datagrams at once, and of one peer.
const MOST: usize = 64;
const MOST_OF_PEER: usize = 16;
/// Pieces of one: enough for the longest in packets of the least MTU of IPv6.
const PIECES: usize = 64;
/// What a packet can be.
const LONGEST: usize = 65_535;
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
const FRAGMENT: usize = 8;
/// Next header "fragment".
const NEXT_FRAGMENT: u8 = 44;

/// One piece.
pub(crate) struct Fragment<'a> {
    key: Key,
    /// Where it belongs.
    start: usize,
    more: bool,
    hop_limit: u8,
    body: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    number: u32,
}

struct Partial {
    peer: Option<PublicKey>,
    key: Key,
    until: Instant,
    hop_limit: u8,
    /// What is there, each with where it belongs: no more memory than what came, wherever that is.
    pieces: Vec<(usize, Box<[u8]>)>,
    /// How long it is, once that is known.
    len: Option<usize>,
}

/// Datagrams that are not whole yet.
#[derive(Default)]
pub(crate) struct Reassembly {
    /// The oldest first.
    partial: VecDeque<Partial>,
    /// Pieces that came to nothing.
    pub(crate) lost: u64,
    whole: Vec<u8>,
}

impl<'a> Fragment<'a> {
    /// `None` if the packet is no fragment, or no packet.
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let head = Ipv4Packet::new_checked(packet).ok()?;
                if !(head.more_frags() || head.frag_offset() != 0) || !head.verify_checksum() {
                    return None;
                }
                let body = packet.get(usize::from(head.header_len())..usize::from(head.total_len()))?;
                Some(Self {
                    key: Key {
                        source: head.src_addr().into(),
                        destination: head.dst_addr().into(),
                        protocol: head.next_header().into(),
                        number: head.ident().into(),
                    },
                    start: head.frag_offset().into(),
                    more: head.more_frags(),
                    hop_limit: head.hop_limit(),
                    body,
                })
            }
            6 => {
                let head = Ipv6Packet::new_checked(packet).ok()?;
                if u8::from(head.next_header()) != NEXT_FRAGMENT {
                    return None;
                }
                let rest = packet.get(HEADER_V6..head.total_len())?;
                let (&[protocol, _, o1, o2, n1, n2, n3, n4], body) = rest.split_first_chunk::<FRAGMENT>()?;
                let place = u16::from_be_bytes([o1, o2]);
                Some(Self {
                    key: Key {
                        source: head.src_addr().into(),
                        destination: head.dst_addr().into(),
                        protocol,
                        number: u32::from_be_bytes([n1, n2, n3, n4]),
                    },
                    start: usize::from(place & !7),
                    more: place & 1 == 1,
                    hop_limit: head.hop_limit(),
                    body,
                })
            }
            _ => None,
        }
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.key.source
    }

    pub(crate) fn destination(&self) -> IpAddr {
        self.key.destination
    }

    fn end(&self) -> usize {
        self.start + self.body.len()
    }

    /// Whether it may be one: what is followed is a multiple of eight bytes, nothing is empty, and the whole fits a packet.
    fn is_sound(&self) -> bool {
        let header = if self.key.source.is_ipv4() { HEADER_V4 } else { 0 };
        let fits = self.end() + header <= LONGEST;
        fits && !self.body.is_empty() && (!self.more || self.body.len().is_multiple_of(8))
    }
}

impl Reassembly {
    /// Takes a piece of a peer; gives the packet if that makes it whole.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
        peer: Option<PublicKey>,
    ) -> Option<&[u8]> {
        self.expire(now);
        if !fragment.is_sound() {
            self.lost += 1;
            return None;
        }
        let known = self
            .partial
            .iter()
            .position(|partial| partial.peer == peer && partial.key == fragment.key);
        let at = known.unwrap_or_else(|| {
            self.make_room(peer);
            self.partial.push_back(Partial::new(fragment, peer, now));
            self.partial.len() - 1
        });
        let outcome = self.partial.get_mut(at)?.put(fragment);
        match outcome {
            Put::Waits => None,
            Put::Contradicts => {
                self.drop_at(at);
                self.lost += 1;
                None
            }
            Put::Whole => {
                let partial = self.partial.remove(at)?;
                partial.write(&mut self.whole);
                Some(&self.whole)
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.partial.front().is_some_and(|partial| partial.until <= now) {
            self.drop_at(0);
        }
    }

    /// Lets go of the oldest of a peer that has as many as one may have, or of whoever has most.
    fn make_room(&mut self, peer: Option<PublicKey>) {
        let those_of = |peer: Option<PublicKey>| {
            self.partial
                .iter()
                .filter(move |partial| partial.peer == peer)
                .count()
        };
        let whose = if those_of(peer) >= MOST_OF_PEER {
            Some(peer)
        } else if self.partial.len() >= MOST {
            let peers = self.partial.iter().map(|partial| partial.peer);
            peers.max_by_key(|peer| those_of(*peer))
        } else {
            None
        };
        let oldest = whose.and_then(|peer| self.partial.iter().position(|partial| partial.peer == peer));
        if let Some(oldest) = oldest {
            self.drop_at(oldest);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(partial) = self.partial.remove(at) {
            self.lost += partial.pieces.len() as u64;
        }
    }
}

enum Put {
    Waits,
    Whole,
    Contradicts,
}

impl Partial {
    fn new(fragment: &Fragment<'_>, peer: Option<PublicKey>, now: Instant) -> Self {
        Self {
            peer,
            key: fragment.key,
            until: now + PATIENCE,
            hop_limit: fragment.hop_limit,
            pieces: Vec::new(),
            len: None,
        }
    }

    fn put(&mut self, fragment: &Fragment<'_>) -> Put {
        let (start, end) = (fragment.start, fragment.end());
        if self.spans().any(|span| span == (start, end)) {
            return Put::Waits;
        }
        let overlaps = self.spans().any(|(from, to)| start < to && from < end);
        let ends_twice = !fragment.more && self.len.is_some();
        let is_beyond =
            self.len.is_some_and(|len| end > len) || (!fragment.more && self.spans().any(|(_, to)| to > end));
        if overlaps || ends_twice || is_beyond || self.pieces.len() >= PIECES {
            return Put::Contradicts;
        }
        if !fragment.more {
            self.len = Some(end);
        }
        self.pieces.push((start, fragment.body.into()));
        self.hop_limit = self.hop_limit.min(fragment.hop_limit);
        let there: usize = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        if self.len == Some(there) {
            Put::Whole
        } else {
            Put::Waits
        }
    }

    /// Where each piece begins and ends.
    fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        self.pieces
            .iter()
            .map(|(start, bytes)| (*start, start + bytes.len()))
    }

    /// Writes what is whole behind `header` bytes for the rest to fill.
    fn gather(&self, header: usize, whole: &mut Vec<u8>) {
        whole.clear();
        whole.resize(header + self.len.unwrap_or(0), 0);
        for (start, bytes) in &self.pieces {
            if let Some(place) = whole.get_mut(header + start..header + start + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }

    /// Writes it as a packet that was never cut.
    fn write(&self, whole: &mut Vec<u8>) {
        match (self.key.source, self.key.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.gather(HEADER_V4, whole);
                let len = u16::try_from(whole.len()).unwrap_or(0);
                let mut head = Ipv4Packet::new_unchecked(whole);
                head.set_version(4);
                head.set_header_len(20);
                head.set_total_len(len);
                head.set_hop_limit(self.hop_limit);
                head.set_next_header(self.key.protocol.into());
                head.set_src_addr(source);
                head.set_dst_addr(destination);
                head.fill_checksum();
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.gather(HEADER_V6, whole);
                let len = u16::try_from(whole.len() - HEADER_V6).unwrap_or(0);
                let mut head = Ipv6Packet::new_unchecked(whole);
                head.set_version(6);
                head.set_payload_len(len);
                head.set_hop_limit(self.hop_limit);
                head.set_next_header(self.key.protocol.into());
                head.set_src_addr(source);
                head.set_dst_addr(destination);
            }
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::cut::Cutter;
    use crate::forward::kept::Kept;

    /// A packet and its fragments; `host` tells sources apart, `number` datagrams of one.
    fn cut(version: u8, body: usize, host: u8, number: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut kept = Kept::default();
        let header = if version == 4 { HEADER_V4 } else { HEADER_V6 };
        let fill = |room: &mut [u8]| {
            if version == 4 {
                room[0] = 0x45;
                room[2..4].copy_from_slice(&u16::try_from(20 + body).unwrap().to_be_bytes());
                (room[8], room[9]) = (64, 17);
                room[12..20].copy_from_slice(&[10, 9, 0, host, 8, 8, 8, 8]);
                Ipv4Packet::new_unchecked(&mut room[..]).fill_checksum();
            } else {
                room[0] = 0x60;
                room[4..6].copy_from_slice(&u16::try_from(body).unwrap().to_be_bytes());
                (room[6], room[7]) = (17, 64);
                (room[8], room[23], room[24]) = (0xfd, host, 0x20);
            }
            for (at, byte) in room[header..].iter_mut().enumerate() {
                *byte = (at % 251) as u8;
            }
        };
        let mut whole = vec![0; header + body];
        fill(&mut whole);
        Cutter::new(number).emit(header + body, 1_280, &mut kept, fill);
        (whole, kept.0)
    }

    fn take(reassembly: &mut Reassembly, at: u64, packet: &[u8]) -> Option<Vec<u8>> {
        take_of(reassembly, 1, at, packet)
    }

    fn take_of(reassembly: &mut Reassembly, peer: u8, at: u64, packet: &[u8]) -> Option<Vec<u8>> {
        let now = Instant::from_nanos(at * 1_000_000_000);
        let fragment = Fragment::parse(packet).unwrap();
        let peer = Some(PublicKey::from_bytes([peer; 32]));
        reassembly.take(now, &fragment, peer).map(<[u8]>::to_vec)
    }

    #[test]
    fn pieces_in_any_order_become_the_packet() {
        for version in [4, 6] {
            let (whole, pieces) = cut(version, 4_900, 1, 7);
            for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
                let mut reassembly = Reassembly::default();
                let mut came = None;
                for index in order {
                    assert_eq!(came, None);
                    came = take(&mut reassembly, 1, &pieces[index]);
                    if came.is_none() {
                        assert_eq!(take(&mut reassembly, 1, &pieces[index]), None, "a repetition");
                    }
                }
                assert!(came.as_ref() == Some(&whole), "{version} {order:?}");
                assert_eq!((reassembly.lost, reassembly.partial.len()), (0, 0));
            }
        }
    }

    #[test]
    fn what_overlaps_ends_all_of_it() {
        let (_, pieces) = cut(6, 5_000, 1, 7);
        let mut reassembly = Reassembly::default();
        take(&mut reassembly, 1, &pieces[0]);
        let mut forged = pieces[1].clone();
        forged[HEADER_V6 + 3] -= 8;
        assert_eq!(take(&mut reassembly, 1, &forged), None);
        assert!(reassembly.partial.is_empty());
        assert_eq!(reassembly.lost, 2);
    }

    #[test]
    fn what_stays_incomplete_is_forgotten_in_time_and_counted() {
        let (_, pieces) = cut(4, 5_000, 1, 7);
        let mut reassembly = Reassembly::default();
        take(&mut reassembly, 1, &pieces[0]);
        let (_, others) = cut(4, 5_000, 1, 9);
        take(&mut reassembly, 32, &others[0]);
        assert_eq!((reassembly.lost, reassembly.partial.len()), (1, 1));
    }

    #[test]
    fn a_peer_drives_out_only_its_own_whatever_addresses_it_has() {
        let mut reassembly = Reassembly::default();
        let (whole, pieces) = cut(4, 2_000, 2, 1);
        take_of(&mut reassembly, 2, 1, &pieces[0]);
        for host in 3..200 {
            take_of(&mut reassembly, 1, 1, &cut(4, 2_000, host, 1).1[0]);
        }
        assert_eq!(reassembly.partial.len(), 1 + MOST_OF_PEER);
        // The same addresses and number are another datagram if another peer sends them.
        assert_eq!(take_of(&mut reassembly, 1, 1, &pieces[1]), None);
        assert!(take_of(&mut reassembly, 2, 1, &pieces[1]) == Some(whole));
    }

    #[test]
    fn many_greedy_peers_take_from_each_other_and_not_from_one_that_has_little() {
        let mut reassembly = Reassembly::default();
        let (whole, pieces) = cut(4, 2_000, 2, 1);
        take_of(&mut reassembly, 99, 1, &pieces[0]);
        for host in 3..200 {
            for peer in 1..9 {
                take_of(&mut reassembly, peer, 1, &cut(4, 2_000, host, peer.into()).1[0]);
            }
        }
        assert_eq!(reassembly.partial.len(), MOST);
        assert!(take_of(&mut reassembly, 99, 1, &pieces[1]) == Some(whole));
    }

    #[test]
    fn a_piece_from_far_behind_takes_no_more_memory_than_it_has_bytes() {
        let (_, mut pieces) = cut(6, 5_000, 1, 7);
        let last = pieces.last_mut().unwrap();
        last[HEADER_V6 + 2..HEADER_V6 + 4].copy_from_slice(&0xf000_u16.to_be_bytes());
        let mut reassembly = Reassembly::default();
        assert_eq!(take(&mut reassembly, 1, last), None);
        let held = &reassembly.partial[0].pieces;
        assert_eq!(held.len(), 1);
        assert_eq!(
            (held[0].0, held[0].1.len()),
            (0xf000, last.len() - HEADER_V6 - FRAGMENT)
        );
    }

    #[test]
    fn what_is_too_long_for_a_packet_or_no_multiple_of_eight_is_none() {
        let (_, pieces) = cut(6, 5_000, 1, 7);
        let mut far = pieces[1].clone();
        far[HEADER_V6 + 2..HEADER_V6 + 4].copy_from_slice(&0xfff9_u16.to_be_bytes());
        let mut odd = pieces[0].clone();
        odd.pop();
        let len = u16::from_be_bytes([odd[4], odd[5]]) - 1;
        odd[4..6].copy_from_slice(&len.to_be_bytes());
        let mut reassembly = Reassembly::default();
        assert_eq!(take(&mut reassembly, 1, &far), None);
        assert_eq!(take(&mut reassembly, 1, &odd), None);
        assert_eq!((reassembly.lost, reassembly.partial.len()), (2, 0));
    }
}
