//! Many peers and few again: what they took comes back, whoever stays.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Network, ipv4};
use wirewright_engine::PeerConfig;
use wirewright_protocol::PublicKey;

const MANY: u32 = 20_000;

fn key(number: u32) -> PublicKey {
    let mut key = [0x11; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    PublicKey::from_bytes(key)
}

fn add(network: &mut Network, number: u32) {
    let [_, high, middle, low] = number.to_be_bytes();
    let config = PeerConfig {
        endpoint: Some("192.0.2.200:51820".parse().unwrap()),
        allowed_ips: vec![format!("10.{}.{middle}.{low}/32", 100 + high).parse().unwrap()],
        // So that each has a deadline.
        persistent_keepalive: Some(Some(Duration::from_secs(1000))),
        ..PeerConfig::default()
    };
    network.configure(0, key(number), config);
}

fn remove(network: &mut Network, number: u32) {
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    assert!(node.engine.remove_peer(at, &key(number), &mut node.output));
}

/// Node 0 once it has `MANY` peers, and how much memory its tables take then.
fn grown(shards: u8) -> (Network, usize) {
    let mut network = Network::new(1, shards);
    for number in 0..MANY {
        add(&mut network, number);
    }
    let most = network.nodes[0].engine.allocated();
    assert!(most > MANY as usize * 100, "{most} bytes are not all");
    (network, most)
}

with_one_and_four_shards! {
    fn memory_returns_whichever_peer_stays(shards) {
        for stays in [0, MANY / 2, MANY - 1] {
            let (mut network, most) = grown(shards);
            for number in (0..MANY).filter(|number| *number != stays) {
                remove(&mut network, number);
            }
            // The copy of the directory that is not in use catches up with the next change.
            add(&mut network, MANY);
            remove(&mut network, MANY);
            let now = network.nodes[0].engine.allocated();
            assert!(now * 30 < most, "{now} of {most} bytes are left with peer {stays}");
            assert_eq!(network.nodes[0].engine.statuses(network.moment().now).count(), 1);
            assert!(network.status(0, &key(stays)).endpoint.is_some());
        }
    }

    fn whoever_comes_takes_the_place_of_those_who_went(shards) {
        let (mut network, most) = grown(shards);
        for round in 1..4 {
            for number in 0..MANY {
                remove(&mut network, number + (round - 1) * MANY);
                add(&mut network, number + round * MANY);
            }
            let now = network.nodes[0].engine.allocated();
            assert!(now < most + most / 4, "{now} bytes, {most} before");
        }
    }

    fn an_interface_without_peers_holds_next_to_nothing(shards) {
        let (mut network, _) = grown(shards);
        for number in (0..MANY).rev() {
            remove(&mut network, number);
        }
        add(&mut network, 0);
        remove(&mut network, 0);
        assert!(network.nodes[0].engine.allocated() < 16_384, "{} bytes", network.nodes[0].engine.allocated());
        assert_eq!(network.nodes[0].engine.deadline(), None);
        let packet = ipv4(network.nodes[0].inner, [10, 100, 0, 0].into(), b"anyone");
        network.send_packets(0, &[packet]);
        assert!(network.tap.iter().all(|datagram| datagram.bytes[0] == 1));
    }
}
