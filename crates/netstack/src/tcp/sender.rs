//! The sending side of a connection: what to send next, and when to send it again.
//!
//! ```text
//!   una: oldest unacknowledged     next: never sent         written        edge: the remote window's end
//!    │   flight (what of it is lost: `flight`)  │   waiting    │              │
//!  ──┴──────────────────────────────────────────┴──────────────┴──────────────┴──► offsets
//! ```
//!
//! What is sent next: first what is lost, in order; then what is new, as far as the congestion window and the remote
//! side's window allow. Loss is noticed, soonest first, by
//!
//! 1. **RACK** (RFC 8985 6): something sent later has arrived.
//! 2. **A probe** (RFC 8985 7): no answer for two round trips. The last segment, or a new one, is sent: its
//!    acknowledgement shows what is missing.
//! 3. **A timeout** (RFC 6298), which doubles each time: everything counts as lost. If then something is acknowledged that
//!    was not sent again, nothing was (RFC 5682), and all is as it was before.
//!
//! From a loss to the acknowledgement of all that had been sent by then is a [`recovery`](super::recovery), in which it is
//! judged whose doing the loss was.
//!
//! A closed window is probed when nothing is on its way: a segment without bytes, from before the window, provokes an
//! acknowledgement that tells the window (as probes of idle connections do).

use core::time::Duration;
use std::io;

use wirewright_protocol::Instant;

use super::congestion::Congestion;
use super::flight::{Flight, News};
use super::piece::{Answer, Piece};
use super::recovery::{Kind, Recovery, Reduction};
use super::ring::Ring;
use super::round_trip::{MOST_TIMEOUT, RoundTrip};
use super::sequence::{offset, on_wire};
use crate::config::Control;
use crate::demux::Segment;

/// Probes in a row before the timeout is in charge.
const PROBES: u8 = 2;
/// RFC 7323 2.3.
const MOST_SCALE: u8 = 14;
/// RFC 9293 3.7.1: of who names none. Much smaller ones are not believed: each costs a header.
const DEFAULT_SEGMENT: u32 = 536;
const LEAST_SEGMENT: u32 = 64;
/// Repeated acknowledgements that prove a loss to whoever tells no blocks (RFC 5681 3.2).
const DUPLICATES: u8 = 3;

pub(super) struct Sender {
    /// The number of our SYN.
    initial: u32,
    /// Largest payload of a segment.
    segment: u32,
    una: u64,
    next: u64,
    written: u64,
    /// From the oldest unacknowledged byte on.
    ring: Ring,
    /// A FIN stands behind the last byte.
    closing: bool,
    edge: u64,
    /// The sequence and acknowledgement numbers of the segment that told it (RFC 9293 3.10.7.4).
    edge_told: (u64, u64),
    scale: u8,
    selective: bool,
    flight: Flight,
    round_trip: RoundTrip,
    congestion: Congestion,
    recovery: Option<Recovery>,
    duplicates: u8,
    /// When the flight last got smaller or began, or an answer was last asked for.
    moved: Instant,
    probes: u8,
    timeouts: u8,
    /// A segment that came in time may be late instead: when that is decided.
    judged_at: Option<Instant>,
    owes_probe: bool,
}

/// When something is to be done without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Probe,
    Timeout,
    WindowProbe,
}

/// What expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    Nothing,
    /// The remote side's window is to be asked for.
    Window,
}

impl Sender {
    /// For segments of at most `segment` bytes, unless the remote side wants smaller ones.
    pub(super) fn new(initial: u32, segment: u32, control: Control, buffer: usize) -> io::Result<Self> {
        Ok(Self {
            initial,
            segment,
            una: 0,
            next: 0,
            written: 1,
            ring: Ring::new(buffer)?,
            closing: false,
            edge: 0,
            edge_told: (0, 0),
            scale: 0,
            selective: false,
            flight: Flight::new(),
            round_trip: RoundTrip::default(),
            congestion: Congestion::new(segment, control),
            recovery: None,
            duplicates: 0,
            moved: Instant::default(),
            probes: 0,
            timeouts: 0,
            judged_at: None,
            owes_probe: false,
        })
    }

    /// The remote side's SYN came.
    pub(super) fn met(&mut self, syn: &Segment) {
        let most = syn.most_segment.map_or(DEFAULT_SEGMENT, u32::from);
        self.segment = self.segment.min(most.max(LEAST_SEGMENT));
        self.congestion.segments_are(self.segment);
        self.scale = syn.window_scale.unwrap_or(0).min(MOST_SCALE);
        self.selective = syn.selective;
        // In a SYN it is never scaled (RFC 7323 2.2).
        self.edge = 1 + u64::from(syn.window);
    }

    /// Whether the remote side understands SACK blocks.
    pub(super) fn takes_blocks(&self) -> bool {
        self.selective
    }

    /// Takes as many bytes as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let (bytes, _) = bytes.split_at(bytes.len().min(self.room()));
        self.ring.put(self.ring.len(), bytes);
        self.ring.extend(bytes.len());
        self.written += bytes.len() as u64;
        bytes.len()
    }

    /// Bytes that are not acknowledged, sent or not.
    pub(super) fn waiting(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    fn room(&self) -> usize {
        self.ring.capacity() - self.ring.len()
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }

    /// Everything was acknowledged, the end of the stream included.
    pub(super) fn is_done(&self) -> bool {
        self.closing && self.una == self.written + 1
    }

    /// The offset behind everything sent, as a number on the wire.
    pub(super) fn next_number(&self) -> u32 {
        on_wire(self.initial, self.next)
    }

    /// The number for a segment without bytes: behind everything sent, but within the remote side's window, or what it
    /// acknowledges would be refused with it (RFC 9293 3.10.7.4).
    pub(super) fn number_for_answers(&self) -> u32 {
        on_wire(self.initial, self.next.min(self.edge.max(self.una)))
    }

    /// The number from before the remote side's window.
    pub(super) fn number_for_probes(&self) -> u32 {
        on_wire(self.initial, self.una).wrapping_sub(1)
    }

    pub(super) fn number(&self, offset: u64) -> u32 {
        on_wire(self.initial, offset)
    }

    pub(super) fn offset_of(&self, number: u32) -> Option<u64> {
        offset(self.initial, self.una, number)
    }

    /// Whether an acknowledgement of this offset is of something that was sent.
    pub(super) fn has_sent(&self, ack: u64) -> bool {
        ack <= self.next
    }

    /// The oldest unacknowledged offset.
    pub(super) fn una(&self) -> u64 {
        self.una
    }

    /// How large the buffer should become: twice what it is, if it keeps the congestion window from being used.
    pub(super) fn wanted_buffer(&self) -> Option<usize> {
        let capacity = self.ring.capacity();
        let full = self.ring.len() >= capacity - capacity / 4;
        let window = self.congestion.limit().min(self.edge - self.una.min(self.edge));
        (full && window >= capacity as u64 / 2).then_some(2 * capacity)
    }

    /// Moves to a larger buffer, if there is memory for it.
    pub(super) fn widen(&mut self, buffer: usize) {
        self.ring.grow(buffer, self.ring.len());
    }

    /// Copies a piece's bytes, which are as many as `into` takes.
    pub(super) fn copy(&self, piece: Piece, into: &mut [u8]) {
        let first = self.una.max(1);
        let at = usize::try_from(piece.start.max(1).saturating_sub(first)).unwrap_or(0);
        self.ring.get(at, into);
    }

    /// Bytes of a piece.
    pub(super) fn len_of(&self, piece: Piece) -> usize {
        let (from, to) = (piece.start.max(1), piece.end.min(self.written));
        usize::try_from(to.saturating_sub(from)).unwrap_or(0)
    }

    /// Whether nothing that was written stands behind a piece.
    pub(super) fn ends_writing(&self, piece: Piece) -> bool {
        piece.end >= self.written
    }

    /// Whether a piece ends the stream.
    pub(super) fn is_last(&self, piece: Piece) -> bool {
        piece.end > self.written
    }

    /// A SYN, the first time.
    pub(super) fn first(&mut self, now: Instant) -> Option<Piece> {
        if self.next > 0 {
            return self.flight.resend(now, |_, _| true).map(Piece::of);
        }
        self.flight.sent(0, 1, now);
        (self.next, self.moved) = (1, now);
        Some(Piece { start: 0, end: 1 })
    }

    /// Sends the SYN again at the next turn.
    pub(super) fn repeat_first(&mut self) {
        self.flight.lose_all();
        self.flight.settled();
    }

    /// What to send next, if anything may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Piece> {
        if core::mem::take(&mut self.owes_probe)
            && let Some(piece) = self.probe(now)
        {
            return Some(piece);
        }
        let room = self.allowance();
        if self.flight.has_lost() {
            let (una, edge, written) = (self.una, self.edge, self.written);
            let piece = self
                .flight
                .resend(now, |start, end| {
                    // The end of the stream takes no room, as when it was new: else a timeout, which leaves room for one
                    // segment, would never send a full one again that is the last.
                    end.min(written) - start.min(written) <= room && (end <= edge || start == una)
                })
                .map(Piece::of)?;
            self.count_sent(piece);
            return Some(piece);
        }
        let piece = self.fresh(room)?;
        self.send_fresh(piece, now);
        Some(piece)
    }

    /// An acknowledgement came that may be believed.
    pub(super) fn received(&mut self, answer: &Answer<'_>, now: Instant) {
        let (out, flight) = (self.flight.out(), self.next - self.una);
        let least = self.congestion.shortest();
        let mut news = News::default();
        let advanced = answer.ack > self.una;
        if advanced {
            self.flight.acknowledged(answer.ack, least, now, &mut news);
            let first = self.una.max(1);
            self.ring
                .forget(usize::try_from(answer.ack.saturating_sub(first)).unwrap_or(usize::MAX));
            self.una = answer.ack;
            if self.ring.len() == 0 {
                self.ring.rewind();
            }
        }
        self.note_blocks(answer, least, now, &mut news);
        let duplicate = self.note_window(answer) && !advanced && answer.segment.segment_len == 0;
        if advanced || news.bytes > 0 {
            (self.moved, self.probes, self.timeouts) = (now, 0, 0);
        }
        let sample = news.sent.map(|sent| now.saturating_since(sent));
        if let Some(sample) = sample {
            self.round_trip.sampled(sample);
        }
        self.congestion
            .arrived(news.bytes, sample, (self.una, self.next), now);
        self.end_recovery(&news);
        let lost = if self.selective {
            self.find_losses(news.bytes > 0, now)
        } else {
            self.believe_duplicates(advanced, duplicate)
        };
        if lost > 0 {
            self.congestion.count_lost(lost);
            self.enter_recovery(out, flight, now);
        }
        self.go_on(news.bytes, out, now);
    }

    /// When [`Self::expire`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = self.due().map(|(at, _)| at);
        [due, self.judged_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, now: Instant) -> Expired {
        if self.judged_at.is_some_and(|at| at <= now) {
            let out = self.flight.out();
            let lost = self.find_losses(true, now);
            if lost > 0 {
                self.congestion.count_lost(lost);
                self.enter_recovery(out, self.next - self.una, now);
            }
        }
        let Some((_, due)) = self.due().filter(|(at, _)| *at <= now) else {
            return Expired::Nothing;
        };
        self.moved = now;
        match due {
            Due::Probe => {
                self.probes += 1;
                self.owes_probe = true;
            }
            Due::Timeout => {
                if self.timeouts == 0 {
                    self.congestion.timed_out(self.next - self.una);
                }
                self.timeouts = self.timeouts.saturating_add(1);
                self.flight.lose_all();
                self.judged_at = None;
                self.recovery = Some(Recovery {
                    until: self.next,
                    kind: Kind::Beginning,
                    judged: now,
                });
            }
            Due::WindowProbe => {
                self.timeouts = self.timeouts.saturating_add(1);
                return Expired::Window;
            }
        }
        Expired::Nothing
    }

    fn due(&self) -> Option<(Instant, Due)> {
        let timeout = self
            .round_trip
            .timeout()
            .saturating_mul(1 << self.timeouts.min(10))
            .min(MOST_TIMEOUT);
        if self.flight.is_empty() {
            return self
                .is_shut_out()
                .then_some((self.moved + timeout, Due::WindowProbe));
        }
        let lonely = self.flight.segments() == 1;
        let probe = self.round_trip.probe(lonely).filter(|_| {
            self.una > 0 && self.probes < PROBES && self.recovery.is_none() && self.timeouts == 0
        });
        Some(match probe {
            Some(probe) => (self.moved + probe, Due::Probe),
            None => (self.moved + timeout, Due::Timeout),
        })
    }

    /// Whether the remote side's window keeps everything from being sent.
    fn is_shut_out(&self) -> bool {
        let end = self.written + u64::from(self.closing);
        self.una > 0 && self.next < end && self.next >= self.edge
    }

    /// Bytes that the congestion window allows now.
    fn allowance(&self) -> u64 {
        match &self.recovery {
            Some(Recovery {
                kind: Kind::Shrinking(reduction),
                ..
            }) => reduction.allowed(),
            _ => self.congestion.limit().saturating_sub(self.flight.out()),
        }
    }

    /// New bytes as far as both windows allow, and the end behind the last.
    fn fresh(&self, room: u64) -> Option<Piece> {
        if self.una == 0 || self.flight.is_full() {
            return None;
        }
        let start = self.next;
        let most = self.written.min(self.edge).saturating_sub(start);
        let len = most.min(self.segment.into());
        if len > room {
            return None;
        }
        let end = start + len;
        let is_all = end >= self.written;
        // What the window cuts short waits for more of it (RFC 9293 3.8.6.2.1), but not for ever.
        if !is_all && len < u64::from(self.segment) && (len == 0 || !self.flight.is_empty()) {
            return None;
        }
        let fin = self.closing && is_all && start <= self.written && end < self.edge;
        let end = end + u64::from(fin);
        (end > start).then_some(Piece { start, end })
    }

    fn send_fresh(&mut self, piece: Piece, now: Instant) {
        if self.flight.is_empty() {
            if now.saturating_since(self.moved) >= self.round_trip.timeout() {
                self.congestion.idled();
            }
            self.moved = now;
        }
        self.flight.sent(piece.start, piece.end, now);
        self.next = piece.end;
        self.count_sent(piece);
    }

    fn count_sent(&mut self, piece: Piece) {
        if let Some(Recovery {
            kind: Kind::Shrinking(reduction),
            ..
        }) = &mut self.recovery
        {
            reduction.sent(piece.end - piece.start);
        }
    }

    fn probe(&mut self, now: Instant) -> Option<Piece> {
        if !self.flight.has_lost()
            && let Some(piece) = self.fresh(u64::MAX)
        {
            self.send_fresh(piece, now);
            return Some(piece);
        }
        self.flight.probe(self.edge <= self.una, now).map(Piece::of)
    }

    fn note_blocks(&mut self, answer: &Answer<'_>, least: Option<Duration>, now: Instant, news: &mut News) {
        if !self.selective {
            return;
        }
        let mut blocks = answer.segment.sack.map(|block| {
            let (left, right) = block?;
            Some((self.offset_of(left)?, self.offset_of(right)?))
        });
        if let [Some((left, right)), second, _] = blocks {
            let inside = second.is_some_and(|(from, to)| from <= left && right <= to);
            if left < right && (right <= answer.ack || inside) {
                self.flight.came_twice();
            }
        }
        // Ascending, so that what one segment tells does not look like segments that overtook each other.
        blocks.sort_unstable();
        for (left, right) in blocks.into_iter().flatten() {
            let left = left.max(self.una);
            if left < right && right <= self.next {
                self.flight.selected((left, right), least, now, news);
            }
        }
    }

    /// Takes the window, if the segment is newer than the one that told it last. `true` if it told nothing new.
    fn note_window(&mut self, answer: &Answer<'_>) -> bool {
        let told = (answer.sequence, answer.ack);
        if told < self.edge_told || answer.ack < self.una {
            return false;
        }
        let scale = if answer.segment.syn { 0 } else { self.scale };
        let edge = answer.ack + (u64::from(answer.segment.window) << scale);
        if edge > self.edge && self.edge <= self.next {
            // Probing a closed window is over.
            self.timeouts = 0;
        }
        let same = edge == self.edge;
        (self.edge, self.edge_told) = (edge, told);
        same
    }

    fn end_recovery(&mut self, news: &News) {
        let Some(recovery) = &self.recovery else {
            return;
        };
        if news.was_not_lost && matches!(recovery.kind, Kind::Beginning) {
            self.flight.recall();
            self.congestion.restore();
            self.recovery = None;
        } else if self.una >= recovery.until {
            self.flight.settled();
            self.congestion.settled();
            self.recovery = None;
        }
    }

    fn find_losses(&mut self, anew: bool, now: Instant) -> u64 {
        if !anew {
            return 0;
        }
        let least = self.congestion.shortest().unwrap_or_default();
        let (lost, again) = self
            .flight
            .find_losses(least, self.recovery.is_some(), self.segment.into(), now);
        self.judged_at = again;
        lost
    }

    /// NewReno (RFC 6582), for who tells no blocks: the third repetition proves a loss, and in a recovery each
    /// acknowledgement of some but not all proves another.
    fn believe_duplicates(&mut self, advanced: bool, duplicate: bool) -> u64 {
        let mending = self.recovery.is_some();
        if advanced {
            self.duplicates = 0;
            return if mending { self.flight.lose_first() } else { 0 };
        }
        if !duplicate || mending || self.flight.is_empty() {
            return 0;
        }
        self.duplicates = self.duplicates.saturating_add(1);
        if self.duplicates == DUPLICATES {
            self.flight.lose_first()
        } else {
            0
        }
    }

    /// Judges a loss: the first one of a recovery, and while losses go on by chance one in each round trip.
    /// `out` bytes were on their way, of `flight` that are not acknowledged.
    fn enter_recovery(&mut self, out: u64, flight: u64, now: Instant) {
        let trip = self.round_trip.smoothed().unwrap_or_default();
        let is_judged = self
            .recovery
            .as_ref()
            .is_some_and(|recovery| !matches!(recovery.kind, Kind::Mending) || now < recovery.judged + trip);
        if is_judged {
            return;
        }
        let kind = match self.congestion.lost(flight) {
            None => Kind::Mending,
            Some(target) => Kind::Shrinking(Reduction::new(target, out, self.segment.into())),
        };
        self.recovery = Some(Recovery {
            until: self.next,
            kind,
            judged: now,
        });
    }

    /// So many bytes arrived while `before` were out: more may be sent.
    fn go_on(&mut self, bytes: u64, before: u64, now: Instant) {
        let out = self.flight.out();
        let segment = u64::from(self.segment);
        if let Some(Recovery {
            kind: Kind::Shrinking(reduction),
            ..
        }) = &mut self.recovery
        {
            reduction.arrived(bytes, out, segment);
            return;
        }
        self.congestion
            .grow(bytes, before, self.round_trip.smoothed(), now);
    }
}

#[cfg(test)]
mod tests;
