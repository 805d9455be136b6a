//! Persistent keepalive: armed by anything authenticated in either direction.

use crate::pair::{Kind, Pair, Side, seconds};
use Side::{Alice, Bob};

#[test]
fn persistent_keepalive_sends_an_empty_packet_at_each_interval() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(25)));
    pair.run_for(seconds(80));
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 25_000, 50_000, 75_000]);
    assert_eq!(pair.sent_by(Bob), []);
}

#[test]
fn persistent_keepalive_starts_a_session_where_there_is_none() {
    let mut pair = Pair::new();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(25)));
    pair.run_for(seconds(1));
    assert_eq!(
        pair.sent_by(Alice),
        [(0, Kind::Initiation), (20, Kind::Keepalive)]
    );
}

#[test]
fn packets_sent_postpone_the_persistent_keepalive() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(8)));
    pair.run_for(seconds(5));
    pair.send(Alice, b"data");
    pair.run_for(seconds(9));
    assert_eq!(
        pair.sent_by(Alice),
        [
            (0, Kind::Keepalive),
            (5000, Kind::Data),
            (13_000, Kind::Keepalive)
        ]
    );
}

#[test]
fn packets_received_postpone_the_persistent_keepalive() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(8)));
    pair.run_for(seconds(5));
    pair.send_keepalive(Bob);
    pair.run_for(seconds(9));
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 13_010]);
}

#[test]
fn handshake_messages_postpone_the_persistent_keepalive() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(8)));
    pair.run_for(seconds(5));
    pair.begin(Bob);
    pair.run_for(seconds(9));
    assert_eq!(pair.times_of(Alice, Kind::Response), [5010]);
    // Bob's confirmation came at 5030.
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 13_030]);
}

#[test]
fn persistent_keepalive_switched_off_is_silent() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(25)));
    pair.run_for(seconds(30));
    let now = pair.now;
    pair.alice.conversation.set_persistent_keepalive(now, None);
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 25_000]);
    assert_eq!(pair.alice.conversation.persistent_keepalive(), None);
}

#[test]
fn an_interval_of_zero_is_off() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(0)));
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Alice), []);
    assert_eq!(pair.alice.conversation.persistent_keepalive(), None);
}

#[test]
fn a_shorter_interval_counts_from_its_setting() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(3600)));
    pair.run_for(seconds(5));
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(10)));
    pair.run_for(seconds(25));
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 15_000, 25_000]);
}

#[test]
fn an_interval_below_5_s_survives_a_handshake_that_is_given_up() {
    let mut pair = Pair::new();
    pair.lose_everything();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(2)));
    pair.run_for(seconds(300));
    pair.lose_nothing();
    pair.run_for(seconds(10));
    assert!(pair.alice.conversation.sending_session(pair.now).is_some());
}

#[test]
fn a_longer_interval_counts_from_the_next_packet() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(10)));
    pair.run_for(seconds(5));
    let now = pair.now;
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(30)));
    pair.run_for(seconds(50));
    assert_eq!(pair.times_of(Alice, Kind::Keepalive), [0, 10_000, 40_000]);
}
