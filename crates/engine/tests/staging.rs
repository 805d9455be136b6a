//! Packets that wait for a session: for as long as one may come, and no longer.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::Author;
use support::{LATENCY, Network, ipv4, secret};
use wirewright_engine::{Event, Limits, PeerConfig};
use wirewright_protocol::PublicKey;

/// Node 1 of a pair has answered an initiation, the answer is lost, and within the gate of 5 s a packet waits for
/// the session that was never confirmed.
fn stranded(shards: u8) -> Network {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    network.intercept();
    let packet = ipv4(network.nodes[0].inner, author.inner, b"who are you");
    network.send_packets(0, &[packet]);
    assert!(network.staged_bytes(0) > 0);
    assert_eq!(
        network.sent(0, 1),
        0,
        "within 5 s of a response nothing is initiated"
    );
    network
}

fn remove_private_key(network: &mut Network) {
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
}

with_one_and_four_shards! {
    fn packets_for_a_session_that_was_never_confirmed_go_with_its_keys(shards) {
        let mut network = stranded(shards);
        network.run(Duration::from_secs(600));
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
        assert!(network.nodes[0].engine.deadline().is_none());
    }

    fn packets_that_no_timer_would_ever_send_go_with_the_private_key(shards) {
        let mut network = stranded(shards);
        let at = network.moment();
        let node = &mut network.nodes[0];
        node.engine.set_private_key(at, Some(secret(41)), &mut node.output);
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
    }

    fn packets_that_wait_for_a_pending_handshake_survive_a_new_private_key(shards) {
        let mut network = Network::pair(shards);
        let mut lossy = true;
        network.filter = Box::new(move |_| !std::mem::take(&mut lossy));
        network.send(0, 1, b"patience");
        let at = network.moment();
        let node = &mut network.nodes[0];
        node.engine.set_private_key(at, Some(secret(41)), &mut node.output);
        node.key = secret(41).public();
        network.introduce(1, 0, false);
        network.run(Duration::from_secs(10));
        assert_eq!(network.payloads(1), [b"patience".to_vec()]);
    }

    fn packets_are_not_kept_without_a_private_key(shards) {
        let mut network = Network::pair(shards);
        remove_private_key(&mut network);
        network.send(0, 1, b"too early");
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.peer_counter(0, 1, Event::NoIdentity), 1);
        assert_eq!(network.peer_counter(0, 1, Event::StagedDropped), 1);
    }

    fn a_handshake_that_a_removed_key_ends_takes_its_packets_along(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"lost");
        remove_private_key(&mut network);
        network.run(Duration::from_secs(10));
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
        assert!(network.nodes[0].engine.deadline().is_none());
    }

    fn packets_for_a_key_of_low_order_are_not_kept(shards) {
        let mut network = Network::new(1, shards);
        let config = PeerConfig {
            endpoint: Some("192.0.2.200:51820".parse().unwrap()),
            allowed_ips: vec!["10.0.0.200/32".parse().unwrap()],
            ..PeerConfig::default()
        };
        network.configure(0, PublicKey::from_bytes([0; 32]), config);
        let packet = ipv4(network.nodes[0].inner, "10.0.0.200".parse().unwrap(), b"never");
        network.send_packets(0, &[packet]);
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
    }

    fn packets_that_wait_for_a_handshake_outlive_the_wiping_of_older_keys(shards) {
        let mut network = Network::connected(shards);
        // The session is derived within 20 ms of second 1000, and wiped 540 s later.
        network.run(Duration::from_secs(538));
        assert!(network.indices(0) > 0, "not yet");
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"late");
        network.run(Duration::from_millis(1500));
        assert_eq!(network.indices(0), 0, "wiped, and the pending handshake with it");
        network.filter = Box::new(|_| true);
        network.run(Duration::from_secs(5));
        assert_eq!(network.payloads(1), [b"late".to_vec()]);
    }

    fn what_waits_is_bounded_in_bytes_for_all_peers_together(shards) {
        let limits = Limits { staged_bytes: 10_000, ..Limits::default() };
        let mut network = Network::with_limits(3, shards, &limits);
        for other in [1, 2] {
            network.introduce(0, other, true);
        }
        for _ in 0..100 {
            network.send(0, 1, &[1; 1000]);
            network.send(0, 2, &[2; 1000]);
            let most = 10_000 * usize::from(shards);
            assert!(network.staged_bytes(0) <= most);
        }
        let dropped = network.counter(0, Event::StagedOverflow);
        let kept = network.staged_bytes(0) / 1020;
        assert_eq!(dropped as usize + kept, 200);
        assert_eq!(dropped, network.peer_counter(0, 1, Event::StagedOverflow) + network.peer_counter(0, 2, Event::StagedOverflow));
    }

    fn packets_outlive_the_counters_of_their_session(shards) {
        let mut network = Network::connected(shards);
        network.run(Duration::from_secs(5));
        let peer = network.nodes[1].key;
        network.nodes[0].engine.skip_counters(&peer, u64::MAX);
        network.send(0, 1, b"too late for the old session");
        assert_eq!(network.peer_counter(0, 1, Event::NonceExhausted), 1);
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(1), [b"too late for the old session".to_vec()]);
        assert_eq!(network.sent(0, 1), 2, "one handshake more");
    }

    fn a_peer_that_leaves_takes_along_what_waited_for_it(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"never mind");
        let (at, key) = (network.moment(), network.nodes[1].key);
        let node = &mut network.nodes[0];
        node.engine.remove_peer(at, &key, &mut node.output);
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
        assert!(network.nodes[0].engine.deadline().is_none());
    }

    fn what_waits_goes_to_whoever_has_the_address_by_then(shards) {
        let mut network = Network::new(3, shards);
        for other in [1, 2] {
            network.introduce(0, other, true);
            network.introduce(other, 0, false);
        }
        network.send(0, 1, b"for whom");
        let config = PeerConfig { allowed_ips: vec!["10.0.0.2/32".parse().unwrap()], ..PeerConfig::default() };
        network.configure(0, network.nodes[2].key, config);
        network.run(LATENCY * 3);
        assert!(network.payloads(1).is_empty());
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(2), [b"for whom".to_vec()]);
    }
}
