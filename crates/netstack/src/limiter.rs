//! Token buckets for replies nobody asked for: one a peer, so that what one provokes silences nothing that others are told.

use core::time::Duration;
use std::collections::HashMap;

use wirewright_protocol::{Instant, PublicKey};

use crate::hash::KeyedHash;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// So many buckets are kept before it is looked which of them are full again.
const FEW: usize = 64;

/// A bucket for each peer, and one for packets of nobody known.
pub(crate) struct Limiters {
    per_second: u32,
    /// Without those that are full, but for some that filled since that was last looked at: at most twice as many as
    /// peers that took a token within a second, or [`FEW`].
    by_peer: HashMap<Option<PublicKey>, Limiter, KeyedHash>,
    look_at: usize,
}

/// Holds up to one second's worth of tokens.
struct Limiter {
    per_second: u64,
    /// Nanoseconds of credit; a token costs `NANOS_PER_SECOND / per_second`.
    credit: u64,
    filled: Instant,
}

impl Limiters {
    pub(crate) fn new(per_second: u32, hash: KeyedHash) -> Self {
        Self {
            per_second,
            by_peer: HashMap::with_hasher(hash),
            look_at: FEW,
        }
    }

    /// Whether one more may be sent now because of this peer.
    pub(crate) fn allow(&mut self, peer: Option<PublicKey>, now: Instant) -> bool {
        if self.by_peer.len() >= self.look_at && !self.by_peer.contains_key(&peer) {
            self.by_peer.retain(|_, limiter| !limiter.is_full(now));
            self.look_at = (2 * self.by_peer.len()).max(FEW);
        }
        let new = || Limiter::new(self.per_second);
        self.by_peer.entry(peer).or_insert_with(new).allow(now)
    }
}

impl Limiter {
    fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.into(),
            credit: NANOS_PER_SECOND,
            filled: Instant::from_nanos(0),
        }
    }

    /// Whether it is as a new one would be.
    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.credit == NANOS_PER_SECOND
    }

    /// Whether one more may be sent now.
    fn allow(&mut self, now: Instant) -> bool {
        let Some(cost) = NANOS_PER_SECOND.checked_div(self.per_second) else {
            return false;
        };
        self.fill(now);
        let allowed = self.credit >= cost;
        if allowed {
            self.credit -= cost;
        }
        allowed
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_since(self.filled).min(Duration::from_secs(1));
        self.filled = self.filled.max(now);
        let gained = u64::try_from(gained.as_nanos()).unwrap_or(NANOS_PER_SECOND);
        self.credit = (self.credit + gained).min(NANOS_PER_SECOND);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_burst_of_one_second_is_allowed_and_then_the_rate() {
        let mut limiter = Limiter::new(10);
        let start = Instant::from_nanos(5);
        assert_eq!((0..100).filter(|_| limiter.allow(start)).count(), 10);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..100).filter(|_| limiter.allow(later)).count(), 2);
    }

    #[test]
    fn each_peer_has_its_own_and_those_that_are_full_again_are_forgotten() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut limiters = Limiters::new(2, KeyedHash::new(&mut rng));
        let peer = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Some(PublicKey::from_bytes(bytes))
        };
        let start = Instant::from_nanos(5);
        for which in [peer(1), peer(2), None] {
            let allowed = (0..10).filter(|_| limiters.allow(which, start)).count();
            assert_eq!(allowed, 2);
        }
        for number in 0..1_000 {
            let later = start + Duration::from_secs(u64::from(number));
            assert!(limiters.allow(peer(number), later));
            assert!(limiters.by_peer.len() <= FEW);
        }
        // Who has something left to wait for is not forgotten.
        let now = start + Duration::from_secs(2_000);
        for number in 0..1_000 {
            assert!(limiters.allow(peer(number), now) && limiters.allow(peer(number), now));
        }
        for number in 0..1_000 {
            assert!(!limiters.allow(peer(number), now));
        }
    }

    #[test]
    fn a_rate_of_zero_allows_nothing() {
        assert!(!Limiter::new(0).allow(Instant::from_nanos(0)));
    }
}
