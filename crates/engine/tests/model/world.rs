//! Engines beside their models: everything is done to both, and must have the same effect.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use wirewright_engine::{Batch, Endpoint, Event, Limits, Notice, PeerConfig, Shard};

use super::interface::{Harm, Interface, Meaning, Packet, STAGED, Sent};
use super::support::{MTU, Node, ipv4, moment, secret};

pub const NODES: usize = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A node sends packets to another one, some of them from a third one's address or to nobody.
    Send {
        node: usize,
        to: usize,
        packets: Vec<bool>,
    },
    /// Some datagrams arrive, counted from the oldest; they stay on the wire if they are to arrive again.
    Arrive {
        first: usize,
        count: usize,
        again: bool,
        elsewhere: bool,
        harm: Harm,
    },
    Lose {
        first: usize,
    },
    /// Everything arrives, and what follows from it.
    Carry,
    Pass {
        milliseconds: u64,
    },
    /// A node gives an address, or the network of all, to a peer.
    Allow {
        node: usize,
        peer: usize,
        address: usize,
        all: bool,
    },
    Remove {
        node: usize,
        peer: usize,
    },
    Add {
        node: usize,
        peer: usize,
        endpoint: bool,
    },
    Move {
        node: usize,
        place: u8,
    },
    Initiate {
        node: usize,
        peer: usize,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let harm = prop_oneof![
        8 => Just(Harm::None),
        1 => Just(Harm::Type),
        1 => Just(Harm::Index),
        2 => Just(Harm::Text),
    ];
    let span = prop_oneof![3 => 0..40u64, 3 => 0..6_000u64, 1 => 0..200_000u64];
    let packets = proptest::collection::vec(prop::bool::weighted(0.8), 1..6);
    prop_oneof![
        8 => (node(), node(), packets).prop_map(|(node, to, packets)| Step::Send { node, to, packets }),
        16 => (0..20usize, 1..6usize, prop::bool::weighted(0.25), prop::bool::weighted(0.1), harm)
            .prop_map(|(first, count, again, elsewhere, harm)| Step::Arrive { first: first.saturating_sub(10), count, again, elsewhere, harm }),
        2 => (0..40usize).prop_map(|first| Step::Lose { first }),
        4 => Just(Step::Carry),
        6 => span.prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => (node(), node(), node(), any::<bool>()).prop_map(|(node, peer, address, all)| Step::Allow { node, peer, address, all }),
        1 => (node(), node()).prop_map(|(node, peer)| Step::Remove { node, peer }),
        2 => (node(), node(), any::<bool>()).prop_map(|(node, peer, endpoint)| Step::Add { node, peer, endpoint }),
        1 => (node(), 0..4u8).prop_map(|(node, place)| Step::Move { node, place }),
        1 => (node(), node()).prop_map(|(node, peer)| Step::Initiate { node, peer }),
    ]
}

/// A datagram on the wire.
#[derive(Clone)]
struct Letter {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    meaning: Meaning,
}

pub struct World {
    now: Duration,
    nodes: Vec<Node>,
    models: Vec<Interface>,
    wire: Vec<Letter>,
    packets: u64,
    /// Packets that were dropped before they had a session, by node and peer.
    dropped: BTreeMap<(usize, usize), u64>,
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

    /// Nothing but what the model says was sent, in the same order to each peer and with the same counters.
    fn compare(&mut self, node: usize) {
        for (to, bytes) in self.take_datagrams(node) {
            let expected = self.models[node]
                .sent
                .iter()
                .position(|sent| sent.to == to && fits(&sent.meaning, &bytes));
            let Some(expected) = expected else {
                panic!(
                    "node {node} sent {:x?} to {to}, not one of {:?}",
                    &bytes[..16],
                    self.models[node].sent
                );
            };
            let sent = self.models[node].sent.remove(expected);
            self.post(node, sent, bytes);
        }
        assert!(
            self.models[node].sent.is_empty(),
            "node {node} did not send {:?}",
            self.models[node].sent
        );
        self.compare_state(node);
    }

    /// What timers sent may be sent at this time.
    fn compare_timers(&mut self, node: usize) {
        for (to, bytes) in self.take_datagrams(node) {
            let peers = (0..NODES).filter(|peer| self.models[node].has_peer(*peer));
            let peer = peers
                .filter(|peer| self.models[node].endpoint(*peer) == Some(to))
                .find(|peer| {
                    // Two peers may have the same address after a move; the index tells them apart.
                    bytes[0] == 4 && self.models[node].sends_under(*peer, index(&bytes, 4))
                        || bytes[0] == 1 && is_for(&bytes, &self.nodes[*peer].key)
                });
            let peer =
                peer.unwrap_or_else(|| panic!("a timer of node {node} sent to nobody: {:x?}", &bytes[..16]));
            let data = (bytes[0] == 4).then(|| (index(&bytes, 4), counter(&bytes)));
            let sent = self.models[node].timer_sent(peer, data);
            assert!(
                fits(&sent.meaning, &bytes),
                "a timer sent {:x?}, not {sent:?}",
                &bytes[..16]
            );
            self.post(node, sent, bytes);
        }
        for peer in (0..NODES)
            .filter(|peer| self.models[node].has_peer(*peer))
            .collect::<Vec<_>>()
        {
            let gave_up = self.nodes[node]
                .output
                .notices
                .contains(&Notice::HandshakeGaveUp(self.nodes[peer].key));
            let counters = self.nodes[node]
                .engine
                .status(&self.nodes[peer].key, moment(self.now).now)
                .unwrap()
                .counters;
            let dropped = counters.get(Event::StagedDropped);
            let before = self.dropped.insert((node, peer), dropped).unwrap_or(0);
            if gave_up || dropped > before {
                self.models[node].timer_dropped(peer, dropped - before);
            }
        }
        self.nodes[node].output.notices.clear();
        self.compare_state(node);
    }

    fn compare_state(&mut self, node: usize) {
        let at = moment(self.now).now;
        let (engine, model) = (&mut self.nodes[node], &mut self.models[node]);
        let mut delivered = Vec::new();
        for batch in engine.output.packets.drain(..) {
            delivered.extend(batch.packets().map(|(_, packet)| packet.to_vec()));
        }
        let expected = model.delivered.drain(..);
        let mut expected: Vec<Vec<u8>> = expected
            .map(|packet| ipv4(packet.source, packet.destination, &packet.number.to_be_bytes()))
            .collect();
        engine.inbox.extend(delivered.iter().cloned());
        // Shards keep the order of each peer's packets, not that among peers.
        delivered.sort_by_key(|packet| packet[15]);
        expected.sort_by_key(|packet| packet[15]);
        assert_eq!(delivered, expected, "node {node} delivered");

        let counters = engine.engine.counters();
        let beside = [Event::StagedDropped, Event::HandshakeGaveUp];
        let counted: BTreeMap<&str, u64> = counters
            .iter()
            .filter(|(event, count)| *count > 0 && !beside.contains(event))
            .map(|(event, count)| (event.name(), count))
            .collect();
        assert_eq!(counted, model.counted, "node {node} counted");
        let sum = |of: fn(&Shard<_>) -> usize| engine.engine.shards().iter().map(of).sum::<usize>();
        assert_eq!(
            sum(Shard::staged_bytes),
            model.staged() * 28,
            "what waits at node {node}"
        );
        assert_eq!(
            sum(Shard::indices_in_use),
            model.indices(),
            "indices of node {node}"
        );
        for (peer, key) in (0..NODES).map(|peer| (peer, secret(peer as u8).public())) {
            let status = engine.engine.status(&key, at);
            assert_eq!(status.is_some(), model.has_peer(peer));
            if let Some(status) = status {
                assert_eq!(
                    status.endpoint,
                    model.endpoint(peer),
                    "where peer {peer} of node {node} is"
                );
                assert_eq!(
                    status.has_session,
                    model.has_session(peer),
                    "a session of node {node} with {peer}"
                );
            }
        }
    }

    /// Puts a datagram on the wire, with what it means.
    fn post(&mut self, node: usize, mut sent: Sent, bytes: Vec<u8>) {
        let at = moment(self.now);
        match &mut sent.meaning {
            Meaning::Initiation { sender, stamp, .. } => {
                *sender = index(&bytes, 4);
                *stamp = (at.wall.seconds, at.wall.nanos & !0xff_ffff);
            }
            Meaning::Response { sender, .. } => *sender = index(&bytes, 4),
            Meaning::Data { .. } => (),
        }
        self.models[node].has_left(&sent, index(&bytes, 4));
        let from = self.nodes[node].address;
        self.wire.push(Letter {
            from,
            to: sent.to,
            bytes,
            meaning: sent.meaning,
        });
    }

    fn take_datagrams(&mut self, node: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let batches = std::mem::take(&mut self.nodes[node].output.datagrams);
        let of = |batch: &Batch| {
            let datagrams = batch
                .packets()
                .map(|(slot, bytes)| (slot.path.remote, bytes.to_vec()));
            datagrams.collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect()
    }
}

/// Whether a datagram may mean this, as far as it can be seen from outside.
fn fits(meaning: &Meaning, bytes: &[u8]) -> bool {
    match meaning {
        Meaning::Initiation { to, .. } => bytes[0] == 1 && is_for(bytes, &secret(*to as u8).public()),
        Meaning::Response { receiver, .. } => bytes[0] == 2 && index(bytes, 8) == *receiver,
        Meaning::Data {
            receiver,
            counter: number,
            packet,
        } => {
            let len = 32 + if packet.is_some() { 32 } else { 0 };
            bytes[0] == 4 && index(bytes, 4) == *receiver && counter(bytes) == *number && bytes.len() == len
        }
    }
}

/// Whether an initiation has a mac1 for this key.
fn is_for(initiation: &[u8], key: &wirewright_protocol::PublicKey) -> bool {
    let mut signed = initiation.to_vec();
    super::support::author::sign(&mut signed, key);
    signed[..132] == initiation[..132]
}

fn index(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn counter(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[8..16].try_into().unwrap())
}

fn harmed(letter: &Letter, harm: Harm) -> Vec<u8> {
    let mut bytes = letter.bytes.clone();
    match harm {
        Harm::None => (),
        Harm::Type => bytes[3] ^= 0x40,
        Harm::Index => bytes[5] ^= 0x40,
        Harm::Text => bytes[20] ^= 0x40,
    }
    bytes
}
