//! What smoltcp's sender lacks, made good from outside.
//!
//! smoltcp 0.14 grows its congestion window by one segment for each *acknowledgement*, retransmits one segment
//! after three duplicate acknowledgements and then waits for three more or for the retransmission timeout, which is
//! a second at least. With receivers that acknowledge many segments at once, and with two losses in one window, a
//! sender stands still most of the time. Four rules mend that:
//!
//! - **Byte counting** (RFC 3465, with the limit of eight segments that RFC 9406 4.3 gives to senders without
//!   pacing): an acknowledgement of many segments is shown to smoltcp as up to eight smaller ones.
//! - **NewReno** (RFC 6582): in recovery, an acknowledgement of some but not all that was in flight means that the
//!   next segment is lost too.
//! - **Going back** when that takes too long: NewReno mends one loss a round trip, so after a few of them everything
//!   unacknowledged is sent again in slow start, as after a timeout. What the receiver has it acknowledges at once,
//!   and that is skipped.
//! - **Probe timeout** (RFC 8985 7): without any answer for two round trips, the first unacknowledged segment is
//!   sent again, instead of after a second.
//!
//! smoltcp is made to retransmit in the only ways there are: by showing it three duplicate acknowledgements, and by
//! setting its clock forward until its timeout expires. Nothing of this is on the wire but the retransmissions.

use core::time::Duration;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use wirewright_protocol::Instant;

use crate::demux::{Segment, Tuple};
use crate::device::SentSegment;

/// Most smaller acknowledgements that one is divided into.
const MOST_PARTS: u32 = 8;
const DUPLICATES: u8 = 3;
/// Losses mended one by one before going back.
const MENDED: u8 = 4;
/// Probes in a row. Afterwards the retransmission timeout, which backs off, is in charge.
const PROBES: u8 = 2;
/// A receiver may keep the acknowledgement of a single segment back so long (RFC 8985 7.2).
const MOST_ACK_DELAY: Duration = Duration::from_millis(200);
const LEAST_PROBE: Duration = Duration::from_millis(10);

/// What a sender knows of its flight. Sequence numbers are of the wire; a FIN is not counted.
#[derive(Default)]
pub(crate) struct Recovery {
    begun: bool,
    /// Oldest unacknowledged, and next to be sent for the first time.
    una: u32,
    next: u32,
    /// Largest payload sent in one segment.
    segment: u32,
    duplicates: u8,
    /// In recovery: what had been sent when the loss was noticed.
    recover: Option<u32>,
    /// Losses mended since then.
    mended: u8,
    /// After a retransmission timeout everything up to here is sent again anyway (RFC 6582 4.1).
    rewound: Option<u32>,
    /// The newest window field, and what the remote side sends next: for acknowledgements in its name.
    window: u16,
    remote_next: u32,
    round_trip: Option<RoundTrip>,
    /// Being timed: acknowledged up to this, sent then.
    timed: Option<(u32, Instant)>,
    /// When the flight last moved.
    moved: Instant,
    probes: u8,
    /// The next retransmission was asked for here.
    asked: bool,
}

#[derive(Clone, Copy)]
struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
}

/// An acknowledgement in the remote side's name, for smoltcp's eyes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) sequence: u32,
    pub(crate) ack_number: u32,
    pub(crate) window: u16,
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

/// Room for one with IPv6.
pub(crate) const SHOWN_LEN: usize = 60;

impl Shown {
    /// The acknowledgement as a packet without checksums, which smoltcp is told not to verify.
    pub(crate) fn write<'a>(&self, tuple: &Tuple, buffer: &'a mut [u8; SHOWN_LEN]) -> &'a [u8] {
        let (from, to) = (tuple.remote.ip().into(), tuple.local.ip().into());
        #[allow(clippy::cast_possible_wrap)] // smoltcp keeps a number without a sign in an i32
        let number = |value: u32| TcpSeqNumber(value as i32);
        let segment = TcpRepr {
            src_port: tuple.remote.port(),
            dst_port: tuple.local.port(),
            control: TcpControl::None,
            seq_number: number(self.sequence),
            ack_number: Some(number(self.ack_number)),
            window_len: self.window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let unchecked = ChecksumCapabilities::ignored();
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
        let (packet, _) = buffer.split_at_mut(ip.buffer_len().min(SHOWN_LEN));
        ip.emit(&mut *packet, &unchecked);
        if let Some(rest) = packet.get_mut(ip.header_len()..) {
            segment.emit(&mut TcpPacket::new_unchecked(rest), &from, &to, &unchecked);
        }
        packet
    }
}

impl Recovery {
    /// A segment left.
    pub(crate) fn sent(&mut self, segment: SentSegment, now: Instant) {
        let SentSegment { sequence, len } = segment;
        if !self.begun {
            self.begun = true;
            (self.una, self.next) = (sequence, sequence);
        }
        if len == 0 {
            return;
        }
        let end = sequence.wrapping_add(len);
        self.segment = self.segment.max(len);
        if is_after(end, self.next) {
            if self.next == self.una {
                self.moved = now;
            }
            self.next = end;
            self.timed = self.timed.or(Some((end, now)));
            return;
        }
        // A retransmission: what is being timed could be either copy (Karn).
        self.timed = None;
        if sequence == self.una && !core::mem::take(&mut self.asked) {
            self.recover = None;
            self.rewound = Some(self.next);
        }
    }

    /// The smaller acknowledgements to show before a segment that is about to be shown.
    pub(crate) fn divide(&self, segment: &Segment) -> impl Iterator<Item = Shown> + use<> {
        let acknowledged = segment.ack_number.wrapping_sub(self.una);
        let plain = segment.ack && !segment.syn && !segment.rst && acknowledged <= self.in_flight();
        let parts = if plain {
            acknowledged.div_ceil(self.segment.max(1)).min(MOST_PARTS)
        } else {
            0
        };
        let (from, step) = (self.una, acknowledged / parts.max(1));
        let (sequence, window) = (segment.sequence, segment.window);
        (1..parts).map(move |part| Shown {
            sequence,
            ack_number: from.wrapping_add(part * step),
            window,
        })
    }

    /// A segment came and smoltcp has seen it, which made it forget `freed` bytes. smoltcp judges segments, so that
    /// a forged one moves nothing here either.
    pub(crate) fn received(&mut self, segment: &Segment, freed: u32, now: Instant) -> Advice {
        let taken = u32::try_from(segment.segment_len).unwrap_or(0);
        self.remote_next = segment.sequence.wrapping_add(taken);
        let same_window = core::mem::replace(&mut self.window, segment.window) == segment.window;
        if freed > 0 {
            return self.advance(self.una.wrapping_add(freed), now);
        }
        let repeats = segment.ack && segment.ack_number == self.una && taken == 0 && !segment.rst;
        // A reader that takes data changes the window without anything being lost; SACK tells the difference where
        // both happen at once.
        if repeats && self.in_flight() > 0 && (same_window || segment.has_sack) {
            return self.duplicate();
        }
        Advice::Nothing
    }

    /// What to show smoltcp so that it retransmits: an acknowledgement with another window, which ends any count of
    /// duplicates, and three duplicates of it.
    pub(crate) fn demand(&self) -> [Shown; 4] {
        let window = self.window.saturating_sub(1).max(1);
        [Shown {
            sequence: self.remote_next,
            ack_number: self.una,
            window,
        }; 4]
    }

    /// Whether the segment at the front shall be retransmitted now for want of any answer.
    pub(crate) fn probe(&mut self, now: Instant) -> bool {
        if self.probe_at().is_none_or(|at| at > now) {
            return false;
        }
        self.probes += 1;
        self.moved = now;
        if self.recover.is_none() {
            self.recover = Some(self.next);
            self.mended = 0;
        }
        self.asked = true;
        true
    }

    /// When [`Self::probe`] wants to be asked.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        let trip = self.round_trip?;
        if self.in_flight() == 0 || self.probes >= PROBES || self.rewound.is_some() || self.window == 0 {
            return None;
        }
        let slack = if self.in_flight() <= self.segment {
            MOST_ACK_DELAY
        } else {
            trip.variation * 4
        };
        Some(self.moved + (trip.smoothed * 2 + slack).max(LEAST_PROBE))
    }

    fn in_flight(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    /// Counts a duplicate acknowledgement, of which the third proves a loss.
    fn duplicate(&mut self) -> Advice {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.duplicates != DUPLICATES || self.recover.is_some() || self.rewound.is_some() {
            return Advice::Nothing;
        }
        self.recover = Some(self.next);
        self.mended = 0;
        self.asked = true;
        Advice::Retransmit
    }

    /// New data was acknowledged; in recovery and short of its end, that proves another loss.
    fn advance(&mut self, to: u32, now: Instant) -> Advice {
        self.una = to;
        self.moved = now;
        self.duplicates = 0;
        self.probes = 0;
        if let Some((_, sent)) = self.timed.take_if(|(end, _)| !is_after(*end, to)) {
            self.measured(now.saturating_since(sent));
        }
        let ahead = |mark: Option<u32>| mark.filter(|mark| is_after(*mark, to));
        self.rewound = ahead(self.rewound);
        self.recover = ahead(self.recover);
        if self.recover.is_none() {
            return Advice::Nothing;
        }
        self.mended += 1;
        if self.mended > MENDED {
            self.recover = None;
            self.rewound = Some(self.next);
            return Advice::GoBack;
        }
        self.asked = true;
        Advice::Retransmit
    }

    /// RFC 6298 2.
    fn measured(&mut self, sample: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => RoundTrip {
                smoothed: sample,
                variation: sample / 2,
            },
            Some(RoundTrip { smoothed, variation }) => RoundTrip {
                smoothed: (smoothed * 7 + sample) / 8,
                variation: (variation * 3 + smoothed.abs_diff(sample)) / 4,
            },
        });
    }
}

/// Whether `a` comes after `b` in the circle of sequence numbers.
fn is_after(a: u32, b: u32) -> bool {
    matches!(a.wrapping_sub(b), 1..0x8000_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = u32::MAX - 5_000;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000_000 * millis)
    }

    fn ack(number: u32) -> Segment {
        let address = "10.0.0.1:1".parse().unwrap();
        Segment {
            tuple: Tuple {
                local: address,
                remote: address,
            },
            syn: false,
            ack: true,
            rst: false,
            sequence: 7,
            ack_number: START.wrapping_add(number),
            window: 100,
            has_sack: false,
            segment_len: 0,
            payload_len: 0,
        }
    }

    fn segment(number: u32) -> SentSegment {
        SentSegment {
            sequence: START.wrapping_add(number),
            len: 1_000,
        }
    }

    /// Ten segments of 1000 bytes in flight, across the wrap of the sequence number.
    fn flight() -> Recovery {
        let mut recovery = Recovery {
            window: 100,
            ..Recovery::default()
        };
        (0..10).for_each(|index| recovery.sent(segment(index * 1_000), at(0)));
        recovery
    }

    #[test]
    fn an_acknowledgement_of_many_segments_is_divided_into_eight_at_most() {
        let divided = |number| -> Vec<u32> {
            flight()
                .divide(&ack(number))
                .map(|shown| shown.ack_number.wrapping_sub(START))
                .collect()
        };
        assert_eq!(divided(3_000), [1_000, 2_000]);
        assert_eq!(divided(10_000), [1_250, 2_500, 3_750, 5_000, 6_250, 7_500, 8_750]);
        assert_eq!(divided(1_000), [0; 0]);
        assert_eq!(divided(10_001), [0; 0], "not yet sent");
        assert_eq!(divided(0), [0; 0]);
    }

    #[test]
    fn the_third_duplicate_proves_a_loss_and_further_ones_do_not() {
        let mut recovery = flight();
        let advice: Vec<Advice> = (0..6).map(|_| recovery.received(&ack(0), 0, at(1))).collect();
        let (no, yes) = (Advice::Nothing, Advice::Retransmit);
        assert_eq!(advice, [no, no, yes, no, no, no]);
    }

    #[test]
    fn a_window_update_is_no_duplicate_unless_sack_says_so() {
        let mut recovery = flight();
        let mut segment = ack(0);
        for window in 0..10 {
            segment.window = 200 + window;
            assert_eq!(recovery.received(&segment, 0, at(1)), Advice::Nothing);
        }
        segment.has_sack = true;
        let asks = (0..3).filter(|window| {
            segment.window = 300 + window;
            recovery.received(&segment, 0, at(1)) == Advice::Retransmit
        });
        assert_eq!(asks.count(), 1);
    }

    #[test]
    fn a_partial_acknowledgement_in_recovery_proves_the_next_loss_and_a_full_one_ends_it() {
        let mut recovery = flight();
        for _ in 0..3 {
            recovery.received(&ack(0), 0, at(1));
        }
        recovery.sent(segment(0), at(1));
        assert_eq!(recovery.received(&ack(4_000), 4_000, at(2)), Advice::Retransmit);
        recovery.sent(segment(4_000), at(2));
        assert_eq!(recovery.received(&ack(10_000), 6_000, at(3)), Advice::Nothing);
        recovery.sent(segment(10_000), at(3));
        assert_eq!(recovery.received(&ack(11_000), 1_000, at(4)), Advice::Nothing);
    }

    #[test]
    fn too_many_losses_in_one_flight_are_mended_by_going_back() {
        let mut recovery = flight();
        for _ in 0..3 {
            recovery.received(&ack(0), 0, at(1));
        }
        for lost in 1..=4 {
            recovery.sent(segment((lost - 1) * 1_000), at(1));
            assert_eq!(
                recovery.received(&ack(lost * 1_000), 1_000, at(2)),
                Advice::Retransmit
            );
        }
        assert_eq!(recovery.received(&ack(5_000), 1_000, at(2)), Advice::GoBack);
        assert_eq!(recovery.received(&ack(6_000), 1_000, at(2)), Advice::Nothing);
    }

    #[test]
    fn a_segment_that_smoltcp_refused_moves_nothing() {
        let mut recovery = flight();
        assert_eq!(recovery.received(&ack(10_000), 0, at(1)), Advice::Nothing);
        assert_eq!(recovery.demand()[0].ack_number, START);
    }

    #[test]
    fn after_a_timeout_everything_is_sent_again_and_nothing_is_asked_for() {
        let mut recovery = flight();
        recovery.sent(segment(0), at(1_000));
        assert_eq!(recovery.received(&ack(2_000), 2_000, at(1_010)), Advice::Nothing);
        for _ in 0..5 {
            assert_eq!(recovery.received(&ack(2_000), 0, at(1_010)), Advice::Nothing);
        }
        assert_eq!(recovery.probe_at(), None);
    }

    #[test]
    fn silence_is_probed_twice_and_then_left_to_the_timeout() {
        let mut recovery = flight();
        recovery.received(&ack(1_000), 1_000, at(50));
        let due = recovery.probe_at().unwrap();
        assert!(due > at(150) && due < at(300), "{due:?}");
        assert!(!recovery.probe(at(150)));
        assert!(recovery.probe(due));
        recovery.sent(segment(1_000), due);
        let again = recovery.probe_at().unwrap();
        assert!(recovery.probe(again));
        assert_eq!(recovery.probe_at(), None);
    }
}
