//! Who sent which packet, and what became of it.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use wirewright_engine::{Counters, Event};

/// Every packet that was ever sent to the device; each is another.
#[derive(Default)]
pub(super) struct Ledger {
    sent: HashMap<u64, (usize, Vec<u8>)>,
    delivered: HashSet<u64>,
}

impl Ledger {
    /// A packet from `peer` that there was never before, `more` bytes longer than the shortest.
    pub(super) fn packet(&mut self, peer: usize, source: Ipv4Addr, more: u8) -> Vec<u8> {
        let number = self.sent.len() as u64;
        let packet = ipv4(source, Ipv4Addr::new(10, 0, 0, 100), number, more);
        self.sent.insert(number, (peer, packet.clone()));
        packet
    }

    /// Notes that the device delivered a packet, and returns whose it is.
    ///
    /// # Panics
    ///
    /// If nobody sent it, or if it was delivered before.
    pub(super) fn deliver(&mut self, packet: &[u8]) -> usize {
        let number = packet
            .get(20..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .map(u64::from_be_bytes);
        let sent = number.and_then(|number| self.sent.get(&number).map(|sent| (number, sent)));
        let Some((number, (peer, genuine))) = sent else {
            panic!("a packet was delivered that nobody sent: {packet:x?}");
        };
        assert_eq!(packet, genuine, "another packet was delivered than was sent");
        assert!(self.delivered.insert(number), "a packet was delivered twice");
        *peer
    }

    /// How many packets of a peer were delivered.
    pub(super) fn delivered_from(&self, peer: usize) -> usize {
        let of = |number: &&u64| self.sent.get(number).is_some_and(|sent| sent.0 == peer);
        self.delivered.iter().filter(of).count()
    }
}

/// An IPv4 packet with a number and some zeros in it.
pub(super) fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, number: u64, more: u8) -> Vec<u8> {
    let len = 28 + u16::from(more);
    let mut packet = vec![0; usize::from(len)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&destination.octets());
    packet[20..28].copy_from_slice(&number.to_be_bytes());
    packet
}

/// How many received datagrams ended in one of the events that end a datagram. The others accompany these, or
/// are about what is sent.
pub(super) fn ended(counters: &Counters) -> u64 {
    let beside = |event| {
        matches!(
            event,
            Event::CookieSent
                | Event::CookieWithheld
                | Event::HandshakeImpossible
                | Event::HandshakeGaveUp
                | Event::MalformedPacket
                | Event::NoPeer
                | Event::NoEndpoint
                | Event::StagedOverflow
                | Event::StagedDropped
                | Event::Oversize
                | Event::SendError
        )
    };
    let ends = counters.iter().filter(|(event, _)| !beside(*event));
    ends.map(|(_, count)| count).sum()
}
