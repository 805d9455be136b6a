//! What peers wrote to the device, and how a script makes batches of it.

use std::net::{Ipv4Addr, SocketAddr};

use wirewright_engine::{Batch, Endpoint};

use crate::script::Script;

/// The latest datagrams that are remembered.
const KEPT: usize = 96;
/// Addresses from which a script may let datagrams come.
const PLACES: u8 = 12;
/// What no MAC covers, at the end of a handshake message.
const MAC2: usize = 16;

/// A datagram as a peer wrote it.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) peer: usize,
    pub(super) bytes: Vec<u8>,
    /// Data that was accepted once, and must not be again.
    pub(super) spent: bool,
}

impl Letter {
    pub(super) fn is_data(&self) -> bool {
        self.bytes.first() == Some(&4)
    }

    pub(super) fn is_keepalive(&self) -> bool {
        self.is_data() && self.bytes.len() == 32
    }

    /// Whether `bytes` still say what the peer wrote.
    fn is_intact_in(&self, bytes: &[u8]) -> bool {
        if self.is_data() {
            return self.bytes == bytes;
        }
        let covered = self.bytes.len().saturating_sub(MAC2);
        self.bytes.len() == bytes.len() && self.bytes.get(..covered) == bytes.get(..covered)
    }
}

/// A datagram that arrives: its bytes, where from, and the letter that it is, if it is one.
pub(super) struct Arrival {
    pub(super) bytes: Vec<u8>,
    pub(super) from: SocketAddr,
    pub(super) letter: Option<usize>,
}

/// All that peers wrote lately.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) letters: Vec<Letter>,
}

impl Mail {
    pub(super) fn add(&mut self, peer: usize, bytes: &[u8]) {
        if self.letters.len() == KEPT {
            self.letters.remove(0);
        }
        self.letters.push(Letter {
            peer,
            bytes: bytes.to_vec(),
            spent: false,
        });
    }

    /// Takes a datagram out of a script: a letter, whole or not, or bytes of the script's own.
    pub(super) fn arrival(&self, script: &mut Script<'_>) -> Arrival {
        let (shape, from) = (script.u8(), place(script.u8()));
        let chosen = usize::from(script.u8());
        // The latest letter has number 0, so that scripts mean the same however much was written before.
        let letter = self.letters.len().checked_sub(1 + chosen % KEPT);
        let mut bytes = match letter.and_then(|letter| self.letters.get(letter)) {
            Some(letter) if shape & 0xe0 != 0xe0 => letter.bytes.clone(),
            _ => made_up(script, shape),
        };
        match shape & 7 {
            1 => {
                let (position, mask) = (usize::from(script.u16()), script.u8());
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(position % len) {
                    *byte ^= mask;
                }
            }
            2 => bytes.truncate(usize::from(script.u8())),
            3 => bytes.extend_from_slice(script.bytes(usize::from(shape >> 3))),
            4 => {
                let index = script.bytes(4);
                let at = if bytes.first() == Some(&2) { 8 } else { 4 };
                if let Some(place) = bytes.get_mut(at..at + index.len()) {
                    place.copy_from_slice(index);
                }
            }
            _ => (),
        }
        let letter = self
            .letters
            .iter()
            .rposition(|letter| letter.is_intact_in(&bytes));
        Arrival { bytes, from, letter }
    }
}

/// A datagram of the script's own, with the head of a message type if the script wants one.
fn made_up(script: &mut Script<'_>, shape: u8) -> Vec<u8> {
    let kind = shape >> 3 & 3;
    let len = match (shape & 7, kind) {
        (5, 0) => 148,
        (5, 1) => 92,
        (5, 2) => 64,
        _ => usize::from(script.u8()),
    };
    let mut bytes = vec![kind + 1, 0, 0, 0];
    bytes.extend_from_slice(script.bytes(len.saturating_sub(4)));
    bytes.resize(len, 0);
    bytes
}

/// One of a few addresses; those of the peers are among them.
pub(super) fn place(number: u8) -> SocketAddr {
    let number = number % PLACES;
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, number), 1000 + u16::from(number)))
}

/// The arrivals in one batch: in slots, or, if all come from one place and only the last is shorter, coalesced.
pub(super) fn batch_of(arrivals: &[Arrival]) -> Batch {
    let longest = arrivals.iter().map(|arrival| arrival.bytes.len()).max();
    let stride = longest.unwrap_or(0).max(1);
    if let [first, .., last] = arrivals
        && let [all @ .., _] = arrivals
        && all.iter().all(|arrival| arrival.bytes.len() == stride)
        && arrivals.iter().all(|arrival| arrival.from == first.from)
    {
        let train: Vec<u8> = arrivals
            .iter()
            .flat_map(|arrival| arrival.bytes.iter().copied())
            .collect();
        debug_assert_eq!(train.len(), all.len() * stride + last.bytes.len());
        let mut batch = Batch::new(1, train.len());
        batch.buffer_mut().copy_from_slice(&train);
        batch.set_received(train.len(), stride, Endpoint::new(first.from));
        return batch;
    }
    let mut batch = Batch::new(arrivals.len(), stride);
    for arrival in arrivals {
        batch.push_datagram(Endpoint::new(arrival.from), arrival.bytes.len(), |to| {
            to.copy_from_slice(&arrival.bytes);
        });
    }
    batch
}
