//! Making and accepting the second message.

use wirewright_protocol::wire::Response;
use wirewright_protocol::{Cause, HandshakeError, Message, PresharedKey, PublicKey};

use super::{LOW_ORDER, flipped};
use crate::pair::{Pair, Side, millis, seconds};
use Side::Alice;

fn response(bytes: &[u8]) -> &Response {
    match Message::parse(bytes).unwrap() {
        Message::Response(message) => message,
        other => panic!("{other:?}"),
    }
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
