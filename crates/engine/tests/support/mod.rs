//! A network of interfaces in virtual time.
//!
//! ```text
//!   node 0 ──send──▶ engine ──datagrams──▶ (latency, loss, a tap) ──▶ engine ──packets──▶ inbox of node 1
//! ```
//!
//! Nothing sleeps: the clock jumps to whatever comes next, a datagram's arrival or an engine's deadline.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod author;
pub mod bench;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_engine::{
    Batch, Endpoint, Engine, Event, Limits, Moment, Notice, Output, PeerConfig, PeerStatus, Shard,
};
use wirewright_protocol::{Instant, PublicKey, SecretKey, WallTime};

pub const MTU: usize = 1420;
pub const LATENCY: Duration = Duration::from_millis(10);

pub struct Node {
    pub engine: Engine<ChaCha20Rng>,
    pub output: Output,
    pub key: PublicKey,
    pub address: SocketAddr,
    pub inner: IpAddr,
    pub inbox: Vec<Vec<u8>>,
    pub notices: Vec<Notice>,
}

#[derive(Clone)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Network {
    pub now: Duration,
    pub nodes: Vec<Node>,
    /// All datagrams that were sent, delivered or not.
    pub tap: Vec<Datagram>,
    /// Whether a datagram arrives.
    pub filter: Box<dyn FnMut(&Datagram) -> bool>,
    under_way: BTreeMap<(Duration, u64), Datagram>,
    sequence: u64,
}

impl Network {
    /// `count` nodes with `shards` shards each, at 192.0.2.(n+1):51820 outside and 10.0.0.(n+1) inside, unknown to
    /// one another.
    pub fn new(count: u8, shards: u8) -> Self {
        Self::with_limits(count, shards, &Limits::default())
    }

    pub fn with_limits(count: u8, shards: u8, limits: &Limits) -> Self {
        Self::of(shards, &vec![limits.clone(); count.into()], MTU)
    }

    /// A node for each of `limits`, all with the same MTU.
    pub fn of(shards: u8, limits: &[Limits], mtu: usize) -> Self {
        let count = limits.len() as u8;
        let nodes = (0..count)
            .zip(limits)
            .map(|(number, limits)| Node::new(number, shards, limits, mtu))
            .collect();
        let mut network = Self {
            now: Duration::from_secs(1000),
            nodes,
            tap: Vec::new(),
            filter: Box::new(|_| true),
            under_way: BTreeMap::new(),
            sequence: 0,
        };
        for number in 0..count {
            let at = network.moment();
            let node = &mut network.nodes[usize::from(number)];
            node.engine
                .set_private_key(at, Some(secret(number)), &mut node.output);
        }
        network
    }

    /// Two nodes that are peers; only node 0 knows where the other one is.
    pub fn pair(shards: u8) -> Self {
        let mut network = Self::new(2, shards);
        network.introduce(0, 1, true);
        network.introduce(1, 0, false);
        network
    }

    /// Two nodes with a session.
    pub fn connected(shards: u8) -> Self {
        let mut network = Self::pair(shards);
        network.send(0, 1, b"first");
        network.run(Duration::from_secs(1));
        assert_eq!(network.payloads(1), [b"first".to_vec()]);
        network.nodes[1].inbox.clear();
        network
    }

    /// Makes `other` a peer of `node`.
    pub fn introduce(&mut self, node: usize, other: usize, with_endpoint: bool) {
        let config = PeerConfig {
            endpoint: with_endpoint.then_some(self.nodes[other].address),
            allowed_ips: vec![format!("{}/32", self.nodes[other].inner).parse().unwrap()],
            ..PeerConfig::default()
        };
        let key = self.nodes[other].key;
        self.configure(node, key, config);
    }

    pub fn configure(&mut self, node: usize, key: PublicKey, config: PeerConfig) {
        let at = self.moment();
        let node = &mut self.nodes[node];
        node.engine.set_peer(at, key, config, &mut node.output).unwrap();
        self.carry();
    }

    pub fn moment(&self) -> Moment {
        moment(self.now)
    }

    /// Sends an inner UDP-less IPv4 packet with `payload`.
    pub fn send(&mut self, from: usize, to: usize, payload: &[u8]) {
        let packet = ipv4(self.nodes[from].inner, self.nodes[to].inner, payload);
        self.send_packets(from, &[packet]);
    }

    pub fn send_packets(&mut self, from: usize, packets: &[Vec<u8>]) {
        let at = self.moment();
        let node = &mut self.nodes[from];
        let mut batch = node.engine.batch().unwrap();
        for packet in packets {
            assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)));
        }
        node.engine.send(at, batch, &mut node.output);
        self.carry();
    }

    /// Lets a datagram arrive now, in the right shard.
    pub fn inject(&mut self, to: usize, from: SocketAddr, bytes: &[u8]) {
        let at = self.moment();
        let node = &mut self.nodes[to];
        node.engine.receive(at, datagram(from, bytes), &mut node.output);
        node.engine.handshakes(at, false, &mut node.output);
        self.carry();
    }

    /// Lets datagrams arrive now as one batch, the shards of which do not work on handshake messages.
    pub fn deliver(&mut self, to: usize, from: SocketAddr, datagrams: &[Vec<u8>]) {
        let at = self.moment();
        let stride = datagrams.iter().map(Vec::len).max().unwrap_or(0);
        let mut batch = Batch::new(datagrams.len(), stride);
        for bytes in datagrams {
            assert!(batch.push_datagram(Endpoint::new(from), bytes.len(), |to| to.copy_from_slice(bytes)));
        }
        let node = &mut self.nodes[to];
        node.engine.receive(at, batch, &mut node.output);
        self.carry();
    }

    /// Lets a node work on handshake messages that wait.
    pub fn handshakes(&mut self, node: usize, busy: bool) {
        let at = self.moment();
        let node = &mut self.nodes[node];
        node.engine.handshakes(at, busy, &mut node.output);
        self.carry();
    }

    /// Lets time pass, with all that happens in it.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.carry();
        loop {
            let arrival = self.under_way.keys().next().map(|key| key.0);
            let timer = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.deadline())
                .min()
                .map(|instant| Duration::from_nanos(instant.as_nanos()));
            let next = arrival.into_iter().chain(timer).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let at = self.moment();
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let sent = entry.remove();
            if let Some(node) = self.nodes.iter_mut().find(|node| node.address == sent.to) {
                node.engine
                    .receive(at, datagram(sent.from, &sent.bytes), &mut node.output);
                node.engine.handshakes(at, false, &mut node.output);
            }
        }
        for node in &mut self.nodes {
            node.engine.tick(at, &mut node.output);
        }
        self.carry();
    }

    /// Takes what engines want done: datagrams are under way, packets are in the inbox.
    pub fn carry(&mut self) {
        for node in &mut self.nodes {
            for batch in node.output.datagrams.drain(..) {
                for (slot, bytes) in batch.packets() {
                    let sent = Datagram {
                        from: node.address,
                        to: slot.path.remote,
                        bytes: bytes.to_vec(),
                    };
                    self.tap.push(sent.clone());
                    if (self.filter)(&sent) {
                        self.under_way.insert((self.now + LATENCY, self.sequence), sent);
                        self.sequence += 1;
                    }
                }
                node.engine.recycle(batch);
            }
            for batch in node.output.packets.drain(..) {
                node.inbox
                    .extend(batch.packets().map(|(_, packet)| packet.to_vec()));
                node.engine.recycle(batch);
            }
            node.notices.append(&mut node.output.notices);
        }
    }

    /// What is under way, taken off the wire.
    pub fn intercept(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.under_way).into_values().collect()
    }

    pub fn payloads(&self, node: usize) -> Vec<Vec<u8>> {
        self.nodes[node]
            .inbox
            .iter()
            .map(|packet| packet[20..].to_vec())
            .collect()
    }

    pub fn counter(&self, node: usize, event: Event) -> u64 {
        self.nodes[node].engine.counters().get(event)
    }

    pub fn peer_counter(&self, node: usize, peer: usize, event: Event) -> u64 {
        self.status(node, &self.nodes[peer].key).counters.get(event)
    }

    pub fn status(&self, node: usize, peer: &PublicKey) -> PeerStatus {
        self.nodes[node].engine.status(peer, self.moment().now).unwrap()
    }

    pub fn indices(&self, node: usize) -> usize {
        self.nodes[node]
            .engine
            .shards()
            .iter()
            .map(Shard::indices_in_use)
            .sum()
    }

    pub fn staged_bytes(&self, node: usize) -> usize {
        self.nodes[node]
            .engine
            .shards()
            .iter()
            .map(Shard::staged_bytes)
            .sum()
    }

    /// How many datagrams of a message type were sent by a node.
    pub fn sent(&self, node: usize, kind: u8) -> usize {
        let address = self.nodes[node].address;
        self.tap
            .iter()
            .filter(|datagram| datagram.from == address && datagram.bytes[0] == kind)
            .count()
    }
}

impl Node {
    pub fn new(number: u8, shards: u8, limits: &Limits, mtu: usize) -> Self {
        let rngs = (0..shards).map(|shard| ChaCha20Rng::from_seed([number ^ shard << 4 ^ 0x80; 32]));
        Self {
            engine: Engine::new(rngs, limits, mtu),
            output: Output::default(),
            key: secret(number).public(),
            address: SocketAddr::new(Ipv4Addr::new(192, 0, 2, number + 1).into(), 51820),
            inner: Ipv4Addr::new(10, 0, 0, number + 1).into(),
            inbox: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// All datagrams that the node wants to be sent are refused.
    pub fn refuse(&mut self, event: Event) {
        for batch in self.output.datagrams.drain(..) {
            for (slot, _) in batch.packets() {
                self.engine.refused(slot, event);
            }
        }
    }
}

pub fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number + 1; 32])
}

pub fn moment(since_boot: Duration) -> Moment {
    Moment {
        now: Instant::from_nanos(since_boot.as_nanos() as u64),
        wall: WallTime {
            seconds: 1_800_000_000 + since_boot.as_secs(),
            nanos: since_boot.subsec_nanos(),
        },
    }
}

pub fn datagram(from: SocketAddr, bytes: &[u8]) -> Batch {
    let mut batch = Batch::new(1, bytes.len().max(1));
    assert!(batch.push_datagram(Endpoint::new(from), bytes.len(), |to| to.copy_from_slice(bytes)));
    batch
}

pub fn ipv4(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
        panic!("IPv4 only")
    };
    let mut packet = vec![0; 20];
    (packet[0], packet[8]) = (0x45, 64);
    packet[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&destination.octets());
    packet.extend_from_slice(payload);
    packet
}

/// Each test with one shard and with four.
#[macro_export]
macro_rules! with_one_and_four_shards {
    ($($(#[$meta:meta])* fn $name:ident($shards:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports)]
            use super::*;
            fn run($shards: u8) $body
            $(#[$meta])*
            #[test]
            fn with_one_shard() { run(1); }
            $(#[$meta])*
            #[test]
            fn with_four_shards() { run(4); }
        })*
    };
}
