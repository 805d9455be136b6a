//! Packets that do not leave, and what only the sockets see.

use std::time::Duration;

use wirewright_engine::{Batch, Event, Limits};

use super::{Seen, at_device, at_node_1};
use crate::support::{MTU, Network, ipv4};

pub fn sent(event: Event, shards: u8, packet: &[u8]) -> Seen {
    let mut network = Network::new(1, shards);
    network.send_packets(0, &[packet.to_vec()]);
    at_device(&network, event)
}

pub fn a_packet_to_nobody(event: Event, shards: u8) -> Seen {
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

pub fn a_packet_to_a_peer_that_was_never_heard(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(2, shards);
    network.introduce(0, 1, false);
    network.send(0, 1, b"where are you");
    at_node_1(&network, event)
}

pub fn one_packet_more_than_may_wait(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    for _ in 0..129 {
        network.send(0, 1, b"wait");
    }
    at_node_1(&network, event)
}

pub fn a_waiting_packet_longer_than_the_mtu(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let packet = ipv4(network.nodes[0].inner, network.nodes[1].inner, &[7; 2 * MTU]);
    let mut batch = Batch::new(1, Batch::stride_for(packet.len()));
    assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet)));
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.send(at, batch, &mut node.output);
    network.run(Duration::from_secs(1));
    at_node_1(&network, event)
}

pub fn a_packet_when_no_job_may_be_out(event: Event, shards: u8) -> Seen {
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

pub fn what_only_the_shell_sees(event: Event, shards: u8) -> Seen {
    let mut network = Network::new(1, shards);
    network.nodes[0].engine.count(event, 1);
    at_device(&network, event)
}

pub fn a_packet_for_a_session_without_counters(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    let peer = network.nodes[1].key;
    network.nodes[0].engine.skip_counters(&peer, u64::MAX);
    network.send(0, 1, b"one too many");
    at_node_1(&network, event)
}

pub fn an_initiation_that_the_system_refused(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let (at, peer) = (network.moment(), network.nodes[1].key);
    let node = &mut network.nodes[0];
    node.engine.initiate(at, &peer, &mut node.output);
    node.refuse(event);
    at_node_1(&network, event)
}

pub fn a_packet_to_a_peer_without_a_private_key(event: Event, shards: u8) -> Seen {
    let mut network = Network::pair(shards);
    let (at, node) = (network.moment(), &mut network.nodes[0]);
    node.engine.set_private_key(at, None, &mut node.output);
    network.send(0, 1, b"as whom");
    at_node_1(&network, event)
}

pub fn a_message_that_comes_back_into_the_interface(event: Event, shards: u8) -> Seen {
    let mut network = Network::connected(shards);
    network.send(0, 1, b"round and round");
    let message = network.intercept().pop().unwrap().bytes;
    let (here, there) = (network.nodes[0].inner, network.nodes[1].inner);
    let mut packet = ipv4(here, there, &[&[0; 8], &message[..]].concat());
    packet[9] = 17;
    network.send_packets(0, &[packet]);
    assert!(network.intercept().is_empty());
    at_node_1(&network, event)
}
