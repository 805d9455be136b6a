//! Randomness from the operating system, a few hundred bytes at a time.
//!
//! Keys are made from it, so that nothing here must be able to tell later what was given out: each byte is wiped as
//! it leaves, and the rest with the buffer. There is no generator whose state could leak or be forked.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use wirewright_aead::Safe;
use zeroize::Zeroize;

/// A source of randomness that asks the operating system for 256 bytes at a time.
pub struct OsRandom {
    buffer: Safe<[u8; 256]>,
    used: usize,
}

impl OsRandom {
    /// An empty buffer; the first draw fills it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: Safe::new([0; 256]),
            used: 256,
        }
    }

    fn draw(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            if self.used == self.buffer.len() {
                fill(self.buffer.as_mut_slice());
                self.used = 0;
            }
            let count = target.len().min(self.buffer.len() - self.used);
            let (head, tail) = target.split_at_mut(count);
            let source = &mut self.buffer[self.used..self.used + count];
            head.copy_from_slice(source);
            source.zeroize();
            self.used += count;
            target = tail;
        }
    }
}

impl Default for OsRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OsRandom {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl TryRng for OsRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.draw(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.draw(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        self.draw(target);
        Ok(())
    }
}

impl TryCryptoRng for OsRandom {}

fn fill(target: &mut [u8]) {
    if let Err(error) = getrandom::fill(target) {
        // Without randomness there are no keys, and to go on with bad ones would be worse than to stop.
        panic!("the operating system gives no randomness: {error}");
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn what_was_given_out_is_wiped() {
        let mut random = OsRandom::new();
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        assert_ne!(key, [0; 32]);
        assert_eq!(random.buffer[..32], [0; 32]);
    }

    #[test]
    fn a_draw_may_be_longer_than_the_buffer() {
        let mut random = OsRandom::new();
        let mut bytes = [0; 1000];
        random.fill_bytes(&mut bytes);
        assert!(bytes.chunks(100).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
