//! What the packet filter drops.

use std::time::Duration;

use wirewright_engine::filter::{Guard, Policy, Protocol, Rule};
use wirewright_engine::{Event, Limits, PeerConfig};

use super::{Seen, at_node_1};
use crate::support::{Network, ipv4};

/// Node 0 has a filter, and node 1 may start what a policy says.
fn filtered(shards: u8, limits: &Limits, policy: Option<Policy>) -> Network {
    let mut network = Network::with_limits(2, shards, limits);
    network.introduce(0, 1, true);
    network.introduce(1, 0, true);
    network.send(1, 0, b"first");
    network.run(Duration::from_secs(1));
    let config = PeerConfig {
        policy,
        ..PeerConfig::default()
    };
    let (at, key) = (network.moment(), network.nodes[1].key);
    network.configure(0, key, config);
    let node = &mut network.nodes[0];
    let set = |control: &mut wirewright_engine::Control| control.set_guard(Some(Guard::default()));
    node.engine.configure(at, set, &mut node.output);
    network
}

fn anything() -> Option<Policy> {
    let world = "0.0.0.0/0".parse().unwrap();
    Some(Policy::new(vec![Rule::new(Protocol::Any, world)]))
}

/// Sends what is no UDP in truth, from node 1 to node 0 or back.
fn datagram(network: &mut Network, from: usize, change: impl Fn(&mut Vec<u8>)) {
    let mut packet = ipv4(network.nodes[from].inner, network.nodes[1 - from].inner, &[7; 16]);
    packet[9] = 17;
    change(&mut packet);
    network.send_packets(from, &[packet]);
    network.run(Duration::from_millis(20));
}

pub fn a_packet_that_no_rule_allows(event: Event, shards: u8) -> Seen {
    let mut network = filtered(shards, &Limits::default(), None);
    datagram(&mut network, 1, |_| ());
    at_node_1(&network, event)
}

pub fn a_packet_that_nobody_asked_for(event: Event, shards: u8) -> Seen {
    let mut network = filtered(shards, &Limits::default(), None);
    datagram(&mut network, 0, |_| ());
    at_node_1(&network, event)
}

pub fn a_later_fragment_without_its_first(event: Event, shards: u8) -> Seen {
    let mut network = filtered(shards, &Limits::default(), anything());
    datagram(&mut network, 1, |packet| packet[7] = 9);
    at_node_1(&network, event)
}

pub fn a_header_that_is_cut_short(event: Event, shards: u8) -> Seen {
    let mut network = filtered(shards, &Limits::default(), anything());
    datagram(&mut network, 1, |packet| (packet[9]) = 6);
    at_node_1(&network, event)
}

pub fn one_flow_more_than_a_peer_may_have(event: Event, shards: u8) -> Seen {
    let limits = Limits {
        flows_per_peer: 1,
        ..Limits::default()
    };
    let mut network = filtered(shards, &limits, anything());
    datagram(&mut network, 1, |_| ());
    datagram(&mut network, 1, |packet| packet[20] = 8);
    at_node_1(&network, event)
}
