//! How much may be in flight: CUBIC (RFC 9438) that asks the queue whether a loss was its doing.
//!
//! ```text
//!  slow start ── delay grows ──► conservative slow start ── five rounds ──► congestion avoidance
//!      │                                  │                                     │
//!      └──── loss by congestion: window × 0.5 ──┴──────── × 0.7 to 1 ───────────┘
//!  timeout: a window of one segment, slow start up to the same share of what was in flight
//! ```
//!
//! A loss-based control takes each loss for an overrun queue. At one loss in a hundred that leaves it little whatever the
//! path could carry. But a queue that overruns was full, and what passes a full queue takes longer than the shortest
//! round trip: the difference is the queue (TCP Vegas, Veno: Fu and Liew, 2003). So
//!
//! - a loss while round trips are as short as ever is taken for chance: it is mended and nothing else;
//! - a loss while there is a queue reduces the window to what the path holds without it (TCP Westwood: Mascolo et al.,
//!   2001), less as much again for whom we share it with, but to no less than CUBIC would;
//! - where losses are many ([`HEAVY`] of all), it does not matter why: each counts, as CUBIC counts it. So a queue too
//!   short to be felt is not flooded;
//! - as long as there is no queue and little is lost, the window grows by an eighth a round trip where CUBIC would grow more
//!   slowly. The queue that this can make before it is felt is an eighth of what the path holds, for two round trips. Each
//!   time that ends in a loss by congestion, CUBIC alone decides for twice as long afterwards.
//!
//! Where others keep the queue full, all of this is CUBIC.

use core::time::Duration;

use wirewright_protocol::Instant;

use super::hystart::HyStart;
use super::rounds::Rounds;
use crate::config::Control;

/// RFC 9438 4.6.
const BETA: f64 = 0.7;
/// In slow start the window doubled since the round trip in which it still fitted (RFC 5681 3.1).
const BETA_SLOW_START: f64 = 0.5;
/// RFC 9438 5, segments a cubic second.
const C: f64 = 0.4;
/// RFC 6928.
const INITIAL_SEGMENTS: u32 = 10;
/// A sender that does not pace counts no more segments for one acknowledgement in slow start. RFC 9406 4.3 has 8; batches
/// of packets are acknowledged at once here.
const COUNTED_SEGMENTS: u32 = 32;
/// The share of losses from which each counts as congestion.
const HEAVY: f64 = 0.03;
/// The share of losses up to which the window may grow quickly.
const LIGHT: f64 = 0.02;
/// Growth a round trip where there is no queue.
const QUICK: f64 = 0.125;
/// The share of losses in a round from which a slow start pauses.
const PAUSE: f64 = 0.05;
/// After a reduction CUBIC alone decides for so many round trips at first, and at most.
const HELD_ROUNDS: u32 = 16;
const MOST_HELD_ROUNDS: u32 = 256;
/// A reduction to more than this was hardly one.
const SLIGHT: f64 = 0.9;

pub(super) struct Congestion {
    control: Control,
    segment: u32,
    /// Bytes. Fractions of a segment add up in congestion avoidance.
    window: f64,
    threshold: f64,
    hystart: HyStart,
    rounds: Rounds,
    /// The window before the last reduction, which the cubic curve returns to.
    w_max: f64,
    /// Where the curve began: when, and how long it takes to return to `w_max`.
    epoch: Option<(Instant, f64)>,
    /// What Reno's rule would have reached meanwhile (RFC 9438 4.3).
    reno: f64,
    /// Round trips left in which the window does not grow quickly.
    held: u32,
    /// How many there will be the next time.
    hold: u32,
    /// What a timeout that was none is to restore: window and threshold.
    before: Option<(f64, f64)>,
}

impl Congestion {
    /// For segments of at most `segment` bytes.
    pub(super) fn new(segment: u32, control: Control) -> Self {
        Self {
            control,
            segment,
            window: f64::from(segment.saturating_mul(INITIAL_SEGMENTS)),
            threshold: f64::INFINITY,
            hystart: HyStart::default(),
            rounds: Rounds::default(),
            w_max: 0.0,
            epoch: None,
            reno: 0.0,
            held: 0,
            hold: HELD_ROUNDS,
            before: None,
        }
    }

    /// The remote side wants segments of at most so many bytes. Nothing but a SYN was sent yet.
    pub(super) fn segments_are(&mut self, segment: u32) {
        *self = Self::new(segment, self.control);
    }

    /// Bytes that may be in flight.
    pub(super) fn limit(&self) -> u64 {
        // A float too large for the type becomes its maximum.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let window = self.window as u64;
        window.max(self.segment.into())
    }

    /// The shortest round trip so far.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.rounds.shortest()
    }

    /// `bytes` arrived of which the window was full or not, and a round trip of `sample` with them. `acknowledged` and
    /// `next` are offsets, to know rounds by.
    pub(super) fn arrived(
        &mut self,
        bytes: u64,
        sample: Option<Duration>,
        (acknowledged, next): (u64, u64),
        now: Instant,
    ) {
        if self.rounds.arrived(bytes, sample, (acknowledged, next), now) {
            self.held = self.held.saturating_sub(1);
        }
        let Some(sample) = sample else {
            return;
        };
        if self.window < self.threshold && self.hystart.sampled(sample, acknowledged, next) {
            self.threshold = self.window;
        }
    }

    /// The window may grow by what `bytes` allow that arrived of `in_flight`.
    pub(super) fn grow(&mut self, bytes: u64, in_flight: u64, round_trip: Option<Duration>, now: Instant) {
        let (bytes, in_flight) = (bytes as f64, in_flight as f64);
        let segment = f64::from(self.segment);
        if self.window < self.threshold {
            // A window that was not used says nothing about the path (RFC 9406 4.3 leaves it out; RFC 7661).
            let pauses = self.control == Control::Queue && self.rounds.losses_now() > PAUSE;
            if in_flight * 2.0 >= self.window && !pauses {
                let counted = bytes.min(segment * f64::from(COUNTED_SEGMENTS));
                self.window += counted / self.hystart.divisor();
            }
        } else if in_flight + 3.0 * segment >= self.window {
            let before = self.window;
            self.avoid(bytes, round_trip.unwrap_or_default(), now);
            let light = self.rounds.losses().max(self.rounds.losses_now()) < LIGHT;
            if self.control == Control::Queue && self.held == 0 && light && self.rounds.has_no_queue() {
                self.window = self.window.max(before + bytes * QUICK);
            }
        }
    }

    /// `bytes` were found lost.
    pub(super) fn count_lost(&mut self, bytes: u64) {
        self.rounds.lost(bytes);
    }

    /// Something was lost, for the first time in a round trip, while so many bytes were in flight. Returns the window
    /// to shrink to, if the loss was by congestion.
    pub(super) fn lost(&mut self, in_flight: u64) -> Option<u64> {
        let doubles = self.window < self.threshold;
        let share = if self.control == Control::Cubic || self.rounds.losses() > HEAVY {
            0.0
        } else if let Some(share) = self.rounds.share_without_queue(doubles) {
            2.0 * share - 1.0
        } else {
            return None;
        };
        let beta = if doubles { BETA_SLOW_START } else { BETA };
        let share = share.clamp(beta, 1.0);
        self.reduce(in_flight, share);
        if share < SLIGHT {
            self.held = self.hold;
            self.hold = (2 * self.hold).min(MOST_HELD_ROUNDS);
        }
        self.window = self.threshold;
        Some(self.limit())
    }

    /// The retransmission timeout expired.
    pub(super) fn timed_out(&mut self, in_flight: u64) {
        self.before.get_or_insert((self.window, self.threshold));
        self.reduce(
            in_flight,
            if self.window < self.threshold {
                BETA_SLOW_START
            } else {
                BETA
            },
        );
        self.held = self.hold;
        self.window = f64::from(self.segment);
    }

    /// The timeout was none: what it took for lost was only late (RFC 5682).
    pub(super) fn restore(&mut self) {
        if let Some((window, threshold)) = self.before.take() {
            (self.window, self.threshold) = (self.window.max(window), threshold);
            self.epoch = None;
        }
    }

    /// What a timeout made lost is mended.
    pub(super) fn settled(&mut self) {
        self.before = None;
    }

    /// Nothing was in flight for longer than a timeout (RFC 5681 4.1).
    pub(super) fn idled(&mut self) {
        self.window = self
            .window
            .min(f64::from(self.segment.saturating_mul(INITIAL_SEGMENTS)));
        self.epoch = None;
    }

    fn reduce(&mut self, in_flight: u64, share: f64) {
        let flight = (in_flight as f64).min(self.window);
        // Fast convergence (RFC 9438 4.7): a flow that shrinks leaves room for others.
        self.w_max = if flight < self.w_max {
            flight * (1.0 + BETA) / 2.0
        } else {
            flight
        };
        self.threshold = (flight * share).max(2.0 * f64::from(self.segment));
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
mod tests;
