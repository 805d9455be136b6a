//! An interface that was set down is silent, and begins anew when it is up.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::Network;
use wirewright_engine::{Event, PeerConfig};

const SECOND: Duration = Duration::from_secs(1);

fn keepalive(network: &mut Network) {
    let keepalive = PeerConfig {
        persistent_keepalive: Some(Some(SECOND * 25)),
        ..PeerConfig::default()
    };
    let peer = network.nodes[1].key;
    network.configure(0, peer, keepalive);
}

with_one_and_four_shards! {
    fn an_interface_that_was_set_down_has_no_session_and_no_timer(shards) {
        let mut network = Network::connected(shards);
        keepalive(&mut network);
        network.run(SECOND);
        network.nodes[0].engine.stop();
        let status = network.status(0, &network.nodes[1].key);
        assert!(!status.has_session);
        assert_eq!(status.persistent_keepalive, Some(SECOND * 25));
        assert_eq!(network.indices(0), 0);
        assert_eq!(network.nodes[0].engine.deadline(), None);
    }

    fn packets_that_wait_are_dropped_and_counted_when_the_interface_is_set_down(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"before");
        assert!(network.staged_bytes(0) > 0);
        network.nodes[0].engine.stop();
        assert_eq!(network.staged_bytes(0), 0);
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
        assert_eq!(network.nodes[0].engine.deadline(), None);
    }

    fn set_up_again_it_speaks_at_once_where_a_keepalive_is_persistent(shards) {
        let mut network = Network::connected(shards);
        keepalive(&mut network);
        network.run(SECOND);
        network.nodes[0].engine.stop();
        let at = network.moment();
        network.nodes[0].engine.resume(at);
        network.run(SECOND);
        assert!(network.status(0, &network.nodes[1].key).has_session);
    }

    fn set_up_again_it_leaves_others_in_peace_until_there_is_a_packet(shards) {
        let mut network = Network::connected(shards);
        network.nodes[0].engine.stop();
        let at = network.moment();
        network.nodes[0].engine.resume(at);
        assert_eq!(network.nodes[0].engine.deadline(), None);
        network.send(0, 1, b"again");
        network.run(SECOND);
        assert_eq!(network.payloads(1), [b"again".to_vec()]);
    }
}
