//! Packets between interfaces in virtual time: handshakes, staging, roaming, allowed IPs, rekeying.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Network, ipv4, secret};
use wirewright_engine::{Event, Notice, PeerConfig};

with_one_and_four_shards! {
    fn nothing_is_counted_while_all_goes_well(shards) {
        let mut network = Network::connected(shards);
        for _ in 0..300 {
            network.send(0, 1, b"there");
            network.send(1, 0, b"and back");
            network.run(Duration::from_secs(1));
        }
        network.run(Duration::from_secs(1000));
        for node in &network.nodes {
            assert!(node.engine.counters().iter().all(|(_, count)| count == 0), "{:?}", node.engine.counters());
        }
    }

    fn the_first_packet_waits_for_the_handshake_and_then_arrives(shards) {
        let mut network = Network::pair(shards);
        network.send(0, 1, b"hello");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(1), [b"hello".to_vec()]);
        assert_eq!(network.sent(0, 1), 1);
        assert_eq!(network.sent(1, 2), 1);
        assert!(network.nodes[0].notices.contains(&Notice::HandshakeCompleted(network.nodes[1].key)));
        assert!(network.nodes[1].notices.contains(&Notice::HandshakeCompleted(network.nodes[0].key)));
    }

    fn the_responder_learns_the_endpoint_and_answers(shards) {
        let mut network = Network::connected(shards);
        network.send(1, 0, b"back");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(0), [b"back".to_vec()]);
        assert_eq!(network.sent(1, 1), 0, "there is a session already");
    }

    fn packets_of_a_batch_arrive_in_order(shards) {
        let mut network = Network::connected(shards);
        let (from, to) = (network.nodes[0].inner, network.nodes[1].inner);
        let packets: Vec<Vec<u8>> = (0..64_u8).map(|number| ipv4(from, to, &vec![number; 20 * usize::from(number)])).collect();
        network.send_packets(0, &packets);
        network.run(Duration::from_secs(1));
        assert_eq!(network.nodes[1].inbox, packets);
    }

    fn staged_packets_keep_their_order_and_the_oldest_go_first(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|datagram| datagram.bytes[0] != 2);
        for number in 0..200_u8 {
            network.send(0, 1, &[number]);
        }
        assert_eq!(network.counter(0, Event::StagedOverflow), 200 - 128);
        network.filter = Box::new(|_| true);
        network.run(Duration::from_secs(6));
        let expected: Vec<Vec<u8>> = (72..200_u8).map(|number| vec![number]).collect();
        assert_eq!(network.payloads(1), expected);
        assert_eq!(network.nodes[0].engine.shards().iter().map(wirewright_engine::Shard::staged_bytes).sum::<usize>(), 0);
    }

    fn a_lost_initiation_is_repeated(shards) {
        let mut network = Network::pair(shards);
        let mut lost = 0;
        network.filter = Box::new(move |datagram| { lost += u8::from(datagram.bytes[0] == 1); datagram.bytes[0] != 1 || lost > 2 });
        network.send(0, 1, b"patience");
        network.run(Duration::from_secs(12));
        assert_eq!(network.payloads(1), [b"patience".to_vec()]);
        assert_eq!(network.sent(0, 1), 3);
    }

    fn a_silent_peer_is_given_up_and_what_waited_is_dropped(shards) {
        let mut network = Network::pair(shards);
        network.filter = Box::new(|_| false);
        network.send(0, 1, b"lost");
        network.run(Duration::from_secs(200));
        assert!((19..=20).contains(&network.sent(0, 1)), "{} initiations", network.sent(0, 1));
        assert!(network.nodes[0].notices.contains(&Notice::HandshakeGaveUp(network.nodes[1].key)));
        assert_eq!(network.counter(0, Event::StagedDropped), 1);
    }

    fn sessions_are_renewed_under_traffic_and_no_packet_is_lost(shards) {
        let mut network = Network::connected(shards);
        for round in 0..600_u32 {
            network.send(0, 1, &round.to_be_bytes());
            network.send(1, 0, &round.to_be_bytes());
            network.run(Duration::from_secs(1));
        }
        assert_eq!(network.nodes[1].inbox.len(), 600);
        assert_eq!(network.nodes[0].inbox.len(), 600);
        assert!((5..=6).contains(&network.sent(0, 1)), "{} initiations in ten minutes", network.sent(0, 1));
        assert_eq!(network.sent(1, 1), 0, "a responder does not rekey by time");
    }

    fn an_idle_interface_goes_quiet_and_forgets_its_keys(shards) {
        let mut network = Network::connected(shards);
        network.run(Duration::from_secs(600));
        for node in 0..2 {
            assert!(network.nodes[node].engine.deadline().is_none());
            let indices: usize = network.nodes[node].engine.shards().iter().map(wirewright_engine::Shard::indices_in_use).sum();
            assert_eq!(indices, 0);
        }
        let sent = network.tap.len();
        network.run(Duration::from_secs(3600));
        assert_eq!(network.tap.len(), sent);
    }

    fn a_peer_that_moved_is_followed(shards) {
        let mut network = Network::connected(shards);
        let moved = "198.51.100.7:4242".parse().unwrap();
        network.nodes[0].address = moved;
        network.send(0, 1, b"from elsewhere");
        network.run(Duration::from_secs(1));
        let at = network.moment().now;
        assert_eq!(network.nodes[1].engine.status(&network.nodes[0].key, at).unwrap().endpoint, Some(moved));
        network.send(1, 0, b"found you");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(0), [b"found you".to_vec()]);
    }

    fn a_forged_or_replayed_datagram_does_not_move_a_peer(shards) {
        let mut network = Network::connected(shards);
        let before = network.nodes[0].address;
        network.send(0, 1, b"genuine");
        let genuine = network.intercept().pop().unwrap();
        network.inject(1, before, &genuine.bytes);
        let elsewhere = "203.0.113.66:1".parse().unwrap();
        network.inject(1, elsewhere, &genuine.bytes);
        let mut forged = genuine.bytes.clone();
        forged[8] = 99;
        network.inject(1, elsewhere, &forged);
        let at = network.moment().now;
        assert_eq!(network.nodes[1].engine.status(&network.nodes[0].key, at).unwrap().endpoint, Some(before));
        assert_eq!(network.payloads(1), [b"genuine".to_vec()]);
        assert_eq!(network.counter(1, Event::ReplayDuplicate), 1);
        assert_eq!(network.counter(1, Event::AuthenticationFailed), 1);
    }

    fn an_address_belongs_to_the_peer_that_got_it_last(shards) {
        let mut network = Network::new(3, shards);
        for other in [1, 2] {
            network.introduce(0, other, true);
            network.introduce(other, 0, false);
        }
        let key = network.nodes[2].key;
        network.configure(0, key, PeerConfig { allowed_ips: vec!["10.0.0.2/32".parse().unwrap()], ..PeerConfig::default() });
        // Node 1 is a peer still, and even has a session; but its address is another's now.
        let at = network.moment();
        let (key, inner) = (network.nodes[1].key, network.nodes[0].inner);
        network.configure(0, key, PeerConfig { allowed_ips: vec!["10.9.9.9/32".parse().unwrap()], ..PeerConfig::default() });
        let packet = ipv4(inner, "10.9.9.9".parse().unwrap(), b"wake");
        network.send_packets(0, &[packet]);
        network.run(Duration::from_secs(1));
        network.send(1, 0, b"spoofed");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(0), Vec::<Vec<u8>>::new());
        assert_eq!(network.peer_counter(0, 1, Event::SourceNotAllowed), 1);
        assert!(at.now.as_nanos() > 0);
    }

    fn a_removed_peer_is_gone_with_its_sessions(shards) {
        let mut network = Network::connected(shards);
        let (at, key) = (network.moment(), network.nodes[0].key);
        let node = &mut network.nodes[1];
        assert!(node.engine.remove_peer(at, &key, &mut node.output));
        assert!(!node.engine.remove_peer(at, &key, &mut node.output));
        network.send(0, 1, b"anyone there?");
        network.run(Duration::from_secs(1));
        assert!(network.payloads(1).is_empty());
        assert_eq!(network.counter(1, Event::NoSession), 1);
        assert_eq!(network.nodes[1].engine.shards().iter().map(wirewright_engine::Shard::indices_in_use).sum::<usize>(), 0);
    }

    fn a_peer_added_again_in_the_same_slot_is_another_peer(shards) {
        let mut network = Network::connected(shards);
        let (at, key) = (network.moment(), network.nodes[0].key);
        let before = network.nodes[1].engine.control().peer(&key).unwrap();
        let node = &mut network.nodes[1];
        node.engine.remove_peer(at, &key, &mut node.output);
        network.introduce(1, 0, false);
        let after = network.nodes[1].engine.control().peer(&key).unwrap();
        assert_ne!(before, after);
        network.send(0, 1, b"under the old session");
        network.run(Duration::from_secs(40));
        assert_eq!(network.payloads(1).last(), None);
        network.send(0, 1, b"after the new handshake");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(1), [b"after the new handshake".to_vec()]);
    }

    fn a_new_private_key_ends_all_sessions(shards) {
        let mut network = Network::connected(shards);
        let at = network.moment();
        let node = &mut network.nodes[1];
        node.engine.set_private_key(at, Some(secret(77)), &mut node.output);
        network.send(0, 1, b"old key");
        network.run(Duration::from_secs(1));
        assert!(network.payloads(1).is_empty());
        assert_eq!(network.counter(1, Event::NoSession), 1);
    }

    fn persistent_keepalive_keeps_a_session_without_traffic(shards) {
        let mut network = Network::pair(shards);
        let key = network.nodes[1].key;
        network.configure(0, key, PeerConfig { persistent_keepalive: Some(Some(Duration::from_secs(25))), ..PeerConfig::default() });
        network.run(Duration::from_secs(1000));
        let at = network.moment().now;
        assert!(network.nodes[0].engine.status(&key, at).unwrap().has_session);
        assert!((38..=50).contains(&network.sent(0, 4)), "{} keepalives", network.sent(0, 4));
        assert!(network.nodes[1].inbox.is_empty());
    }

    fn both_sides_may_begin_at_once(shards) {
        let mut network = Network::pair(shards);
        network.introduce(1, 0, true);
        network.send(0, 1, b"from zero");
        network.send(1, 0, b"from one");
        network.run(Duration::from_secs(15));
        assert_eq!(network.payloads(0), [b"from one".to_vec()]);
        assert_eq!(network.payloads(1), [b"from zero".to_vec()]);
    }

    fn a_datagram_in_the_wrong_shard_finds_its_way(shards) {
        let mut network = Network::connected(shards);
        for wrong in 0..shards {
            network.send(0, 1, &[wrong]);
            let sent = network.intercept();
            let at = network.moment();
            for datagram in sent {
                let node = &mut network.nodes[1];
                node.engine.receive_in(wrong, at, support::datagram(datagram.from, &datagram.bytes), &mut node.output);
            }
            network.carry();
        }
        let expected: Vec<Vec<u8>> = (0..shards).map(|shard| vec![shard]).collect();
        assert_eq!(network.payloads(1), expected);
    }
}
