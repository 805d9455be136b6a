//! HyStart++ (RFC 9406): leaving slow start when delay grows, before the queue overflows.
//!
//! Each round trip's smallest sample is compared with the previous one's. If it grew by an eighth (4 to 16 ms), the
//! window grows four times slower for up to five rounds, in case that was chance; if the delay falls again, it was.

use core::time::Duration;

const LEAST_GROWTH: Duration = Duration::from_millis(4);
const MOST_GROWTH: Duration = Duration::from_millis(16);
/// RFC 9406 4.3 asks for eight samples. Of a small flight fewer are timed.
const SAMPLES: u32 = 4;
const SLOWNESS: f64 = 4.0;
const CONSERVATIVE_ROUNDS: u32 = 5;

#[derive(Default)]
pub(super) struct HyStart {
    /// The round ends when this is acknowledged.
    round_end: Option<u64>,
    samples: u32,
    smallest: Option<Duration>,
    previous: Option<Duration>,
    conservative: Option<Conservative>,
}

struct Conservative {
    /// The smallest sample of the round that made it begin.
    baseline: Duration,
    rounds: u32,
}

impl HyStart {
    /// What to divide the growth of the window by.
    pub(super) fn divisor(&self) -> f64 {
        if self.conservative.is_some() {
            SLOWNESS
        } else {
            1.0
        }
    }

    /// A round trip took `sample`. `true` if slow start is over.
    pub(super) fn sampled(&mut self, sample: Duration, acknowledged: u64, next: u64) -> bool {
        let round_is_over = self.round_end.is_none_or(|end| acknowledged >= end);
        if round_is_over {
            self.round_end = Some(next);
            self.previous = self.smallest.take().or(self.previous);
            self.samples = 0;
            if let Some(conservative) = &mut self.conservative {
                conservative.rounds += 1;
                if conservative.rounds > CONSERVATIVE_ROUNDS {
                    return true;
                }
            }
        }
        self.samples += 1;
        let smallest = self.smallest.map_or(sample, |smallest| smallest.min(sample));
        self.smallest = Some(smallest);
        if self.samples < SAMPLES {
            return false;
        }
        match (&self.conservative, self.previous) {
            (Some(conservative), _) if smallest < conservative.baseline => self.conservative = None,
            (None, Some(previous)) if smallest >= previous + growth(previous) => {
                self.conservative = Some(Conservative {
                    baseline: smallest,
                    rounds: 0,
                });
            }
            _ => {}
        }
        false
    }
}

fn growth(previous: Duration) -> Duration {
    (previous / 8).clamp(LEAST_GROWTH, MOST_GROWTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight samples of a round; whether any ended slow start.
    fn round(hystart: &mut HyStart, number: u64, millis: u64) -> bool {
        let sample = Duration::from_millis(millis);
        (0..8)
            .map(|index| hystart.sampled(sample, number * 100 + index, (number + 1) * 100))
            .fold(false, |any, over| any | over)
    }

    #[test]
    fn steady_delay_never_ends_slow_start() {
        let mut hystart = HyStart::default();
        assert!(!(1..100).any(|number| round(&mut hystart, number, 50)));
        assert_eq!(hystart.divisor(), 1.0);
    }

    #[test]
    fn growing_delay_slows_growth_and_ends_it_after_five_rounds() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 1, 50);
        round(&mut hystart, 2, 60);
        assert_eq!(hystart.divisor(), 4.0);
        let ended = (3..20).find(|number| round(&mut hystart, *number, 60));
        assert_eq!(ended, Some(8));
    }

    #[test]
    fn delay_that_falls_again_was_chance() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 1, 50);
        round(&mut hystart, 2, 60);
        round(&mut hystart, 3, 50);
        assert_eq!(hystart.divisor(), 1.0);
    }
}
