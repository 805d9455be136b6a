//! Every event has a scenario that provokes it exactly once, and is counted where it belongs.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::{Author, sign};
use support::{MTU, Network, ipv4, secret};
use wirewright_engine::{Batch, Endpoint, Event, Handover, Limits, Output, PeerConfig, PeerRef};
use wirewright_protocol::{Identity, Message, PublicKey, WallTime};

/// How often an event was counted by node 0 as a whole, and for the peer if that is known.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    peer: Option<u64>,
}

const DEVICE: Seen = Seen {
    device: 1,
    peer: None,
};
const PEER: Seen = Seen {
    device: 1,
    peer: Some(1),
};

/// Provokes an event once at node 0, which has this number of shards.
type Provoke = fn(Event, u8) -> Seen;

/// What provokes an event, and who can be told of it. Without a wildcard: a new event does not
/// compile before it has a scenario.
fn scenario(event: Event) -> (Provoke, Seen) {
    match event {
        Event::BadLength => (a_truncated_initiation, DEVICE),
        Event::BadType => (a_datagram_of_another_protocol, DEVICE),
        Event::BadMac1 => (a_message_for_another_key, DEVICE),
        Event::MissingMac2 | Event::CookieSent => (an_initiation_without_mac2_under_load, DEVICE),
        Event::CookieWithheld => (an_initiation_that_no_cookie_is_left_for, DEVICE),
        Event::CookieReceived => (a_peer_under_load, PEER),
        Event::BadCookie => (a_cookie_that_does_not_decrypt, PEER),
        Event::RateLimited => (six_proven_initiations_from_one_address, DEVICE),
        Event::HandshakeQueueFull => (two_initiations_for_a_queue_of_one, DEVICE),
        Event::HandshakeUnread => (an_initiation_that_no_check_is_left_for, DEVICE),
        Event::NoIdentity => (an_initiation_without_a_private_key, DEVICE),
        Event::InitiationInvalid => (an_initiation_with_a_flipped_bit, DEVICE),
        Event::UnknownPeer => (an_initiation_of_a_stranger, DEVICE),
        Event::TimestampReplay => (a_replayed_initiation, PEER),
        Event::InitiationFlood => (two_initiations_at_once, PEER),
        Event::ResponseUnexpected => (a_replayed_response, PEER),
        Event::ResponseInvalid => (another_preshared_key, PEER),
        Event::HandshakeImpossible => (a_peer_key_of_low_order, PEER),
        Event::HandshakeGaveUp | Event::StagedDropped => (a_silent_peer, PEER),
        Event::NoSession => (data_for_an_index_that_nobody_has, DEVICE),
        Event::SessionExpired => (data_that_came_three_minutes_late, PEER),
        Event::AuthenticationFailed => (data_with_a_flipped_bit, PEER),
        Event::ReplayOld => (data_from_behind_the_window, PEER),
        Event::ReplayDuplicate => (data_that_came_twice, PEER),
        Event::InnerVersion => (|event, shards| sealed(event, shards, &[0x50; 32]), PEER),
        Event::InnerLength => (|event, shards| sealed(event, shards, &[0x45; 16]), PEER),
        Event::SourceNotAllowed => (an_inner_source_of_somebody_else, PEER),
        Event::MalformedPacket => (|event, shards| sent(event, shards, &[0x45; 19]), DEVICE),
        Event::NoPeer => (a_packet_to_nobody, DEVICE),
        Event::NoEndpoint => (a_packet_to_a_peer_that_was_never_heard, PEER),
        Event::StagedOverflow => (one_packet_more_than_may_wait, PEER),
        Event::Oversize => (a_waiting_packet_longer_than_the_mtu, PEER),
        Event::JobsFull => (a_packet_when_no_job_may_be_out, DEVICE),
        Event::HandoverStale => (an_initiation_handed_over_for_a_peer_that_is_gone, DEVICE),
        Event::ReceiveError => (what_only_the_shell_sees, DEVICE),
        Event::NonceExhausted => (a_packet_for_a_session_without_counters, PEER),
        Event::SendError
        | Event::SendTooLong
        | Event::SendUnreachable
        | Event::SendForbidden
        | Event::SendNoRoom => (an_initiation_that_the_system_refused, PEER),
    }
}

/// Events that can be blamed on a peer or on nobody, in the other way than in [`scenario`].
const OTHERWISE: [(Event, Provoke, Seen); 6] = [
    (Event::NoIdentity, a_packet_to_a_peer_without_a_private_key, PEER),
    (
        Event::InitiationInvalid,
        a_peers_initiation_with_a_forged_timestamp,
        PEER,
    ),
    (Event::BadCookie, a_cookie_for_an_index_that_nobody_has, DEVICE),
    (
        Event::ResponseUnexpected,
        a_response_for_an_index_that_nobody_has,
        DEVICE,
    ),
    (Event::JobsFull, a_datagram_when_no_job_may_be_out, DEVICE),
    (
        Event::NoEndpoint,
        a_handshake_with_a_peer_that_was_never_heard,
        PEER,
    ),
];

with_one_and_four_shards! {
    fn every_event_is_counted_once_and_in_its_place(shards) {
        for event in Event::ALL {
            let (provoke, expected) = scenario(*event);
            assert_eq!(provoke(*event, shards), expected, "{}", event.name());
        }
        for (event, provoke, expected) in OTHERWISE {
            assert_eq!(provoke(event, shards), expected, "{} in another place", event.name());
        }
    }

    fn peers_and_device_agree_about_what_peers_did(shards) {
        let mut network = Network::new(1, shards);
        let mut authors: Vec<Author> = (0..4).map(|number| Author::connected(&mut network, 0, 90 + number)).collect();
        for (count, author) in (1..).zip(&mut authors) {
            for _ in 0..count {
                let mut data = author.seal(&[]);
                data[20] ^= 1;
                network.inject(0, author.address, &data);
            }
        }
        for (count, author) in (1..).zip(&authors) {
            assert_eq!(network.status(0, &author.key).counters.get(Event::AuthenticationFailed), count);
        }
        assert_eq!(network.counter(0, Event::AuthenticationFailed), 1 + 2 + 3 + 4);
    }
}

fn at_device(network: &Network, event: Event) -> Seen {
    Seen {
        device: network.counter(0, event),
        peer: None,
    }
}

fn at_peer(network: &Network, event: Event, peer: &PublicKey) -> Seen {
    Seen {
        device: network.counter(0, event),
        peer: Some(network.status(0, peer).counters.get(event)),
    }
}

fn at_node_1(network: &Network, event: Event) -> Seen {
    at_peer(network, event, &network.nodes[1].key)
}

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

fn a_truncated_initiation(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, network.nodes[0].key);
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation[..147]);
    at_device(&network, event)
}

fn a_datagram_of_another_protocol(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    network.inject(0, "192.0.2.9:53".parse().unwrap(), &[0x55; 148]);
    at_device(&network, event)
}

fn a_message_for_another_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, secret(77).public());
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

fn an_initiation_without_mac2_under_load(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(shards, Limits::default());
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

fn an_initiation_that_no_cookie_is_left_for(event: Event, shards: u8) -> Seen {
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

fn a_peer_under_load(event: Event, shards: u8) -> Seen {
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

fn a_cookie_that_does_not_decrypt(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    network.send(0, 1, b"hello");
    let initiation = network.intercept().pop().unwrap();
    let mut reply = vec![0x99; 64];
    reply[..4].copy_from_slice(&3_u32.to_le_bytes());
    reply[4..8].copy_from_slice(&initiation.bytes[4..8]);
    network.inject(0, initiation.to, &reply);
    at_node_1(&network, event)
}

fn six_proven_initiations_from_one_address(event: Event, shards: u8) -> Seen {
    let (mut network, mut author) = under_load(shards, Limits::default());
    let initiation = author.initiation(network.moment());
    network.deliver(0, author.address, &[initiation]);
    author.hear(&network.intercept().pop().unwrap().bytes);
    let initiations: Vec<Vec<u8>> = (0..6).map(|_| author.initiation(network.moment())).collect();
    network.deliver(0, author.address, &initiations);
    at_device(&network, event)
}

fn two_initiations_for_a_queue_of_one(event: Event, shards: u8) -> Seen {
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

fn an_initiation_that_no_check_is_left_for(event: Event, shards: u8) -> Seen {
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

fn an_initiation_without_a_private_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
    let initiation = author.initiation(at);
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

fn an_initiation_with_a_flipped_bit(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let mut initiation = author.initiation(network.moment());
    initiation[50] ^= 1;
    sign(&mut initiation, &network.nodes[0].key);
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

fn an_initiation_of_a_stranger(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::new(99, network.nodes[0].key);
    let initiation = author.initiation(network.moment());
    network.inject(0, author.address, &initiation);
    at_device(&network, event)
}

fn a_replayed_initiation(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let initiation = author.initiation(network.moment());
    for _ in 0..2 {
        network.inject(0, author.address, &initiation);
        network.run(Duration::from_secs(1));
    }
    at_peer(&network, event, &author.key)
}

fn two_initiations_at_once(event: Event, shards: u8) -> Seen {
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

fn a_replayed_response(event: Event, shards: u8) -> Seen {
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

fn another_preshared_key(event: Event, shards: u8) -> Seen {
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

fn a_peer_key_of_low_order(event: Event, shards: u8) -> Seen {
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

fn a_silent_peer(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    network.filter = Box::new(|_| false);
    network.send(0, 1, b"lost");
    network.run(Duration::from_secs(200));
    at_node_1(&network, event)
}

fn data_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut data = vec![0; 32];
    data[0] = 4;
    network.inject(0, "192.0.2.9:51820".parse().unwrap(), &data);
    at_device(&network, event)
}

fn data_that_came_three_minutes_late(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"slow");
    let data = network.intercept().pop().unwrap();
    network.now += Duration::from_secs(180);
    network.inject(0, data.from, &data.bytes);
    at_node_1(&network, event)
}

fn data_with_a_flipped_bit(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"torn");
    let mut data = network.intercept().pop().unwrap();
    data.bytes[20] ^= 1;
    network.inject(0, data.from, &data.bytes);
    at_node_1(&network, event)
}

fn data_from_behind_the_window(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::connected(&mut network, 0, 99);
    let late = author.seal(&[]);
    author.skip(8128);
    let newest = author.seal(&[]);
    network.inject(0, author.address, &newest);
    network.inject(0, author.address, &late);
    at_peer(&network, event, &author.key)
}

fn data_that_came_twice(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(1, 0, b"once");
    let data = network.intercept().pop().unwrap();
    for _ in 0..2 {
        network.inject(0, data.from, &data.bytes);
    }
    at_node_1(&network, event)
}

fn sealed(event: Event, shards: u8, text: &[u8]) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::connected(&mut network, 0, 99);
    let data = author.seal(text);
    network.inject(0, author.address, &data);
    assert!(network.nodes[0].inbox.is_empty());
    at_peer(&network, event, &author.key)
}

fn an_inner_source_of_somebody_else(event: Event, shards: u8) -> Seen {
    let packet = ipv4(
        "10.0.0.77".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        b"spoofed",
    );
    sealed(event, shards, &packet)
}

fn sent(event: Event, shards: u8, packet: &[u8]) -> Seen {
    let mut network = Network::new(1, shards);
    network.send_packets(0, &[packet.to_vec()]);
    at_device(&network, event)
}

fn a_packet_to_nobody(event: Event, shards: u8) -> Seen {
    sent(
        event,
        shards,
        &ipv4(
            "10.0.0.1".parse().unwrap(),
            "10.0.0.77".parse().unwrap(),
            b"anyone",
        ),
    )
}

fn a_packet_to_a_peer_that_was_never_heard(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(2, shards);
    network.introduce(0, 1, false);
    network.send(0, 1, b"where are you");
    at_node_1(&network, event)
}

fn one_packet_more_than_may_wait(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    for _ in 0..129 {
        network.send(0, 1, b"wait");
    }
    at_node_1(&network, event)
}

fn a_waiting_packet_longer_than_the_mtu(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let packet = ipv4(network.nodes[0].inner, network.nodes[1].inner, &[7; 2 * MTU]);
    let mut batch = Batch::new(1, Batch::stride_for(packet.len()));
    assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet)));
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.send(at, batch, &mut node.output);
    network.run(Duration::from_secs(1));
    at_node_1(&network, event)
}

fn a_packet_when_no_job_may_be_out(event: Event, shards: u8) -> Seen {
    let mut network = Network::with_limits(
        2,
        shards,
        &Limits {
            jobs_in_flight: 0,
            ..Limits::default()
        },
    );
    network.introduce(0, 1, true);
    network.send(0, 1, b"too many");
    at_device(&network, event)
}

fn an_initiation_handed_over_for_a_peer_that_is_gone(event: Event, shards: u8) -> Seen {
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

fn what_only_the_shell_sees(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    network.nodes[0].engine.count(event, 1);
    at_device(&network, event)
}

fn a_packet_for_a_session_without_counters(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    let peer = network.nodes[1].key;
    network.nodes[0].engine.skip_counters(&peer, u64::MAX);
    network.send(0, 1, b"one too many");
    at_node_1(&network, event)
}

fn an_initiation_that_the_system_refused(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let (at, peer) = (network.moment(), network.nodes[1].key);
    let node = &mut network.nodes[0];
    node.engine.initiate(at, &peer, &mut node.output);
    node.refuse(event);
    at_node_1(&network, event)
}

fn a_packet_to_a_peer_without_a_private_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
    network.send(0, 1, b"as whom");
    at_node_1(&network, event)
}

fn a_peers_initiation_with_a_forged_timestamp(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    let mut author = Author::introduced(&mut network, 0, 99);
    let mut initiation = author.initiation(network.moment());
    initiation[100] ^= 1;
    sign(&mut initiation, &network.nodes[0].key);
    network.inject(0, author.address, &initiation);
    at_peer(&network, event, &author.key)
}

fn a_cookie_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut reply = vec![0; 64];
    reply[0] = 3;
    network.inject(0, network.nodes[1].address, &reply);
    at_device(&network, event)
}

fn a_response_for_an_index_that_nobody_has(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let mut response = vec![0; 92];
    response[0] = 2;
    sign(&mut response, &network.nodes[0].key);
    network.inject(0, network.nodes[1].address, &response);
    at_device(&network, event)
}

fn a_datagram_when_no_job_may_be_out(event: Event, shards: u8) -> Seen {
    let limits = Limits {
        jobs_in_flight: 0,
        ..Limits::default()
    };
    let mut network = Network::with_limits(1, shards, &limits);
    network.inject(0, "192.0.2.9:51820".parse().unwrap(), &[4; 32]);
    at_device(&network, event)
}

fn a_handshake_with_a_peer_that_was_never_heard(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(2, shards);
    network.introduce(0, 1, false);
    let (at, key, node) = (network.moment(), network.nodes[1].key, &mut network.nodes[0]);
    node.engine.initiate(at, &key, &mut node.output);
    at_node_1(&network, event)
}
