//! Initial sequence numbers (RFC 6528): a clock, and a keyed hash of addresses and ports.
//!
//! The numbers of one tuple grow with time, so that a connection that follows another between the same ports begins
//! beyond what the other sent, unless that sent more than 250 kB a second: a host that still has the other in TIME-WAIT
//! sees that the new one is new. The numbers of two tuples tell nothing of each other to those without the key.

use core::hash::Hasher;

use rand_core::Rng;
use siphasher::sip::SipHasher24;
use wirewright_protocol::Instant;

use crate::demux::Tuple;

/// One step of the clock (RFC 9293 3.4.1).
const STEP_NANOS: u64 = 4_000;

pub(crate) struct InitialSequences {
    /// Keyed with a secret from the caller's randomness.
    keyed: SipHasher24,
}

impl InitialSequences {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            keyed: SipHasher24::new_with_keys(rng.next_u64(), rng.next_u64()),
        }
    }

    /// The number with which a connection begins now.
    #[allow(clippy::cast_possible_truncation)] // sequence numbers go round
    pub(crate) fn number(&self, tuple: &Tuple, now: Instant) -> u32 {
        let mut hash = self.keyed;
        hash.write(&tuple.key());
        let clock = now.as_nanos() / STEP_NANOS;
        (hash.finish() as u32).wrapping_add(clock as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: ([10, 0, 0, 1], port).into(),
            remote: ([10, 0, 0, 2], 80).into(),
        }
    }

    fn sequences(seed: u8) -> InitialSequences {
        InitialSequences::new(&mut ChaCha20Rng::from_seed([seed; 32]))
    }

    #[test]
    fn the_numbers_of_a_tuple_grow_by_one_in_four_microseconds_and_go_round() {
        let (sequences, start) = (sequences(1), Instant::from_nanos(7));
        let first = sequences.number(&tuple(1), start);
        let after = |time: Duration| sequences.number(&tuple(1), start + time).wrapping_sub(first);
        assert_eq!(after(Duration::from_micros(4)), 1);
        assert_eq!(after(Duration::from_secs(1)), 250_000);
        assert_eq!(after(Duration::from_micros(4 << 32)), 0);
    }

    #[test]
    fn the_numbers_of_two_tuples_tell_nothing_of_each_other() {
        let now = Instant::from_nanos(1_000_000_000);
        let distance = |seed: u8, port: u16| {
            let sequences = sequences(seed);
            let number = sequences.number(&tuple(port), now);
            sequences.number(&tuple(port + 1), now).wrapping_sub(number)
        };
        let distances: Vec<u32> = (1..=2_000).map(|port| distance(1, port)).collect();
        // Each bit is set in half of them: 1,000, and the deviation of that is 22.
        for bit in 0..32 {
            let set = distances
                .iter()
                .filter(|distance| **distance >> bit & 1 == 1)
                .count();
            assert!((880..=1_120).contains(&set), "bit {bit}: {set}");
        }
        // Who has a tunnel of his own learns nothing of another's.
        let same = (1..=2_000)
            .zip(&distances)
            .filter(|(port, other)| distance(2, *port) == **other)
            .count();
        assert_eq!(same, 0);
    }
}
