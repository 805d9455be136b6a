//! How long a round trip takes, and when waiting for an answer is in vain (RFC 6298, RFC 8985 7.2).

use core::time::Duration;

/// Before the first sample (RFC 6298 2.1).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// What a timeout leaves for chance at least. RFC 6298 2.4 wants a second for clocks that tick coarsely; 200 ms is what
/// Linux and others have had for decades.
const LEAST_SLACK: Duration = Duration::from_millis(200);
/// RFC 6298 2.5.
pub(super) const MOST_TIMEOUT: Duration = Duration::from_secs(60);
/// A receiver may keep the acknowledgement of a single segment back so long (RFC 8985 7.2).
const MOST_ACK_DELAY: Duration = Duration::from_millis(200);
const LEAST_PROBE: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct RoundTrip {
    /// Smoothed, and how much it varies; `None` before the first sample (RFC 6298 2).
    estimate: Option<(Duration, Duration)>,
}

impl RoundTrip {
    pub(super) fn sampled(&mut self, sample: Duration) {
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => (
                (smoothed * 7 + sample) / 8,
                (variation * 3 + smoothed.abs_diff(sample)) / 4,
            ),
        });
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| smoothed)
    }

    /// After so long without an answer everything is sent again.
    pub(super) fn timeout(&self) -> Duration {
        self.estimate.map_or(FIRST_TIMEOUT, |(smoothed, variation)| {
            (smoothed + (variation * 4).max(LEAST_SLACK)).min(MOST_TIMEOUT)
        })
    }

    /// After so long without an answer a probe asks for one; `lonely` if a single segment is on its way.
    pub(super) fn probe(&self, lonely: bool) -> Option<Duration> {
        let (smoothed, variation) = self.estimate?;
        let slack = if lonely { MOST_ACK_DELAY } else { variation * 4 };
        Some((smoothed * 2 + slack).max(LEAST_PROBE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_leaves_room_for_what_round_trips_vary_by() {
        let millis = Duration::from_millis;
        let mut trip = RoundTrip::default();
        assert_eq!((trip.timeout(), trip.probe(true)), (millis(1_000), None));
        (0..50).for_each(|_| trip.sampled(millis(50)));
        assert_eq!(trip.smoothed(), Some(millis(50)));
        assert_eq!(
            (trip.timeout(), trip.probe(true)),
            (millis(250), Some(millis(300)))
        );
        assert!(trip.probe(false).unwrap() < millis(101));
        (0..50).for_each(|at| trip.sampled(millis(if at % 2 == 0 { 50 } else { 650 })));
        assert!(trip.timeout() > millis(1_200), "{:?}", trip.timeout());
    }
}
