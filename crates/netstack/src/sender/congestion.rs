//! How much may be in flight: slow start with HyStart++ (RFC 9406), then CUBIC (RFC 9438).
//!
//! ```text
//!  slow start ── delay grows ──► conservative slow start ── five rounds ──► congestion avoidance
//!      │                                  │                                     │
//!      └──── loss: window × 0.5 ──────────┴──────── loss: window × 0.7 ─────────┘
//!  timeout: a window of one segment, slow start up to the same share of what was in flight
//! ```
//!
//! In recovery the window is inflated by a segment for each duplicate acknowledgement, because each says that a
//! segment has left the network (RFC 5681 3.2).

use core::time::Duration;

use wirewright_protocol::Instant;

use super::hystart::HyStart;

/// RFC 9438 4.6.
const BETA: f64 = 0.7;
/// In slow start the window doubled since the round trip in which it still fitted (RFC 5681 3.1).
const BETA_SLOW_START: f64 = 0.5;
/// RFC 9438 5, segments a cubic second.
const C: f64 = 0.4;
/// RFC 6928.
const INITIAL_SEGMENTS: u32 = 10;
/// A sender that does not pace counts no more segments for one acknowledgement in slow start (RFC 9406 4.3).
const COUNTED_SEGMENTS: u32 = 8;

pub(super) struct Congestion {
    segment: u32,
    /// Bytes. Fractions of a segment add up in congestion avoidance.
    window: f64,
    threshold: f64,
    inflation: u32,
    hystart: HyStart,
    /// The window before the last reduction, which the cubic curve returns to.
    w_max: f64,
    /// Where the curve began: when, and how long it takes to return to `w_max`.
    epoch: Option<(Instant, f64)>,
    /// What Reno's rule would have reached meanwhile (RFC 9438 4.3).
    reno: f64,
}

impl Congestion {
    /// For segments of at most `segment` bytes.
    pub(super) fn new(segment: u32) -> Self {
        Self {
            segment,
            window: f64::from(segment.saturating_mul(INITIAL_SEGMENTS)),
            threshold: f64::INFINITY,
            inflation: 0,
            hystart: HyStart::default(),
            w_max: 0.0,
            epoch: None,
            reno: 0.0,
        }
    }

    /// Bytes that may be in flight.
    pub(super) fn limit(&self) -> u32 {
        // A float too large for the type becomes its maximum.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let window = self.window as u32;
        window.saturating_add(self.inflation).max(self.segment)
    }

    /// `bytes` of `in_flight` were acknowledged outside recovery.
    pub(super) fn acknowledged(
        &mut self,
        bytes: u32,
        in_flight: u32,
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        let in_flight = f64::from(in_flight);
        if self.window < self.threshold {
            // A window that was not used says nothing about the path (RFC 9406 4.3 leaves it out; RFC 7661).
            if in_flight * 2.0 >= self.window {
                let counted = bytes.min(self.segment.saturating_mul(COUNTED_SEGMENTS));
                self.window += f64::from(counted) / self.hystart.divisor();
            }
        } else if in_flight + 3.0 * f64::from(self.segment) >= self.window {
            self.avoid(f64::from(bytes), round_trip.unwrap_or_default(), now);
        }
    }

    /// A round trip took so long. `acknowledged` and `next` are sequence numbers, to know rounds by.
    pub(super) fn sampled(&mut self, sample: Duration, acknowledged: u32, next: u32) {
        if self.window < self.threshold && self.hystart.sampled(sample, acknowledged, next) {
            self.threshold = self.window;
        }
    }

    /// A segment was lost while so many bytes were in flight: recovery begins, after three duplicates.
    pub(super) fn lost(&mut self, in_flight: u32) {
        self.reduce(in_flight);
        self.window = self.threshold;
        self.inflation = self.segment.saturating_mul(3);
    }

    /// A duplicate acknowledgement in recovery.
    pub(super) fn repeated(&mut self) {
        self.inflation = self.inflation.saturating_add(self.segment);
    }

    /// Some of what was in flight was acknowledged in recovery (RFC 6582 3.2 step 3).
    pub(super) fn partly_acknowledged(&mut self, bytes: u32) {
        self.inflation = self.inflation.saturating_sub(bytes).saturating_add(self.segment);
    }

    /// Recovery is over with so much in flight: no burst (RFC 6582 3.2 step 3, option 1).
    pub(super) fn recovered(&mut self, in_flight: u32) {
        self.inflation = 0;
        let least = f64::from(in_flight.max(self.segment)) + f64::from(self.segment);
        // Growing back to the threshold from there is slow start.
        self.window = self.threshold.min(least);
    }

    /// Everything is sent again after the loss that began recovery: the reduction was made, but nothing clocks the
    /// sender any more.
    pub(super) fn went_back(&mut self) {
        self.inflation = 0;
        self.window = self
            .threshold
            .min(f64::from(self.segment.saturating_mul(INITIAL_SEGMENTS)));
    }

    /// The retransmission timeout expired.
    pub(super) fn timed_out(&mut self, in_flight: u32) {
        self.reduce(in_flight);
        self.inflation = 0;
        self.window = f64::from(self.segment);
    }

    /// Nothing was in flight for longer than a timeout (RFC 5681 4.1).
    pub(super) fn idled(&mut self) {
        self.window = self
            .window
            .min(f64::from(self.segment.saturating_mul(INITIAL_SEGMENTS)));
        self.epoch = None;
    }

    fn reduce(&mut self, in_flight: u32) {
        let flight = f64::from(in_flight).min(self.window);
        let beta = if self.window < self.threshold {
            BETA_SLOW_START
        } else {
            BETA
        };
        // Fast convergence (RFC 9438 4.7): a flow that shrinks leaves room for others.
        self.w_max = if flight < self.w_max {
            flight * (1.0 + BETA) / 2.0
        } else {
            flight
        };
        self.threshold = (flight * beta).max(2.0 * f64::from(self.segment));
        self.epoch = None;
    }

    /// RFC 9438 4.2 to 4.5.
    fn avoid(&mut self, bytes: f64, round_trip: Duration, now: Instant) {
        let segment = f64::from(self.segment);
        let (begun, k) = *self.epoch.get_or_insert_with(|| {
            self.reno = self.window;
            self.w_max = self.w_max.max(self.window);
            (now, ((self.w_max - self.window) / segment / C).cbrt())
        });
        let curve = |seconds: f64| C * (seconds - k).powi(3) * segment + self.w_max;
        let elapsed = now.saturating_since(begun).as_secs_f64();
        let target = curve(elapsed + round_trip.as_secs_f64()).clamp(self.window, self.window * 1.5);
        // Reno's share, until it has caught up with the old window; then Reno itself.
        let alpha = if self.reno >= self.w_max {
            1.0
        } else {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        };
        self.reno += alpha * segment * bytes / self.window;
        if curve(elapsed) < self.reno {
            self.window = self.window.max(self.reno);
        } else {
            self.window += (target - self.window) * bytes / self.window;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u32 = 1_000;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// One acknowledgement for every two segments of a full window.
    fn round(congestion: &mut Congestion, now: Instant) {
        let trip = Some(Duration::from_millis(50));
        let limit = congestion.limit();
        for _ in 0..limit / (2 * SEGMENT) {
            congestion.acknowledged(2 * SEGMENT, limit, trip, now);
        }
    }

    #[test]
    fn slow_start_doubles_from_ten_segments() {
        let mut congestion = Congestion::new(SEGMENT);
        assert_eq!(congestion.limit(), 10_000);
        round(&mut congestion, at(50));
        round(&mut congestion, at(100));
        assert_eq!(congestion.limit(), 40_000);
    }

    #[test]
    fn one_acknowledgement_of_a_thousand_segments_counts_as_eight() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.acknowledged(1_000_000, 1_000_000, None, at(50));
        assert_eq!(congestion.limit(), 18_000);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut congestion = Congestion::new(SEGMENT);
        for _ in 0..100 {
            congestion.acknowledged(SEGMENT, SEGMENT, None, at(50));
        }
        assert_eq!(congestion.limit(), 10_000);
    }

    #[test]
    fn a_loss_takes_three_tenths_and_the_curve_returns_in_its_time() {
        let mut congestion = Congestion::new(SEGMENT);
        while congestion.limit() < 100_000 {
            round(&mut congestion, at(0));
        }
        let before = congestion.limit();
        congestion.threshold = congestion.window;
        congestion.lost(before);
        congestion.recovered(before);
        assert_eq!(congestion.limit(), before * 7 / 10);
        // K = cbrt(W_max * (1 - beta) / C) = cbrt(160 * 0.3 / 0.4) = 4.9 s, and the last segment takes
        // cbrt(1 / 0.4) = 1.4 s of them.
        let mut now = 0;
        while congestion.limit() < before - SEGMENT {
            now += 50;
            round(&mut congestion, at(now));
            assert!(congestion.limit() <= before + SEGMENT);
        }
        assert!((3_300..3_900).contains(&now), "{now} ms");
        for _ in 0..100 {
            now += 50;
            round(&mut congestion, at(now));
        }
        assert!(congestion.limit() > before + 20 * SEGMENT);
    }

    #[test]
    fn recovery_is_inflated_by_duplicates_and_deflated_by_what_arrives() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.lost(10_000);
        assert_eq!(congestion.limit(), 5_000 + 3_000);
        (0..5).for_each(|_| congestion.repeated());
        assert_eq!(congestion.limit(), 5_000 + 8_000);
        congestion.partly_acknowledged(4_000);
        assert_eq!(congestion.limit(), 5_000 + 5_000);
        congestion.recovered(2_000);
        assert_eq!(congestion.limit(), 3_000);
    }

    #[test]
    fn a_timeout_begins_again_with_one_segment() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.timed_out(10_000);
        assert_eq!(congestion.limit(), SEGMENT);
        (0..3).for_each(|_| round(&mut congestion, at(100)));
        congestion.acknowledged(SEGMENT, SEGMENT, None, at(100));
        assert!(congestion.limit() >= 2 * SEGMENT && congestion.limit() <= 5_000 + SEGMENT);
    }

    #[test]
    fn an_idle_sender_begins_with_the_initial_window_again() {
        let mut congestion = Congestion::new(SEGMENT);
        (0..5).for_each(|_| round(&mut congestion, at(50)));
        congestion.idled();
        assert_eq!(congestion.limit(), 10_000);
    }
}
