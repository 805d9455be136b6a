//! The timer table, row by row.

use wirewright_protocol::{Cause, Timeout};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

// Retransmit: armed by an initiation, 5 s and jitter.

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

// Passive keepalive: armed by data received, 10 s.

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
fn a_handshake_message_sent_takes_the_place_of_the_answer() {
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

// New handshake: armed by data sent, 15 s and jitter.

#[test]
fn data_unanswered_for_15_s_starts_a_handshake() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    pair.send(Alice, b"anybody there?");
    pair.run_for(seconds(17));
    let [(0, Kind::Data), (at, Kind::Initiation)] = pair.sent_by(Alice)[..] else {
        panic!("{:?}", pair.sent_by(Alice))
    };
    assert!((15_000..15_334).contains(&at), "{at} ms");
    assert_eq!(pair.timeouts_of(Alice), [(at, Timeout::NewHandshake)]);
}

#[test]
fn the_15_s_count_from_the_first_unanswered_packet() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    for _ in 0..14 {
        pair.send(Alice, b"anybody there?");
        pair.run_for(seconds(1));
    }
    pair.run_for(seconds(2));
    let times = pair.times_of(Alice, Kind::Initiation);
    assert!(matches!(times[..], [15_000..15_334]), "{times:?}");
}

#[test]
fn an_empty_packet_unanswered_starts_no_handshake() {
    let mut pair = Pair::connected();
    pair.lose_everything();
    pair.send_keepalive(Alice);
    pair.run_for(seconds(60));
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Keepalive)]);
}

#[test]
fn data_received_shows_that_the_session_lives() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"question");
    pair.run_for(seconds(9));
    pair.send(Bob, b"answer");
    pair.run_for(LATENCY);
    pair.lose_everything();
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Initiation), []);
}

#[test]
fn an_empty_packet_received_shows_that_the_session_lives() {
    let mut pair = Pair::connected();
    pair.send(Alice, b"data");
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Initiation), []);
}

#[test]
fn a_handshake_message_received_shows_that_the_peer_lives() {
    let mut pair = Pair::connected();
    pair.run_for(seconds(5));
    pair.mark();
    pair.lose(Kind::Data);
    pair.send(Alice, b"lost");
    pair.run_for(seconds(5));
    pair.begin(Bob);
    pair.run_for(seconds(60));
    assert_eq!(pair.times_of(Alice, Kind::Initiation), []);
}

#[test]
fn a_peer_that_lost_its_session_is_back_after_15_s() {
    let mut pair = Pair::connected();
    pair.bob.forget();
    pair.send(Alice, b"lost");
    pair.run_for(seconds(15) + SLACK);
    pair.send(Alice, b"found");
    pair.run_for(seconds(1));
    assert_eq!(pair.bob.delivered, [b"found"]);
}

// Zero keys: armed by each session derived, 540 s.

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

// Persistent keepalive: armed by anything authenticated in either direction.

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

// All of them.

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
