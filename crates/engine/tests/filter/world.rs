//! A gateway with two devices, and what passes between them and the rest of the world.
//!
//! ```text
//!  device 1: 10.0.0.2, fd00::2 ─┐
//!                               ├─ gateway: 10.0.0.1, fd00::1 ── outside
//!  device 2: 10.0.0.3, fd00::3 ─┘
//! ```

use std::time::Duration;

use wirewright_engine::filter::{Guard, Policy, Protocol, Rule};
use wirewright_engine::{Event, Limits, PeerConfig};

use crate::support::Network;

pub const EVENTS: [Event; 5] = [
    Event::FilterDenied,
    Event::FilterUnasked,
    Event::FilterFragment,
    Event::FilterUnreadable,
    Event::FilterFull,
];

pub struct World {
    pub network: Network,
    /// What passes for each packet: long enough for another handshake.
    pub turn: Duration,
}

impl World {
    /// The gateway has a filter, and its devices may start nothing.
    pub fn new(shards: u8) -> Self {
        Self::with_limits(shards, &Limits::default())
    }

    pub fn with_limits(shards: u8, limits: &Limits) -> Self {
        let mut network = Network::with_limits(3, shards, limits);
        for device in [1, 2] {
            let at = network.moment();
            let gateway = network.nodes[0].key;
            let config = PeerConfig {
                allowed_ips: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
                endpoint: Some(network.nodes[0].address),
                ..PeerConfig::default()
            };
            let node = &mut network.nodes[device];
            node.engine
                .set_peer(at, gateway, config, &mut node.output)
                .unwrap();
            let key = network.nodes[device].key;
            let addresses = [
                format!("10.0.0.{}/32", device + 1),
                format!("fd00::{}/128", device + 1),
            ];
            let config = PeerConfig {
                allowed_ips: addresses.map(|text| text.parse().unwrap()).to_vec(),
                ..PeerConfig::default()
            };
            network.configure(0, key, config);
            network.send_packets(device, &[super::packets::udp("10.0.0.2", 1, "192.0.2.9", 1)]);
            network.run(Duration::from_secs(1));
        }
        let mut world = Self {
            network,
            turn: Duration::from_millis(200),
        };
        world.guard(Some(guard()));
        world
    }

    pub fn guard(&mut self, guard: Option<Guard>) {
        let at = self.network.moment();
        let gateway = &mut self.network.nodes[0];
        let (engine, output) = (&mut gateway.engine, &mut gateway.output);
        engine.configure(at, |control| control.set_guard(guard), output);
    }

    /// What a device may start from now on.
    pub fn allow(&mut self, device: usize, rules: &[Rule]) {
        let key = self.network.nodes[device].key;
        let config = PeerConfig {
            policy: Some(Policy::new(rules.to_vec())),
            ..PeerConfig::default()
        };
        self.network.configure(0, key, config);
    }

    /// Whether a packet of a device comes out at the gateway.
    pub fn leaves(&mut self, device: usize, packet: &[u8]) -> bool {
        self.passes(device, 0, packet)
    }

    /// Whether a packet at the gateway comes out at a device.
    pub fn reaches(&mut self, device: usize, packet: &[u8]) -> bool {
        self.passes(0, device, packet)
    }

    /// Whether a packet of a device comes out at the other one.
    pub fn crosses(&mut self, from: usize, to: usize, packet: &[u8]) -> bool {
        self.leaves(from, packet) && self.reaches(to, packet)
    }

    fn passes(&mut self, from: usize, to: usize, packet: &[u8]) -> bool {
        self.network.nodes[to].inbox.clear();
        self.network.send_packets(from, &[packet.to_vec()]);
        self.network.run(self.turn);
        let inbox = &self.network.nodes[to].inbox;
        assert!(inbox.is_empty() || inbox == &[packet.to_vec()], "another packet");
        !inbox.is_empty()
    }

    pub fn wait(&mut self, span: Duration) {
        self.network.run(span);
    }

    pub fn flows(&self, device: usize) -> usize {
        self.network.status(0, &self.network.nodes[device].key).flows
    }

    /// What the filter dropped so far, in the order of [`EVENTS`].
    pub fn dropped(&self) -> [u64; 5] {
        EVENTS.map(|event| self.network.counter(0, event))
    }
}

pub fn guard() -> Guard {
    let own = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    let protected = vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()];
    Guard::new(own, protected).unwrap()
}

pub fn rule(protocol: Protocol, network: &str) -> Rule {
    Rule::new(protocol, network.parse().unwrap())
}

pub fn to_ports(protocol: Protocol, network: &str, first: u16, last: u16) -> Rule {
    Rule::with_ports(protocol, network.parse().unwrap(), first, last).unwrap()
}

/// The world, and no neighbour.
pub fn anything() -> [Rule; 2] {
    [rule(Protocol::Any, "0.0.0.0/0"), rule(Protocol::Any, "::/0")]
}
