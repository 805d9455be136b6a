//! A token bucket for replies nobody asked for.

use core::time::Duration;

use wirewright_protocol::Instant;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Holds up to one second's worth of tokens.
pub(crate) struct Limiter {
    per_second: u64,
    /// Nanoseconds of credit; a token costs `NANOS_PER_SECOND / per_second`.
    credit: u64,
    filled: Instant,
}

impl Limiter {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.into(),
            credit: NANOS_PER_SECOND,
            filled: Instant::from_nanos(0),
        }
    }

    /// Whether one more may be sent now.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let Some(cost) = NANOS_PER_SECOND.checked_div(self.per_second) else {
            return false;
        };
        let gained = now.saturating_since(self.filled).min(Duration::from_secs(1));
        self.filled = self.filled.max(now);
        let gained = u64::try_from(gained.as_nanos()).unwrap_or(NANOS_PER_SECOND);
        self.credit = (self.credit + gained).min(NANOS_PER_SECOND);
        let allowed = self.credit >= cost;
        if allowed {
            self.credit -= cost;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
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
    fn a_rate_of_zero_allows_nothing() {
        assert!(!Limiter::new(0).allow(Instant::from_nanos(0)));
    }
}
