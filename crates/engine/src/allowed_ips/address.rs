//! What the trie needs to know of an address: its bits, most significant first.

use core::fmt::Debug;

/// An IPv4 or IPv6 address as a number.
pub(super) trait Address: Copy + Eq + Debug {
    /// How nodes hold it: as large, but without the 16-byte alignment of a `u128`.
    type Stored: Copy + Debug;
    /// Bits in an address.
    const WIDTH: u8;

    fn store(self) -> Self::Stored;
    fn load(stored: Self::Stored) -> Self;
    /// The bit after the first `position` ones, 0 or 1; 0 behind the end.
    fn bit(self, position: u8) -> usize;
    /// How many leading bits both have in common.
    fn common(self, other: Self) -> u8;
    /// The first `len` bits, the others zero.
    fn masked(self, len: u8) -> Self;
}

impl Address for u32 {
    type Stored = u32;
    const WIDTH: u8 = 32;

    fn store(self) -> u32 {
        self
    }

    fn load(stored: u32) -> Self {
        stored
    }

    fn bit(self, position: u8) -> usize {
        // The 33rd bit of a 64-bit number is that "behind the end".
        ((u64::from(self) << 32) << position >> 63) as usize
    }

    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn masked(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
    }
}

impl Address for u128 {
    type Stored = [u64; 2];
    const WIDTH: u8 = 128;

    fn store(self) -> [u64; 2] {
        [(self >> 64) as u64, self as u64]
    }

    fn load([high, low]: [u64; 2]) -> Self {
        u128::from(high) << 64 | u128::from(low)
    }

    fn bit(self, position: u8) -> usize {
        (self.checked_shl(u32::from(position)).unwrap_or(0) >> 127) as usize
    }

    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn masked(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
    }
}
