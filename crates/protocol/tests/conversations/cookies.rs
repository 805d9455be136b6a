//! Cookies between two hosts; what makes a cookie valid is tested where they are made.

use wirewright_protocol::{Cause, HandshakeError, Message};

use crate::pair::{Kind, LATENCY, Pair, SLACK, Side, millis, seconds};
use Side::{Alice, Bob};

fn mac2(datagram: &[u8]) -> &[u8] {
    &datagram[datagram.len() - 16..]
}

#[test]
fn a_responder_under_load_answers_with_a_cookie_and_takes_the_repetition() {
    let mut pair = Pair::new();
    pair.bob.under_load = true;
    pair.send(Alice, b"hello");
    pair.run_for(seconds(5) + SLACK);
    assert_eq!(pair.sent_by(Bob)[0], (10, Kind::Cookie));
    let initiations = pair.datagrams(Alice, Kind::Initiation);
    assert_eq!(
        initiations.len(),
        2,
        "a cookie does not make the repetition come earlier"
    );
    assert_eq!(mac2(&initiations[0]), [0; 16]);
    assert_ne!(mac2(&initiations[1]), [0; 16]);
    assert_eq!(pair.bob.delivered, [b"hello"]);
}

#[test]
fn an_initiator_under_load_protects_itself_from_responses_in_the_same_way() {
    let mut pair = Pair::new();
    pair.alice.under_load = true;
    pair.send(Alice, b"hello");
    pair.run_for(millis(100));
    assert_eq!(pair.sent_by(Alice), [(0, Kind::Initiation), (20, Kind::Cookie)]);
    assert!(pair.alice.conversation.sending_session(pair.now).is_none());
    pair.run_for(seconds(5) + SLACK);
    let responses = pair.datagrams(Bob, Kind::Response);
    assert_eq!(mac2(&responses[0]), [0; 16]);
    assert_ne!(mac2(&responses[1]), [0; 16]);
    assert_eq!(pair.bob.delivered, [b"hello"]);
}

#[test]
fn a_cookie_reply_is_neither_traffic_nor_progress() {
    let mut pair = Pair::new();
    pair.lose_everything();
    pair.begin(Alice);
    let (deadline, index) = (
        pair.alice.conversation.deadline(),
        pair.alice.conversation.handshake_index(),
    );
    pair.bob.under_load = true;
    let initiation = pair.datagrams(Alice, Kind::Initiation).remove(0);
    pair.inject(Bob, &initiation);
    let reply = pair.datagrams(Bob, Kind::Cookie).remove(0);
    pair.inject(Alice, &reply);
    assert_eq!(pair.alice.errors, []);
    assert_eq!(pair.alice.conversation.deadline(), deadline);
    assert_eq!(pair.alice.conversation.handshake_index(), index);
    assert!(!pair.alice.conversation.may_initiate(pair.now));
}

#[test]
fn a_cookie_reply_to_an_earlier_initiation_is_refused() {
    let mut pair = Pair::new();
    let first = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let source = "192.0.2.1:51820".parse().unwrap();
    let reply = pair
        .bob
        .cookies
        .reply(pair.now, &mut pair.bob.rng, first.as_bytes(), source)
        .unwrap();
    pair.alice.initiate(pair.now + seconds(5), Cause::Retry).unwrap();
    assert_eq!(
        pair.alice.conversation.accept_cookie(pair.now, &reply),
        Err(HandshakeError::Forged)
    );
}

#[test]
fn a_tampered_cookie_reply_is_refused_and_the_genuine_one_still_accepted() {
    let mut pair = Pair::new();
    let message = pair.alice.initiate(pair.now, Cause::Fresh).unwrap();
    let source = "192.0.2.1:51820".parse().unwrap();
    let reply = pair
        .bob
        .cookies
        .reply(pair.now, &mut pair.bob.rng, message.as_bytes(), source)
        .unwrap();
    for index in 8..64 {
        let mut bytes = reply.as_bytes().to_vec();
        bytes[index] ^= 1;
        let Ok(Message::CookieReply(tampered)) = Message::parse(&bytes) else {
            panic!("not a cookie reply")
        };
        assert_eq!(
            pair.alice.conversation.accept_cookie(pair.now, tampered),
            Err(HandshakeError::Forged)
        );
    }
    assert_eq!(pair.alice.conversation.accept_cookie(pair.now, &reply), Ok(()));
}

#[test]
fn a_cookie_serves_several_handshakes_until_it_is_115_s_old() {
    let mut pair = Pair::new();
    pair.bob.under_load = true;
    pair.begin(Alice);
    pair.run_for(LATENCY + LATENCY);
    let received = pair.now;
    pair.bob.under_load = false;
    pair.run_for(seconds(114));
    pair.mark();
    pair.begin(Alice);
    pair.run_for(seconds(5));
    pair.begin(Alice);
    let initiations = pair.datagrams(Alice, Kind::Initiation);
    assert!((seconds(115)..seconds(120)).contains(&pair.now.saturating_since(received)));
    assert_ne!(mac2(&initiations[0]), [0; 16]);
    assert_eq!(mac2(&initiations[1]), [0; 16]);
}
