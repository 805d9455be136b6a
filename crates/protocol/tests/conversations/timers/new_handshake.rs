//! New handshake: armed by data sent, 15 s and jitter; disarmed by anything authenticated received.

use wirewright_protocol::{Cause, Timeout};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, seconds};
use Side::{Alice, Bob};

#[test]
fn data_unanswered_for_15_s_starts_a_handshake() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    pair.send(Alice, b"anybody there?");
    pair.run_for(seconds(17));
    let [(0, Kind::Data), (at, Kind::Initiation)] = pair.sent_by(Alice)[..] else {
        panic!("{:?}", pair.sent_by(Alice))
    };
    assert!((15_000..15_334).contains(&at), "{at} ms");
    assert_eq!(pair.timeouts_of(Alice), [(at, Timeout::NewHandshake)]);
}

#[test]
fn the_15_s_count_from_the_first_unanswered_packet() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    for _ in 0..14 {
        pair.send(Alice, b"anybody there?");
        pair.run_for(seconds(1));
    }
    pair.run_for(seconds(2));
    let times = pair.times_of(Alice, Kind::Initiation);
    assert!(matches!(times[..], [15_000..15_334]), "{times:?}");
}

#[test]
fn an_empty_packet_unanswered_starts_no_handshake() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    pair.send_keepalive(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Keepalive)]);
}

#[test]
fn data_received_shows_that_the_session_lives() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"question");
    pair.run_for(seconds(9));
    pair.send(Bob, b"answer");
    pair.run_for(LATENCY);
    pair.lose_everything();
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Initiation), []);
}

#[test]
fn an_empty_packet_received_shows_that_the_session_lives() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"data");
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Initiation), []);
}

#[test]
fn an_initiation_received_shows_that_the_peer_lives() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    pair.mark();
    pair.lose_everything();
    pair.send(Alice, b"lost");
    pair.run_for(seconds(5));
    let initiation = pair.bob.initiate(pair.now, Cause::Fresh).unwrap();
    pair.inject(Alice, initiation.as_bytes());
    pair.run_for(seconds(60));
    assert_eq!(pair.timeouts_of(Alice), []);
}

#[test]
fn a_response_received_shows_that_the_peer_lives() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    pair.mark();
    pair.lose(Kind::Data);
    pair.send(Alice, b"lost");
    pair.run_for(seconds(5));
    pair.begin(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Bob, Kind::Response), [5010]);
    assert_eq!(pair.timeouts_of(Alice), []);
}

#[test]
fn a_peer_that_lost_its_session_is_back_after_15_s() {
    let mut pair = Pair::connected();
    pair.bob.forget();
    pair.send(Alice, b"lost");
    pair.run_for(seconds(15) + SLACK);
    pair.send(Alice, b"found");
    pair.run_for(seconds(1));
    assert_eq!(pair.bob.delivered, [b"found"]);
}
