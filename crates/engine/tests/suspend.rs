//! A machine that was suspended has no keys any more, and gets new ones as soon as they are wanted.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::Author;
use support::{LATENCY, Network, ipv4};
use wirewright_engine::{Event, PeerConfig};

const SECOND: Duration = Duration::from_secs(1);

/// Node 0 sleeps for a time in which the others go on.
fn suspend(network: &mut Network, span: Duration) {
    network.now += span;
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.suspended(at, &mut node.output);
    network.carry();
}

/// Two nodes with a session in which all is said and answered.
fn idle(shards: u8) -> Network {
    let mut network = Network::connected(shards);
    network.run(SECOND * 30);
    network
}

with_one_and_four_shards! {
    fn no_session_outlives_a_suspend(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..8).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        assert_eq!(network.indices(0), authors.len());
        suspend(&mut network, SECOND);
        assert_eq!(network.indices(0), 0);
        for author in &mut authors {
            assert!(!network.status(0, &author.key).has_session);
            let late = author.seal(&[]);
            network.inject(0, author.address, &late);
        }
        assert_eq!(network.counter(0, Event::NoSession), authors.len() as u64);
    }

    fn the_next_packet_after_a_suspend_brings_a_new_session_at_once(shards) {
        let mut network = Network::connected(shards);
        // Within the 5 s in which no second initiation is sent otherwise.
        suspend(&mut network, SECOND);
        network.send(0, 1, b"awake");
        network.run(SECOND);
        assert_eq!(network.payloads(1), [b"awake".to_vec()]);
        assert_eq!(network.sent(0, 1), 2);
    }

    fn a_peer_is_still_known_to_be_where_it_was(shards) {
        let mut network = Network::connected(shards);
        let before = network.status(0, &network.nodes[1].key);
        suspend(&mut network, SECOND * 3600);
        let after = network.status(0, &network.nodes[1].key);
        assert_eq!((after.endpoint, after.last_handshake), (before.endpoint, before.last_handshake));
        assert_eq!((after.received_bytes, after.sent_bytes), (before.received_bytes, before.sent_bytes));
    }

    fn a_pending_handshake_does_not_outlive_a_suspend(shards) {
        let mut network = Network::pair(shards);
        let (at, peer) = (network.moment(), network.nodes[1].key);
        let node = &mut network.nodes[0];
        node.engine.initiate(at, &peer, &mut node.output);
        network.run(LATENCY);
        let response = network.intercept().pop().unwrap();
        assert_eq!(response.bytes[0], 2);
        suspend(&mut network, SECOND);
        assert_eq!(network.indices(0), 0);
        network.inject(0, response.from, &response.bytes);
        assert!(!network.status(0, &peer).has_session);
        assert_eq!(network.counter(0, Event::ResponseUnexpected), 1);
    }

    fn packets_that_wait_are_sent_under_the_next_session(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"before");
        network.filter = Box::new(|_| true);
        suspend(&mut network, SECOND);
        assert!(network.staged_bytes(0) > 0);
        assert_eq!(network.sent(0, 1), 2, "an initiation at once");
        network.run(SECOND);
        assert_eq!(network.payloads(1), [b"before".to_vec()]);
        assert_eq!(network.staged_bytes(0), 0);
    }

    fn packets_that_wait_without_a_timer_of_their_own_are_not_dropped(shards) {
        // A response was sent just now, so that the handshake these packets want may not begin yet.
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(network.moment());
        network.inject(0, author.address, &initiation);
        let packet = ipv4(network.nodes[0].inner, author.inner, b"patient");
        network.send_packets(0, &[packet]);
        assert_eq!(network.sent(0, 1), 0);
        suspend(&mut network, SECOND);
        assert_eq!(network.counter(0, Event::StagedDropped), 0);
        assert_eq!(network.sent(0, 1), 1);
    }

    fn an_initiation_from_before_is_still_a_replay(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(network.moment());
        network.inject(0, author.address, &initiation);
        suspend(&mut network, SECOND * 60);
        network.inject(0, author.address, &initiation);
        assert_eq!(network.status(0, &author.key).counters.get(Event::TimestampReplay), 1);
        assert_eq!(network.sent(0, 2), 1);
    }

    fn persistent_keepalive_goes_on_and_brings_the_session_back(shards) {
        let mut network = idle(shards);
        let keepalive = PeerConfig {
            persistent_keepalive: Some(Some(SECOND * 25)),
            ..PeerConfig::default()
        };
        let peer = network.nodes[1].key;
        network.configure(0, peer, keepalive);
        network.run(SECOND);
        suspend(&mut network, SECOND * 20);
        network.run(SECOND * 3);
        assert!(!network.status(0, &peer).has_session, "nobody wanted one yet");
        network.run(SECOND * 2);
        assert!(network.status(0, &peer).has_session);
        assert_eq!(network.status(0, &peer).persistent_keepalive, Some(SECOND * 25));
    }

    fn a_peer_that_nobody_wants_is_left_in_peace(shards) {
        let mut network = idle(shards);
        suspend(&mut network, SECOND);
        let before = network.tap.len();
        network.run(SECOND * 3600);
        let mine = network.tap[before..].iter().filter(|datagram| datagram.from == network.nodes[0].address);
        assert_eq!(mine.count(), 0);
    }
}
