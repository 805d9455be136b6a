//! Segments leave, and acknowledgements tell of them.

use super::*;

const LEN: u64 = 1_000;
const TRIP: Duration = Duration::from_millis(50);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Ten segments, a millisecond apart.
fn ten() -> Flight {
    let mut flight = Flight::new();
    (0..10).for_each(|index| flight.sent(index * LEN, (index + 1) * LEN, at(index)));
    flight
}

fn told(flight: &mut Flight, start: u64, end: u64, now: u64) -> News {
    let mut news = News::default();
    flight.selected((start * LEN, end * LEN), Some(TRIP), at(now), &mut news);
    news
}

fn acknowledged(flight: &mut Flight, una: u64, now: u64) -> News {
    let mut news = News::default();
    flight.acknowledged(una * LEN, Some(TRIP), at(now), &mut news);
    news
}

fn lost(flight: &mut Flight, now: u64) -> u64 {
    flight.find_losses(TRIP, false, LEN, at(now)).0 / LEN
}

fn resent(flight: &mut Flight, now: u64) -> Vec<u64> {
    std::iter::from_fn(|| flight.resend(at(now), |_, _| true))
        .map(|(start, _)| start / LEN)
        .collect()
}

#[test]
fn three_segments_behind_a_hole_prove_it_lost_and_fewer_do_not_yet() {
    let mut flight = ten();
    assert_eq!(told(&mut flight, 1, 3, 52).bytes, 2 * LEN);
    let (found, again) = flight.find_losses(TRIP, false, LEN, at(52));
    assert_eq!(
        (found, again),
        (0, Some(at(0) + TRIP + TRIP / 4)),
        "a quarter of a round trip more"
    );
    told(&mut flight, 3, 4, 53);
    assert_eq!(lost(&mut flight, 53), 1);
    assert_eq!(resent(&mut flight, 53), [0]);
    assert_eq!(flight.out(), 7 * LEN);
}

#[test]
fn all_holes_below_what_has_arrived_are_found_at_once() {
    let mut flight = ten();
    told(&mut flight, 2, 4, 53);
    told(&mut flight, 6, 7, 56);
    assert_eq!(lost(&mut flight, 56), 4);
    assert_eq!(resent(&mut flight, 56), [0, 1, 4, 5]);
}

#[test]
fn a_retransmission_that_is_lost_is_found_when_something_sent_after_it_arrives() {
    let mut flight = ten();
    told(&mut flight, 1, 4, 53);
    lost(&mut flight, 53);
    assert_eq!(resent(&mut flight, 53), [0]);
    told(&mut flight, 4, 10, 59);
    assert_eq!(lost(&mut flight, 59), 0, "it was sent after all of these");
    flight.sent(10 * LEN, 11 * LEN, at(60));
    told(&mut flight, 10, 11, 110);
    assert_eq!(lost(&mut flight, 110), 1);
    assert_eq!(resent(&mut flight, 110), [0]);
}

#[test]
fn after_segments_have_overtaken_each_other_a_quarter_of_a_round_trip_is_waited() {
    let mut flight = ten();
    told(&mut flight, 1, 2, 51);
    acknowledged(&mut flight, 2, 52);
    told(&mut flight, 4, 8, 57);
    assert_eq!(lost(&mut flight, 57), 0);
    assert_eq!(lost(&mut flight, 90), 2);
}

#[test]
fn only_segments_sent_once_are_timed() {
    let mut flight = ten();
    assert_eq!(acknowledged(&mut flight, 2, 51).sent, Some(at(1)));
    told(&mut flight, 3, 6, 55);
    lost(&mut flight, 55);
    resent(&mut flight, 55);
    let news = acknowledged(&mut flight, 6, 105);
    assert_eq!((news.sent, news.bytes), (None, LEN));
}

#[test]
fn what_a_timeout_took_for_lost_and_arrives_unrepeated_was_not() {
    let mut flight = ten();
    flight.lose_all();
    assert_eq!((flight.out(), flight.has_lost()), (0, true));
    assert_eq!(flight.resend(at(300), |_, _| true), Some((0, LEN)));
    assert!(
        !acknowledged(&mut flight, 1, 350).was_not_lost,
        "that was sent again"
    );
    assert!(acknowledged(&mut flight, 3, 351).was_not_lost);
    flight.recall();
    assert_eq!((flight.out(), flight.has_lost()), (7 * LEN, false));
}

#[test]
fn a_receiver_that_forgets_what_it_told_is_sent_everything_again() {
    let mut flight = ten();
    told(&mut flight, 1, 4, 53);
    acknowledged(&mut flight, 1, 54);
    flight.lose_all();
    assert_eq!(resent(&mut flight, 300), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn half_a_segment_told_is_none() {
    let mut flight = ten();
    let mut news = News::default();
    flight.selected((1_500, 2_500), Some(TRIP), at(50), &mut news);
    assert_eq!(news.bytes, 0);
    flight.selected((1_500, 3_500), Some(TRIP), at(50), &mut news);
    assert_eq!(news.bytes, LEN);
}

#[test]
fn what_is_out_is_what_was_sent_less_what_arrived_or_is_lost_whatever_is_told() {
    let mut seed = 7_u64;
    let mut any = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..300 {
        let (mut flight, mut next, mut una, mut now) = (Flight::new(), 0, 0, 0);
        for _ in 0..60 {
            now += any(30);
            match any(6) {
                0 | 1 => {
                    let len = 1 + any(LEN);
                    flight.sent(next, next + len, at(now));
                    next += len;
                }
                2 if next > una => {
                    una += any(next - una + 1);
                    flight.acknowledged(una, Some(TRIP), at(now), &mut News::default());
                }
                3 if next > una => {
                    let from = una + any(next - una);
                    let to = from + 1 + any(next - from);
                    if to <= next {
                        flight.selected((from, to), Some(TRIP), at(now), &mut News::default());
                    }
                }
                4 => {
                    flight.find_losses(TRIP, any(2) == 0, LEN, at(now));
                    resent(&mut flight, now);
                }
                5 if any(8) == 0 => flight.lose_all(),
                _ => {}
            }
            let sum = |fate| {
                let those = flight.segments.iter().filter(|segment| segment.fate == fate);
                those.map(|segment| segment.end - segment.start).sum::<u64>()
            };
            assert_eq!((flight.out, flight.lost), (sum(Fate::Out), sum(Fate::Lost)));
            assert_eq!(
                flight.segments.front().map_or(next, |first| first.start),
                una.min(next)
            );
        }
        flight.lose_all();
        resent(&mut flight, now);
        assert_eq!(flight.lost, 0, "nothing lost is forgotten");
    }
}
