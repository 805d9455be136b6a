//! Datagrams between nodes: their bytes, what these mean, and what becomes of them on the way.

use std::net::SocketAddr;

use wirewright_protocol::PublicKey;

use super::interface::{Harm, Meaning};
use super::support::author::sign;
use super::support::secret;

/// A datagram on the wire.
#[derive(Clone)]
pub struct Letter {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    pub meaning: Meaning,
}

/// Whether a datagram may mean this, as far as it can be seen from outside.
pub fn fits(meaning: &Meaning, bytes: &[u8]) -> bool {
    match meaning {
        Meaning::Initiation { to, .. } => bytes[0] == 1 && is_for(bytes, &secret(*to as u8).public()),
        Meaning::Response { receiver, .. } => bytes[0] == 2 && index(bytes, 8) == *receiver,
        Meaning::Data {
            receiver,
            counter: number,
            packet,
        } => {
            let len = 32 + if packet.is_some() { 32 } else { 0 };
            bytes[0] == 4 && index(bytes, 4) == *receiver && counter(bytes) == *number && bytes.len() == len
        }
    }
}

/// Whether an initiation has a mac1 for this key.
pub fn is_for(initiation: &[u8], key: &PublicKey) -> bool {
    let mut signed = initiation.to_vec();
    sign(&mut signed, key);
    signed[..132] == initiation[..132]
}

pub fn index(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn counter(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[8..16].try_into().unwrap())
}

pub fn harmed(letter: &Letter, harm: Harm) -> Vec<u8> {
    let mut bytes = letter.bytes.clone();
    match harm {
        Harm::None => (),
        Harm::Type => bytes[3] ^= 0x40,
        Harm::Index => bytes[5] ^= 0x40,
        Harm::Text => bytes[20] ^= 0x40,
    }
    bytes
}
