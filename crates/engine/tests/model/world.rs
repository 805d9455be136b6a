//! Engines beside their models: everything is done to both, and must have the same effect.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirewright_engine::{Batch, Endpoint, Limits, PeerConfig};

use super::interface::{Harm, Interface, Meaning, Packet, STAGED};
use super::step::Step;
use super::support::{MTU, Node, ipv4, moment, secret};
use super::wire::{Letter, harmed};

pub const NODES: usize = 3;

pub struct World {
    pub now: Duration,
    pub nodes: Vec<Node>,
    pub models: Vec<Interface>,
    pub wire: Vec<Letter>,
    pub packets: u64,
    /// Packets that were dropped before they had a session, by node and peer.
    pub dropped: BTreeMap<(usize, usize), u64>,
}

impl World {
    /// All nodes know each other, and have sessions if they are `connected`.
    pub fn new(shards: u8, connected: bool) -> Self {
        let limits = Limits {
            staged_packets_per_peer: STAGED,
            under_load: usize::MAX,
            ..Limits::default()
        };
        let now = Duration::from_secs(1000);
        let mut nodes: Vec<Node> = (0..NODES as u8)
            .map(|node| Node::new(node, shards, &limits, MTU))
            .collect();
        for (number, node) in (0..).zip(&mut nodes) {
            node.engine
                .set_private_key(moment(now), Some(secret(number)), &mut node.output);
        }
        let mut world = Self {
            now,
            nodes,
            models: (0..NODES).map(Interface::new).collect(),
            wire: Vec::new(),
            packets: 0,
            dropped: BTreeMap::new(),
        };
        world.pass(Duration::ZERO);
        for node in 0..NODES {
            for peer in (0..NODES).filter(|peer| *peer != node) {
                world.add(node, peer, true);
            }
        }
        if connected {
            for node in 0..NODES {
                world.send(node, (node + 1) % NODES, &[true]);
                world.carry();
            }
        }
        world
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Send {
                node,
                to,
                ref packets,
            } => self.send(node, to, packets),
            Step::Arrive {
                first,
                count,
                again,
                elsewhere,
                harm,
            } => {
                self.arrive(first, count, again, elsewhere, harm);
            }
            Step::Lose { first } => {
                if first < self.wire.len() {
                    self.wire.remove(first);
                }
            }
            Step::Carry => self.carry(),
            Step::Pass { milliseconds } => self.pass(Duration::from_millis(milliseconds)),
            Step::Allow {
                node,
                peer,
                address,
                all,
            } => self.allow(node, peer, address, all),
            Step::Remove { node, peer } => self.remove(node, peer),
            Step::Add { node, peer, endpoint } => self.add(node, peer, endpoint),
            Step::Move { node, place } => {
                self.nodes[node].address = SocketAddr::from(([198, 51, 100, 16 * node as u8 + place], 51820));
            }
            Step::Initiate { node, peer } => {
                let (at, key) = (moment(self.now), self.nodes[peer].key);
                let engine = &mut self.nodes[node];
                engine.engine.initiate(at, &key, &mut engine.output);
                self.models[node].initiate(peer);
                self.compare(node);
            }
        }
    }

    /// Over an honest wire every pair of peers comes to speak to each other again.
    pub fn settle(&mut self) {
        for node in 0..NODES {
            for peer in (0..NODES).filter(|peer| *peer != node) {
                self.add(node, peer, true);
                self.allow(node, peer, peer, false);
            }
        }
        self.wire.clear();
        let mut waiting: Vec<(usize, usize)> = (0..NODES)
            .flat_map(|node| (0..NODES).map(move |peer| (node, peer)))
            .filter(|(node, peer)| node != peer)
            .collect();
        for _ in 0..400 {
            waiting.retain(|(node, to)| {
                let number = self.packets;
                self.send(*node, *to, &[true]);
                self.carry();
                !self.nodes[*to]
                    .inbox
                    .iter()
                    .any(|packet| packet[20..28] == number.to_be_bytes())
            });
            if waiting.is_empty() {
                return;
            }
            let next = self.nodes.iter().filter_map(|node| node.engine.deadline()).min();
            let next = next.map_or(self.now, |next| Duration::from_nanos(next.as_nanos()));
            self.pass((next - self.now).min(Duration::from_secs(1)));
            self.carry();
        }
        panic!("these do not get through: {waiting:?}");
    }

    /// Delivers what is on the wire, and what follows from it.
    fn carry(&mut self) {
        while !self.wire.is_empty() {
            self.arrive(0, 1, false, false, Harm::None);
        }
    }

    fn send(&mut self, node: usize, to: usize, honest: &[bool]) {
        let third = (0..NODES).find(|other| *other != node && *other != to).unwrap();
        let packets: Vec<Packet> = honest
            .iter()
            .map(|honest| {
                self.packets += 1;
                let odd = !honest && self.packets.is_multiple_of(2);
                Packet {
                    source: self.nodes[if !honest && !odd { third } else { node }].inner,
                    destination: if odd {
                        [10, 9, 9, 9].into()
                    } else {
                        self.nodes[to].inner
                    },
                    number: self.packets - 1,
                }
            })
            .collect();
        let (at, engine) = (moment(self.now), &mut self.nodes[node]);
        let mut batch = engine.engine.batch().unwrap();
        for packet in &packets {
            let bytes = ipv4(packet.source, packet.destination, &packet.number.to_be_bytes());
            assert!(batch.push_plaintext(bytes.len(), |to| to.copy_from_slice(&bytes)));
        }
        engine.engine.send(at, batch, &mut engine.output);
        self.models[node].send(packets);
        self.compare(node);
    }

    /// Data arrives in batches of what comes over the same way, handshake messages one by one.
    fn arrive(&mut self, first: usize, count: usize, again: bool, elsewhere: bool, harm: Harm) {
        let mut chosen: Vec<Letter> = Vec::new();
        let mut at = first;
        while chosen.len() < count && at < self.wire.len() {
            let alike = chosen.first().is_none_or(|first: &Letter| {
                let data = |letter: &Letter| matches!(letter.meaning, Meaning::Data { .. });
                data(first)
                    && data(&self.wire[at])
                    && first.to == self.wire[at].to
                    && first.from == self.wire[at].from
            });
            if !alike {
                at += 1;
            } else if again {
                chosen.push(self.wire[at].clone());
                at += 1;
            } else {
                chosen.push(self.wire.remove(at));
            }
        }
        let Some(head) = chosen.first() else { return };
        let from = if elsewhere {
            SocketAddr::from(([203, 0, 113, 9], 9))
        } else {
            head.from
        };
        let Some(node) = self.nodes.iter().position(|node| node.address == head.to) else {
            return;
        };
        let mut batch = Batch::new(
            chosen.len(),
            chosen.iter().map(|letter| letter.bytes.len()).max().unwrap(),
        );
        let mut meanings = Vec::new();
        for (number, letter) in chosen.iter().enumerate() {
            // The first is harmed, the others are not.
            let harm = if number == 0 { harm } else { Harm::None };
            let bytes = harmed(letter, harm);
            assert!(batch.push_datagram(Endpoint::new(from), bytes.len(), |to| to.copy_from_slice(&bytes)));
            meanings.push((letter.meaning.clone(), harm));
        }
        let (at, engine) = (moment(self.now), &mut self.nodes[node]);
        engine.engine.receive(at, batch, &mut engine.output);
        while engine.engine.has_handshakes() {
            engine.engine.handshakes(at, false, &mut engine.output);
        }
        self.models[node].receive(from, &meanings);
        self.compare(node);
    }

    /// Lets time pass from timer to timer.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.nodes.iter().filter_map(|node| node.engine.deadline()).min();
            let next = next.map(|next| Duration::from_nanos(next.as_nanos()).max(self.now));
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.tick(next);
        }
        self.tick(end);
    }

    fn tick(&mut self, now: Duration) {
        self.now = now;
        for node in 0..NODES {
            let engine = &mut self.nodes[node];
            engine.engine.tick(moment(now), &mut engine.output);
            self.models[node].pass(now);
            self.compare_timers(node);
        }
    }

    fn allow(&mut self, node: usize, peer: usize, address: usize, all: bool) {
        if node == peer || !self.models[node].has_peer(peer) {
            return;
        }
        let (address, len): (IpAddr, u8) = match all {
            true => ([10, 0, 0, 0].into(), 24),
            false => (self.nodes[address].inner, 32),
        };
        let config = PeerConfig {
            allowed_ips: vec![format!("{address}/{len}").parse().unwrap()],
            ..PeerConfig::default()
        };
        self.set_peer(node, peer, config);
        self.models[node].allow(peer, address, len);
        self.compare(node);
    }

    fn remove(&mut self, node: usize, peer: usize) {
        if node == peer || !self.models[node].has_peer(peer) {
            return;
        }
        let (at, key, engine) = (moment(self.now), self.nodes[peer].key, &mut self.nodes[node]);
        assert!(engine.engine.remove_peer(at, &key, &mut engine.output));
        self.models[node].remove(peer);
        self.dropped.remove(&(node, peer));
        self.compare(node);
    }

    fn add(&mut self, node: usize, peer: usize, endpoint: bool) {
        if node == peer {
            return;
        }
        let (endpoint, inner) = (
            endpoint.then_some(self.nodes[peer].address),
            self.nodes[peer].inner,
        );
        let config = PeerConfig {
            endpoint,
            allowed_ips: vec![format!("{inner}/32").parse().unwrap()],
            ..PeerConfig::default()
        };
        self.set_peer(node, peer, config);
        self.models[node].set_peer(peer, endpoint);
        self.models[node].allow(peer, inner, 32);
        self.compare(node);
    }

    fn set_peer(&mut self, node: usize, peer: usize, config: PeerConfig) {
        let (at, key, engine) = (moment(self.now), self.nodes[peer].key, &mut self.nodes[node]);
        engine
            .engine
            .set_peer(at, key, config, &mut engine.output)
            .unwrap();
    }
}
