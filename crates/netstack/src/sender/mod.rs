//! The sending side of a connection as it should be: what smoltcp lacks, made good from outside.
//!
//! smoltcp 0.14 grows its congestion window by one segment for each *acknowledgement*, from two segments;
//! retransmits one segment after three duplicate acknowledgements and then waits for three more or for the timeout,
//! which is a second at least; and reduces its window again at each. With receivers that acknowledge many segments
//! at once, and with two losses in one window, such a sender stands still most of the time: `docs/notes/tcp-sender.md`
//! has both measured. So smoltcp is told to control nothing, and is steered through what it sees:
//!
//! - **Congestion control** ([`congestion`]): before it sends, it is shown the remote side's window made smaller.
//! - **NewReno** (RFC 6582): three duplicate acknowledgements, or in recovery an acknowledgement of some but not all
//!   that was in flight, mean that the first unacknowledged segment is lost. It retransmits when it is shown three
//!   duplicates; those that really come it does not see.
//! - **Going back** when that takes too long: NewReno mends one loss a round trip, so after a few of them, or if SACK
//!   blocks show that more are missing, everything unacknowledged is sent again. What the receiver has it
//!   acknowledges at once, and that is skipped. smoltcp does so after its timeout, which comes when its clock is set
//!   forward.
//! - **Probe timeout** (RFC 8985 7): without any answer for two round trips, the first unacknowledged segment is
//!   sent again, instead of after a second; after two probes, everything at intervals that double (RFC 6298).
//! - **Closed windows**: smoltcp learns of one only when nothing is in flight, and probes it. A byte that probes counts when
//!   it is acknowledged.
//!
//! Nothing of this is on the wire but what is sent and when.

mod congestion;
mod hystart;
mod round_trip;
mod scoreboard;
mod shown;

use core::time::Duration;

use wirewright_protocol::Instant;

use crate::demux::Segment;
use crate::device::SentSegment;
use congestion::Congestion;
use round_trip::RoundTrip;
use scoreboard::Scoreboard;

pub(crate) use shown::{SHOWN_LEN, Shown};

const DUPLICATES: u8 = 3;
/// Losses mended one by one before going back.
const MENDED: u8 = 4;
/// Probes in a row. Afterwards the retransmission timeout, which backs off, is in charge (RFC 6298 5). It is ours:
/// smoltcp's doubles with each going back.
const PROBES: u8 = 2;
/// A receiver may keep the acknowledgement of a single segment back so long (RFC 8985 7.2).
const MOST_ACK_DELAY: Duration = Duration::from_millis(200);
const LEAST_PROBE: Duration = Duration::from_millis(10);
/// smoltcp retransmits for want of an answer no sooner.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
/// RFC 6298 2.5.
const MOST_TIMEOUT: Duration = Duration::from_secs(60);
/// RFC 7323 2.3.
const MOST_SCALE: u8 = 14;

/// What a sender knows of its flight. Sequence numbers are of the wire; SYN and FIN are not counted.
pub(crate) struct Sender {
    /// Largest payload of one segment.
    segment: u32,
    begun: bool,
    /// Oldest unacknowledged, and next to be sent for the first time.
    una: u32,
    next: u32,
    duplicates: u8,
    /// In recovery: what had been sent when the loss was noticed.
    recover: Option<u32>,
    /// Losses mended since then.
    mended: u8,
    scoreboard: Scoreboard,
    /// Everything up to here is sent again anyway, until an acknowledgement of more comes: what repeats this very
    /// number answers segments that were sent again without need (RFC 6582 3.2 step 2).
    rewound: Option<u32>,
    /// What the remote side is willing to take, in bytes, and the scale of its window fields.
    window: u32,
    scale: u8,
    /// The window field that smoltcp believes in, if that is known.
    believed: Option<u16>,
    round_trip: RoundTrip,
    congestion: Congestion,
    /// When the flight last got smaller, or began.
    advanced: Instant,
    /// The same, or when it was probed.
    moved: Instant,
    probes: u8,
    fin_sent: bool,
    fin_acknowledged: bool,
}

/// What to do after a segment came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Nothing,
    /// Retransmit the first unacknowledged segment.
    Retransmit,
    /// Send everything unacknowledged again.
    GoBack,
}

impl Sender {
    /// For segments of at most `segment` bytes, unless the remote side wants smaller ones.
    pub(crate) fn new(segment: u32) -> Self {
        Self {
            segment,
            begun: false,
            una: 0,
            next: 0,
            duplicates: 0,
            recover: None,
            mended: 0,
            scoreboard: Scoreboard::default(),
            rewound: None,
            window: 0,
            scale: 0,
            believed: None,
            round_trip: RoundTrip::default(),
            congestion: Congestion::new(segment),
            advanced: Instant::default(),
            moved: Instant::default(),
            probes: 0,
            fin_sent: false,
            fin_acknowledged: false,
        }
    }

    /// A SYN came: with what the remote side can do.
    pub(crate) fn met(&mut self, most_segment: Option<u16>, scale: Option<u8>) {
        if let Some(most) = most_segment.filter(|most| *most > 0) {
            self.segment = self.segment.min(most.into());
            self.congestion = Congestion::new(self.segment);
        }
        self.scale = scale.unwrap_or(0).min(MOST_SCALE);
    }

    /// A segment left.
    pub(crate) fn sent(&mut self, segment: SentSegment, now: Instant) {
        let SentSegment {
            sequence, len, fin, ..
        } = segment;
        if !self.begun {
            self.begun = true;
            (self.una, self.next) = (sequence, sequence);
        }
        if fin && !core::mem::replace(&mut self.fin_sent, true) && !self.has_flight() {
            self.moved = now;
        }
        // A byte sent into a closed window is refused unless the window has opened, and then acknowledged.
        let is_window_probe = self.window == 0 && len == 1 && !self.has_flight();
        if len == 0 || is_window_probe {
            return;
        }
        let end = sequence.wrapping_add(len);
        if is_after(end, self.next) {
            if self.in_flight() == 0 {
                (self.moved, self.advanced) = (now, now);
            }
            self.next = end;
            self.round_trip.sent(end, self.in_flight(), now);
            return;
        }
        self.round_trip.repeated();
        if sequence == self.una && now.saturating_since(self.advanced) >= LEAST_TIMEOUT {
            self.congestion.timed_out(self.in_flight());
            self.recover = None;
            self.rewound = Some(self.next);
            self.scoreboard.clear();
            self.advanced = now;
        }
    }

    /// The window field to show smoltcp before it sends, if it believes in another.
    pub(crate) fn correction(&mut self, now: Instant) -> Option<u16> {
        if self.in_flight() == 0 && now.saturating_since(self.advanced) >= LEAST_TIMEOUT {
            self.congestion.idled();
        }
        let wanted = self.wanted_window();
        (self.believed != Some(wanted)).then_some(wanted)
    }

    /// smoltcp was shown this window field.
    pub(crate) fn believes(&mut self, window: u16) {
        self.believed = Some(window);
    }

    /// Whether a segment only repeats what was acknowledged before, and perhaps changes the window.
    pub(crate) fn is_repetition(&self, segment: &Segment) -> bool {
        let plain = segment.ack && !segment.syn && !segment.rst && segment.segment_len == 0;
        plain && self.begun && segment.ack_number == self.una
    }

    /// The number behind everything sent so far that the remote side may have taken. What a closed window refused is
    /// not counted: a number behind it would lie outside of the window, and what the segment acknowledges would be
    /// refused with it (RFC 9293 3.10.7.4).
    pub(crate) fn highest(&self) -> Option<u32> {
        let highest = if self.fin_acknowledged || (self.fin_sent && self.window > 0) {
            self.next.wrapping_add(1)
        } else if self.window > 0 {
            self.next
        } else {
            self.una
        };
        self.begun.then_some(highest)
    }

    /// Whether data would still be unacknowledged after an acknowledgement of this number.
    pub(crate) fn has_flight_beyond(&self, ack_number: u32) -> bool {
        self.begun && is_after(self.next, ack_number)
    }

    /// Whether data is unacknowledged.
    pub(crate) fn has_flight(&self) -> bool {
        self.in_flight() > 0
    }

    /// A segment came. If smoltcp has seen it, that made it forget `freed` bytes: smoltcp judges segments, so that a
    /// forged one moves nothing here either.
    pub(crate) fn received(&mut self, segment: &Segment, freed: u32, now: Instant) -> Advice {
        let window = u32::from(segment.window) << if segment.syn { 0 } else { self.scale };
        let same_window = core::mem::replace(&mut self.window, window) == window;
        self.believed = None;
        let advice = if freed > 0 {
            self.advance(freed, segment, now)
        } else {
            self.repeated(segment, same_window)
        };
        self.fin_acknowledged |=
            self.fin_sent && segment.ack && segment.ack_number == self.next.wrapping_add(1);
        advice
    }

    /// What to show smoltcp so that it retransmits, as window fields of acknowledgements that repeat the last one:
    /// one with another window, which ends its count of duplicates, and three that count.
    pub(crate) fn demand(&self) -> [u16; 1 + DUPLICATES as usize] {
        let wanted = self.wanted_window();
        [if wanted > 1 { wanted - 1 } else { wanted + 1 }; 4]
    }

    /// Bytes that the remote side is willing to take.
    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// The newest acknowledgement number.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.una
    }

    /// What to retransmit now for want of any answer. `owes_fin`: all data was acknowledged, our FIN was not.
    pub(crate) fn probe(&mut self, owes_fin: bool, now: Instant) -> Advice {
        if self.probe_at(owes_fin).is_none_or(|at| at > now) {
            return Advice::Nothing;
        }
        self.moved = now;
        self.probes = self.probes.saturating_add(1);
        if owes_fin || self.probes > PROBES {
            // smoltcp repeats a lone FIN after its timeout only.
            return Advice::GoBack;
        }
        if self.recover.is_none() {
            self.rewound = None;
            self.enter_recovery();
        }
        Advice::Retransmit
    }

    /// When [`Self::probe`] wants to be asked.
    pub(crate) fn probe_at(&self, owes_fin: bool) -> Option<Instant> {
        let (smoothed, variation) = self.round_trip.smoothed().zip(self.round_trip.variation())?;
        let waits = if owes_fin {
            self.fin_sent
        } else {
            self.has_flight()
        };
        if !waits {
            return None;
        }
        if let Some(beyond) = self.probes.checked_sub(PROBES) {
            let timeout = (smoothed + variation * 4).max(LEAST_TIMEOUT);
            return Some(self.moved + timeout.saturating_mul(1 << beyond.min(6)).min(MOST_TIMEOUT));
        }
        let slack = if self.in_flight() <= self.segment {
            MOST_ACK_DELAY
        } else {
            variation * 4
        };
        Some(self.moved + (smoothed * 2 + slack).max(LEAST_PROBE))
    }

    fn in_flight(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    /// The remote side's window or the congestion window, whichever is smaller; rounded up, so that one segment
    /// always fits.
    fn wanted_window(&self) -> u16 {
        let bytes = self.window.min(self.congestion.limit());
        let scaled = if bytes < self.window {
            bytes.div_ceil(1 << self.scale)
        } else {
            bytes >> self.scale
        };
        // See `Machine::keep_window_open`.
        let scaled = scaled.max(self.has_flight().into());
        u16::try_from(scaled).unwrap_or(u16::MAX)
    }

    /// Nothing new was acknowledged.
    fn repeated(&mut self, segment: &Segment, same_window: bool) -> Advice {
        self.note_blocks(segment);
        // A reader that takes data changes the window without anything being lost; SACK tells the difference where
        // both happen at once. Answers to probes of a closed window repeat, too.
        let has_sack = segment.sack.iter().any(Option::is_some);
        let duplicate = (same_window || has_sack) && self.window > 0 && self.has_flight();
        if duplicate && self.is_repetition(segment) {
            return self.duplicate();
        }
        Advice::Nothing
    }

    /// Counts a duplicate acknowledgement, of which the third proves a loss.
    fn duplicate(&mut self) -> Advice {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.recover.is_some() {
            self.congestion.repeated();
            return Advice::Nothing;
        }
        if self.duplicates != DUPLICATES || self.rewound.is_some() {
            return Advice::Nothing;
        }
        self.enter_recovery();
        Advice::Retransmit
    }

    fn note_blocks(&mut self, segment: &Segment) {
        for block in segment.sack.into_iter().flatten() {
            self.scoreboard.insert(block, self.una, self.next);
        }
    }

    fn enter_recovery(&mut self) {
        self.recover = Some(self.next);
        self.mended = 0;
        self.congestion.lost(self.in_flight());
    }

    /// New data was acknowledged; in recovery and short of its end, that proves another loss.
    fn advance(&mut self, freed: u32, segment: &Segment, now: Instant) -> Advice {
        let in_flight = self.in_flight();
        self.una = self.una.wrapping_add(freed);
        if is_after(self.una, self.next) {
            // smoltcp lets the remote side acknowledge what was written and not sent yet.
            self.next = self.una;
        }
        (self.moved, self.advanced) = (now, now);
        self.duplicates = 0;
        self.probes = 0;
        if let Some(sample) = self.round_trip.acknowledged(self.una, now) {
            self.congestion.sampled(sample, self.una, self.next);
        }
        self.scoreboard.acknowledged(self.una);
        self.note_blocks(segment);
        let una = self.una;
        self.rewound = self.rewound.filter(|mark| !is_after(una, *mark));
        let Some(recover) = self.recover else {
            self.congestion
                .acknowledged(freed, in_flight, self.round_trip.smoothed(), now);
            return Advice::Nothing;
        };
        if !is_after(recover, una) {
            self.recover = None;
            self.congestion.recovered(self.in_flight());
            return Advice::Nothing;
        }
        self.mended += 1;
        let most = u32::from(MENDED.saturating_sub(self.mended)) * self.segment;
        if self.mended > MENDED || self.scoreboard.missing(una) > most {
            self.recover = None;
            self.rewound = Some(self.next);
            self.scoreboard.clear();
            self.congestion.went_back();
            return Advice::GoBack;
        }
        self.congestion.partly_acknowledged(freed);
        Advice::Retransmit
    }
}

/// Whether `a` comes after `b` in the circle of sequence numbers.
fn is_after(a: u32, b: u32) -> bool {
    matches!(a.wrapping_sub(b), 1..0x8000_0000)
}

#[cfg(test)]
mod tests;
