//! The flows of a peer: what was allowed to start, until it has been silent for too long.
//!
//! # Theory
//!
//! A flow is known by who talks to whom by which protocol between which ports, whoever began. It has an instant from which on
//! it counts as gone, which each packet of it moves. Of a TCP connection only as much is known as its timeout depends on:
//!
//! ```text
//!  opening ──a packet of the other side──▶ established ──FIN of either, RST──▶ closing ──SYN of who began──▶ opening
//! ```
//!
//! Opening and closing connections last 4 minutes without a packet, established ones 2 hours and 4 minutes (RFC 5382, REQ-5);
//! UDP 30 s until it is answered, then 3 minutes (RFC 4787, REQ-5, asks for 2 at least); other protocols the same; echo
//! requests 30 s.
//!
//! The table is one hash table a peer, bounded; its hash is one multiplication for each eight bytes, keyed by a secret, since
//! peers choose ports. Who found a collision all the same would slow his own table.

use core::net::IpAddr;
use core::time::Duration;

use hashbrown::HashTable;
use wirewright_protocol::Instant;

use super::headers::{ACK, FIN, ICMP, ICMPV6, RST, SYN, TCP};

const TCP_ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 240);
const TCP_TRANSITORY: Duration = Duration::from_secs(240);
const ANSWERED: Duration = Duration::from_secs(180);
const UNANSWERED: Duration = Duration::from_secs(30);

/// Between two sweeps there is at least so much time, but for one that is to make room.
const SWEEP: Duration = Duration::from_secs(10);
/// The same for sweeps that are to make room.
const ROOM: Duration = Duration::from_secs(1);

/// Who of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The peer.
    Peer,
    /// Who is beyond the interface.
    Other,
}

/// What tells a flow from others of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    peer: [u8; 16],
    other: [u8; 16],
    pub(super) peer_port: u16,
    pub(super) other_port: u16,
    pub(super) protocol: u8,
    is_v4: bool,
}

impl Key {
    pub(super) fn new(peer: IpAddr, other: IpAddr, protocol: u8, peer_port: u16, other_port: u16) -> Self {
        Self {
            peer: bytes(peer),
            other: bytes(other),
            peer_port,
            other_port,
            protocol,
            is_v4: peer.is_ipv4(),
        }
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.address(&self.peer)
    }

    pub(super) fn other(&self) -> IpAddr {
        self.address(&self.other)
    }

    fn address(&self, bytes: &[u8; 16]) -> IpAddr {
        match bytes.first_chunk::<4>() {
            Some(v4) if self.is_v4 => IpAddr::from(*v4),
            _ => IpAddr::from(*bytes),
        }
    }

    fn hash(&self, secret: [u64; 2]) -> u64 {
        let ports = u64::from(self.peer_port) << 16 | u64::from(self.other_port);
        let rest = ports << 9 | u64::from(self.protocol) << 1 | u64::from(self.is_v4);
        let mut state = mix(rest ^ secret[0], secret[1]);
        let (peer, other) = (u128::from_le_bytes(self.peer), u128::from_le_bytes(self.other));
        if !self.is_v4 {
            state = mix(state ^ (peer >> 64) as u64, (other >> 64) as u64 ^ secret[0]);
        }
        mix(state ^ peer as u64, other as u64 ^ secret[1])
    }
}

/// A flow.
#[derive(Clone, Copy, Debug)]
struct Flow {
    key: Key,
    began: Side,
    answered: bool,
    closing: bool,
    expires: Instant,
}

/// What a packet means to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It belongs to one.
    Yes,
    /// It belongs to none.
    No,
    /// It would open a connection the other way through a flow that is there.
    Backwards,
}

/// The flows of a peer.
pub(super) struct Flows {
    table: HashTable<Flow>,
    /// How many of them the other side began.
    from_others: usize,
    secret: [u64; 2],
    /// No flow is gone before this.
    earliest: Option<Instant>,
    swept: Instant,
}

impl Flows {
    /// No flows. The seed must be random and secret.
    pub(super) fn new(now: Instant, seed: u128) -> Self {
        Self {
            table: HashTable::new(),
            from_others: 0,
            secret: [seed as u64 | 1, (seed >> 64) as u64 | 1],
            earliest: None,
            swept: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether a side may begin no more, where there may be so many flows. What others began takes half of the places at
    /// most, so that who may reach a peer cannot keep it from beginning anything itself.
    pub(super) fn are_full(&self, most: usize, for_side: Side) -> bool {
        self.len() >= most || for_side == Side::Other && self.from_others >= most.div_ceil(2)
    }

    /// A packet came from a side: notes it with its flow, if there is one.
    pub(super) fn note(&mut self, now: Instant, key: &Key, from: Side, tcp_flags: u8) -> Known {
        let found = self.table.find_mut(key.hash(self.secret), |flow| {
            flow.key == *key && now < flow.expires
        });
        let Some(flow) = found else {
            return Known::No;
        };
        let opens = tcp_flags & (SYN | ACK | RST | FIN) == SYN;
        if from != flow.began {
            // Both may open at once (RFC 9293, section 3.5), but who answered already did not mean that.
            if opens && flow.answered {
                return Known::Backwards;
            }
            flow.answered = true;
        } else if opens && flow.closing {
            (flow.answered, flow.closing) = (false, false);
        }
        flow.closing |= tcp_flags & (RST | FIN) != 0;
        flow.expires = now + flow.patience();
        Known::Yes
    }

    /// Whether a flow is there, without a packet of it.
    pub(super) fn holds(&self, now: Instant, key: &Key) -> bool {
        let hash = key.hash(self.secret);
        let found = self.table.find(hash, |flow| flow.key == *key);
        found.is_some_and(|flow| now < flow.expires)
    }

    /// Adds a flow that a side began. There is none with this key that is not gone.
    pub(super) fn insert(&mut self, now: Instant, key: Key, began: Side, tcp_flags: u8) {
        let mut flow = Flow {
            key,
            began,
            answered: false,
            closing: tcp_flags & FIN != 0,
            expires: now,
        };
        flow.expires = now + flow.patience();
        self.earliest = Some(self.earliest.map_or(flow.expires, |at| at.min(flow.expires)));
        let (secret, hash) = (self.secret, key.hash(self.secret));
        match self.table.find_mut(hash, |known| known.key == key) {
            // The same flow as one that is gone.
            Some(gone) => {
                self.from_others -= usize::from(gone.began == Side::Other);
                *gone = flow;
            }
            None => {
                self.table.insert_unique(hash, flow, |flow| flow.key.hash(secret));
            }
        }
        self.from_others += usize::from(began == Side::Other);
    }

    /// When a sweep is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.earliest.map(|at| at.max(self.swept + SWEEP))
    }

    /// Takes flows away that are gone, if a sweep is due.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.retain(now, |_, _| true);
        }
    }

    /// Takes flows away that are gone, so that others have room. It is too dear to be done for each packet.
    pub(super) fn make_room(&mut self, now: Instant) {
        if self.earliest.is_some_and(|at| at <= now) && self.swept + ROOM <= now {
            self.retain(now, |_, _| true);
        }
    }

    /// Keeps of the flows that are not gone those for which `keep` is true.
    pub(super) fn retain(&mut self, now: Instant, mut keep: impl FnMut(&Key, Side) -> bool) {
        let mut earliest: Option<Instant> = None;
        let mut from_others = 0;
        self.table.retain(|flow| {
            let stays = now < flow.expires && keep(&flow.key, flow.began);
            if stays {
                from_others += usize::from(flow.began == Side::Other);
                earliest = Some(earliest.map_or(flow.expires, |at| at.min(flow.expires)));
            }
            stays
        });
        (self.earliest, self.from_others, self.swept) = (earliest, from_others, now);
        if self.table.len() < self.table.capacity() / 4 {
            let secret = self.secret;
            self.table
                .shrink_to(self.table.len() * 2, |flow| flow.key.hash(secret));
        }
    }
}

impl Flow {
    /// How long it may be silent.
    fn patience(&self) -> Duration {
        match self.key.protocol {
            TCP if self.answered && !self.closing => TCP_ESTABLISHED,
            TCP => TCP_TRANSITORY,
            ICMP if self.key.is_v4 => UNANSWERED,
            ICMPV6 if !self.key.is_v4 => UNANSWERED,
            _ if self.answered => ANSWERED,
            _ => UNANSWERED,
        }
    }
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits().swap_bytes())).to_le_bytes(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Both halves of a product.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    fn key(number: u16) -> Key {
        let other = IpAddr::from([198, 51, 100, (number >> 8) as u8]);
        Key::new([10, 0, 0, 2].into(), other, 17, number, 53)
    }

    #[test]
    fn a_flow_takes_56_bytes() {
        assert_eq!(size_of::<Flow>(), 56);
    }

    #[test]
    fn a_key_tells_its_addresses_and_families_apart() {
        for (peer, other) in [("10.0.0.2", "198.51.100.7"), ("a00:2::", "c633:6407::")] {
            let (peer, other): (IpAddr, IpAddr) = (peer.parse().unwrap(), other.parse().unwrap());
            let key = Key::new(peer, other, 17, 1, 2);
            assert_eq!((key.peer(), key.other()), (peer, other));
        }
        let v4 = Key::new([10, 0, 0, 2].into(), [1, 1, 1, 1].into(), 17, 1, 2);
        let v6 = Key::new("a00:2::".parse().unwrap(), "101:101::".parse().unwrap(), 17, 1, 2);
        assert_ne!(v4, v6);
    }

    #[test]
    fn hashes_of_flows_that_are_alike_are_spread() {
        let hashes: Vec<u64> = (0..4096)
            .map(|number| key(number).hash([0x1234_5677, 0x9abc_def1]))
            .collect();
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0xfff).collect();
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // Of so many random ones, 63% of the places would be taken.
        assert!(
            low.len() > 2200 && high.len() == 128,
            "{} {}",
            low.len(),
            high.len()
        );
    }
}
