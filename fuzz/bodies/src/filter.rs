//! The packet filter of a gateway: packets of any content from a device and for it, while time passes and rules change.

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use wirewright_engine::filter::{Guard, Policy};
use wirewright_engine::{Batch, Endpoint, Engine, Limits, Moment, Output, PeerConfig};
use wirewright_protocol::{Instant, PublicKey, SecretKey, WallTime};

use crate::script::Script;

const FLOWS: usize = 5;
const ADDRESSES: [&str; 2] = ["192.0.2.1:1", "192.0.2.2:1"];
const POLICIES: [&[&str]; 4] = [
    &[],
    &["any 0.0.0.0/0", "any ::/0"],
    &["tcp 10.0.0.0/24 80-90", "icmp ::/0"],
    &["udp 0.0.0.0/0 53"],
];

/// Takes its bytes for packets, each with a byte that says which way it goes and two for its length, or for what else happens.
///
/// # Panics
///
/// If the engine does; if a packet passes that nobody may send and nobody asked for; if a packet comes out otherwise than it
/// went in; or if more flows are remembered than may be.
pub fn filter(bytes: &[u8]) {
    for shards in [1, 4] {
        play(shards, &mut Script(bytes));
    }
}

fn play(shards: u8, script: &mut Script<'_>) {
    let mut pair = Pair::new(shards);
    // Until a device may start something, or the host does, nothing passes at all.
    let mut opened = false;
    while !script.0.is_empty() {
        let head = script.u8();
        match head & 7 {
            0 => {
                let policy = POLICIES[usize::from(head >> 3) % POLICIES.len()];
                opened |= !policy.is_empty();
                pair.allow(policy);
            }
            1 => pair.now = pair.now + Duration::from_secs(u64::from(head >> 3)),
            way => {
                let len = usize::from(script.u16()) % 1400;
                let mut packet = script.bytes(len).to_vec();
                let from_device = way < 5;
                address(&mut packet, from_device, head & 8 != 0);
                opened |= !from_device && is_from_host(&packet);
                let passed = pair.pass(from_device, &packet);
                assert!(
                    opened || passed.is_empty(),
                    "something passed that nobody may send"
                );
                for each in passed {
                    assert!(packet.starts_with(&each), "a packet was changed");
                }
            }
        }
        let status = pair.ends[0].engine.status(&pair.keys[1], pair.now);
        assert!(
            status.is_some_and(|status| status.flows <= FLOWS),
            "too many flows"
        );
    }
}

/// Gives a packet the device's address, where it has one.
fn address(packet: &mut [u8], from_device: bool, host: bool) {
    let (v4, v6) = if from_device { (12, 8) } else { (16, 24) };
    let other = if from_device { (16, 24) } else { (12, 8) };
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let mut write = |at: usize, bytes: &[u8]| {
        if let Some(place) = packet.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    if is_v6 {
        write(v6, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    } else {
        write(v4, &[10, 0, 0, 2]);
        if host {
            write(other.0, &[10, 0, 0, 1]);
        }
    }
}

fn is_from_host(packet: &[u8]) -> bool {
    packet.get(12..16) == Some(&[10, 0, 0, 1])
}

struct End {
    engine: Engine<ChaCha8Rng>,
    output: Output,
}

/// A gateway and a device with a session.
struct Pair {
    ends: [End; 2],
    keys: [PublicKey; 2],
    now: Instant,
}

impl Pair {
    fn new(shards: u8) -> Self {
        let limits = Limits {
            flows_per_peer: FLOWS,
            ..Limits::default()
        };
        let secrets = [1, 2].map(|number| SecretKey::from_bytes([number; 32]));
        let keys = [0, 1].map(|end: usize| secrets[end].public());
        let end = |number: u8| End {
            engine: Engine::new(
                (0..shards).map(|shard| ChaCha8Rng::from_seed([number ^ shard << 4; 32])),
                &limits,
                1420,
            ),
            output: Output::default(),
        };
        let mut pair = Self {
            ends: [end(1), end(2)],
            keys,
            now: Instant::from_nanos(1_000_000_000),
        };
        let at = pair.at();
        for (number, secret) in secrets.into_iter().enumerate() {
            let allowed = [["10.0.0.2/32", "fd00::2/128"], ["0.0.0.0/0", "::/0"]][number];
            let config = PeerConfig {
                endpoint: Some(endpoint(1 - number)),
                allowed_ips: allowed
                    .iter()
                    .map(|text| text.parse().expect("a prefix"))
                    .collect(),
                ..PeerConfig::default()
            };
            let end = &mut pair.ends[number];
            end.engine.set_private_key(at, Some(secret), &mut end.output);
            end.engine
                .set_peer(at, keys[1 - number], config, &mut end.output)
                .expect("there is room");
        }
        let gateway = &mut pair.ends[0];
        let own = vec!["10.0.0.1".parse().expect("an address")];
        let guard = Guard::new(own, vec!["10.0.0.0/24".parse().expect("a prefix")]);
        gateway
            .engine
            .configure(at, |control| control.set_guard(guard), &mut gateway.output);
        pair
    }

    fn at(&self) -> Moment {
        let wall = WallTime {
            seconds: 1_800_000_000 + self.now.as_nanos() / 1_000_000_000,
            nanos: 0,
        };
        Moment { now: self.now, wall }
    }

    fn allow(&mut self, rules: &[&str]) {
        let rules = rules.iter().map(|text| text.parse().expect("a rule"));
        let config = PeerConfig {
            policy: Some(Policy::new(rules.collect())),
            ..PeerConfig::default()
        };
        let (at, gateway) = (self.at(), &mut self.ends[0]);
        gateway
            .engine
            .set_peer(at, self.keys[1], config, &mut gateway.output)
            .expect("there is room");
    }

    /// Sends a packet, and carries what follows to its end. Returns the packets that come out at the other side.
    fn pass(&mut self, from_device: bool, packet: &[u8]) -> Vec<Vec<u8>> {
        let (from, to) = if from_device { (1, 0) } else { (0, 1) };
        let at = self.at();
        for end in &mut self.ends {
            end.engine.tick(at, &mut end.output);
            end.output.packets.clear();
        }
        let end = &mut self.ends[from];
        let mut batch = end.engine.batch().expect("there is a shard");
        batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet));
        end.engine.send(at, batch, &mut end.output);
        // A handshake has three messages.
        for turn in 0..6 {
            self.carry(turn % 2, at);
        }
        let packets = self.ends[to].output.packets.drain(..);
        packets
            .flat_map(|batch| {
                batch
                    .packets()
                    .map(|(_, packet)| packet.to_vec())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn carry(&mut self, from: usize, at: Moment) {
        let batches: Vec<Batch> = self.ends[from].output.datagrams.drain(..).collect();
        let path = Endpoint::new(endpoint(from));
        let to = &mut self.ends[1 - from];
        for (_, datagram) in batches.iter().flat_map(Batch::packets) {
            let mut batch = Batch::new(1, datagram.len());
            batch.push_datagram(path, datagram.len(), |bytes| bytes.copy_from_slice(datagram));
            to.engine.receive(at, batch, &mut to.output);
            to.engine.handshakes(at, false, &mut to.output);
        }
    }
}

fn endpoint(number: usize) -> SocketAddr {
    ADDRESSES[number].parse().expect("an address")
}
