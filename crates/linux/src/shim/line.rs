//! What one direction of a bad line does to frames, without any I/O: time, frames and the seed come in.
//!
//! # Theory
//!
//! A frame is lost, or is too long and vanishes, or waits until it is due. It is due after the delay and a random part of
//! the jitter, so that jitter reorders; a frame that overtakes is due at once. Frames that are due together leave in the
//! order in which they came. What waits is bounded in bytes; what comes beyond that is dropped, as by a full queue.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use wirewright_protocol::Instant;

/// Bytes before the IP packet: what the kernel says of it, and the Ethernet header.
pub(super) const BEFORE_PACKET: usize = VIRTIO_HEADER + 14;
/// Bytes of `struct virtio_net_hdr`.
const VIRTIO_HEADER: usize = 10;
/// Frames that are kept for reuse.
const SPARE: usize = 256;

/// How a line treats what it carries, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// What each packet waits.
    pub delay: Duration,
    /// The most that a packet waits beyond that.
    pub jitter: Duration,
    /// The share of packets that are lost, from 0 to 1.
    pub loss: f64,
    /// The share of packets that do not wait, and overtake those that do, from 0 to 1.
    pub reorder: f64,
    /// Bytes of the longest IP packet that gets through: longer ones vanish without a word, as in a black hole.
    pub largest: Option<usize>,
    /// Bytes that may wait in each direction.
    pub waiting: usize,
    /// From which the randomness grows: the same seed and the same packets give the same losses.
    pub seed: u64,
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Came through.
    pub forwarded: u64,
    /// Were lost, as asked for.
    pub lost: u64,
    /// Were longer than the longest that gets through.
    pub too_long: u64,
    /// Found the queue full.
    pub overflowed: u64,
    /// Were not taken by the interface behind the line, or could not be read from the one before it.
    pub refused: u64,
}

/// One direction.
pub(super) struct Line {
    weather: Weather,
    random: Random,
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    number: u64,
    spare: Vec<Vec<u8>>,
    pub(super) counters: Counters,
}

impl Line {
    /// An empty line; `direction` tells the randomness of one from the other's.
    pub(super) fn new(weather: Weather, direction: u64) -> Self {
        Self {
            weather,
            random: Random(weather.seed ^ direction.rotate_left(32)),
            waiting: BinaryHeap::new(),
            bytes: 0,
            number: 0,
            spare: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a frame that came at `now`.
    pub(super) fn take(&mut self, frame: &[u8], now: Instant) {
        // Both are drawn for every frame, so that what happens to one does not change the lot of the next.
        let (lost, overtakes) = (self.random.share(), self.random.share());
        let jitter = self.weather.jitter.mul_f64(self.random.share());
        if self
            .weather
            .largest
            .is_some_and(|largest| frame.len() > largest + BEFORE_PACKET)
        {
            self.counters.too_long += 1;
        } else if lost < self.weather.loss {
            self.counters.lost += 1;
        } else if self.bytes + frame.len() > self.weather.waiting {
            self.counters.overflowed += 1;
        } else {
            let mut kept = self.spare.pop().unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(frame);
            let due = if overtakes < self.weather.reorder {
                now
            } else {
                now + self.weather.delay + jitter
            };
            self.bytes += kept.len();
            self.number += 1;
            self.waiting.push(Reverse(Waiting {
                due,
                number: self.number,
                frame: kept,
            }));
        }
    }

    /// When the next frame is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(first)| first.due)
    }

    /// The next frame that is due at `now`, to be given back with [`Line::done`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.deadline()? > now {
            return None;
        }
        let Reverse(first) = self.waiting.pop()?;
        self.bytes -= first.frame.len();
        Some(first.frame)
    }

    /// Keeps the memory of a frame for another one.
    pub(super) fn done(&mut self, frame: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(frame);
        }
    }
}

struct Waiting {
    due: Instant,
    number: u64,
    frame: Vec<u8>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): good enough for weather.
struct Random(u64);

impl Random {
    /// A number from 0 to below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The 53 bits of a double's fraction.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Weather = Weather {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        reorder: 0.0,
        largest: None,
        waiting: 1 << 20,
        seed: 1,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn drain(line: &mut Line, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| line.next(now))
            .map(|frame| frame[0])
            .collect()
    }

    #[test]
    fn frames_wait_for_the_delay_and_keep_their_order() {
        let weather = Weather {
            delay: Duration::from_millis(25),
            ..CALM
        };
        let mut line = Line::new(weather, 0);
        line.take(&[1], at(0));
        line.take(&[2], at(0));
        line.take(&[3], at(10));
        assert_eq!(line.deadline(), Some(at(25)));
        assert!(drain(&mut line, at(24)).is_empty());
        assert_eq!(drain(&mut line, at(25)), [1, 2]);
        assert_eq!(drain(&mut line, at(35)), [3]);
        assert_eq!(line.deadline(), None);
    }

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_the_share_asked_for() {
        let weather = Weather { loss: 0.1, ..CALM };
        let run = |seed| {
            let mut line = Line::new(Weather { seed, ..weather }, 0);
            for number in 0..10_000_u32 {
                line.take(&[number as u8], at(0));
            }
            (drain(&mut line, at(0)), line.counters.lost)
        };
        let (through, lost) = run(7);
        assert_eq!(run(7), (through, lost));
        assert_ne!(run(8).0, run(7).0);
        // Five standard deviations, 30 each.
        assert!((850..1150).contains(&lost), "{lost}");
    }

    #[test]
    fn a_frame_that_overtakes_does_not_wait() {
        let weather = Weather {
            delay: Duration::from_millis(10),
            reorder: 0.5,
            ..CALM
        };
        let mut line = Line::new(weather, 0);
        for number in 0..100 {
            line.take(&[number], at(0));
        }
        let first = drain(&mut line, at(0));
        assert!((25..75).contains(&first.len()), "{}", first.len());
        assert_eq!(first.len() + drain(&mut line, at(10)).len(), 100);
    }

    #[test]
    fn jitter_reorders_within_its_bounds() {
        let weather = Weather {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(10),
            ..CALM
        };
        let mut line = Line::new(weather, 0);
        for number in 0..100 {
            line.take(&[number], at(0));
        }
        assert!(drain(&mut line, at(9)).is_empty());
        let all = drain(&mut line, at(20));
        assert_eq!(all.len(), 100);
        assert!(!all.is_sorted());
    }

    #[test]
    fn what_is_longer_than_the_hole_is_wide_vanishes() {
        let weather = Weather {
            largest: Some(1300),
            ..CALM
        };
        let mut line = Line::new(weather, 0);
        line.take(&[0; BEFORE_PACKET + 1300], at(0));
        line.take(&[0; BEFORE_PACKET + 1301], at(0));
        assert_eq!(drain(&mut line, at(0)).len(), 1);
        assert_eq!(line.counters.too_long, 1);
    }

    #[test]
    fn what_waits_is_bounded() {
        let weather = Weather {
            delay: Duration::from_secs(1),
            waiting: 1000,
            ..CALM
        };
        let mut line = Line::new(weather, 0);
        for _ in 0..20 {
            line.take(&[0; 100], at(0));
        }
        assert_eq!(line.counters.overflowed, 10);
        assert_eq!(drain(&mut line, at(1000)).len(), 10);
        line.take(&[0; 100], at(1000));
        assert_eq!(line.counters.overflowed, 10);
    }
}
