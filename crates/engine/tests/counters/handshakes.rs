//! Handshake messages that are refused, in vain or not made.

use std::time::Duration;

use wirewright_engine::{Endpoint, Event, Handover, Limits, Output, PeerConfig, PeerRef};
use wirewright_protocol::{Identity, Message, PublicKey, WallTime};

use super::{Seen, at_device, at_node_1, at_peer};
use crate::support::author::{Author, sign};
use crate::support::{Network, ipv4, secret};

/// A node under load, and a stranger.
fn under_load(shards: u8, limits: Limits) -> (Network, Author) {
    let network = Network::with_limits(
        1,
        shards,
        &Limits {
            under_load: 0,
            ..limits
        },
    );
    let author = Author::new(99, network.nodes[0].key);
    (network, author)
}

pub fn a_truncated_initiation(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, network.nodes[0].key);
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation[..147]);
    at_device(&network, event)
}

pub fn a_datagram_of_another_protocol(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    network.inject(0, "192.0.2.9:53".parse().unwrap(), &[0x55; 148]);
    at_device(&network, event)
}

pub fn a_message_for_another_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, secret(77).public());
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn an_initiation_without_mac2_under_load(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(shards, Limits::default());
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn an_initiation_that_no_cookie_is_left_for(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(
        shards,
        Limits {
            cookies_at_once: 0,
            ..Limits::default()
        },
    );
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    assert!(network.tap.is_empty());
    at_device(&network, event)
}

pub fn a_peer_under_load(event: Event, shards: u8) -> Seen {
    let mut network = Network::with_limits(
        2,
        shards,
        &Limits {
            under_load: 0,
            ..Limits::default()
        },
    );
    network.introduce(0, 1, true);
    network.introduce(1, 0, false);
    network.send(0, 1, b"eventually");
    network.run(Duration::from_secs(1));
    at_node_1(&network, event)
}

pub fn a_cookie_that_does_not_decrypt(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    network.send(0, 1, b"hello");
    let initiation = network.intercept().pop().unwrap();
    let mut reply = vec![0x99; 64];
    reply[..4].copy_from_slice(&3_u32.to_le_bytes());
    reply[4..8].copy_from_slice(&initiation.bytes[4..8]);
    network.inject(0, initiation.to, &reply);
    at_node_1(&network, event)
}

pub fn six_proven_initiations_from_one_address(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(shards, Limits::default());
    let initiation = author.initiation(network.moment());
    network.deliver(0, author.address, &[initiation]);
    author.hear(&network.intercept().pop().unwrap().bytes);
    let initiations: Vec<Vec<u8>> = (0..6).map(|_| author.initiation(network.moment())).collect();
    network.deliver(0, author.address, &initiations);
    at_device(&network, event)
}

pub fn two_initiations_for_a_queue_of_one(event: Event, shards: u8) -> Seen {
    let mut network = Network::with_limits(
        1,
        shards,
        &Limits {
            handshake_queue: 1,
            ..Limits::default()
        },
    );
    let mut author = Author::new(99, network.nodes[0].key);
    let initiations: Vec<Vec<u8>> = (0..2).map(|_| author.initiation(network.moment())).collect();
    network.deliver(0, author.address, &initiations);
    at_device(&network, event)
}

pub fn an_initiation_that_no_check_is_left_for(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(
        shards,
        Limits {
            checks_at_once: 0,
            ..Limits::default()
        },
    );
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn an_initiation_without_a_private_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
    let initiation = author.initiation(at);
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn an_initiation_with_a_flipped_bit(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let mut initiation = author.initiation(network.moment());
    initiation[50] ^= 1;
    sign(&mut initiation, &network.nodes[0].key);
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn an_initiation_of_a_stranger(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, network.nodes[0].key);
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

pub fn a_replayed_initiation(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let initiation = author.initiation(network.moment());
    for _ in 0..2 {
        network.inject(0, author.address, &initiation);
        network.run(Duration::from_secs(1));
    }
    at_peer(&network, event, &author.key)
}

pub fn two_initiations_at_once(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    for later in 0..2 {
        let mut at = network.moment();
        at.wall = WallTime {
            seconds: at.wall.seconds + later,
            ..at.wall
        };
        let initiation = author.initiation(at);
        network.inject(0, author.address, &initiation);
    }
    at_peer(&network, event, &author.key)
}

pub fn a_replayed_response(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    let response = network
        .tap
        .iter()
        .find(|datagram| datagram.bytes[0] == 2)
        .unwrap()
        .clone();
    network.inject(0, response.from, &response.bytes);
    at_node_1(&network, event)
}

pub fn another_preshared_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let psk = wirewright_protocol::PresharedKey::from_bytes([7; 32]);
    let config = PeerConfig {
        preshared_key: Some(psk),
        ..PeerConfig::default()
    };
    network.configure(0, network.nodes[1].key, config);
    network.send(0, 1, b"hello");
    network.run(Duration::from_secs(1));
    at_node_1(&network, event)
}

pub fn a_peer_key_of_low_order(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let key = PublicKey::from_bytes([0; 32]);
    let config = PeerConfig {
        endpoint: Some("192.0.2.200:51820".parse().unwrap()),
        allowed_ips: vec!["10.0.0.200/32".parse().unwrap()],
        ..PeerConfig::default()
    };
    network.configure(0, key, config);
    let packet = ipv4(network.nodes[0].inner, "10.0.0.200".parse().unwrap(), b"never");
    network.send_packets(0, &[packet]);
    at_peer(&network, event, &key)
}

pub fn a_silent_peer(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    network.filter = Box::new(|_| false);
    network.send(0, 1, b"lost");
    network.run(Duration::from_secs(200));
    at_node_1(&network, event)
}

pub fn an_initiation_handed_over_for_a_peer_that_is_gone(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let at = network.moment();
    let mut author = Author::new(99, network.nodes[0].key);
    let initiation = author.initiation(at);
    let Ok(Message::Initiation(initiation)) = Message::parse(&initiation) else {
        panic!("not an initiation")
    };
    let opened = Identity::new(secret(0)).open_initiation(initiation).unwrap();
    let gone = PeerRef {
        slot: 5,
        generation: 0,
        shard: shards - 1,
    };
    let (_, mut interface) = network.nodes.pop().unwrap().engine.into_parts();
    let home = interface.last_mut().unwrap();
    let handover = Handover::Initiation(Box::new(opened), Endpoint::new(author.address), gone, 0);
    home.take_over(at, handover, &mut Output::default());
    Seen {
        device: home.counters().get(event),
        peer: None,
    }
}

pub fn a_peers_initiation_with_a_forged_timestamp(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let mut initiation = author.initiation(network.moment());
    initiation[100] ^= 1;
    sign(&mut initiation, &network.nodes[0].key);
    network.inject(0, author.address, &initiation);
    at_peer(&network, event, &author.key)
}

pub fn a_cookie_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut reply = vec![0; 64];
    reply[0] = 3;
    network.inject(0, network.nodes[1].address, &reply);
    at_device(&network, event)
}

pub fn a_response_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut response = vec![0; 92];
    response[0] = 2;
    sign(&mut response, &network.nodes[0].key);
    network.inject(0, network.nodes[1].address, &response);
    at_device(&network, event)
}

pub fn a_handshake_with_a_peer_that_was_never_heard(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(2, shards);
    network.introduce(0, 1, false);
    let (at, key, node) = (network.moment(), network.nodes[1].key, &mut network.nodes[0]);
    node.engine.initiate(at, &key, &mut node.output);
    at_node_1(&network, event)
}
