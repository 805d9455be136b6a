//! Segments in, advice out.

use super::*;
use crate::demux::Tuple;

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
        window: 1_000,
        sack: [None; 3],
        most_segment: None,
        window_scale: None,
        segment_len: 0,
        payload_len: 0,
    }
}

fn segment(number: u32) -> SentSegment {
    SentSegment::data(START.wrapping_add(number), 1_000)
}

/// Ten segments of 1000 bytes in flight, across the wrap of the sequence number.
fn flight() -> Sender {
    let mut sender = Sender::new(1_000);
    sender.met(None, Some(7));
    sender.window = 128_000;
    (0..10).for_each(|index| sender.sent(segment(index * 1_000), at(0)));
    sender
}

#[test]
fn the_third_duplicate_proves_a_loss_and_further_ones_do_not() {
    let mut sender = flight();
    let advice: Vec<Advice> = (0..6).map(|_| sender.received(&ack(0), 0, at(1))).collect();
    let (no, yes) = (Advice::Nothing, Advice::Retransmit);
    assert_eq!(advice, [no, no, yes, no, no, no]);
}

#[test]
fn a_window_update_is_no_duplicate_unless_sack_says_so() {
    let mut sender = flight();
    let mut segment = ack(0);
    for window in 0..10 {
        segment.window = 2_000 + window;
        assert_eq!(sender.received(&segment, 0, at(1)), Advice::Nothing);
    }
    segment.sack[0] = Some((START.wrapping_add(2_000), START.wrapping_add(3_000)));
    let asks = (0..3).filter(|window| {
        segment.window = 3_000 + window;
        sender.received(&segment, 0, at(1)) == Advice::Retransmit
    });
    assert_eq!(asks.count(), 1);
}

#[test]
fn a_partial_acknowledgement_in_recovery_proves_the_next_loss_and_a_full_one_ends_it() {
    let mut sender = flight();
    for _ in 0..3 {
        sender.received(&ack(0), 0, at(1));
    }
    sender.sent(segment(0), at(1));
    assert_eq!(sender.received(&ack(4_000), 4_000, at(2)), Advice::Retransmit);
    sender.sent(segment(4_000), at(2));
    assert_eq!(sender.received(&ack(10_000), 6_000, at(3)), Advice::Nothing);
    sender.sent(segment(10_000), at(3));
    assert_eq!(sender.received(&ack(11_000), 1_000, at(4)), Advice::Nothing);
}

#[test]
fn too_many_losses_in_one_flight_are_mended_by_going_back() {
    let mut sender = flight();
    for _ in 0..3 {
        sender.received(&ack(0), 0, at(1));
    }
    for lost in 1..=4 {
        sender.sent(segment((lost - 1) * 1_000), at(1));
        assert_eq!(
            sender.received(&ack(lost * 1_000), 1_000, at(2)),
            Advice::Retransmit
        );
    }
    assert_eq!(sender.received(&ack(5_000), 1_000, at(2)), Advice::GoBack);
    assert_eq!(sender.received(&ack(6_000), 1_000, at(2)), Advice::Nothing);
}

#[test]
fn answers_to_what_was_sent_again_without_need_prove_no_loss() {
    let mut sender = flight();
    sender.sent(segment(0), at(1_000));
    assert_eq!(sender.received(&ack(10_000), 10_000, at(1_050)), Advice::Nothing);
    let window = sender.congestion.limit();
    sender.sent(segment(10_000), at(1_050));
    for _ in 0..5 {
        assert_eq!(sender.received(&ack(10_000), 0, at(1_051)), Advice::Nothing);
    }
    assert_eq!(sender.congestion.limit(), window);
    sender.sent(segment(11_000), at(1_052));
    sender.received(&ack(11_000), 1_000, at(1_100));
    let advice = (0..3).map(|_| sender.received(&ack(11_000), 0, at(1_101)));
    assert_eq!(advice.last(), Some(Advice::Retransmit));
}

#[test]
fn going_back_comes_at_once_if_blocks_show_that_much_is_missing() {
    let mut sender = flight();
    let block = |from: u32| Some((START.wrapping_add(from), START.wrapping_add(from + 500)));
    for from in [2_500, 5_500, 8_500] {
        let mut segment = ack(0);
        segment.sack[0] = block(from);
        sender.received(&segment, 0, at(1));
    }
    assert_eq!(sender.received(&ack(1_000), 1_000, at(2)), Advice::GoBack);
}

#[test]
fn a_segment_that_smoltcp_refused_moves_nothing() {
    let mut sender = flight();
    assert_eq!(sender.received(&ack(10_000), 0, at(1)), Advice::Nothing);
    assert_eq!(sender.acknowledged(), START);
}

#[test]
fn after_a_timeout_everything_is_sent_again_and_nothing_is_asked_for() {
    let mut sender = flight();
    sender.sent(segment(0), at(1_000));
    assert_eq!(sender.correction(at(1_000)), Some(8), "one segment, rounded up");
    assert_eq!(sender.received(&ack(2_000), 2_000, at(1_010)), Advice::Nothing);
    for _ in 0..5 {
        assert_eq!(sender.received(&ack(2_000), 0, at(1_010)), Advice::Nothing);
    }
}

#[test]
fn silence_is_probed_twice_and_then_by_a_timeout_that_backs_off() {
    let mut sender = flight();
    sender.received(&ack(1_000), 1_000, at(50));
    let due = sender.probe_at(false).unwrap();
    assert!(due > at(150) && due < at(300), "{due:?}");
    assert_eq!(sender.probe(false, at(150)), Advice::Nothing);
    assert_eq!(sender.probe(false, due), Advice::Retransmit);
    sender.sent(segment(1_000), due);
    let again = sender.probe_at(false).unwrap();
    assert_eq!(sender.probe(false, again), Advice::Retransmit);
    let mut last = again;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let due = sender.probe_at(false).unwrap();
        assert_eq!(due.saturating_since(last), Duration::from_secs(seconds));
        assert_eq!(sender.probe(false, due), Advice::GoBack);
        last = due;
    }
}

#[test]
fn a_lone_fin_is_probed_by_going_back() {
    let mut sender = flight();
    sender.received(&ack(10_000), 10_000, at(50));
    assert_eq!(sender.probe_at(true), None, "not sent yet");
    sender.sent(SentSegment::fin(START.wrapping_add(10_000)), at(60));
    let due = sender.probe_at(true).unwrap();
    assert!(due > at(160) && due < at(500), "{due:?}");
    assert_eq!(sender.probe(true, due), Advice::GoBack);
}

#[test]
fn the_smaller_of_both_windows_is_shown_once() {
    let mut sender = flight();
    // Ten segments in units of 128 bytes.
    assert_eq!(sender.correction(at(1)), Some(79));
    sender.believes(79);
    assert_eq!(sender.correction(at(1)), None);
    let mut segment = ack(0);
    segment.window = 5;
    sender.received(&segment, 0, at(1));
    assert_eq!(sender.correction(at(1)), Some(5));
}

#[test]
fn a_closed_window_is_shown_when_nothing_is_in_flight() {
    let mut sender = flight();
    let mut segment = ack(0);
    segment.window = 0;
    sender.received(&segment, 0, at(1));
    assert_eq!(sender.correction(at(1)), Some(1));
    segment.ack_number = START.wrapping_add(10_000);
    sender.received(&segment, 10_000, at(1));
    assert_eq!(sender.correction(at(1)), Some(0));
}

#[test]
fn a_byte_that_probes_a_closed_window_counts_when_it_is_acknowledged() {
    let mut sender = flight();
    let mut segment = ack(10_000);
    segment.window = 0;
    sender.received(&segment, 10_000, at(1));
    sender.sent(SentSegment::data(START.wrapping_add(10_000), 1), at(1_000));
    assert_eq!(sender.highest(), Some(START.wrapping_add(10_000)));
    sender.received(&ack(10_001), 1, at(1_001));
    assert_eq!(sender.highest(), Some(START.wrapping_add(10_001)));
}
