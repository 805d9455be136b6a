//! Sliding window over packet counters (RFC 6479): a ring of words, cleared as the window moves, never shifted.

use crate::constants::{REJECT_AFTER_MESSAGES, REPLAY_WINDOW};
use crate::error::Replay;

const WORDS: usize = 128;
const BITS: u64 = u64::BITS as u64;

// One word is being filled while the others remember, hence the window of 127 words.
const _: () = assert!((WORDS as u64 - 1) * BITS == REPLAY_WINDOW);
const _: () = assert!(WORDS.is_power_of_two());

/// Remembers which counters were accepted: a counter up to 8128 behind the newest is accepted once.
#[derive(Clone)]
pub struct ReplayWindow {
    /// The newest accepted counter plus one; zero before the first.
    next: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window in which nothing was accepted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: 0,
            seen: [0; WORDS],
        }
    }

    /// Whether `counter` could be accepted: a cheap question before a packet is authenticated.
    ///
    /// # Errors
    /// [`Replay`] says why not.
    pub fn check(&self, counter: u64) -> Result<(), Replay> {
        if counter >= REJECT_AFTER_MESSAGES || self.next > counter + 1 + REPLAY_WINDOW {
            return Err(Replay::Old);
        }
        if counter < self.next && self.seen[word(counter)] & bit(counter) != 0 {
            return Err(Replay::Duplicate);
        }
        Ok(())
    }

    /// Accepts `counter`. To be called only when its packet was authenticated, or forgeries could move the window.
    ///
    /// # Errors
    /// [`Replay`] as from [`check`](Self::check); the window is then unchanged.
    pub fn accept(&mut self, counter: u64) -> Result<(), Replay> {
        self.check(counter)?;
        if counter >= self.next {
            // Words entered for the first time on the way from the newest counter's word to this one's.
            let newest = self.next.checked_sub(1).map_or(0, |newest| newest / BITS);
            let entered = (counter / BITS - newest).min(WORDS as u64);
            for step in 1..=entered {
                self.seen[(newest + step) as usize % WORDS] = 0;
            }
            self.next = counter + 1;
        }
        self.seen[word(counter)] |= bit(counter);
        Ok(())
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for ReplayWindow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ReplayWindow")
            .field("newest", &self.next.checked_sub(1))
            .finish_non_exhaustive()
    }
}

const fn word(counter: u64) -> usize {
    (counter / BITS) as usize % WORDS
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % BITS)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_8128_behind_the_newest_is_accepted_and_8129_is_not() {
        let mut window = ReplayWindow::new();
        window.accept(20_000).unwrap();
        assert_eq!(window.accept(20_000 - 8129), Err(Replay::Old));
        assert_eq!(window.accept(20_000 - 8128), Ok(()));
        assert_eq!(window.accept(20_000 - 8128), Err(Replay::Duplicate));
    }

    #[test]
    fn the_first_counter_may_be_zero_or_far_ahead() {
        assert_eq!(ReplayWindow::new().accept(0), Ok(()));
        assert_eq!(ReplayWindow::new().accept(1 << 50), Ok(()));
    }

    #[test]
    fn a_counter_is_accepted_once() {
        let mut window = ReplayWindow::new();
        for counter in [0, 1, 5, 3, 8191, 8192] {
            assert_eq!(window.accept(counter), Ok(()));
            assert_eq!(window.accept(counter), Err(Replay::Duplicate));
        }
    }

    #[test]
    fn a_jump_over_the_whole_window_forgets_it() {
        let mut window = ReplayWindow::new();
        (0..8192).for_each(|counter| window.accept(counter).unwrap());
        window.accept(1 << 40).unwrap();
        ((1 << 40) - 8128..1 << 40).for_each(|counter| window.accept(counter).unwrap());
    }

    #[test]
    fn counters_from_the_message_limit_on_are_refused() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.accept(REJECT_AFTER_MESSAGES), Err(Replay::Old));
        assert_eq!(window.accept(u64::MAX), Err(Replay::Old));
        assert_eq!(window.accept(REJECT_AFTER_MESSAGES - 1), Ok(()));
    }

    #[test]
    fn a_refused_counter_leaves_the_window_as_it_was() {
        let mut window = ReplayWindow::new();
        window.accept(10_000).unwrap();
        assert!(window.accept(1).is_err());
        assert_eq!(window.accept(9_999), Ok(()));
        assert_eq!(window.accept(10_001), Ok(()));
    }

    /// Remembers everything.
    #[derive(Default)]
    struct Oracle(BTreeSet<u64>);

    impl Oracle {
        fn accept(&mut self, counter: u64) -> Result<(), Replay> {
            let newest = self.0.last().copied().unwrap_or(0);
            if counter >= REJECT_AFTER_MESSAGES || newest.saturating_sub(counter) > 8128 {
                return Err(Replay::Old);
            }
            if self.0.insert(counter) {
                Ok(())
            } else {
                Err(Replay::Duplicate)
            }
        }
    }

    /// Where the next counter lies, seen from the newest.
    fn step() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -70i64..70,
            4 => -8200i64..8200,
            2 => -8130i64..-8120,
            1 => -20_000i64..20_000,
            1 => Just(i64::MAX),
        ]
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_memory_of_everything(
            start in prop_oneof![Just(0u64), 0..20_000u64, any::<u64>()],
            steps in proptest::collection::vec(step(), 1..400),
        ) {
            let (mut window, mut oracle) = (ReplayWindow::new(), Oracle::default());
            let mut newest = start;
            for step in steps {
                let counter = newest.saturating_add_signed(step);
                let expected = oracle.accept(counter);
                prop_assert_eq!(window.check(counter), expected);
                prop_assert_eq!(window.accept(counter), expected);
                if expected.is_ok() {
                    newest = newest.max(counter);
                }
            }
        }
    }
}
