//! Passive keepalive: armed by data received, 10 s; disarmed by anything authenticated sent.

use wirewright_protocol::{Sent, Timeout};

use crate::pair::{Kind, Pair, Side, millis, seconds};
use Side::{Alice, Bob};

#[test]
fn received_data_is_answered_with_an_empty_packet_after_10_s() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"data");
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Bob), [(10_010, Kind::Keepalive)]);
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Data)]);
}

#[test]
fn an_empty_packet_is_not_answered() {
    let mut pair = Pair::connected();
    pair.send_keepalive(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Bob), []);
}

#[test]
fn more_data_does_not_postpone_the_answer() {
    let mut pair = Pair::connected();
    for _ in 0..9 {
        pair.send(Alice, b"data");
        pair.run_for(seconds(1));
    }
    pair.run_for(millis(1500));
    assert_eq!(pair.sent_by(Bob), [(10_010, Kind::Keepalive)]);
}

#[test]
fn data_received_while_the_answer_is_pending_gets_another_10_s_later() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"first");
    pair.run_for(seconds(9));
    pair.send(Alice, b"second");
    pair.run_for(seconds(60));
    assert_eq!(
        pair.sent_by(Bob),
        [(10_010, Kind::Keepalive), (20_010, Kind::Keepalive)]
    );
}

#[test]
fn data_sent_takes_the_place_of_the_answer() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"question");
    pair.run_for(seconds(5));
    pair.send(Bob, b"answer");
    pair.run_for(seconds(9));
    assert_eq!(pair.sent_by(Bob), [(5000, Kind::Data)]);
}

#[test]
fn data_sent_takes_the_place_of_another_answer_too() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"first");
    pair.run_for(seconds(4));
    pair.send(Alice, b"second");
    pair.run_for(seconds(1));
    pair.send(Bob, b"answer");
    pair.run_for(seconds(1));
    pair.send(Alice, b"third");
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Bob), [(5000, Kind::Data), (16_010, Kind::Keepalive)]);
}

#[test]
fn an_empty_packet_sent_takes_the_place_of_the_answer() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"data");
    pair.run_for(seconds(5));
    pair.send_keepalive(Bob);
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Bob), [(5000, Kind::Keepalive)]);
}

#[test]
fn an_initiation_sent_takes_the_place_of_the_answer() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    pair.mark();
    pair.send(Alice, b"data");
    pair.run_for(seconds(5));
    pair.begin(Bob);
    pair.run_for(seconds(60));
    // The empty packet confirms the new session.
    assert_eq!(
        pair.sent_by(Bob),
        [(5000, Kind::Initiation), (5020, Kind::Keepalive)]
    );
}

#[test]
fn a_response_sent_takes_the_place_of_the_answer() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    pair.mark();
    pair.send(Alice, b"data");
    pair.run_for(seconds(5));
    pair.begin(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Bob), [(5010, Kind::Response)]);
}

#[test]
fn two_peers_do_not_keep_each_other_awake() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"question");
    pair.run_for(seconds(1));
    pair.send(Bob, b"answer");
    pair.run_for(seconds(3600));
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Data), (11_010, Kind::Keepalive)]);
    assert_eq!(pair.sent_by(Bob), [(1000, Kind::Data)]);
    assert_eq!(pair.alice.conversation.deadline(), None);
}

#[test]
fn a_keepalive_that_could_not_be_sent_does_not_ask_for_another_later() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"first");
    pair.run_for(seconds(1));
    pair.send(Alice, b"second");
    pair.run_for(seconds(1));
    let (due, mut retired) = (pair.now + seconds(9), Vec::new());
    let bob = &mut pair.bob;
    let timeout = bob.conversation.expire(due, &mut bob.rng, &mut retired);
    assert_eq!(timeout, Some(Timeout::Keepalive));
    // Data goes instead, and an empty packet much later.
    bob.conversation.sent(due, &mut bob.rng, Sent::Data);
    bob.conversation
        .sent(due + seconds(1), &mut bob.rng, Sent::Keepalive);
    let next = bob
        .conversation
        .expire(due + seconds(100), &mut bob.rng, &mut retired);
    assert_eq!(next, Some(Timeout::NewHandshake));
    assert_eq!(
        bob.conversation
            .expire(due + seconds(100), &mut bob.rng, &mut retired),
        None
    );
}
