//! What was sent and not acknowledged: which segments are on their way, which have arrived, which are lost.
//!
//! ```text
//!   sent ──► Out ──── SACK or acknowledgement ────► arrived
//!             │ ▲
//!        lost │ │ sent again
//!             ▼ │
//!            Lost
//! ```
//!
//! RACK (RFC 8985 6): a segment is lost if another that was sent after it has arrived, and a while has passed in which it
//! could have come late. It counts the time of the *last* sending, so that a lost retransmission is found, too.
//! The while is nothing until segments were seen to overtake each other; then a quarter of the shortest round trip, and
//! more for each time the receiver told that something was sent again without need.
//!
//! What is `out` counts the bytes on their way (the pipe of RFC 6675). Looking for losses touches only what lies in the
//! holes between what has arrived, so that a long flight costs no more than a short one.

use core::time::Duration;
use std::collections::VecDeque;

use wirewright_protocol::Instant;

use super::ranges::Ranges;

/// Segments of a flight. A program that writes single bytes is held here and not by windows.
pub(super) const MOST_SEGMENTS: usize = 8_192;
/// Ranges that a receiver can have told of. What is beyond them is not known to have arrived.
const BLOCKS: usize = 512;
/// RFC 8985 6.2 step 4: no longer than a round trip.
const MOST_QUARTERS: u32 = 4;
/// Recoveries after which patience is short again (the same).
const CALM: u32 = 16;
/// Segments that have arrived behind a hole and prove a loss without waiting (RFC 5681 3.2, RFC 8985 6.2 step 4).
const PROOF: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Out,
    Arrived,
    Lost,
}

struct Flying {
    start: u64,
    end: u64,
    /// The last time.
    sent: Instant,
    again: bool,
    fate: Fate,
}

pub(super) struct Flight {
    segments: VecDeque<Flying>,
    arrived: Ranges,
    /// Bytes of segments that are on their way, and of lost ones that were not sent again.
    out: u64,
    lost: u64,
    /// No segment that begins below is lost.
    lost_from: u64,
    /// Of what has arrived, what was sent last: when, and its end.
    newest: (Instant, u64),
    /// How long it took.
    took: Duration,
    /// The same of segments that were sent once, whose acknowledgements are of no other copy.
    unrepeated: ((Instant, u64), Duration),
    /// The highest end that has arrived.
    highest: u64,
    overtaken: bool,
    quarters: u32,
    /// Recoveries since the receiver last told that something came twice.
    calm: u32,
    /// Timed out: lost by decree and not by proof.
    decreed: bool,
}

/// What an acknowledgement said.
#[derive(Default)]
pub(super) struct News {
    /// Bytes that have arrived and were not known to have.
    pub(super) bytes: u64,
    /// When the newest segment among them that was sent only once was sent.
    pub(super) sent: Option<Instant>,
    /// Something that a timeout declared lost was on its way all the time.
    pub(super) was_not_lost: bool,
}

impl Flight {
    pub(super) fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            arrived: Ranges::new(BLOCKS),
            out: 0,
            lost: 0,
            lost_from: 0,
            newest: (Instant::default(), 0),
            took: Duration::ZERO,
            unrepeated: ((Instant::default(), 0), Duration::ZERO),
            highest: 0,
            overtaken: false,
            quarters: 1,
            calm: 0,
            decreed: false,
        }
    }

    /// Bytes on their way.
    pub(super) fn out(&self) -> u64 {
        self.out
    }

    /// Whether something waits to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.segments.len() >= MOST_SEGMENTS
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// A segment left for the first time.
    pub(super) fn sent(&mut self, start: u64, end: u64, now: Instant) {
        self.out += end - start;
        self.segments.push_back(Flying {
            start,
            end,
            sent: now,
            again: false,
            fate: Fate::Out,
        });
    }

    /// The first lost segment, which now leaves again if `may` says so of its ends.
    pub(super) fn resend(&mut self, now: Instant, may: impl FnOnce(u64, u64) -> bool) -> Option<(u64, u64)> {
        if self.lost == 0 {
            return None;
        }
        let mut at = self.index_of(self.lost_from);
        loop {
            let segment = self.segments.get_mut(at)?;
            if segment.fate == Fate::Lost {
                if !may(segment.start, segment.end) {
                    self.lost_from = segment.start;
                    return None;
                }
                let (start, end) = (segment.start, segment.end);
                (segment.fate, segment.again, segment.sent) = (Fate::Out, true, now);
                self.lost -= end - start;
                self.out += end - start;
                self.lost_from = end;
                return Some((start, end));
            }
            at = match self.arrived.around(segment.start) {
                Some((_, end)) => self.index_of(end).max(at + 1),
                None => at + 1,
            };
        }
    }

    /// The last segment, or with `first` the first one, leaves again as a probe.
    pub(super) fn probe(&mut self, first: bool, now: Instant) -> Option<(u64, u64)> {
        let segment = if first {
            self.segments.front_mut()
        } else {
            self.segments.back_mut()
        }?;
        let (start, end) = (segment.start, segment.end);
        if segment.fate == Fate::Lost {
            segment.fate = Fate::Out;
            self.lost -= end - start;
            self.out += end - start;
        }
        (segment.again, segment.sent) = (true, now);
        Some((start, end))
    }

    /// Everything below `una` has arrived.
    pub(super) fn acknowledged(&mut self, una: u64, least: Option<Duration>, now: Instant, news: &mut News) {
        while let Some(segment) = self.segments.front_mut() {
            if segment.end <= una {
                let segment = Flying { ..*segment };
                self.segments.pop_front();
                self.arrives(&segment, segment.end - segment.start, least, now, news);
                continue;
            }
            if segment.start < una {
                let part = una - segment.start;
                let old = Flying { end: una, ..*segment };
                segment.start = una;
                self.arrives(&old, part, least, now, news);
            }
            break;
        }
        self.arrived.cut(una);
        self.highest = self.highest.max(una);
    }

    /// `start..end` has arrived, which must lie above what is acknowledged.
    pub(super) fn selected(
        &mut self,
        (start, end): (u64, u64),
        least: Option<Duration>,
        now: Instant,
        news: &mut News,
    ) {
        // A block that tells of half a segment tells nothing of it: the whole is needed anyway.
        let first = self.index_of(start);
        let first = first
            + usize::from(
                self.segments
                    .get(first)
                    .is_some_and(|segment| segment.start < start),
            );
        let behind = self.segments.partition_point(|segment| segment.end <= end);
        let edge = |at: usize| self.segments.get(at).map(|segment| (segment.start, segment.end));
        let (Some((start, _)), Some((_, end))) = (edge(first), behind.checked_sub(1).and_then(edge)) else {
            return;
        };
        if start >= end {
            return;
        }
        let mut fresh = FreshRanges::default();
        if !self.arrived.insert(start, end, |from, to| fresh.push(from, to)) {
            return;
        }
        for (from, to) in fresh.ranges() {
            let mut at = self.index_of(from);
            while let Some(segment) = self.segments.get_mut(at).filter(|segment| segment.start < to) {
                let old = Flying { ..*segment };
                segment.fate = Fate::Arrived;
                self.arrives(&old, old.end - old.start, least, now, news);
                at += 1;
            }
        }
    }

    /// Notes what is proved to be lost. Returns its bytes, and when to look again. `least` is the shortest round trip,
    /// `mending` whether losses are being mended anyway.
    pub(super) fn find_losses(
        &mut self,
        least: Duration,
        mending: bool,
        segment: u64,
        now: Instant,
    ) -> (u64, Option<Instant>) {
        let ((newest, newest_end), took) = (self.newest, self.took);
        let proved = mending || self.arrived_bytes_reach(PROOF * segment);
        let patience = if !self.overtaken && proved {
            Duration::ZERO
        } else {
            least / 4 * self.quarters
        };
        let (mut found, mut again) = (0, None);
        let mut at = 0;
        while let Some(segment) = self.segments.get_mut(at) {
            match segment.fate {
                Fate::Arrived => {
                    let (start, at_least) = (segment.start, at + 1);
                    at = match self.arrived.around(start) {
                        Some((_, end)) => self.index_of(end).max(at_least),
                        None => at_least,
                    };
                    continue;
                }
                Fate::Lost => {}
                Fate::Out => {
                    if (segment.sent, segment.end) >= (newest, newest_end) {
                        if !segment.again {
                            // All behind it were sent later still.
                            break;
                        }
                    } else if now >= segment.sent + took + patience {
                        let len = segment.end - segment.start;
                        segment.fate = Fate::Lost;
                        found += len;
                        self.lost_from = self.lost_from.min(segment.start);
                    } else {
                        let due = segment.sent + took + patience;
                        again = Some(again.map_or(due, |before: Instant| before.min(due)));
                    }
                }
            }
            at += 1;
        }
        self.out -= found;
        self.lost += found;
        (found, again)
    }

    /// The first segment is lost, as its receiver, who tells no blocks, makes us believe. Returns its bytes.
    pub(super) fn lose_first(&mut self) -> u64 {
        let Some(segment) = self
            .segments
            .front_mut()
            .filter(|segment| segment.fate == Fate::Out)
        else {
            return 0;
        };
        segment.fate = Fate::Lost;
        let len = segment.end - segment.start;
        self.lost_from = self.lost_from.min(segment.start);
        self.out -= len;
        self.lost += len;
        len
    }

    /// Nothing was heard for so long that everything counts as lost (RFC 6298 5.4, RFC 8985 6.3). A receiver that has
    /// forgotten what it told (RFC 2018 8) is found out here as well.
    pub(super) fn lose_all(&mut self) {
        let forgot = self
            .segments
            .front()
            .is_some_and(|segment| segment.fate == Fate::Arrived);
        if forgot {
            self.arrived.clear();
        }
        self.decreed = true;
        (self.out, self.lost, self.lost_from) = (0, 0, 0);
        for segment in &mut self.segments {
            if segment.fate != Fate::Arrived || forgot {
                segment.fate = Fate::Lost;
                self.lost += segment.end - segment.start;
            }
        }
    }

    /// What a timeout declared lost and was not sent again is on its way after all.
    pub(super) fn recall(&mut self) {
        for segment in &mut self.segments {
            if segment.fate == Fate::Lost && !segment.again {
                segment.fate = Fate::Out;
                self.lost -= segment.end - segment.start;
                self.out += segment.end - segment.start;
            }
        }
        // What was acknowledged were first copies.
        (self.newest, self.took) = self.unrepeated;
        self.decreed = false;
    }

    /// What was lost is mended.
    pub(super) fn settled(&mut self) {
        self.decreed = false;
        self.calm += 1;
        if self.calm >= CALM {
            (self.calm, self.quarters) = (0, 1);
        }
    }

    /// The receiver told that something came twice: patience was too short (RFC 8985 6.2 step 4).
    pub(super) fn came_twice(&mut self) {
        (self.overtaken, self.calm) = (true, 0);
        self.quarters = (self.quarters + 1).min(MOST_QUARTERS);
    }

    fn arrived_bytes_reach(&self, bytes: u64) -> bool {
        let mut sum = 0;
        self.arrived.as_slice().iter().any(|(start, end)| {
            sum += end - start;
            sum >= bytes
        })
    }

    fn index_of(&self, offset: u64) -> usize {
        self.segments.partition_point(|segment| segment.end <= offset)
    }

    fn arrives(
        &mut self,
        segment: &Flying,
        len: u64,
        least: Option<Duration>,
        now: Instant,
        news: &mut News,
    ) {
        match segment.fate {
            Fate::Arrived => return,
            Fate::Out => self.out -= len,
            Fate::Lost => {
                self.lost -= len;
                news.was_not_lost |= self.decreed && !segment.again;
            }
        }
        news.bytes += len;
        if !segment.again {
            news.sent = news.sent.max(Some(segment.sent));
            self.overtaken |= segment.end < self.highest;
        }
        self.highest = self.highest.max(segment.end);
        // Of a segment that was sent again, the first copy may have arrived.
        let plausible = !segment.again || least.is_some_and(|least| now >= segment.sent + least);
        let this = ((segment.sent, segment.end), now.saturating_since(segment.sent));
        if plausible && this.0 >= self.newest {
            (self.newest, self.took) = this;
        }
        if !segment.again && this.0 >= self.unrepeated.0 {
            self.unrepeated = this;
        }
    }
}

/// What a block tells anew: parts between ranges that were known. With more of them than this the rest is joined, and
/// what is known to have arrived is looked at again, which changes nothing.
#[derive(Default)]
struct FreshRanges {
    ranges: [(u64, u64); 8],
    count: usize,
}

impl FreshRanges {
    fn push(&mut self, from: u64, to: u64) {
        if let Some(place) = self.ranges.get_mut(self.count) {
            *place = (from, to);
            self.count += 1;
        } else if let Some(last) = self.ranges.last_mut() {
            last.1 = to;
        }
    }

    fn ranges(self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.into_iter().take(self.count)
    }
}

#[cfg(test)]
mod tests;
