//! Sessions: who replaces them and when, how long they live, and which of them are kept.

use wirewright_protocol::{Cause, Received, Replay, Sent};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

/// Runs a handshake that `side` begins, without its confirming packet; gives the local indices, Alice's first.
fn derive(pair: &mut Pair, side: Side) -> [u32; 2] {
    let now = pair.now;
    for side in Side::BOTH {
        assert!(pair.host(side).conversation.may_initiate(now));
    }
    let initiation = pair.host(side).initiate(now, Cause::Fresh).unwrap();
    let response = pair.host(side.other()).answer(now, &initiation).unwrap();
    pair.host(side).complete(now, &response).unwrap();
    pair.now = now + seconds(5);
    match side {
        Alice => [initiation.sender(), response.sender()],
        Bob => [response.sender(), initiation.sender()],
    }
}

fn sending_index(pair: &mut Pair, side: Side) -> Option<u32> {
    let now = pair.now;
    pair.host(side)
        .conversation
        .sending_session(now)
        .map(|session| session.local_index)
}

// Who rekeys.

#[test]
fn an_initiator_that_sends_replaces_its_session_at_120_s() {
    let mut pair = Pair::connected();
    let created = pair.alice.conversation.sending_session(pair.now).unwrap().created;
    let alice = &mut pair.alice;
    assert!(
        !alice
            .conversation
            .sent(created + millis(119_999), &mut alice.rng, Sent::Data)
            .handshake
    );
    assert!(
        alice
            .conversation
            .sent(created + seconds(120), &mut alice.rng, Sent::Data)
            .handshake
    );
    assert!(
        alice
            .conversation
            .sent(created + seconds(120), &mut alice.rng, Sent::Keepalive)
            .handshake
    );
}

#[test]
fn a_responder_that_sends_never_replaces_its_session_by_age() {
    let mut pair = Pair::connected();
    let created = pair.bob.conversation.sending_session(pair.now).unwrap().created;
    let bob = &mut pair.bob;
    assert!(
        !bob.conversation
            .sent(created + millis(179_999), &mut bob.rng, Sent::Data)
            .handshake
    );
}

#[test]
fn under_traffic_sessions_are_replaced_every_120_s_without_loss() {
    let mut pair = Pair::connected();
    for second in 0..500u32 {
        pair.send(Alice, &second.to_be_bytes());
        pair.run_for(millis(500));
        pair.send(Bob, &second.to_be_bytes());
        pair.run_for(millis(500));
    }
    let times = pair.times_of(Alice, Kind::Initiation);
    assert!(
        matches!(
            times[..],
            [
                119_000..121_000,
                239_000..242_000,
                359_000..363_000,
                479_000..484_000
            ]
        ),
        "{times:?}"
    );
    assert_eq!(pair.times_of(Bob, Kind::Initiation), []);
    for side in Side::BOTH {
        let delivered: Vec<u32> = pair
            .host(side)
            .delivered
            .iter()
            .map(|bytes| u32::from_be_bytes(bytes[..].try_into().unwrap()))
            .collect();
        assert_eq!(delivered, (0..500).collect::<Vec<_>>());
    }
}

#[test]
fn an_initiator_that_only_receives_replaces_its_session_at_165_s_once() {
    let mut pair = Pair::connected();
    let session = pair.alice.conversation.sending_session(pair.now).unwrap();
    let (index, created) = (session.local_index, session.created);
    assert_eq!(
        pair.alice
            .received(created + millis(164_999), index, Received::Data),
        (false, false)
    );
    assert_eq!(
        pair.alice
            .received(created + seconds(165), index, Received::Keepalive),
        (false, true)
    );
    assert_eq!(
        pair.alice.received(created + seconds(166), index, Received::Data),
        (false, false)
    );
}

#[test]
fn a_responder_that_only_receives_never_replaces_its_session() {
    let mut pair = Pair::connected();
    let session = pair.bob.conversation.sending_session(pair.now).unwrap();
    let (index, created) = (session.local_index, session.created);
    assert_eq!(
        pair.bob.received(created + seconds(179), index, Received::Data),
        (false, false)
    );
}

#[test]
fn the_165_s_rule_applies_to_the_next_session_again() {
    let mut pair = Pair::connected();
    for _ in 0..2 {
        let session = pair.alice.conversation.sending_session(pair.now).unwrap();
        let (index, late) = (session.local_index, session.created + seconds(165));
        assert_eq!(pair.alice.received(late, index, Received::Data), (false, true));
        pair.now = late;
        derive(&mut pair, Alice);
    }
}

#[test]
fn an_initiator_that_only_receives_stays_connected() {
    let mut pair = Pair::connected();
    for second in 0..400u32 {
        pair.send(Bob, &second.to_be_bytes());
        pair.run_for(seconds(1));
    }
    assert_eq!(pair.alice.delivered.len(), 400);
    // Its keepalives, every 10 s, are packets sent, so the 120 s rule comes first.
    let times = pair.times_of(Alice, Kind::Initiation);
    assert!(times[0] < 130_000, "{times:?}");
}

// How long they live.

#[test]
fn a_session_neither_sends_nor_receives_from_180_s_on() {
    let mut pair = Pair::connected();
    let created = pair.alice.conversation.sending_session(pair.now).unwrap().created;
    let (young, old) = (created + millis(179_999), created + seconds(180));
    let conversation = &mut pair.alice.conversation;
    assert!(conversation.reserve(young, 1).is_some());
    assert!(conversation.reserve(old, 1).is_none());
    assert!(conversation.sending_session(young).is_some());
    assert!(conversation.sending_session(old).is_none());
    let session = conversation
        .session(*pair.alice.indices.first().unwrap())
        .unwrap();
    assert!(session.can_receive(young, 0) && session.can_send(young));
    assert!(!session.can_receive(old, 0) && !session.can_send(old));
}

#[test]
fn counters_from_the_message_limit_on_are_not_received() {
    let pair = Pair::connected();
    let session = pair.alice.conversation.sending_session(pair.now).unwrap();
    assert!(session.can_receive(pair.now, u64::MAX - 8193));
    assert!(!session.can_receive(pair.now, u64::MAX - 8192));
}

#[test]
fn after_180_s_of_silence_the_next_packet_makes_a_new_session() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(180));
    pair.send(Bob, b"good morning");
    pair.run_for(seconds(1));
    assert_eq!(pair.alice.delivered, [b"good morning"]);
    assert_eq!(
        pair.sent_by(Bob),
        [(180_000, Kind::Initiation), (180_020, Kind::Data)]
    );
}

#[test]
fn counters_are_reserved_without_gaps_and_never_twice() {
    let mut pair = Pair::connected();
    let first = pair
        .alice
        .conversation
        .sending_session(pair.now)
        .unwrap()
        .next_counter();
    assert_eq!(first, 1, "the confirming packet took counter 0");
    let mut expected = first;
    for packets in [1, 64, 7, 0, 1000] {
        let reservation = pair.alice.conversation.reserve(pair.now, packets).unwrap();
        assert_eq!(reservation.first_counter, expected);
        expected += u64::from(packets);
    }
}

#[test]
fn a_replayed_packet_is_not_received_again() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"once");
    pair.run_for(LATENCY);
    let datagram = pair.datagrams(Alice, Kind::Data).remove(0);
    pair.inject(Bob, &datagram);
    assert_eq!(pair.bob.delivered, [b"once"]);
    let index = *pair.bob.indices.first().unwrap();
    let window = &pair.bob.conversation.session(index).unwrap().window;
    assert_eq!(window.check(1), Err(Replay::Duplicate));
}

#[test]
fn both_ends_know_each_other_by_the_same_indices() {
    let pair = Pair::connected();
    let alice = pair.alice.conversation.sending_session(pair.now).unwrap();
    let bob = pair.bob.conversation.sending_session(pair.now).unwrap();
    assert_eq!(
        (alice.local_index, alice.remote_index),
        (bob.remote_index, bob.local_index)
    );
    assert!(alice.initiator && !bob.initiator);
}

// Which of them are kept.

#[test]
fn an_initiators_new_session_is_sent_under_at_once_and_the_old_one_still_receives() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    let old = *pair.alice.indices.first().unwrap();
    let [new, _] = derive(&mut pair, Alice);
    assert_eq!(sending_index(&mut pair, Alice), Some(new));
    assert!(pair.alice.conversation.session(old).is_some());
    let [newest, _] = derive(&mut pair, Alice);
    assert_eq!(
        pair.alice.indices.iter().copied().collect::<Vec<_>>(),
        [new, newest]
    );
}

#[test]
fn a_responders_new_session_is_sent_under_from_its_first_packet_on() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    let old = sending_index(&mut pair, Bob).unwrap();
    let [_, new] = derive(&mut pair, Alice);
    assert_eq!(sending_index(&mut pair, Bob), Some(old));
    let now = pair.now;
    assert_eq!(pair.bob.received(now, old, Received::Data), (false, false));
    assert_eq!(pair.bob.received(now, new, Received::Data), (true, false));
    assert_eq!(sending_index(&mut pair, Bob), Some(new));
    assert_eq!(pair.bob.received(now, new, Received::Data), (false, false));
    assert!(pair.bob.conversation.session(old).is_some(), "it is previous now");
    assert_eq!(pair.bob.received(now, old, Received::Data), (false, false));
    assert_eq!(sending_index(&mut pair, Bob), Some(new));
}

#[test]
fn a_responders_new_session_evicts_the_unconfirmed_and_the_previous_one() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    let first = sending_index(&mut pair, Bob).unwrap();
    let [_, second] = derive(&mut pair, Alice);
    let now = pair.now;
    pair.bob.received(now, second, Received::Data);
    assert_eq!(
        pair.bob.indices.iter().copied().collect::<Vec<_>>(),
        [first, second]
    );
    let [_, third] = derive(&mut pair, Alice);
    assert_eq!(
        pair.bob.indices.iter().copied().collect::<Vec<_>>(),
        [second, third]
    );
    let [_, fourth] = derive(&mut pair, Alice);
    assert_eq!(
        pair.bob.indices.iter().copied().collect::<Vec<_>>(),
        [second, fourth]
    );
    assert_eq!(sending_index(&mut pair, Bob), Some(second));
}

#[test]
fn an_initiator_keeps_an_unconfirmed_session_of_the_peers_for_receiving() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    let current = sending_index(&mut pair, Alice).unwrap();
    let [unconfirmed, _] = derive(&mut pair, Bob);
    assert_eq!(sending_index(&mut pair, Alice), Some(current));
    let [new, _] = derive(&mut pair, Alice);
    assert_eq!(sending_index(&mut pair, Alice), Some(new));
    assert!(pair.alice.conversation.session(unconfirmed).is_some());
    assert!(pair.alice.conversation.session(current).is_none());
    // As `previous` it is confirmed no more.
    let now = pair.now;
    assert_eq!(
        pair.alice.received(now, unconfirmed, Received::Data),
        (false, false)
    );
    assert_eq!(sending_index(&mut pair, Alice), Some(new));
}

#[test]
fn packets_under_way_while_the_session_is_replaced_arrive() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    // Alice's data takes a second; the handshake that she begins behind it is done long before.
    pair.network = Box::new(|datagram| {
        vec![if datagram.kind == Kind::Data {
            seconds(1)
        } else {
            LATENCY
        }]
    });
    pair.send(Alice, b"slow");
    pair.begin(Alice);
    pair.run_for(seconds(1));
    assert_eq!(pair.bob.delivered, [b"slow"]);
}

#[test]
fn keys_are_shared_with_whoever_seals_while_the_session_goes() {
    let mut pair = Pair::connected();
    let reservation = pair.alice.conversation.reserve(pair.now, 1).unwrap();
    pair.alice.forget();
    assert_eq!(
        std::sync::Arc::strong_count(&reservation.keys),
        1,
        "the conversation let go of them"
    );
}

#[test]
fn a_lost_confirmation_is_made_up_for_by_the_next_packet() {
    let mut pair = Pair::new();
    pair.lose(Kind::Keepalive);
    pair.begin(Alice);
    pair.run_for(millis(100));
    pair.send(Bob, b"waits");
    pair.lose_nothing();
    pair.run_for(seconds(1));
    assert_eq!(pair.alice.delivered, [] as [Vec<u8>; 0]);
    pair.send(Alice, b"confirms");
    pair.run_for(SLACK);
    assert_eq!(pair.alice.delivered, [b"waits"]);
}
