//! A quick "surely not" before a table of addresses.
//!
//! In a flood nearly every address is a stranger's, and each has to be looked up. A hash that withstands chosen keys
//! costs more than all else that is done with such a datagram; so a bit array is asked first, with a hash that costs
//! one multiplication. Its key is secret, so that nobody can choose addresses which pass; if somebody could, each
//! would cost the look-up in the table that it costs without a sieve, and nothing more.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

/// Bits: 16 KiB. With 32,768 addresses in it, a fifth of the strangers pass.
const BITS: u32 = 17;

/// Which addresses may be in a table. It allocates nothing before the first one.
pub(crate) struct Sieve {
    key: [u64; 2],
    words: Option<Box<[u64; 1 << (BITS - 6)]>>,
}

impl Sieve {
    /// an empty sieve. The seed must be random and secret.
    pub(crate) fn new(seed: u128) -> Self {
        Self {
            key: [seed as u64, (seed >> 64) as u64 | 1],
            words: None,
        }
    }

    pub(crate) fn note(&mut self, address: &SocketAddr) {
        let (word, bit) = self.place(address);
        let words = self.words.get_or_insert_with(|| Box::new([0; 1 << (BITS - 6)]));
        if let Some(word) = words.get_mut(word) {
            *word |= bit;
        }
    }

    /// False: the address was never noted.
    pub(crate) fn may_contain(&self, address: &SocketAddr) -> bool {
        let (word, bit) = self.place(address);
        let words = self.words.as_deref();
        words
            .and_then(|words| words.get(word))
            .is_some_and(|word| word & bit != 0)
    }

    fn place(&self, address: &SocketAddr) -> (usize, u64) {
        let ip = match address.ip() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                self.mix(bits as u64) ^ (bits >> 64) as u64
            }
        };
        let hash = self.mix(ip ^ u64::from(address.port()) << 40) >> (64 - BITS);
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn mix(&self, value: u64) -> u64 {
        let product = u128::from(value ^ self.key[0]) * u128::from(self.key[1]);
        (product >> 64) as u64 ^ product as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> SocketAddr {
        match number % 2 {
            0 => SocketAddr::from((number.to_be_bytes(), number as u16)),
            _ => SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, (number >> 16) as u16, number as u16], 7)),
        }
    }

    #[test]
    fn what_was_noted_passes_and_few_others_do() {
        let mut sieve = Sieve::new(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978);
        assert!(!sieve.may_contain(&address(1)));
        (0..10_000).for_each(|number| sieve.note(&address(number)));
        assert!((0..10_000).all(|number| sieve.may_contain(&address(number))));
        let strangers = (10_000..110_000).filter(|number| sieve.may_contain(&address(*number)));
        assert!(strangers.count() < 15_000);
    }
}
