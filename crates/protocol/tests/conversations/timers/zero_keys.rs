//! Zero keys: armed by each session derived, 540 s. And all timers together.

use wirewright_protocol::{Cause, Timeout};

use crate::pair::{Kind, Pair, Side, millis, seconds};
use Side::{Alice, Bob};

#[test]
fn keys_are_wiped_540_s_after_the_last_session_was_derived() {
    let mut pair = Pair::new();
    pair.begin(Alice);
    pair.run_for(seconds(539));
    for side in Side::BOTH {
        assert_eq!(pair.host(side).indices.len(), 1);
    }
    pair.run_for(seconds(2));
    assert_eq!(pair.timeouts_of(Alice), [(540_020, Timeout::ZeroKeys)]);
    assert_eq!(pair.timeouts_of(Bob), [(540_010, Timeout::ZeroKeys)]);
    for side in Side::BOTH {
        assert!(pair.host(side).indices.is_empty());
        assert_eq!(pair.host(side).conversation.deadline(), None);
    }
}

#[test]
fn a_newer_session_postpones_the_wiping() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(300));
    pair.begin(Alice);
    pair.run_for(seconds(500));
    assert!(!pair.alice.indices.is_empty());
    pair.run_for(seconds(60));
    assert_eq!(pair.timeouts_of(Alice), [(840_020, Timeout::ZeroKeys)]);
}

#[test]
fn an_unconfirmed_session_is_wiped_too() {
    let mut pair = Pair::new();
    pair.lose(Kind::Response);
    pair.begin(Alice);
    pair.run_for(millis(100));
    pair.lose_everything();
    pair.run_for(seconds(541));
    assert!(pair.bob.indices.is_empty());
}

#[test]
fn a_new_conversation_has_no_deadline() {
    let pair = Pair::new();
    assert_eq!(pair.alice.conversation.deadline(), None);
}

#[test]
fn timers_due_together_expire_in_the_order_of_their_deadlines() {
    let mut pair = Pair::connected();
    let now = pair.now;
    pair.lose_everything();
    pair.alice
        .conversation
        .set_persistent_keepalive(now, Some(seconds(400)));
    let (index, mut retired) = (*pair.alice.indices.first().unwrap(), Vec::new());
    pair.alice
        .received(now, index, wirewright_protocol::Received::Data);
    pair.send(Alice, b"data");
    pair.alice
        .received(now + seconds(1), index, wirewright_protocol::Received::Data);
    pair.send(Alice, b"data");
    pair.alice.initiate(now + seconds(9), Cause::Fresh).unwrap();

    let late = now + seconds(1000);
    assert_eq!(
        pair.alice
            .conversation
            .expire(now, &mut pair.alice.rng, &mut retired),
        None
    );
    let mut order = Vec::new();
    while let Some(timeout) = pair
        .alice
        .conversation
        .expire(late, &mut pair.alice.rng, &mut retired)
    {
        order.push(timeout);
    }
    let expected = [
        Timeout::RetryHandshake,
        Timeout::NewHandshake,
        Timeout::PersistentKeepalive,
        Timeout::ZeroKeys,
    ];
    assert_eq!(order, expected);
    assert_eq!(retired.len(), 2, "the session's index and the handshake's");
}

#[test]
fn forgotten_keys_are_not_wiped_again() {
    let mut pair = Pair::connected();
    pair.alice.forget();
    assert_eq!(pair.alice.conversation.deadline(), None);
}
