//! The handshake's rules (section 5).

use wirewright_protocol::wire::{Initiation, Response};
use wirewright_protocol::{
    Cause, Conversation, HandshakeError, Identity, Message, PresharedKey, PublicKey, Received, SecretKey,
};

use crate::host::Host;
use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

/// The points of low order with a canonical encoding, and two other encodings of them.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn initiation(bytes: &[u8]) -> &Initiation {
    match Message::parse(bytes).unwrap() {
        Message::Initiation(message) => message,
        other => panic!("{other:?}"),
    }
}

fn response(bytes: &[u8]) -> &Response {
    match Message::parse(bytes).unwrap() {
        Message::Response(message) => message,
        other => panic!("{other:?}"),
    }
}

fn flipped(bytes: &[u8], index: usize) -> Vec<u8> {
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
fn no_initiation_is_sent_within_five_seconds_of_the_last() {
    let mut pair = Pair::new();
    let (begun, mut rng) = (pair.now, pair.alice.rng.clone());
    assert!(pair.alice.conversation.may_initiate(begun));
    pair.alice.initiate(begun, Cause::Fresh).unwrap();
    let early = begun + millis(4999);
    assert!(!pair.alice.conversation.may_initiate(early));
    rng.clone_from(&pair.alice.rng);
    assert_eq!(
        pair.alice.initiate(early, Cause::Fresh),
        Err(HandshakeError::TooSoon)
    );
    assert_eq!(rng, pair.alice.rng, "a refusal draws nothing");
    assert!(pair.alice.conversation.may_initiate(begun + seconds(5)));
    assert!(pair.alice.initiate(begun + seconds(5), Cause::Fresh).is_ok());
}

#[test]
fn a_response_counts_for_the_five_seconds_too() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    pair.bob.answer(pair.now, &message).unwrap();
    assert!(!pair.bob.conversation.may_initiate(pair.now + millis(4999)));
    assert!(pair.bob.conversation.may_initiate(pair.now + seconds(5)));
}

#[test]
fn a_replayed_initiation_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    assert!(pair.bob.answer(pair.now, &message).is_ok());
    for later in [millis(0), millis(25), seconds(1000)] {
        assert_eq!(
            pair.bob.answer(pair.now + later, &message),
            Err(HandshakeError::TimestampReplay)
        );
    }
}

#[test]
fn an_initiation_older_than_the_newest_is_refused() {
    let mut pair = Pair::new();
    let older = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let newer = pair.alice.initiate(pair.now + seconds(5), Cause::Fresh).unwrap();
    assert!(pair.bob.answer(pair.now, &newer).is_ok());
    assert_eq!(
        pair.bob.answer(pair.now + seconds(1), &older),
        Err(HandshakeError::TimestampReplay)
    );
}

#[test]
fn initiations_within_one_coarse_tick_have_equal_timestamps_so_the_second_is_refused() {
    let mut pair = Pair::new();
    let tick = wirewright_protocol::Instant::from_nanos((1 << 24) * 5);
    let late = wirewright_protocol::Instant::from_nanos((1 << 24) * 6 - 1);
    let first = pair.alice.initiate(tick, Cause::Fresh).unwrap();
    pair.alice.forget();
    let second = pair.alice.initiate(late, Cause::Fresh).unwrap();
    assert!(pair.bob.answer(tick, &first).is_ok());
    assert_eq!(
        pair.bob.answer(tick + seconds(1), &second),
        Err(HandshakeError::TimestampReplay)
    );
}

#[test]
fn an_initiation_less_than_20_ms_after_the_last_is_refused_as_a_flood() {
    for (gap, expected) in [(15, false), (20, true), (25, true)] {
        let mut pair = Pair::new();
        let first = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
        let second = pair.alice.initiate(pair.now + seconds(5), Cause::Fresh).unwrap();
        assert!(pair.bob.answer(pair.now, &first).is_ok());
        let result = pair.bob.answer(pair.now + millis(gap), &second);
        assert_eq!(result.is_ok(), expected, "{gap} ms");
        assert!(expected || result == Err(HandshakeError::Flood));
    }
}

#[test]
fn a_refused_initiation_does_not_count_as_the_last() {
    let mut pair = Pair::new();
    let first = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let second = pair.alice.initiate(pair.now + seconds(5), Cause::Fresh).unwrap();
    assert!(pair.bob.answer(pair.now, &first).is_ok());
    assert_eq!(
        pair.bob.answer(pair.now + millis(15), &second),
        Err(HandshakeError::Flood)
    );
    assert!(pair.bob.answer(pair.now + millis(20), &second).is_ok());
}

#[test]
fn a_refused_initiation_changes_nothing() {
    let mut pair = Pair::connected();
    let replayed = pair.alice.initiate(pair.now + seconds(60), Cause::Fresh).unwrap();
    pair.bob.answer(pair.now, &replayed).unwrap();
    let before = (
        pair.bob.indices.clone(),
        pair.bob.conversation.deadline(),
        pair.bob.rng.clone(),
    );
    assert!(pair.bob.answer(pair.now + seconds(2), &replayed).is_err());
    let after = (
        pair.bob.indices.clone(),
        pair.bob.conversation.deadline(),
        pair.bob.rng.clone(),
    );
    assert_eq!(before, after);
    assert!(pair.bob.conversation.may_initiate(pair.now + seconds(5)));
}

#[test]
fn every_byte_of_an_initiation_but_the_macs_is_authenticated() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    for index in 0..Initiation::LEN {
        let bytes = flipped(message.as_bytes(), index);
        assert_eq!(pair.bob.identity.check_mac1(&bytes), index >= 132, "byte {index}");
        // The index is protected by mac1 alone, as the paper has it.
        if (8..116).contains(&index) {
            assert_eq!(
                pair.bob.answer(pair.now, initiation(&bytes)).err(),
                Some(HandshakeError::Forged)
            );
        }
    }
    assert!(pair.bob.answer(pair.now, &message).is_ok());
}

#[test]
fn a_tampered_response_is_refused_and_the_genuine_one_still_accepted() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    for index in 0..Response::LEN {
        let bytes = flipped(answer.as_bytes(), index);
        assert_eq!(
            pair.alice.identity.check_mac1(&bytes),
            index >= 76,
            "byte {index}"
        );
        if (12..60).contains(&index) {
            assert_eq!(
                pair.alice.complete(pair.now, response(&bytes)),
                Err(HandshakeError::Forged)
            );
        }
    }
    assert_eq!(pair.alice.complete(pair.now, &answer), Ok(()));
}

#[test]
fn mac1_proves_knowledge_of_ones_own_public_key_only() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    assert!(pair.bob.identity.check_mac1(message.as_bytes()));
    assert!(!pair.alice.identity.check_mac1(message.as_bytes()));
    assert!(!pair.bob.identity.check_mac1(&message.as_bytes()[..147]));
    assert!(!pair.bob.identity.check_mac1(&[]));
}

#[test]
fn an_initiation_for_somebody_else_does_not_open() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    assert_eq!(
        pair.alice.identity.open_initiation(&message).err(),
        Some(HandshakeError::Forged)
    );
}

#[test]
fn an_initiation_names_its_peer_and_index() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let opened = pair.bob.identity.open_initiation(&message).unwrap();
    assert_eq!(&opened.peer(), pair.alice.identity.public());
    assert_eq!(Some(opened.sender()), pair.alice.conversation.handshake_index());
}

#[test]
fn an_initiation_is_refused_by_another_peers_conversation() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    pair.bob.conversation = Conversation::new(*pair.bob.identity.public());
    assert_eq!(
        pair.bob.answer(pair.now, &message),
        Err(HandshakeError::WrongPeer)
    );
}

#[test]
fn an_initiation_cannot_be_made_in_the_name_of_another_without_its_key() {
    // Mallory knows both public keys. She can name Alice, but not prove it: the static-static secret differs.
    let mut pair = Pair::new();
    let mallory = SecretKey::generate(&mut pair.alice.rng);
    let mut forger = Host::new(mallory, &SecretKey::from_bytes([7; 32]), 9);
    forger.conversation = Conversation::new(*pair.bob.identity.public());
    let message = forger.initiate(pair.now, Cause::Fresh).unwrap();
    let opened = pair.bob.identity.open_initiation(&message).unwrap();
    assert_ne!(&opened.peer(), pair.alice.identity.public());
    assert_eq!(
        pair.bob.answer(pair.now, &message),
        Err(HandshakeError::WrongPeer)
    );
}

#[test]
fn a_replayed_response_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    assert_eq!(pair.alice.complete(pair.now, &answer), Ok(()));
    assert_eq!(
        pair.alice.complete(pair.now, &answer),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn a_response_to_a_replaced_initiation_is_refused() {
    let mut pair = Pair::new();
    let first = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &first).unwrap();
    pair.alice.initiate(pair.now + seconds(5), Cause::Retry).unwrap();
    assert_eq!(
        pair.alice.complete(pair.now + seconds(5), &answer),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn a_response_nobody_waits_for_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    assert_eq!(
        pair.bob.complete(pair.now, &answer),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn a_response_with_another_receiver_index_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    let bytes = flipped(answer.as_bytes(), 8);
    assert_eq!(
        pair.alice.complete(pair.now, response(&bytes)),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn different_preshared_keys_give_no_session() {
    let mut pair = Pair::new();
    pair.alice
        .conversation
        .set_preshared_key(PresharedKey::from_bytes([1; 32]));
    pair.begin(Alice);
    pair.run_for(seconds(1));
    assert_eq!(pair.alice.errors, [HandshakeError::Forged]);
    assert!(!pair.can_send(Alice));
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
fn a_preshared_key_set_during_a_handshake_counts_for_its_response() {
    let mut pair = Pair::new();
    let key = PresharedKey::from_bytes([1; 32]);
    pair.bob.conversation.set_preshared_key(key.clone());
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    pair.alice.conversation.set_preshared_key(key);
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    assert_eq!(pair.alice.complete(pair.now, &answer), Ok(()));
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
fn a_peer_of_low_order_may_be_configured_but_no_handshake_with_it_succeeds() {
    for key in LOW_ORDER {
        let mut pair = Pair::new();
        pair.alice.conversation = Conversation::new(PublicKey::from_hex(key).unwrap());
        let rng = pair.alice.rng.clone();
        assert_eq!(
            pair.alice.initiate(pair.now, Cause::Fresh).err(),
            Some(HandshakeError::LowOrderKey),
            "{key}"
        );
        assert_eq!(pair.alice.rng, rng, "nothing is drawn");
        assert!(pair.alice.conversation.may_initiate(pair.now), "nothing was sent");
        assert_eq!(pair.alice.conversation.deadline(), None);
    }
}

#[test]
fn an_initiation_with_an_ephemeral_key_of_low_order_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    for key in LOW_ORDER {
        let mut bytes = message.as_bytes().to_vec();
        bytes[8..40].copy_from_slice(PublicKey::from_hex(key).unwrap().as_bytes());
        let result = pair.bob.identity.open_initiation(initiation(&bytes));
        assert_eq!(result.err(), Some(HandshakeError::LowOrderKey), "{key}");
    }
}

#[test]
fn a_response_with_an_ephemeral_key_of_low_order_is_refused() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let answer = pair.bob.answer(pair.now, &message).unwrap();
    for key in LOW_ORDER {
        let mut bytes = answer.as_bytes().to_vec();
        bytes[12..44].copy_from_slice(PublicKey::from_hex(key).unwrap().as_bytes());
        assert_eq!(
            pair.alice.complete(pair.now, response(&bytes)),
            Err(HandshakeError::LowOrderKey),
            "{key}"
        );
    }
    assert_eq!(pair.alice.complete(pair.now, &answer), Ok(()));
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
