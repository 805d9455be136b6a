//! Making and accepting the first message.

use wirewright_protocol::wire::Initiation;
use wirewright_protocol::{Cause, Conversation, HandshakeError, Instant, Message, PublicKey};

use super::{LOW_ORDER, flipped};
use crate::pair::{Pair, millis, seconds};

fn initiation(bytes: &[u8]) -> &Initiation {
    match Message::parse(bytes).unwrap() {
        Message::Initiation(message) => message,
        other => panic!("{other:?}"),
    }
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
    let tick = Instant::from_nanos((1 << 24) * 5);
    let late = Instant::from_nanos((1 << 24) * 6 - 1);
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
