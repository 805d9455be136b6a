//! First fragments that passed, so that the others of their packets may follow.

use alloc::collections::VecDeque;
use core::time::Duration;

use wirewright_protocol::Instant;

use super::headers::{First, Packet};

/// How long the others may take: as long as Linux waits for them (`ipfrag_time`).
const PATIENCE: Duration = Duration::from_secs(30);

/// The packets whose first fragment passed last, the oldest in front.
#[derive(Default)]
pub(super) struct Fragments(VecDeque<(First, Instant)>);

impl Fragments {
    /// The first fragment of a packet passed. Of `most` packets that are remembered, the oldest makes way.
    pub(super) fn note(&mut self, now: Instant, first: First, most: usize) {
        self.forget_old(now);
        self.forget(first.packet);
        while self.0.len() >= most.max(1) {
            self.0.pop_front();
        }
        self.0.push_back((first, now + PATIENCE));
    }

    /// No fragment of a packet may follow any more.
    pub(super) fn forget(&mut self, packet: Packet) {
        self.0.retain(|(known, _)| known.packet != packet);
    }

    /// Whether a later fragment may follow. It must not lie where the first one has the header that was judged.
    pub(super) fn may_follow(&self, now: Instant, packet: Packet, offset: usize) -> bool {
        let mut known = self.0.iter().rev();
        known.any(|(first, until)| first.packet == packet && first.judged <= offset && now < *until)
    }

    /// Gives memory back when nothing in it counts any more.
    pub(super) fn forget_old(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(_, until)| *until <= now) {
            self.0.pop_front();
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the oldest counts no more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|(_, until)| *until)
    }
}
