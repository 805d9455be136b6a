//! What cannot be reached from outside within a lifetime: the end of the counters. And what a conversation costs.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::constants::{REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME};
use crate::error::HandshakeError;
use crate::identity::Identity;
use crate::keys::SecretKey;
use crate::noise::initiation::{self, Author};
use crate::time::WallTime;

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

/// Initiator and responder of one session, the responder's not yet confirmed.
fn handshake() -> (Conversation, Conversation) {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let [a, b] = core::array::from_fn(|_| Identity::new(SecretKey::generate(&mut rng)));
    let (mut alice, mut bob) = (Conversation::new(*b.public()), Conversation::new(*a.public()));
    let mut retired = Vec::new();
    let wall = WallTime { seconds: 1, nanos: 0 };
    let initiation = alice
        .initiate(NOW, wall, &mut rng, &a, 1, Cause::Fresh, &mut retired)
        .unwrap();
    let opened = b.open_initiation(&initiation).unwrap();
    let response = bob
        .accept_initiation(NOW, &mut rng, &b, opened, 2, &mut retired)
        .unwrap();
    alice.accept_response(NOW, &a, &response, &mut retired).unwrap();
    assert!(retired.is_empty());
    (alice, bob)
}

fn wants_handshake_at_counter(conversation: &mut Conversation, counter: u64) -> bool {
    let before = conversation.sending_session(NOW).unwrap().next_counter();
    conversation.skip_counters(counter - before);
    conversation
        .sent(NOW, &mut ChaCha20Rng::from_seed([1; 32]), Sent::Data)
        .handshake
}

#[test]
fn both_roles_ask_for_a_handshake_after_2_to_the_60_packets() {
    let (mut alice, mut bob) = handshake();
    assert!(
        bob.received(NOW, 2, Received::Keepalive, &mut Vec::new())
            .confirmed
    );
    for conversation in [&mut alice, &mut bob] {
        assert!(!wants_handshake_at_counter(conversation, 1 << 60));
        assert!(wants_handshake_at_counter(conversation, (1 << 60) + 1));
    }
}

#[test]
fn no_counter_is_given_out_from_the_message_limit_on() {
    let (mut alice, _) = handshake();
    alice.skip_counters(REJECT_AFTER_MESSAGES - 3);
    assert!(alice.reserve(NOW, 4).is_none());
    assert!(alice.is_exhausted(NOW, 4) && !alice.is_exhausted(NOW, 3));
    assert_eq!(
        alice.reserve(NOW, 2).unwrap().first_counter,
        REJECT_AFTER_MESSAGES - 3
    );
    assert_eq!(
        alice.reserve(NOW, 1).unwrap().first_counter,
        REJECT_AFTER_MESSAGES - 1
    );
    assert!(alice.reserve(NOW, 1).is_none());
    assert!(alice.sending_session(NOW).is_none());
    assert!(alice.reserve(NOW, u32::MAX).is_none());
    alice.skip_counters(u64::MAX);
    assert!(alice.reserve(NOW, 1).is_none() && alice.is_exhausted(NOW, 1));
}

#[test]
fn only_a_young_session_without_counters_is_exhausted() {
    let (mut alice, bob) = handshake();
    assert!(
        !bob.is_exhausted(NOW, u32::MAX),
        "it has no session to send under yet"
    );
    let old = NOW + REJECT_AFTER_TIME;
    assert!(alice.reserve(old, 1).is_none() && !alice.is_exhausted(old, 1));
    alice.skip_counters(u64::MAX);
    assert!(!alice.is_exhausted(old, 1));
}

#[test]
fn an_initiation_in_the_name_of_another_is_forged_without_its_key() {
    // Mallory knows all public keys, so she can name Alice; she cannot compute Alice's secret with Bob.
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let [alice, bob, mallory] = core::array::from_fn(|_| Identity::new(SecretKey::generate(&mut rng)));
    let (_, message) = initiation::write(Author {
        public: alice.public(),
        peer: bob.public(),
        static_static: mallory.secret().diffie_hellman(bob.public()).unwrap().as_bytes(),
        ephemeral: SecretKey::generate(&mut rng),
        local_index: 1,
        timestamp: Tai64n::coarse(WallTime { seconds: 1, nanos: 0 }),
    })
    .unwrap();
    let opened = bob.open_initiation(&message).unwrap();
    assert_eq!(&opened.peer(), alice.public());
    let mut conversation = Conversation::new(*alice.public());
    let result = conversation.accept_initiation(NOW, &mut rng, &bob, opened, 2, &mut Vec::new());
    assert_eq!(result.err(), Some(HandshakeError::Forged));
    assert!(conversation.session(2).is_none() && conversation.deadline().is_none());
}

#[test]
fn a_conversation_without_sessions_takes_less_than_300_bytes() {
    let size = size_of::<Conversation>();
    assert!(size <= 300, "{size} bytes");
}

#[test]
fn debug_shows_the_peer_and_no_secrets() {
    let (alice, _) = handshake();
    let shown = alloc::format!("{alice:?} {:?}", alice.session(1).unwrap());
    assert!(shown.starts_with(&alloc::format!("Conversation {{ peer: {:?}, .. }}", alice.peer())));
    assert!(
        shown.contains("keys: SessionKeys { seal: Key(..), open: Key(..) }"),
        "{shown}"
    );
}
