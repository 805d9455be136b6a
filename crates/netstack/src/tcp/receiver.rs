//! The receiving side of a connection: what came, in which order, and what to tell about it.
//!
//! ```text
//!   read        next          beyond: what came behind a hole          told
//!    │  unread   │  hole  ├──────┤   hole   ├───┤                       │
//!  ──┴───────────┴───────────────────────────────────────────────────────┴──► offsets
//! ```
//!
//! - What fits the ring is taken, in whatever order it comes, up to [`HOLES`] holes. Window fields count in units of up
//!   to 16 KiB, so that the end of the window that they tell moves to and fro while data fills it (RFC 7323 2.4): what
//!   counts is the ring, and no window that was told ended beyond it.
//! - Acknowledgements: at once for what comes out of order, fills a hole, or came before, since a sender mends losses
//!   by them (RFC 5681 4.2); for every second full segment; and after a delay for the rest.
//! - SACK blocks (RFC 2018): the newest first. What came twice is told before them (RFC 2883), by which a sender knows
//!   that it took order for loss.
//! - The window grows as far as the reader takes twice a round trip what it would let through (dynamic right-sizing:
//!   Fisk and Feng, 2001). Who reads nothing never holds more than the first window.

use core::time::Duration;
use std::io;

use wirewright_protocol::Instant;

use super::ranges::Ranges;
use super::ring::Ring;
use super::sequence::{offset, on_wire};

/// Ranges kept beyond the first hole.
const HOLES: usize = 256;
/// SACK blocks that an acknowledgement tells.
pub(super) const BLOCKS: usize = 3;

pub(super) struct Receiver {
    /// The number of the remote side's SYN.
    initial: u32,
    next: u64,
    /// Its first byte is the next to be read.
    ring: Ring,
    beyond: Ranges,
    /// In ranges of `beyond`, the one that came last first.
    recent: [u64; BLOCKS + 1],
    /// What came twice and was not told yet.
    duplicate: Option<(u64, u64)>,
    /// Where the stream ends, if that is known.
    fin: Option<u64>,
    ended: bool,
    /// The most that is offered, and what its fields count in.
    window: usize,
    unit: u64,
    /// The end of the window that was told.
    told: u64,
    /// What was acknowledged last.
    acknowledged: u64,
    /// Largest payload seen, of at most a packet.
    segment: usize,
    due: Option<Instant>,
    /// When the growth of the window was last looked at, and what was read then.
    tuned: (Instant, u64),
}

impl Receiver {
    pub(super) fn new(window: usize) -> io::Result<Self> {
        Ok(Self {
            initial: 0,
            next: 0,
            ring: Ring::new(window)?,
            beyond: Ranges::new(HOLES),
            recent: [0; BLOCKS + 1],
            duplicate: None,
            fin: None,
            ended: false,
            window,
            unit: 1,
            told: 0,
            acknowledged: 0,
            segment: 0,
            due: None,
            tuned: (Instant::default(), 1),
        })
    }

    /// The remote side's SYN came with this number, and our window's fields are shifted by `scale`.
    pub(super) fn begin(&mut self, initial: u32, scale: u8, now: Instant) {
        self.initial = initial;
        self.unit = 1 << scale;
        self.window = self.window.min(usize::from(u16::MAX) << scale);
        (self.next, self.told) = (1, 1);
        self.due = Some(now);
        self.tuned = (now, 1);
    }

    /// Offsets expected next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The same as a number on the wire.
    pub(super) fn next_number(&self) -> u32 {
        on_wire(self.initial, self.next)
    }

    pub(super) fn offset_of(&self, number: u32) -> Option<u64> {
        offset(self.initial, self.next, number)
    }

    /// The end of what could be taken.
    pub(super) fn end(&self) -> u64 {
        self.read_up_to() + self.ring.capacity() as u64
    }

    /// Whether the remote side has sent everything.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes that wait to be read.
    pub(super) fn unread(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let (buffer, _) = buffer.split_at_mut(buffer.len().min(self.ring.len()));
        self.ring.get(0, buffer);
        self.ring.forget(buffer.len());
        if self.beyond.is_empty() {
            self.ring.rewind();
        }
        buffer.len()
    }

    /// Takes a segment's payload that begins at `start`, of a segment of at most `most` bytes and perhaps the stream's
    /// end. `true` if the acknowledgement should not wait until everything else that came was taken.
    pub(super) fn take(&mut self, start: u64, payload: &[u8], fin: bool, most: usize, now: Instant) -> bool {
        let end = start + payload.len() as u64;
        self.segment = self.segment.max(payload.len().min(most));
        let last = self.beyond.last().map_or(self.next, |(_, end)| end);
        if fin && self.fin.is_none() && end >= last && end <= self.end() {
            self.fin = Some(end);
        }
        let limit = self.fin.unwrap_or(u64::MAX).min(self.end());
        let (from, to) = (start.max(self.next), end.min(limit));
        let in_order = from == self.next && self.beyond.is_empty();
        let mut urgent = !in_order;
        if from < to {
            let skipped = usize::try_from(from - start).unwrap_or(usize::MAX);
            let len = usize::try_from(to - from).unwrap_or(0);
            let fresh = payload
                .get(skipped..)
                .and_then(|rest| rest.get(..len))
                .unwrap_or_default();
            let place = usize::try_from(from - self.read_up_to()).unwrap_or(usize::MAX);
            if start < self.next {
                self.duplicate = Some((start, self.next));
            }
            if in_order {
                self.ring.put(place, fresh);
                self.advance(to);
            } else {
                self.keep(from, to, place, fresh);
            }
        } else if !payload.is_empty() {
            urgent = true;
            if end <= self.next {
                self.duplicate = Some((start, end));
            }
        }
        if self.fin == Some(self.next) && !self.ended {
            self.ended = true;
            self.next += 1;
            self.due = Some(now);
        }
        urgent |= fin && end < self.next.saturating_sub(1);
        if urgent || fin {
            self.due = Some(now);
        }
        urgent
    }

    /// Says that an acknowledgement is due, if it is: after a delay for a segment that is alone.
    pub(super) fn schedule(&mut self, delay: Duration, now: Instant) {
        let waiting = self.next - self.acknowledged;
        if waiting == 0 {
            return;
        }
        let due = if waiting >= 2 * self.segment.max(1) as u64 {
            now
        } else {
            now + delay
        };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When the next acknowledgement is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the reader made so much room that the remote side must learn of it: as much again as it knows of.
    pub(super) fn has_opened(&self) -> bool {
        let known = self.told.saturating_sub(self.next);
        let room = self.widest().saturating_sub(self.next);
        !self.ended && self.next > 0 && room >= 2 * known && room >= known + self.least_step()
    }

    /// The window to tell with the next segment, in bytes.
    pub(super) fn window(&self) -> u64 {
        let widest = self.widest();
        // Small steps would provoke small segments (RFC 9293 3.8.6.2.2).
        let edge = if widest.saturating_sub(self.told) >= self.least_step() {
            widest
        } else {
            self.told
        };
        edge.saturating_sub(self.next)
    }

    /// A segment left that told everything: the acknowledgement, and a window of so many bytes.
    pub(super) fn acknowledged(&mut self, window: u64) {
        self.told = self.told.max(self.next + window);
        self.acknowledged = self.next;
        self.due = None;
    }

    /// Whether there are blocks to tell.
    pub(super) fn has_blocks(&self) -> bool {
        !self.beyond.is_empty() || self.duplicate.is_some()
    }

    /// The SACK blocks of the next acknowledgement, as numbers on the wire; how many are told.
    pub(super) fn take_blocks(&mut self, blocks: &mut [(u32, u32); BLOCKS]) -> usize {
        let (mut told, mut count) = ([(0, 0); BLOCKS], 0);
        let newest = self.recent.iter().filter_map(|at| self.beyond.around(*at));
        for block in self.duplicate.take().into_iter().chain(newest) {
            if count < BLOCKS && !told.contains(&block) {
                if let (Some(place), Some(number)) = (told.get_mut(count), blocks.get_mut(count)) {
                    *place = block;
                    *number = (on_wire(self.initial, block.0), on_wire(self.initial, block.1));
                }
                count += 1;
            }
        }
        count
    }

    /// How large the window should become: twice what was read within a round trip, if that is more than it is.
    pub(super) fn wanted_window(&mut self, round_trip: Option<Duration>, now: Instant) -> Option<usize> {
        let elapsed = now.saturating_since(self.tuned.0);
        if elapsed < round_trip? {
            return None;
        }
        let read = self.read_up_to();
        let taken = read - core::mem::replace(&mut self.tuned, (now, read)).1;
        // Of a longer while only the share of a round trip counts.
        let share = taken as f64 * round_trip?.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let wanted = (share * 2.0) as usize;
        (wanted > self.window).then_some(wanted.max(2 * self.window))
    }

    /// Offers so many bytes from now on, if there is memory for them.
    pub(super) fn widen(&mut self, window: usize) {
        let last = self.beyond.last().map_or(self.next, |(_, end)| end);
        let kept = usize::try_from(last - self.read_up_to()).unwrap_or(0);
        if self.ring.grow(window, kept) {
            self.window = window;
        }
    }

    /// Bytes offered at most.
    pub(super) fn most(&self) -> usize {
        self.window
    }

    fn read_up_to(&self) -> u64 {
        self.next - self.ring.len() as u64 - u64::from(self.ended)
    }

    /// The end of the widest window that may be told.
    fn widest(&self) -> u64 {
        self.read_up_to() + self.window as u64
    }

    fn least_step(&self) -> u64 {
        ((self.window / 2).min(self.segment) as u64).max(self.unit)
    }

    /// Keeps what came out of order, or before something that did.
    fn keep(&mut self, from: u64, to: u64, place: usize, fresh: &[u8]) {
        // What is next always has room: it is no range of its own.
        if from == self.next && self.beyond.first().is_some_and(|(start, _)| to < start) {
            self.ring.put(place, fresh);
            self.advance(to);
            return;
        }
        let mut is_new = false;
        if !self.beyond.insert(from, to, |_, _| is_new = true) {
            return;
        }
        if is_new {
            self.ring.put(place, fresh);
        } else {
            self.duplicate = Some((from, to));
        }
        if let Some(old) = self.recent.iter().position(|at| {
            let range = self.beyond.around(from);
            range.is_some() && self.beyond.around(*at) == range
        }) {
            if let Some(newer) = self.recent.get_mut(..=old) {
                newer.rotate_right(1);
            }
        } else {
            self.recent.rotate_right(1);
        }
        if let Some(newest) = self.recent.first_mut() {
            *newest = from;
        }
        if let Some((start, end)) = self.beyond.first()
            && start <= self.next
        {
            self.beyond.cut(end);
            self.advance(end);
        }
    }

    fn advance(&mut self, to: u64) {
        self.ring.extend(usize::try_from(to - self.next).unwrap_or(0));
        self.next = to;
        self.told = self.told.max(to);
    }
}

#[cfg(test)]
mod tests;
