//! What round trips tell about the path: whether there is a queue, and how much is lost.
//!
//! A queue delays all that passes it for as long as it lasts. A host that was busy with something else is late as well, with
//! all that came meanwhile; but what came last hardly waited, and next time it is late by more or by less. So round trips in
//! a queue are about equally long, and those to a busy host vary from hardly late to very late: there is a queue if the
//! shortest of a while ([`SPAN`]) is nearly as late as all of them on average ([`ALIKE`]).
//!
//! The shortest round trip ever is the path without a queue. If the path becomes longer, everything looks like a queue
//! afterwards, which only makes [`super::congestion`] as careful as CUBIC.

use core::time::Duration;

use wirewright_protocol::Instant;

/// While the window doubles the shortest of so many counts.
const LAST: usize = 4;
/// A span of samples lasts for this share of the shortest round trip, but no longer than hosts are usually busy, and has so
/// many samples at least.
const SPAN: u32 = 4;
const LONGEST_SPAN: Duration = Duration::from_millis(12);
const LEAST_SAMPLES: u32 = 4;
/// A span that took so many round trips says nothing of the next.
const OLD: u32 = 2;
/// In a queue the shortest sample is late by at least this share of what all are late by on average.
const ALIKE: f64 = 0.8;
/// What is less than this beyond the shortest round trip is no queue, but what batches of packets and a busy machine make.
const LEAST_QUEUE: Duration = Duration::from_millis(1);
/// As long as the queue takes less than this share of the shortest round trip, there is room for more.
const ROOM: u32 = 16;
/// The share of a new round in the average of losses.
const WEIGHT: f64 = 0.125;
/// A round with fewer bytes says little about losses, and is joined with the next.
const LEAST_BYTES: u64 = 30_000;

/// The newest samples: of the span that is not over, and of the one before.
#[derive(Default)]
struct Newest {
    /// The last ones.
    last: [Duration; LAST],
    at: usize,
    begun: Instant,
    spans: [Span; 2],
}

#[derive(Clone, Copy, Default)]
struct Span {
    count: u32,
    sum: Duration,
    smallest: Option<Duration>,
}

impl Newest {
    fn sampled(&mut self, sample: Duration, shortest: Duration, now: Instant) {
        let lasts = (shortest / SPAN).min(LONGEST_SPAN);
        let old = shortest * OLD;
        if let Some(place) = self.last.get_mut(self.at % LAST) {
            *place = sample;
        }
        self.at += 1;
        let [newest, before] = &mut self.spans;
        let age = now.saturating_since(self.begun);
        if newest.count >= LEAST_SAMPLES && age >= lasts {
            *before = if age > old { Span::default() } else { *newest };
            (*newest, self.begun) = (Span::default(), now);
        }
        newest.count += 1;
        newest.sum += sample;
        newest.smallest = Some(newest.smallest.map_or(sample, |smallest| smallest.min(sample)));
    }

    /// The shortest, and the mean.
    fn told(&self) -> Option<(Duration, Duration)> {
        let [newest, before] = &self.spans;
        let smallest = newest.smallest.into_iter().chain(before.smallest).min()?;
        Some((
            smallest,
            (newest.sum + before.sum) / (newest.count + before.count),
        ))
    }
}

#[derive(Default)]
pub(super) struct Rounds {
    shortest: Option<Duration>,
    newest: Newest,
    /// The round ends when this is acknowledged.
    end: u64,
    /// Of the round under way, and of the one before.
    smallest: Option<Duration>,
    previous: Option<Duration>,
    bytes: u64,
    lost: u64,
    losses: f64,
}

impl Rounds {
    /// So many bytes arrived, and with them a sample. `true` if a round trip is over.
    pub(super) fn arrived(
        &mut self,
        bytes: u64,
        sample: Option<Duration>,
        (acknowledged, next): (u64, u64),
        now: Instant,
    ) -> bool {
        self.bytes += bytes;
        if let Some(sample) = sample {
            self.shortest = Some(self.shortest.map_or(sample, |shortest| shortest.min(sample)));
            self.smallest = Some(self.smallest.map_or(sample, |smallest| smallest.min(sample)));
            self.newest.sampled(sample, self.shortest.unwrap_or(sample), now);
        }
        if acknowledged < self.end {
            return false;
        }
        self.end = next;
        self.previous = self.smallest.take().or(self.previous);
        if self.bytes + self.lost >= LEAST_BYTES {
            let share = self.lost as f64 / (self.bytes + self.lost) as f64;
            self.losses += (share - self.losses) * WEIGHT;
            (self.bytes, self.lost) = (0, 0);
        }
        true
    }

    pub(super) fn lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    pub(super) fn shortest(&self) -> Option<Duration> {
        self.shortest
    }

    /// The share of bytes that are lost, averaged over rounds.
    pub(super) fn losses(&self) -> f64 {
        self.losses
    }

    /// The same of the round under way.
    pub(super) fn losses_now(&self) -> f64 {
        self.lost as f64 / (self.bytes + self.lost).max(LEAST_BYTES) as f64
    }

    /// Whether the last round trip met hardly any queue.
    pub(super) fn has_no_queue(&self) -> bool {
        let both = self.shortest.zip(self.previous);
        both.is_some_and(|(shortest, previous)| previous <= shortest + (shortest / ROOM).max(LEAST_QUEUE))
    }

    /// The share of what is in flight that the path would hold without its queue, if there is one. While the window
    /// doubles (`doubles`) a queue grows too fast for round trips to be alike: then the newest alone say whether there is one.
    pub(super) fn share_without_queue(&self, doubles: bool) -> Option<f64> {
        let Some(shortest) = self.shortest else {
            return Some(0.0);
        };
        if doubles {
            let last = self.newest.last.iter().take(self.newest.at).min();
            let last = last.copied().unwrap_or(shortest);
            return (last > shortest + LEAST_QUEUE).then(|| shortest.as_secs_f64() / last.as_secs_f64());
        }
        let (smallest, mean) = self.newest.told().unwrap_or((shortest, shortest));
        let (late, all) = (smallest.saturating_sub(shortest), mean.saturating_sub(shortest));
        let has_queue = late > LEAST_QUEUE.max(all.mul_f64(ALIKE));
        has_queue.then(|| shortest.as_secs_f64() / mean.as_secs_f64())
    }
}
