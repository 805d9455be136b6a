//! The numbers that a shard's peers have.
//!
//! The lowest free number is given out first, so that numbers stay dense while peers come and go, and what is indexed
//! by them stays small. One bit a slot says whether it is taken, and one bit for each 64 of them whether they all are:
//! among 2^20 slots, finding a free one reads 256 words at most.

use alloc::vec::Vec;

/// Slots that are taken.
#[derive(Default)]
pub(crate) struct Slots {
    taken: Vec<u64>,
    full: Vec<u64>,
    in_use: usize,
}

impl Slots {
    /// How many slots are taken.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Takes the lowest free slot.
    pub(crate) fn take(&mut self) -> u32 {
        let word = first_zero(&self.full);
        let bit = self.taken.get(word).map_or(0, |word| word.trailing_ones());
        if self.taken.len() == word {
            self.taken.push(0);
        }
        if self.full.len() == word / 64 {
            self.full.push(0);
        }
        if let (Some(taken), Some(full)) = (self.taken.get_mut(word), self.full.get_mut(word / 64)) {
            *taken |= 1 << bit;
            if *taken == u64::MAX {
                *full |= 1 << (word % 64);
            }
        }
        self.in_use += 1;
        word as u32 * 64 + bit
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, slot: u32) {
        let (word, mask) = (slot as usize / 64, 1 << (slot % 64));
        let Some(taken) = self.taken.get_mut(word).filter(|taken| **taken & mask != 0) else {
            return;
        };
        *taken &= !mask;
        if let Some(full) = self.full.get_mut(word / 64) {
            *full &= !(1 << (word % 64));
        }
        self.in_use -= 1;
        while self.taken.last() == Some(&0) {
            self.taken.pop();
        }
        self.full.truncate(self.taken.len().div_ceil(64));
        if self.taken.len() < self.taken.capacity() / 4 {
            self.taken.shrink_to(self.taken.len() * 2);
        }
    }

    /// Bytes of heap memory held.
    pub(crate) fn allocated(&self) -> usize {
        (self.taken.capacity() + self.full.capacity()) * size_of::<u64>()
    }
}

/// The number of the first bit that is not set, counted on behind the last word.
fn first_zero(words: &[u64]) -> usize {
    let word = words.iter().position(|word| *word != u64::MAX);
    let bits = word
        .and_then(|word| words.get(word))
        .map_or(0, |word| word.trailing_ones());
    word.unwrap_or(words.len()) * 64 + bits as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_given_out_from_the_lowest_on() {
        let mut slots = Slots::default();
        assert!((0..10_000).all(|slot| slots.take() == slot));
        for slot in [9_999, 64, 5_000] {
            slots.release(slot);
        }
        assert_eq!(
            [slots.take(), slots.take(), slots.take(), slots.take()],
            [64, 5_000, 9_999, 10_000]
        );
    }

    #[test]
    fn a_slot_that_is_free_cannot_be_given_back() {
        let mut slots = Slots::default();
        slots.take();
        slots.release(1);
        slots.release(70);
        assert_eq!((slots.in_use(), slots.take()), (1, 1));
    }

    #[test]
    fn memory_returns() {
        let mut slots = Slots::default();
        for _ in 0..100_000 {
            slots.take();
        }
        for slot in 1..100_000 {
            slots.release(slot);
        }
        assert_eq!(slots.in_use(), 1);
        assert!(slots.allocated() <= 512, "{}", slots.allocated());
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set_of_numbers(steps in proptest::collection::vec(any::<Option<u8>>(), 1..1000)) {
            let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Some(slot) => {
                        slots.release(slot.into());
                        model.remove(&u32::from(slot));
                    }
                    None => {
                        let lowest = (0..).find(|slot| !model.contains(slot)).unwrap();
                        prop_assert_eq!(slots.take(), lowest);
                        model.insert(lowest);
                    }
                }
                prop_assert_eq!(slots.in_use(), model.len());
            }
        }
    }
}
