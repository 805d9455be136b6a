//! Round trip times, measured on a few segments of each flight.

use core::time::Duration;
use std::collections::VecDeque;

use wirewright_protocol::Instant;

use super::is_after;

/// Segments timed at once. HyStart++ wants eight samples a round trip (RFC 9406 4.3).
const TIMED: u32 = 8;

#[derive(Default)]
pub(super) struct RoundTrip {
    /// Smoothed, and how much it varies; `None` before the first sample (RFC 6298 2).
    estimate: Option<(Duration, Duration)>,
    /// Being timed: acknowledged up to this, sent then.
    timed: VecDeque<(u32, Instant)>,
}

impl RoundTrip {
    /// A segment left for the first time, which ends at `end`.
    pub(super) fn sent(&mut self, end: u32, in_flight: u32, now: Instant) {
        let spaced = self
            .timed
            .back()
            .is_none_or(|(last, _)| end.wrapping_sub(*last) >= in_flight / TIMED);
        if spaced && self.timed.len() < TIMED as usize {
            self.timed.push_back((end, now));
        }
    }

    /// A segment left again: an acknowledgement could be of either copy (Karn).
    pub(super) fn repeated(&mut self) {
        self.timed.clear();
    }

    /// Everything up to `to` was acknowledged. A sample, if a timed segment was among it; of several the newest,
    /// whose acknowledgement waited least for others.
    pub(super) fn acknowledged(&mut self, to: u32, now: Instant) -> Option<Duration> {
        let mut newest = None;
        while self.timed.front().is_some_and(|(end, _)| !is_after(*end, to)) {
            newest = self.timed.pop_front();
        }
        let sample = now.saturating_since(newest?.1);
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => (
                (smoothed * 7 + sample) / 8,
                (variation * 3 + smoothed.abs_diff(sample)) / 4,
            ),
        });
        Some(sample)
    }

    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| smoothed)
    }

    pub(super) fn variation(&self) -> Option<Duration> {
        self.estimate.map(|(_, variation)| variation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_segments_of_a_flight_are_timed_and_retransmission_forgets_them() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut trip = RoundTrip::default();
        for index in 1..=100_u32 {
            trip.sent(index * 100, index * 100, at(u64::from(index)));
        }
        assert!((2..=8).contains(&trip.timed.len()));
        assert_eq!(trip.acknowledged(100, at(51)), Some(Duration::from_millis(50)));
        trip.repeated();
        assert_eq!(trip.acknowledged(10_000, at(500)), None);
        assert_eq!(trip.smoothed(), Some(Duration::from_millis(50)));
    }
}
