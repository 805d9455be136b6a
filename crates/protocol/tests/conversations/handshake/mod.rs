//! The handshake's rules (section 5), message by message and as a whole.

mod initiation;
mod response;

use wirewright_protocol::{Cause, Conversation, HandshakeError, Identity, PresharedKey, Received, SecretKey};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

/// The points of low order with a canonical encoding, and two other encodings of them.
pub(crate) const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

pub(crate) fn flipped(bytes: &[u8], index: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[index] ^= 1;
    bytes
}

#[test]
fn a_handshake_takes_one_round_trip_before_the_first_packet() {
    let mut pair = Pair::new();
    pair.send(Alice, b"hello");
    pair.run_for(seconds(1));
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Initiation), (20, Kind::Data)]);
    assert_eq!(pair.sent_by(Bob), [(10, Kind::Response)]);
    assert_eq!(pair.bob.delivered, [b"hello"]);
}

#[test]
fn handshake_messages_have_the_sizes_of_the_paper() {
    let mut pair = Pair::new();
    pair.bob.under_load = true;
    pair.send(Alice, b"hello");
    pair.run_for(seconds(6));
    assert_eq!(pair.datagrams(Alice, Kind::Initiation)[0].len(), 148);
    assert_eq!(pair.datagrams(Bob, Kind::Response)[0].len(), 92);
    assert_eq!(pair.datagrams(Bob, Kind::Cookie)[0].len(), 64);
}

#[test]
fn after_a_handshake_both_sides_exchange_data() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"question");
    pair.run_for(millis(50));
    pair.send(Bob, b"answer");
    pair.run_for(millis(50));
    assert_eq!(pair.bob.delivered, [b"question"]);
    assert_eq!(pair.alice.delivered, [b"answer"]);
}

#[test]
fn an_initiator_with_nothing_to_say_confirms_with_an_empty_packet() {
    let mut pair = Pair::new();
    pair.begin(Alice);
    pair.run_for(seconds(1));
    assert_eq!(
        pair.sent_by(Alice),
        [(0, Kind::Initiation), (20, Kind::Keepalive)]
    );
}

#[test]
fn a_responder_does_not_send_before_the_first_packet_under_its_new_session() {
    let mut pair = Pair::new();
    pair.lose(Kind::Keepalive);
    pair.begin(Alice);
    pair.run_for(seconds(1));
    assert!(pair.can_send(Alice));
    assert!(!pair.can_send(Bob));
    assert!(pair.bob.conversation.reserve(pair.now, 1).is_none());
    pair.send(Bob, b"staged");
    pair.lose_nothing();
    pair.send_keepalive(Alice);
    pair.run_for(LATENCY);
    assert_eq!(pair.times_of(Bob, Kind::Data), [1010]);
}

#[test]
fn the_handshake_is_complete_for_the_initiator_at_the_response_and_for_the_responder_at_the_first_packet() {
    let mut pair = Pair::new();
    let begun = pair.now;
    pair.begin(Alice);
    pair.run_for(millis(15));
    assert_eq!(pair.alice.conversation.last_handshake(), None);
    pair.run_for(millis(10));
    assert_eq!(pair.alice.conversation.last_handshake(), Some(begun + millis(20)));
    assert_eq!(pair.bob.conversation.last_handshake(), None);
    pair.run_for(millis(10));
    assert_eq!(pair.bob.conversation.last_handshake(), Some(begun + millis(30)));
}

#[test]
fn equal_preshared_keys_give_a_session() {
    let mut pair = Pair::new();
    for side in Side::BOTH {
        pair.host(side)
            .conversation
            .set_preshared_key(PresharedKey::from_bytes([1; 32]));
    }
    pair.send(Alice, b"hello");
    pair.run_for(seconds(1));
    assert_eq!(pair.bob.delivered, [b"hello"]);
}

#[test]
fn a_preshared_key_leaves_sessions_as_they_are() {
    let mut pair = Pair::connected();
    pair.alice
        .conversation
        .set_preshared_key(PresharedKey::from_bytes([1; 32]));
    pair.send(Alice, b"still here");
    pair.run_for(LATENCY);
    assert_eq!(pair.bob.delivered, [b"still here"]);
}

#[test]
fn zeros_as_preshared_key_are_none() {
    let mut pair = Pair::new();
    pair.alice
        .conversation
        .set_preshared_key(PresharedKey::from_bytes([1; 32]));
    assert!(pair.alice.conversation.preshared_key().is_some());
    pair.alice.conversation.set_preshared_key(PresharedKey::default());
    assert!(pair.alice.conversation.preshared_key().is_none());
}

#[test]
fn answering_the_peer_gives_up_our_own_initiation() {
    let mut pair = Pair::new();
    let ours = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let theirs = pair.bob.initiate(pair.now, Cause::Fresh).unwrap();
    pair.alice.answer(pair.now, &theirs).unwrap();
    assert_eq!(pair.alice.conversation.handshake_index(), None);
    assert!(!pair.alice.indices.contains(&ours.sender()));
}

#[test]
fn after_simultaneous_initiations_neither_response_counts_and_a_jittered_retry_succeeds() {
    let mut pair = Pair::new();
    pair.send(Alice, b"from alice");
    pair.send(Bob, b"from bob");
    pair.run_for(seconds(4));
    for side in Side::BOTH {
        assert_eq!(pair.host(side).errors, [HandshakeError::Unexpected]);
        assert!(!pair.can_send(side));
    }
    pair.run_for(seconds(2) + SLACK);
    assert_eq!(pair.alice.delivered, [b"from bob"]);
    assert_eq!(pair.bob.delivered, [b"from alice"]);
}

#[test]
fn forgetting_wipes_everything_and_retires_every_index() {
    let mut pair = Pair::connected();
    let theirs = pair.bob.initiate(pair.now + seconds(5), Cause::Fresh).unwrap();
    pair.alice.answer(pair.now, &theirs).unwrap();
    pair.alice.initiate(pair.now + seconds(5), Cause::Fresh).unwrap();
    assert_eq!(pair.alice.indices.len(), 3, "current, next and handshake");
    pair.alice.forget();
    assert!(pair.alice.indices.is_empty());
    assert_eq!(pair.alice.conversation.handshake_index(), None);
    assert!(!pair.can_send(Alice));
    assert!(pair.alice.conversation.may_initiate(pair.now), "the gate is open");
}

#[test]
fn after_forgetting_an_initiation_of_before_is_still_a_replay() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    pair.bob.answer(pair.now, &message).unwrap();
    pair.bob.forget();
    assert_eq!(
        pair.bob.answer(pair.now + seconds(1), &message),
        Err(HandshakeError::TimestampReplay)
    );
}

#[test]
fn a_new_identity_takes_effect_with_the_next_handshake() {
    let mut pair = Pair::connected();
    let secret = SecretKey::from_bytes([0x55; 32]);
    pair.bob.conversation = Conversation::new(secret.public());
    pair.bob.indices.clear();
    pair.alice.forget();
    pair.alice.identity = Identity::new(secret);
    pair.send(Alice, b"who am I");
    pair.run_for(seconds(1));
    assert_eq!(pair.bob.delivered, [b"who am I"]);
}

#[test]
fn packets_under_a_session_that_is_gone_do_nothing() {
    let mut pair = Pair::connected();
    let deadline = pair.alice.conversation.deadline();
    assert_eq!(
        pair.alice.received(pair.now, 0xdead_beef, Received::Data),
        (false, false)
    );
    assert_eq!(pair.alice.conversation.deadline(), deadline);
}
