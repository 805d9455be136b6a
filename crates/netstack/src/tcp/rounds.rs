//! What round trips tell about the path: whether there is a queue, and how much is lost.
//!
//! The shortest round trip ever is the path without a queue. If the path becomes longer, everything looks like a queue
//! afterwards, which only makes [`super::congestion`] as careful as CUBIC.

use core::time::Duration;

/// The newest samples, of which the shortest counts: one that was held up by chance says nothing.
const NEWEST: usize = 4;
/// What is less than this beyond the shortest round trip is no queue, but what batches of packets and a busy machine make.
const LEAST_QUEUE: Duration = Duration::from_millis(1);
/// As long as the queue takes less than this share of the shortest round trip, there is room for more.
const ROOM: u32 = 16;
/// The share of a new round in the average of losses.
const WEIGHT: f64 = 0.125;
/// A round with fewer bytes says little about losses, and is joined with the next.
const LEAST_BYTES: u64 = 30_000;

#[derive(Default)]
pub(super) struct Rounds {
    shortest: Option<Duration>,
    newest: [Duration; NEWEST],
    count: usize,
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
        acknowledged: u64,
        next: u64,
    ) -> bool {
        self.bytes += bytes;
        if let Some(sample) = sample {
            self.shortest = Some(self.shortest.map_or(sample, |shortest| shortest.min(sample)));
            self.smallest = Some(self.smallest.map_or(sample, |smallest| smallest.min(sample)));
            if let Some(place) = self.newest.get_mut(self.count % NEWEST) {
                *place = sample;
            }
            self.count += 1;
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

    /// The share of what is in flight that the path would hold without its queue, if there is one.
    pub(super) fn share_without_queue(&self) -> Option<f64> {
        let Some(shortest) = self.shortest else {
            return Some(0.0);
        };
        let newest = self
            .newest
            .iter()
            .take(self.count)
            .min()
            .copied()
            .unwrap_or(shortest);
        let has_queue = newest > shortest + LEAST_QUEUE;
        has_queue.then(|| shortest.as_secs_f64() / newest.as_secs_f64())
    }
}
