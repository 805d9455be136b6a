//! Receiver indices: which session a datagram belongs to.
//!
//! An index is random, so that it tells nobody how many sessions there are; but guessing one is harmless, since
//! every message is authenticated. Its low bits are the number of the shard. On the wire they stand in the first
//! of the four bytes, where a socket filter reads them with a single load.

use rand_core::CryptoRng;

use crate::table::Table;

/// The receiver indices that a shard gave out, and the peer slot behind each.
pub(crate) struct Indices {
    shard: u8,
    slots: Table<u32, u32>,
}

impl Indices {
    /// How many low bits of an index hold the shard's number.
    pub(crate) const SHARD_BITS: u32 = 6;

    pub(crate) fn new(shard: u8, seed: u128) -> Self {
        Self {
            shard,
            slots: Table::new(seed),
        }
    }

    /// The shard that gave out `index`.
    pub(crate) fn shard_of(index: u32) -> u8 {
        (index & ((1 << Self::SHARD_BITS) - 1)) as u8
    }

    /// Gives out an index that is not in use, for the peer in `slot`. Draws four bytes, more only on a collision.
    pub(crate) fn allocate(&mut self, slot: u32, rng: &mut impl CryptoRng) -> u32 {
        loop {
            let random = rng.next_u32();
            let index = random >> Self::SHARD_BITS << Self::SHARD_BITS | u32::from(self.shard);
            // At most three sessions and a handshake for each of 2^20 peers: the table is never full.
            if self.slots.get(&index).is_none() {
                self.slots.insert(index, slot);
                return index;
            }
        }
    }

    pub(crate) fn release(&mut self, index: u32) {
        self.slots.remove(&index);
    }

    /// The peer slot behind `index`.
    pub(crate) fn slot(&self, index: u32) -> Option<u32> {
        self.slots.get(&index).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn allocated(&self) -> usize {
        self.slots.allocated()
    }
}
