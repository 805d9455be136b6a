//! Retransmission: armed by an initiation, 5 s and jitter; disarmed by a complete handshake.

use wirewright_protocol::{Cause, Timeout};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

#[test]
fn an_unanswered_initiation_is_repeated_after_5_s_and_less_than_a_third() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.send(Alice, b"hello");
    pair.run_for(seconds(60));
    let times = pair.times_of(Alice, Kind::Initiation);
    assert_eq!(times.len(), 12);
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (5000..=5334).contains(gap)), "{gaps:?}");
    assert!(
        gaps.iter().any(|gap| *gap != gaps[0]),
        "there is jitter: {gaps:?}"
    );
}

#[test]
fn each_repetition_has_a_new_ephemeral_key_and_a_new_index() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.send(Alice, b"hello");
    pair.run_for(seconds(5) + SLACK);
    let initiations = pair.datagrams(Alice, Kind::Initiation);
    assert_eq!(initiations.len(), 2);
    assert_ne!(initiations[0][4..8], initiations[1][4..8]);
    assert_ne!(initiations[0][8..40], initiations[1][8..40]);
    assert_eq!(pair.alice.indices.len(), 1, "the first index is retired");
}

#[test]
fn after_20_initiations_the_handshake_is_given_up() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.send(Alice, b"hello");
    pair.run_for(seconds(300));
    assert_eq!(pair.times_of(Alice, Kind::Initiation).len(), 20);
    let timeouts = pair.timeouts_of(Alice);
    assert_eq!(timeouts.len(), 20);
    assert!(
        timeouts[..19]
            .iter()
            .all(|timeout| timeout.1 == Timeout::RetryHandshake)
    );
    assert_eq!(timeouts[19].1, Timeout::GiveUp);
    assert!(
        (100_000..106_700).contains(&timeouts[19].0),
        "{} ms",
        timeouts[19].0
    );
    assert!(pair.alice.staged.is_empty());
}

#[test]
fn giving_up_arms_the_wiping_of_keys() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.send(Alice, b"hello");
    pair.run_for(seconds(1000));
    let timeouts = pair.timeouts_of(Alice);
    let [(gave_up, Timeout::GiveUp), (wiped, Timeout::ZeroKeys)] = timeouts[timeouts.len() - 2..] else {
        panic!("{timeouts:?}")
    };
    assert_eq!(wiped - gave_up, 540_000);
    assert!(pair.alice.indices.is_empty());
    assert_eq!(pair.alice.conversation.deadline(), None);
}

#[test]
fn giving_up_leaves_an_earlier_wiping_of_keys_as_it_is() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    pair.run_for(seconds(4));
    pair.begin(Alice);
    pair.run_for(seconds(600));
    let wiped: Vec<u64> = pair
        .timeouts_of(Alice)
        .iter()
        .filter(|timeout| timeout.1 == Timeout::ZeroKeys)
        .map(|t| t.0)
        .collect();
    // The session was derived 20 ms into the second before the mark.
    assert_eq!(wiped, [540_000 - 980]);
}

#[test]
fn giving_up_disarms_the_keepalive() {
    let mut pair = Pair::connected();
    pair.network = Box::new(|datagram| {
        if datagram.from == Alice {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    pair.run_for(seconds(10));
    pair.begin(Alice);
    while pair.times_of(Alice, Kind::Initiation).len() < 20 {
        pair.run_for(millis(100));
    }
    pair.send(Bob, b"arms alice's keepalive");
    pair.run_for(seconds(30));
    assert!(
        pair.timeouts_of(Alice)
            .iter()
            .any(|timeout| timeout.1 == Timeout::GiveUp)
    );
    assert!(!pair.alice.delivered.is_empty());
    assert!(
        !pair
            .timeouts_of(Alice)
            .iter()
            .any(|timeout| timeout.1 == Timeout::Keepalive)
    );
}

#[test]
fn a_completed_handshake_is_not_repeated() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(100));
    assert_eq!(pair.timeouts_of(Alice), []);
    assert_eq!(pair.sent_by(Alice), []);
}

#[test]
fn a_responders_own_retransmission_ends_when_its_session_is_confirmed() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Bob);
    pair.run_for(seconds(3));
    pair.lose_nothing();
    pair.begin(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Bob, Kind::Initiation), [0]);
}

#[test]
fn a_fresh_initiation_counts_its_attempts_anew() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Alice);
    pair.run_for(seconds(50));
    let retries = pair.times_of(Alice, Kind::Initiation).len();
    // Just as the gate opens, and before the jittered timer.
    while !pair.alice.conversation.may_initiate(pair.now) {
        pair.run_for(millis(1));
    }
    assert_eq!(
        pair.times_of(Alice, Kind::Initiation).len(),
        retries,
        "the seed gives a jitter above 1 ms"
    );
    pair.mark();
    pair.begin(Alice);
    pair.run_for(seconds(300));
    assert_eq!(pair.times_of(Alice, Kind::Initiation).len(), 20);
}

#[test]
fn a_fresh_request_within_the_gate_counts_attempts_anew() {
    // Every 3 s, so that the gate is closed for each packet, or the initiation sent is a retry.
    let mut pair = Pair::new();
    pair.lose_everything();
    for _ in 0..100 {
        pair.send(Alice, b"is anybody there?");
        pair.run_for(seconds(3));
    }
    assert!(
        !pair
            .timeouts_of(Alice)
            .iter()
            .any(|timeout| timeout.1 == Timeout::GiveUp)
    );
    assert!(pair.times_of(Alice, Kind::Initiation).len() >= 300 * 3 / 16);
    // Once nobody asks any more, the attempts are used up.
    pair.run_for(seconds(300));
    assert_eq!(pair.timeouts_of(Alice).last().unwrap().1, Timeout::GiveUp);
}

#[test]
fn a_retry_does_not_count_its_attempts_anew() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Alice);
    pair.run_for(seconds(50));
    while !pair.alice.conversation.may_initiate(pair.now) {
        pair.run_for(millis(1));
    }
    pair.alice.initiate(pair.now, Cause::Retry).unwrap();
    let before = pair.times_of(Alice, Kind::Initiation).len();
    pair.run_for(seconds(300));
    assert_eq!(
        pair.times_of(Alice, Kind::Initiation).len(),
        20,
        "{before} of them before"
    );
}

#[test]
fn a_retransmission_due_within_the_gate_waits_for_it_uncounted() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Bob);
    pair.run_for(seconds(3));
    // Bob answers at 3 s, and nobody confirms.
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    pair.alice.forget();
    pair.inject(Bob, message.as_bytes());
    pair.run_for(seconds(5) + SLACK);
    let times = pair.times_of(Bob, Kind::Initiation);
    assert_eq!(times.len(), 2);
    assert!((8000..8334).contains(&times[1]), "{times:?}");
    pair.run_for(seconds(300));
    assert_eq!(pair.times_of(Bob, Kind::Initiation).len(), 20);
}

#[test]
fn a_completed_handshake_counts_attempts_anew_even_for_a_retry() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Alice);
    pair.run_for(seconds(50));
    pair.lose_nothing();
    pair.run_for(seconds(10));
    assert!(pair.can_send(Alice));
    pair.lose_everything();
    pair.mark();
    pair.alice.initiate(pair.now, Cause::Retry).unwrap();
    pair.run_for(seconds(300));
    let retries = pair
        .timeouts_of(Alice)
        .iter()
        .filter(|timeout| timeout.1 == Timeout::RetryHandshake)
        .count();
    assert_eq!(retries, 19);
}
