//! The rules of handshakes as they show at an interface: who gets an answer, who gets none, and what ends what.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::author::{Author, sign};
use support::{LATENCY, MTU, Network, ipv4, secret};
use wirewright_engine::{Batch, ConfigureError, Endpoint, Event, Limits, Notice, Output, PeerConfig};
use wirewright_protocol::{PresharedKey, PublicKey, WallTime};

const SECOND: Duration = Duration::from_secs(1);

fn busy() -> Limits {
    Limits {
        under_load: 0,
        ..Limits::default()
    }
}

/// Two peers, one or both of them always under load.
fn pair_under_load(shards: u8, limits: [Limits; 2]) -> Network {
    let mut network = Network::of(shards, &limits, MTU);
    network.introduce(0, 1, true);
    network.introduce(1, 0, false);
    network
}

fn psk(byte: u8) -> PeerConfig {
    PeerConfig {
        preshared_key: Some(PresharedKey::from_bytes([byte; 32])),
        ..PeerConfig::default()
    }
}

fn mac2_is_there(message: &[u8]) -> bool {
    message[message.len() - 16..] != [0; 16]
}

fn initiations(network: &Network, node: usize) -> Vec<Vec<u8>> {
    let from = network.nodes[node].address;
    let mine = network
        .tap
        .iter()
        .filter(|datagram| datagram.from == from && datagram.bytes[0] == 1);
    mine.map(|datagram| datagram.bytes.clone()).collect()
}

/// The network's moment with another wall time.
fn stamped(network: &Network, seconds: i64) -> wirewright_engine::Moment {
    let mut at = network.moment();
    at.wall = WallTime {
        seconds: at.wall.seconds.wrapping_add_signed(seconds),
        ..at.wall
    };
    at
}

with_one_and_four_shards! {
    fn under_load_an_initiation_is_answered_with_a_cookie_and_taken_with_mac2(shards) {
        let mut network = pair_under_load(shards, [Limits::default(), busy()]);
        network.send(0, 1, b"patience");
        network.run(SECOND * 4);
        assert_eq!((network.sent(0, 1), network.sent(1, 3), network.sent(1, 2)), (1, 1, 0));
        assert_eq!(network.peer_counter(0, 1, Event::CookieReceived), 1);
        network.run(SECOND * 2);
        assert_eq!((network.sent(0, 1), network.sent(1, 3), network.sent(1, 2)), (2, 1, 1));
        let initiations = initiations(&network, 0);
        assert!(!mac2_is_there(&initiations[0]) && mac2_is_there(&initiations[1]));
        assert_eq!(network.payloads(1), [b"patience".to_vec()]);
    }

    fn responses_owe_a_cookie_like_initiations(shards) {
        let mut network = pair_under_load(shards, [busy(), busy()]);
        network.send(0, 1, b"more patience");
        network.run(SECOND * 9);
        assert_eq!((network.sent(1, 2), network.sent(0, 3)), (1, 1), "the response is answered with a cookie");
        network.run(SECOND * 3);
        assert_eq!((network.sent(0, 1), network.sent(1, 2)), (3, 2));
        assert_eq!(network.payloads(1), [b"more patience".to_vec()]);
    }

    fn a_cookie_is_good_for_the_address_it_was_sent_to_only(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(network.moment());
        network.deliver(0, author.address, &[initiation]);
        author.hear(&network.intercept().pop().unwrap().bytes);
        let proven = author.initiation(network.moment());
        for elsewhere in ["198.51.100.99:4001", "198.51.100.98:4000", "[2001:db8::1]:4000"] {
            network.inject(0, elsewhere.parse().unwrap(), &proven);
            assert_eq!(network.intercept().pop().unwrap().bytes[0], 3, "another cookie");
        }
        network.inject(0, author.address, &proven);
        assert_eq!(network.intercept().pop().unwrap().bytes[0], 2);
    }

    fn a_cookie_outlives_the_turn_of_its_secret_by_five_seconds(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = Author::introduced(&mut network, 0, 99);
        // Secrets turn at multiples of 120 s.
        network.now = SECOND * 1199;
        let initiation = author.initiation(network.moment());
        network.deliver(0, author.address, &[initiation]);
        author.hear(&network.intercept().pop().unwrap().bytes);
        for (second, answer) in [(1204, 2), (1206, 3)] {
            network.now = SECOND * second;
            let initiation = author.initiation(network.moment());
            network.inject(0, author.address, &initiation);
            assert_eq!(network.intercept().pop().unwrap().bytes[0], answer, "at second {second}");
        }
    }

    fn load_begins_with_the_queue_and_lasts_a_second_longer(shards) {
        let limits = Limits { under_load: 8, ..Limits::default() };
        let mut network = Network::of(shards, &[limits], MTU);
        let mut strangers: Vec<Author> = (0..9).map(|number| Author::new(100 + number, network.nodes[0].key)).collect();
        let at = network.moment();
        let flood: Vec<Vec<u8>> = strangers.iter_mut().map(|stranger| stranger.initiation(at)).collect();
        network.deliver(0, strangers[0].address, &flood[..7]);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(at);
        network.deliver(0, author.address, &[initiation]);
        assert!(network.tap.is_empty(), "seven and this one wait");
        let initiation = author.initiation(at);
        network.deliver(0, author.address, &[initiation]);
        assert_eq!(network.sent(0, 3), 1, "the ninth comes under load");
        for _ in 0..3 {
            network.handshakes(0, false);
        }
        assert!(!network.nodes[0].engine.has_handshakes());
        assert_eq!(network.sent(0, 2), 1, "one of them was a peer's");
        for (milliseconds, kind) in [(999, 3), (1, 2)] {
            network.now += Duration::from_millis(milliseconds);
            let initiation = author.initiation(network.moment());
            network.inject(0, author.address, &initiation);
            assert_eq!(network.tap.last().unwrap().bytes[0], kind);
        }
    }

    fn a_proven_source_has_a_burst_of_five_and_then_twenty_handshakes_a_second(shards) {
        let mut network = Network::of(shards, &[busy()], MTU);
        let mut author = Author::new(99, network.nodes[0].key);
        let initiation = author.initiation(network.moment());
        network.deliver(0, author.address, &[initiation]);
        author.hear(&network.intercept().pop().unwrap().bytes);
        let mut taken = Vec::new();
        for round in 0..3_u64 {
            let before = network.counter(0, Event::UnknownPeer);
            for _ in 0..6 {
                let initiation = author.initiation(network.moment());
                network.inject(0, author.address, &initiation);
            }
            taken.push(network.counter(0, Event::UnknownPeer) - before);
            network.now += Duration::from_millis(100 * (round + 1));
        }
        assert_eq!(taken, [5, 2, 4]);
        assert_eq!(network.counter(0, Event::RateLimited), 18 - 11);
    }

    fn initiations_of_a_peer_are_taken_every_twenty_milliseconds(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        let mut answered = Vec::new();
        for (second, wait) in [0, 19, 1, 15, 25].into_iter().enumerate() {
            network.now += Duration::from_millis(wait);
            let initiation = author.initiation(stamped(&network, second as i64));
            network.inject(0, author.address, &initiation);
            answered.push(network.intercept().len());
        }
        assert_eq!(answered, [1, 0, 1, 0, 1]);
        assert_eq!(network.counter(0, Event::InitiationFlood), 2);
    }

    fn only_a_newer_timestamp_is_taken(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        for (seconds, answers) in [(0, 1), (-2, 0), (-3600, 0), (1, 1), (315_360_000, 1), (3, 0)] {
            let initiation = author.initiation(stamped(&network, seconds));
            network.run(SECOND);
            network.inject(0, author.address, &initiation);
            assert_eq!(network.intercept().len(), answers, "{seconds} s from now");
        }
        assert_eq!(network.status(0, &author.key).counters.get(Event::TimestampReplay), 3);
        // A peer that is added anew has said nothing yet.
        let (at, node) = (network.moment(), &mut network.nodes[0]);
        node.engine.remove_peer(at, &author.key, &mut node.output);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(network.moment());
        network.inject(0, author.address, &initiation);
        assert_eq!(network.intercept().len(), 1);
    }

    fn a_stranger_gets_no_answer_and_leaves_no_trace(shards) {
        let mut network = Network::new(1, shards);
        let mut stranger = Author::new(99, network.nodes[0].key);
        for _ in 0..10 {
            let initiation = stranger.initiation(network.moment());
            network.inject(0, stranger.address, &initiation);
        }
        assert!(network.tap.is_empty());
        assert_eq!(network.counter(0, Event::UnknownPeer), 10);
        assert_eq!(network.indices(0), 0);
        assert_eq!(network.nodes[0].engine.deadline(), None);
    }

    fn whoever_takes_us_for_somebody_else_gets_no_answer(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::new(99, secret(55).public());
        let initiation = author.initiation(network.moment());
        network.inject(0, author.address, &initiation);
        // Even with a mac1 for us, it was sealed for somebody else.
        let mut initiation = author.initiation(network.moment());
        sign(&mut initiation, &network.nodes[0].key);
        network.inject(0, author.address, &initiation);
        assert!(network.tap.is_empty());
        assert_eq!((network.counter(0, Event::BadMac1), network.counter(0, Event::InitiationInvalid)), (1, 1));
    }

    fn every_bit_of_an_initiation_counts(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        let initiation = author.initiation(network.moment());
        for position in 4..116 {
            let mut forged = initiation.clone();
            forged[position] ^= 0x80;
            // The signature is right, for everybody may know the public key.
            sign(&mut forged, &network.nodes[0].key);
            network.inject(0, author.address, &forged);
            assert!((4..8).contains(&position) || network.tap.is_empty(), "byte {position}");
            if (4..8).contains(&position) {
                // The sender index is bound to nothing but mac1: the answer goes to an index that nobody has.
                network = Network::new(1, shards);
                Author::introduced(&mut network, 0, 99);
            }
        }
        network.inject(0, author.address, &initiation);
        assert_eq!(network.sent(0, 2), 1);
    }

    fn peers_with_different_preshared_keys_have_no_session_until_they_agree(shards) {
        let mut network = Network::pair(shards);
        let (zero, one) = (network.nodes[0].key, network.nodes[1].key);
        network.configure(0, one, psk(1));
        network.configure(1, zero, psk(2));
        network.send(0, 1, b"secret");
        network.run(SECOND * 12);
        assert!(network.payloads(1).is_empty());
        assert_eq!(network.sent(1, 2), network.sent(0, 1), "the responder cannot tell");
        assert_eq!(network.peer_counter(0, 1, Event::ResponseInvalid), network.sent(1, 2) as u64);
        assert!(!network.status(0, &one).has_session);
        network.configure(1, zero, psk(1));
        network.run(SECOND * 6);
        assert_eq!(network.payloads(1), [b"secret".to_vec()]);
    }

    fn a_changed_preshared_key_counts_from_the_next_handshake(shards) {
        let mut network = Network::connected(shards);
        let (zero, one) = (network.nodes[0].key, network.nodes[1].key);
        network.configure(0, one, psk(1));
        network.configure(1, zero, psk(1));
        network.send(0, 1, b"under the old session");
        network.run(SECOND * 130);
        network.send(0, 1, b"and on the way to the next");
        network.run(SECOND);
        network.send(0, 1, b"under the next");
        network.run(SECOND);
        assert_eq!(network.payloads(1).len(), 3);
        assert_eq!(network.sent(0, 1), 2);
    }

    fn a_response_is_taken_once(shards) {
        let mut network = Network::connected(shards);
        let response = network.tap.iter().find(|datagram| datagram.bytes[0] == 2).unwrap().clone();
        let (indices, before) = (network.indices(0), network.tap.len());
        for _ in 0..3 {
            network.inject(0, "203.0.113.66:1".parse().unwrap(), &response.bytes);
        }
        assert_eq!(network.peer_counter(0, 1, Event::ResponseUnexpected), 3);
        assert_eq!((network.indices(0), network.tap.len()), (indices, before));
        assert_eq!(network.status(0, &network.nodes[1].key).endpoint, Some(network.nodes[1].address));
        network.send(0, 1, b"still the same session");
        network.run(SECOND);
        assert_eq!(network.payloads(1).len(), 1);
    }

    fn a_forged_response_does_not_cost_the_handshake(shards) {
        let mut network = Network::pair(shards);
        network.send(0, 1, b"hello");
        network.run(LATENCY);
        let response = network.intercept().pop().unwrap();
        for position in 12..60 {
            let mut forged = response.bytes.clone();
            forged[position] ^= 1;
            sign(&mut forged, &network.nodes[0].key);
            network.inject(0, "203.0.113.66:1".parse().unwrap(), &forged);
        }
        assert_eq!(network.peer_counter(0, 1, Event::ResponseInvalid), 48);
        network.inject(0, response.from, &response.bytes);
        network.run(SECOND);
        assert_eq!(network.payloads(1), [b"hello".to_vec()]);
        assert_eq!(network.status(0, &network.nodes[1].key).endpoint, Some(network.nodes[1].address));
    }

    fn a_key_of_low_order_may_be_configured_and_never_shakes_hands(shards) {
        let mut network = Network::pair(shards);
        let config = PeerConfig {
            endpoint: Some("192.0.2.200:51820".parse().unwrap()),
            allowed_ips: vec!["10.0.0.200/32".parse().unwrap()],
            persistent_keepalive: Some(Some(SECOND * 20)),
            ..PeerConfig::default()
        };
        let mut key = [0; 32];
        key[0] = 1;
        let key = PublicKey::from_bytes(key);
        network.configure(0, key, config);
        for _ in 0..10 {
            let packet = ipv4(network.nodes[0].inner, "10.0.0.200".parse().unwrap(), b"never");
            network.send_packets(0, &[packet]);
            network.run(SECOND * 6);
        }
        assert!(network.tap.is_empty());
        assert!(network.status(0, &key).counters.get(Event::HandshakeImpossible) >= 10);
        assert_eq!((network.indices(0), network.staged_bytes(0)), (0, 0));
        network.send(0, 1, b"others are not affected");
        network.run(SECOND);
        assert_eq!(network.payloads(1).len(), 1);
    }

    fn without_a_private_key_nothing_is_answered_and_with_it_all_goes_on(shards) {
        let mut network = Network::connected(shards);
        let (at, node) = (network.moment(), &mut network.nodes[1]);
        node.engine.set_private_key(at, None, &mut node.output);
        assert_eq!(node.engine.control().public_key(), None);
        let before = network.sent(1, 2);
        network.send(0, 1, b"into the void");
        network.run(SECOND * 30);
        assert!(network.payloads(1).is_empty());
        assert_eq!(network.sent(1, 2), before);
        assert!(network.counter(1, Event::NoIdentity) > 0);
        let (at, node) = (network.moment(), &mut network.nodes[1]);
        node.engine.set_private_key(at, Some(secret(1)), &mut node.output);
        network.run(SECOND * 6);
        network.send(0, 1, b"back again");
        network.run(SECOND);
        assert_eq!(network.payloads(1), [b"back again".to_vec()]);
    }

    fn ones_own_key_is_no_peer(shards) {
        let mut network = Network::new(2, shards);
        let (at, own) = (network.moment(), network.nodes[0].key);
        let node = &mut network.nodes[0];
        let refused = node.engine.set_peer(at, own, PeerConfig::default(), &mut node.output);
        assert_eq!(refused, Err(ConfigureError::OwnKey));
        assert_eq!(node.engine.control().peers().count(), 0);
        // A peer that has our next key goes when we take it.
        network.introduce(0, 1, true);
        let node = &mut network.nodes[0];
        node.engine.set_private_key(at, Some(secret(1)), &mut node.output);
        assert_eq!(node.engine.control().peers().count(), 0);
        assert_eq!(node.engine.control().directory().allowed_ips.len(), 0);
    }

    fn a_refused_configuration_changes_nothing(shards) {
        let limits = Limits { peers: 3, allowed_ips: 4, ..Limits::default() };
        let mut network = Network::of(shards, &[limits], MTU);
        let at = network.moment();
        let node = &mut network.nodes[0];
        let allow = |prefixes: &[&str], replace| PeerConfig {
            allowed_ips: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            replace_allowed_ips: replace,
            ..PeerConfig::default()
        };
        let set = |node: &mut support::Node, number, config| {
            node.engine.set_peer(at, secret(number).public(), config, &mut node.output)
        };
        for number in 10..13 {
            set(node, number, allow(&[], false)).unwrap();
        }
        assert_eq!(set(node, 13, allow(&[], false)), Err(ConfigureError::TooManyPeers));
        set(node, 10, allow(&["10.1.0.0/16", "10.2.0.0/16", "::/0"], false)).unwrap();
        assert_eq!(set(node, 11, allow(&["10.3.0.0/16", "10.4.0.0/16"], false)), Err(ConfigureError::TooManyAllowedIps));
        assert_eq!(node.engine.control().directory().allowed_ips.len(), 3);
        set(node, 11, allow(&["10.3.0.0/16"], false)).unwrap();
        // At the limit, what a peer has may still be replaced.
        set(node, 10, allow(&["10.5.0.0/16", "10.6.0.0/16", "10.7.0.0/16"], true)).unwrap();
        assert_eq!(node.engine.control().directory().allowed_ips.len(), 4);
        node.engine.remove_peer(at, &secret(12).public(), &mut node.output);
        set(node, 13, allow(&[], false)).unwrap();
        let unknown = node.engine.configure(at, |control| control.update_peer(secret(60).public(), allow(&[], false)), &mut node.output);
        assert_eq!(unknown, Err(ConfigureError::UnknownPeer));
    }

    fn a_handshake_from_another_address_moves_the_peer_and_says_so(shards) {
        let mut network = Network::new(1, shards);
        let mut author = Author::introduced(&mut network, 0, 99);
        for address in ["192.0.2.50:1", "192.0.2.50:1", "[2001:db8::50]:2"] {
            network.run(SECOND);
            let initiation = author.initiation(network.moment());
            network.inject(0, address.parse().unwrap(), &initiation);
            assert_eq!(network.intercept().pop().unwrap().to, address.parse().unwrap());
            assert_eq!(network.status(0, &author.key).endpoint, Some(address.parse().unwrap()));
        }
        assert_eq!(network.nodes[0].notices, [Notice::EndpointChanged(author.key); 2]);
    }
}

with_one_and_four_shards! {
    /// What goes out has the source address that the last datagram came to, until silence makes it suspect.
    fn a_retry_lets_the_system_choose_the_source_address(shards) {
        let mut network = Network::connected(shards);
        network.send(1, 0, b"to one of several addresses");
        let heard = network.intercept().pop().unwrap();
        let local = Some([192, 0, 2, 1].into());
        let path = Endpoint {
            remote: heard.from,
            source: local,
        };
        let mut batch = Batch::new(1, heard.bytes.len());
        batch.push_datagram(path, heard.bytes.len(), |to| to.copy_from_slice(&heard.bytes));
        let at = network.moment();
        let node = &mut network.nodes[0];
        node.engine.receive(at, batch, &mut node.output);
        let mut output = Output::default();
        let packet = ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), b"reply");
        let mut batch = node.engine.batch().unwrap();
        batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet));
        node.engine.send(at, batch, &mut output);
        assert_eq!(output.datagrams[0].slot(0).unwrap().path.source, local);
        // Nothing comes back for 15 s and a bit.
        let mut output = Output::default();
        node.engine
            .tick(support::moment(network.now + SECOND * 16), &mut output);
        assert_eq!(output.datagrams[0].packet(0)[0], 1);
        let path = output.datagrams[0].slot(0).unwrap().path;
        assert_eq!((path.remote, path.source), (heard.from, None));
    }
}
