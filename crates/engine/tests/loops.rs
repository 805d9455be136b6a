//! Messages that are routed back into the interface, and tunnels in tunnels.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Network, ipv4};
use wirewright_engine::{Batch, Event};

/// A packet from node 0 to another node that holds a message in UDP.
fn holding(network: &Network, to: usize, message: &[u8], hop_limit: u8) -> Vec<u8> {
    let (here, there) = (network.nodes[0].inner, network.nodes[to].inner);
    let mut packet = ipv4(here, there, &[&[0; 8], message].concat());
    (packet[8], packet[9]) = (hop_limit, 17);
    packet
}

/// A node with sessions with two others, at home in different shards if there are several.
fn hub(shards: u8) -> Network {
    let mut network = Network::new(3, shards);
    for peer in [1, 2] {
        network.introduce(0, peer, true);
        network.introduce(peer, 0, false);
        network.send(0, peer, b"first");
    }
    network.run(Duration::from_secs(1));
    let home = |network: &Network, peer: usize| {
        let key = &network.nodes[peer].key;
        network.nodes[0].engine.control().peer(key).unwrap().shard
    };
    assert_eq!(home(&network, 1) == home(&network, 2), shards == 1);
    network
}

/// The hop limits of what leaves when node 0 has a packet to send.
fn hop_limits(network: &mut Network, packet: &[u8]) -> Vec<Option<u8>> {
    let at = network.moment();
    let node = &mut network.nodes[0];
    let mut batch: Batch = node.engine.batch().unwrap();
    assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)));
    node.engine.send(at, batch, &mut node.output);
    let sent = node.output.datagrams.drain(..);
    sent.flat_map(|batch| {
        batch
            .packets()
            .map(|(slot, _)| slot.hop_limit)
            .collect::<Vec<_>>()
    })
    .collect()
}

with_one_and_four_shards! {
    fn a_message_to_one_peer_does_not_go_through_another_of_the_same_interface(shards) {
        let mut network = hub(shards);
        for (first, second) in [(1, 2), (2, 1)] {
            network.send(0, first, b"round and round");
            let message = network.intercept().pop().unwrap().bytes;
            let before = network.counter(0, Event::RoutingLoop);
            let packet = holding(&network, second, &message, 64);
            network.send_packets(0, &[packet]);
            assert!(network.intercept().is_empty());
            assert_eq!(network.counter(0, Event::RoutingLoop), before + 1);
        }
    }

    fn what_is_dropped_as_a_loop_is_not_counted_as_sent(shards) {
        let mut network = hub(shards);
        network.send(0, 1, b"round and round");
        let message = network.intercept().pop().unwrap().bytes;
        let key = network.nodes[1].key;
        let before = network.status(0, &key).sent_bytes;
        let packet = holding(&network, 1, &message, 64);
        network.send_packets(0, std::slice::from_ref(&packet));
        assert_eq!(network.status(0, &key).sent_bytes, before);
        // One that is sealed counts as it leaves: padded to 16 bytes, with header and tag.
        let sealed = ipv4(network.nodes[0].inner, network.nodes[1].inner, &[0; 80]);
        network.send_packets(0, &[packet, sealed]);
        assert_eq!(network.status(0, &key).sent_bytes, before + 112 + 32);
    }

    fn what_is_dropped_as_a_loop_is_not_waited_for_an_answer_to(shards) {
        let mut network = hub(shards);
        network.run(Duration::from_secs(30));
        let key = network.nodes[1].key;
        let before = network.status(0, &key).sent_bytes;
        let packet = holding(&network, 1, &[&[4, 0, 0, 0, 1, 2, 3, 4][..], &[0; 24]].concat(), 1);
        network.send_packets(0, &[packet]);
        assert_eq!(network.counter(0, Event::RoutingLoop), 1);
        // After 15 seconds without an answer a peer is tried with a handshake.
        network.run(Duration::from_secs(30));
        assert_eq!(network.status(0, &key).sent_bytes, before);
    }

    fn a_tunnel_in_a_tunnel_costs_hops_and_ends_where_none_are_left(shards) {
        let mut network = hub(shards);
        let strangers = [&[4, 0, 0, 0, 1, 2, 3, 4][..], &[0; 24]].concat();
        for (inner, outer) in [(255, Some(56)), (64, Some(56)), (9, Some(8))] {
            let packet = holding(&network, 1, &strangers, inner);
            assert_eq!(hop_limits(&mut network, &packet), [outer]);
        }
        for inner in [8, 1, 0] {
            let packet = holding(&network, 1, &strangers, inner);
            assert_eq!(hop_limits(&mut network, &packet), []);
        }
        assert_eq!(network.counter(0, Event::RoutingLoop), 3);
    }

    fn a_later_fragment_of_udp_is_carried_whatever_its_hops(shards) {
        let mut network = hub(shards);
        for (inner, outer) in [(64, 56), (9, 8), (1, 8)] {
            let mut packet = holding(&network, 1, &[7; 32], inner);
            packet[7] = 1;
            assert_eq!(hop_limits(&mut network, &packet), [Some(outer)]);
        }
        assert_eq!(network.counter(0, Event::RoutingLoop), 0);
    }

    fn other_packets_leave_as_the_system_has_it(shards) {
        let mut network = hub(shards);
        for message in [[1, 0, 0, 0, 1, 2, 3, 4], [4, 0, 0, 1, 1, 2, 3, 4]] {
            let packet = holding(&network, 1, &message, 1);
            assert_eq!(hop_limits(&mut network, &packet), [None]);
        }
    }
}
