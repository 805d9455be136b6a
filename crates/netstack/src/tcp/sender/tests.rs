//! Acknowledgements in, pieces out.

use super::*;
use crate::demux::Tuple;

const LEN: u64 = 1_000;
const INITIAL: u32 = u32::MAX - 5_000;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000 * millis)
}

fn segment() -> Segment {
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
        ack_number: 0,
        window: 1_000,
        sack: [None; 3],
        most_segment: None,
        window_scale: None,
        selective: false,
        segment_len: 0,
        payload_len: 0,
    }
}

/// A connection whose SYN took 50 ms, with so many bytes written.
fn open(written: usize, selective: bool) -> Sender {
    let mut sender = Sender::new(INITIAL, LEN as u32, Control::Queue, 1 << 20).unwrap();
    assert_eq!(sender.first(at(0)), Some(Piece { start: 0, end: 1 }));
    let syn = Segment {
        syn: true,
        most_segment: Some(LEN as u16),
        window_scale: Some(7),
        selective,
        ..segment()
    };
    sender.met(&syn);
    answer(&mut sender, 0, &[], 50, &syn);
    sender.edge = 1 << 20;
    assert_eq!(sender.write(&vec![1; written]), written);
    sender
}

fn answer(sender: &mut Sender, una: u64, blocks: &[(u64, u64)], now: u64, segment: &Segment) {
    let mut sack = [None; 3];
    for (place, (from, to)) in sack.iter_mut().zip(blocks) {
        *place = Some((sender.number(1 + from * LEN), sender.number(1 + to * LEN)));
    }
    let segment = Segment {
        sack,
        ..Segment { ..*segment }
    };
    let answer = Answer {
        ack: 1 + una * LEN,
        sequence: 1,
        segment: &segment,
    };
    sender.received(&answer, at(now));
}

/// An acknowledgement of so many whole segments, and of these blocks of them.
fn ack(sender: &mut Sender, una: u64, blocks: &[(u64, u64)], now: u64) {
    answer(sender, una, blocks, now, &segment());
}

/// All that may be sent now, as numbers of segments.
fn sent(sender: &mut Sender, now: u64) -> Vec<u64> {
    std::iter::from_fn(|| sender.next(at(now)))
        .map(|piece| (piece.start - 1) / LEN)
        .collect()
}

#[test]
fn ten_segments_are_sent_at_first_and_twice_as_many_for_each_round_trip() {
    let mut sender = open(100_000, true);
    assert_eq!(sent(&mut sender, 60), (0..10).collect::<Vec<_>>());
    ack(&mut sender, 10, &[], 110);
    assert_eq!(sent(&mut sender, 110), (10..30).collect::<Vec<_>>());
}

#[test]
fn losses_by_chance_are_mended_in_one_round_trip_and_cost_no_window() {
    let mut sender = open(100_000, true);
    sent(&mut sender, 60);
    ack(&mut sender, 1, &[(2, 4)], 110);
    let window = sender.congestion.limit();
    ack(&mut sender, 1, &[(5, 10)], 111);
    let next = sent(&mut sender, 111);
    assert_eq!(next[..2], [1, 4], "what is missing comes first");
    assert_eq!(next[2], 10, "and new ones after it");
    assert!(sender.congestion.limit() >= window);
}

#[test]
fn a_loss_in_a_queue_shrinks_the_window_in_step_with_what_arrives() {
    let mut sender = open(1_000_000, true);
    sent(&mut sender, 60);
    // Round trips of 150 ms: a queue of 100.
    let mut una = 0;
    for (now, upto) in [(210, 4), (211, 8), (212, 10)] {
        una = upto;
        ack(&mut sender, una, &[], now);
    }
    let flight = sent(&mut sender, 212).len() as u64;
    for round in 0..8 {
        ack(&mut sender, una, &[(una + 1, una + 2 + round)], 362 + round);
    }
    let again = sent(&mut sender, 370);
    assert_eq!(again[0], una);
    assert!(again.len() <= 2, "{again:?} for one more that arrived");
    ack(&mut sender, una + flight, &[], 420);
    assert!(sender.recovery.is_none());
    assert!(sender.congestion.limit() <= flight * LEN * 7 / 10);
}

#[test]
fn silence_is_probed_twice_and_then_everything_is_sent_again_at_intervals_that_double() {
    let mut sender = open(3_000, true);
    sent(&mut sender, 60);
    let mut last = at(60);
    let mut waits = vec![];
    for _ in 0..8 {
        let due = sender.deadline().unwrap();
        assert_eq!(sender.expire(last), Expired::Nothing);
        assert!(sender.next(last).is_none(), "nothing before it is due");
        sender.expire(due);
        let piece = sender.next(due).unwrap();
        waits.push((due.saturating_since(last).as_millis(), (piece.start - 1) / LEN));
        last = due;
    }
    // The first round trip varies by half of it: 2 × 50 + 4 × 25, and 50 + 200 at least.
    assert_eq!(
        waits,
        [
            (200, 2),
            (200, 2),
            (250, 0),
            (500, 0),
            (1_000, 0),
            (2_000, 0),
            (4_000, 0),
            (8_000, 0)
        ]
    );
}

#[test]
fn a_probe_shows_what_was_lost_at_the_end() {
    let mut sender = open(5_000, true);
    sent(&mut sender, 60);
    ack(&mut sender, 2, &[], 110);
    let due = sender.deadline().unwrap();
    sender.expire(due);
    assert_eq!(sender.next(due).map(|piece| (piece.start - 1) / LEN), Some(4));
    let now = (due + Duration::from_millis(50)).as_nanos() / 1_000_000;
    ack(&mut sender, 2, &[(4, 5)], now + 1);
    assert_eq!(sent(&mut sender, now + 1), [2, 3]);
}

#[test]
fn a_timeout_that_was_none_leaves_everything_as_it_was() {
    let mut sender = open(100_000, true);
    sent(&mut sender, 60);
    let window = sender.congestion.limit();
    // The path, or this machine, stood still.
    for _ in 0..3 {
        let due = sender.deadline().unwrap();
        sender.expire(due);
        sender.next(due);
    }
    assert!(sender.congestion.limit() < window);
    ack(&mut sender, 3, &[], 2_000);
    assert!(sender.congestion.limit() >= window);
    assert!(sender.flight.out() >= 6 * LEN, "it is on its way");
}

#[test]
fn who_tells_no_blocks_is_believed_at_the_third_repetition_and_at_each_partial_acknowledgement() {
    let mut sender = open(10_000, false);
    sent(&mut sender, 60);
    ack(&mut sender, 1, &[], 110);
    for now in 111..113 {
        ack(&mut sender, 1, &[], now);
        assert_eq!(sent(&mut sender, now), []);
    }
    ack(&mut sender, 1, &[], 113);
    assert_eq!(sent(&mut sender, 113), [1]);
    ack(&mut sender, 5, &[], 163);
    assert_eq!(sent(&mut sender, 163), [5]);
    ack(&mut sender, 10, &[], 213);
    assert!(sender.recovery.is_none());
}

#[test]
fn a_closed_window_is_probed_at_intervals_that_double_until_it_opens() {
    let mut sender = open(3_000, true);
    sender.edge = 1 + LEN;
    assert_eq!(sent(&mut sender, 60), [0]);
    let closed = Segment {
        window: 0,
        ..segment()
    };
    answer(&mut sender, 1, &[], 110, &closed);
    assert_eq!(sent(&mut sender, 110), []);
    let mut last = at(110);
    let mut waits = vec![];
    for _ in 0..3 {
        let due = sender.deadline().unwrap();
        assert_eq!(sender.expire(due), Expired::Window);
        waits.push(due.saturating_since(last).as_millis());
        last = due;
        answer(&mut sender, 1, &[], due.as_nanos() / 1_000_000, &closed);
    }
    assert!(
        waits[0] >= 250 && waits[1] == 2 * waits[0] && waits[2] == 4 * waits[0],
        "{waits:?}"
    );
    ack(&mut sender, 1, &[], 5_000);
    assert_eq!(sent(&mut sender, 5_000), [1, 2]);
}

#[test]
fn what_a_window_cuts_short_waits_unless_nothing_is_on_its_way() {
    let mut sender = open(5_000, true);
    sender.edge = 1 + 2 * LEN + 300;
    assert_eq!(sent(&mut sender, 60), [0, 1]);
    let narrow = Segment {
        window: 2,
        ..segment()
    };
    answer(&mut sender, 2, &[], 110, &narrow);
    let piece = sender.next(at(110)).unwrap();
    assert_eq!((piece.start, piece.end), (1 + 2 * LEN, 1 + 2 * LEN + 256));
}

#[test]
fn the_end_leaves_with_the_last_bytes_and_is_done_when_acknowledged() {
    let mut sender = open(1_500, true);
    sender.close();
    let pieces: Vec<Piece> = std::iter::from_fn(|| sender.next(at(60))).collect();
    assert_eq!(
        pieces,
        [
            Piece { start: 1, end: 1_001 },
            Piece {
                start: 1_001,
                end: 1_502
            }
        ]
    );
    assert!(!sender.is_last(pieces[0]) && sender.is_last(pieces[1]));
    assert_eq!(sender.len_of(pieces[1]), 500);
    ack(&mut sender, 1, &[], 110);
    assert!(!sender.is_done());
    let all = Answer {
        ack: 1_502,
        sequence: 1,
        segment: &segment(),
    };
    sender.received(&all, at(111));
    assert!(sender.is_done() && sender.deadline().is_none());
}

#[test]
fn an_old_segment_does_not_change_the_window() {
    let mut sender = open(5_000, true);
    sent(&mut sender, 60);
    ack(&mut sender, 2, &[], 110);
    let edge = sender.edge;
    let old = Segment {
        window: 1,
        ..segment()
    };
    answer(&mut sender, 1, &[], 111, &old);
    assert_eq!(sender.edge, edge);
}

#[test]
fn a_buffer_that_holds_the_window_back_should_grow() {
    let mut sender = open(1 << 20, true);
    assert_eq!(sender.wanted_buffer(), None, "the window is small");
    (0..100).for_each(|_| sender.congestion.grow(100_000, 1 << 21, None, at(60)));
    sender.edge = 1 << 22;
    assert_eq!(sender.wanted_buffer(), Some(2 << 20));
    sender.widen(2 << 20);
    assert_eq!((sender.capacity(), sender.waiting()), (2 << 20, 1 << 20));
}

#[test]
fn a_full_segment_that_ends_the_stream_is_sent_again_after_a_timeout() {
    let mut sender = open(2 * LEN as usize, true);
    sender.close();
    assert_eq!(sent(&mut sender, 100), [0, 1]);
    ack(&mut sender, 1, &[], 150);
    // Probes of the tail first, then timeouts; nothing arrives.
    for _ in 0..6 {
        let due = sender.deadline().unwrap();
        sender.expire(due);
        let again: Vec<Piece> = std::iter::from_fn(|| sender.next(due)).collect();
        assert_eq!(
            again,
            [Piece {
                start: 1 + LEN,
                end: 2 + 2 * LEN
            }]
        );
    }
}
