//! The device under test, its peers, and the promises that hold after each step.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use wirewright_engine::{Engine, Limits, Moment, Notice, Output, PeerConfig};
use wirewright_protocol::{Instant, PublicKey, SecretKey, WallTime};

use super::ledger::{Ledger, ipv4};
use super::mail::{Arrival, Mail, batch_of, place};
use crate::script::Script;

/// Small, so that not much has to be wiped.
const MTU: usize = 96;
/// Where peers write to.
const DEVICE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 51820);
/// A dead session shows after 15 s and a bit; then an initiation, a cookie and another initiation; twice as much, since
/// both may begin at once.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) type Interface = Engine<ChaCha8Rng>;

pub(super) struct Peer {
    pub(super) engine: Interface,
    pub(super) output: Output,
    pub(super) key: PublicKey,
    pub(super) inner: Ipv4Addr,
    /// Whether it is a peer of the device.
    pub(super) configured: bool,
}

pub(super) struct World {
    pub(super) device: Interface,
    pub(super) output: Output,
    pub(super) limits: Limits,
    pub(super) shards: u8,
    pub(super) now: Duration,
    pub(super) peers: Vec<Peer>,
    /// Which peer has the inner address of each.
    pub(super) owners: Vec<Option<usize>>,
    pub(super) mail: Mail,
    pub(super) ledger: Ledger,
    /// Whence peers' handshake messages came, whole; what waits may be worked on later.
    pub(super) shook_from: HashSet<(usize, SocketAddr)>,
}

impl World {
    pub(super) const PEERS: usize = 3;
    /// The last one is a stranger at first.
    const FRIENDS: usize = 2;

    /// Two peers with sessions and a stranger. The low bits of `setting` choose the number of shards, and when the
    /// device is under load.
    pub(super) fn new(setting: u8) -> Self {
        let shards = if setting & 1 == 0 { 1 } else { 4 };
        let limits = Limits {
            staged_packets_per_peer: 4,
            staged_bytes: 2000,
            handshake_queue: 12,
            under_load: [usize::MAX, 0, 3, 6][usize::from(setting >> 1 & 3)],
            rate_limited_sources: 4,
            known_sources: 4,
            datagrams_per_handshake: 8,
            ..Limits::default()
        };
        let mut world = Self {
            device: interface(100, shards, &limits),
            output: Output::default(),
            shards,
            now: Duration::from_secs(1000),
            peers: (0..Self::PEERS as u8)
                .map(|number| Peer::new(number, &limits))
                .collect(),
            limits,
            owners: vec![None; Self::PEERS],
            mail: Mail::default(),
            ledger: Ledger::default(),
            shook_from: HashSet::new(),
        };
        world.change_private_key(0);
        for peer in 0..Self::FRIENDS {
            world.add(peer, peer as u8);
            world.gets_through(peer);
        }
        world
    }

    /// A peer sends a few packets of its own to the device.
    pub(super) fn write(&mut self, peer: usize, shape: u8) {
        let at = self.moment();
        let Some(writer) = self.peers.get_mut(peer) else {
            return;
        };
        let Some(mut batch) = writer.engine.batch() else {
            return;
        };
        for number in 0..=shape & 7 {
            // Now and then from the address of somebody else.
            let source = if shape & 0xc0 == 0xc0 {
                inner(number)
            } else {
                writer.inner
            };
            let packet = self.ledger.packet(peer, source, shape >> 3 & 7);
            batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet));
        }
        writer.engine.send(at, batch, &mut writer.output);
        self.collect(peer);
    }

    /// A peer begins a handshake.
    pub(super) fn initiate(&mut self, peer: usize) {
        let (at, device) = (self.moment(), self.device_key());
        if let (Some(writer), Some(device)) = (self.peers.get_mut(peer), device) {
            writer.engine.initiate(at, &device, &mut writer.output);
        }
        self.collect(peer);
    }

    pub(super) fn device_sends(&mut self, peer: usize, shape: u8) {
        let at = self.moment();
        let Some(mut batch) = self.device.batch() else {
            return;
        };
        for number in 0..=shape & 7 {
            let packet = ipv4(
                Ipv4Addr::new(10, 0, 0, 100),
                inner(peer as u8),
                number.into(),
                shape,
            );
            batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(&packet));
        }
        self.device.send(at, batch, &mut self.output);
    }

    pub(super) fn device_initiates(&mut self, peer: usize) {
        let at = self.moment();
        if let Some(peer) = self.peers.get(peer) {
            self.device.initiate(at, &peer.key, &mut self.output);
        }
    }

    /// What the device wrote arrives, and peers answer.
    pub(super) fn carry_to_peers(&mut self) {
        let at = self.moment();
        for batch in std::mem::take(&mut self.output.datagrams) {
            for (_, bytes) in batch.packets() {
                // Receiver indices tell the peers apart; those it is not for drop and count it.
                for peer in &mut self.peers {
                    let arrival = Arrival {
                        bytes: bytes.to_vec(),
                        from: DEVICE,
                        letter: None,
                    };
                    peer.engine.receive(at, batch_of(&[arrival]), &mut peer.output);
                }
            }
            self.device.recycle(batch);
        }
        for peer in 0..Self::PEERS {
            if let Some(peer) = self.peers.get_mut(peer) {
                while peer.engine.has_handshakes() {
                    peer.engine.handshakes(at, false, &mut peer.output);
                }
            }
            self.collect(peer);
        }
        self.output.notices.clear();
    }

    /// Works on what waits at the device.
    pub(super) fn handshakes(&mut self, busy: bool) {
        let before = self.books();
        let (answers, notices) = (self.sent(2), self.output.notices.len());
        let at = self.moment();
        self.device.handshakes(at, busy, &mut self.output);
        let after = self.books();
        let completed = self.output.notices[notices..]
            .iter()
            .filter(|notice| matches!(notice, Notice::HandshakeCompleted(_)))
            .count();
        let done = before.waiting - after.waiting;
        let outcomes = self.sent(2) - answers + completed + (after.ended - before.ended) as usize;
        assert_eq!(done, outcomes, "a handshake message has not exactly one outcome");
        self.assert_moved_only_to(&before, &HashSet::new());
        self.assert_nothing_delivered();
    }

    /// Lets time pass: milliseconds, seconds, or minutes.
    pub(super) fn pass(&mut self, span: u8) {
        let unit = [1, 40, 1000, 6000][usize::from(span >> 6)];
        self.now += Duration::from_millis(unit * u64::from(span & 63));
        self.tick();
    }

    fn tick(&mut self) {
        let (at, before) = (self.moment(), self.books());
        self.device.tick(at, &mut self.output);
        for peer in 0..Self::PEERS {
            if let Some(peer) = self.peers.get_mut(peer) {
                peer.engine.tick(at, &mut peer.output);
            }
            self.collect(peer);
        }
        assert_eq!(self.books().ended, before.ended, "time alone ended a datagram");
        self.assert_moved_only_to(&before, &HashSet::new());
        self.assert_nothing_delivered();
        assert!(
            self.device.deadline().is_none_or(|deadline| deadline > at.now),
            "a deadline that was reached stays"
        );
    }

    /// The device forgets a peer.
    pub(super) fn remove(&mut self, peer: usize) {
        let at = self.moment();
        if let Some(gone) = self.peers.get_mut(peer) {
            self.device.remove_peer(at, &gone.key, &mut self.output);
            gone.configured = false;
        }
        for owner in &mut self.owners {
            owner.take_if(|owner| *owner == peer);
        }
    }

    /// The device gets a peer, or the peer another address inside, outside, or both.
    pub(super) fn add(&mut self, peer: usize, shape: u8) {
        let owned = usize::from(shape & 15) % Self::PEERS;
        let config = PeerConfig {
            endpoint: (shape & 0x10 != 0).then(|| place(shape)),
            allowed_ips: vec![format!("{}/32", inner(owned as u8)).parse().expect("a prefix")],
            persistent_keepalive: (shape & 0x20 != 0).then_some(Some(Duration::from_secs(7))),
            ..PeerConfig::default()
        };
        let at = self.moment();
        if let Some(changed) = self.peers.get_mut(peer) {
            let added = self.device.set_peer(at, changed.key, config, &mut self.output);
            assert!(added.is_ok(), "a peer was refused");
            changed.configured = true;
            self.owners[owned] = Some(peer);
        }
    }

    /// The device takes another key, or the same once more, and tells its peers.
    pub(super) fn change_private_key(&mut self, number: u8) {
        let (at, before) = (self.moment(), self.books());
        let former = self.device_key();
        let secret = || SecretKey::from_bytes([200 + number % 2; 32]);
        self.device.set_private_key(at, Some(secret()), &mut self.output);
        let counted = (self.books().ended - before.ended) as usize;
        assert_eq!(before.waiting, counted, "what waited was not counted");
        for (number, peer) in (0..).zip(&mut self.peers) {
            if let Some(former) = former {
                peer.engine.remove_peer(at, &former, &mut peer.output);
            }
            let config = PeerConfig {
                endpoint: Some(DEVICE),
                allowed_ips: vec!["0.0.0.0/0".parse().expect("a prefix")],
                ..PeerConfig::default()
            };
            let added = peer
                .engine
                .set_peer(at, secret().public(), config, &mut peer.output);
            assert!(added.is_ok(), "peer {number} does not take the device");
        }
    }

    /// A batch of datagrams arrives.
    pub(super) fn arrive(&mut self, script: &mut Script<'_>, shape: u8) {
        let arrivals: Vec<Arrival> = (0..=shape & 7).map(|_| self.mail.arrival(script)).collect();
        let shard = (shape & 8 != 0).then(|| script.u8() % self.shards);
        self.receive(&arrivals, shard);
    }

    /// Whatever came before, a peer that keeps trying over an honest wire reaches the device.
    pub(super) fn everybody_gets_through(&mut self) {
        for peer in 0..Self::PEERS {
            self.add(peer, peer as u8);
            self.gets_through(peer);
        }
    }

    fn gets_through(&mut self, peer: usize) {
        let before = self.ledger.delivered_from(peer);
        let end = self.now + PATIENCE;
        self.mail.letters.clear();
        while self.now < end {
            self.write(peer, 0);
            self.carry_honestly();
            if self.ledger.delivered_from(peer) > before {
                return;
            }
            // To the next timer and no further: it is jitter that keeps two peers from beginning at once for ever.
            let interfaces = self.peers.iter().map(|peer| &peer.engine);
            let next = interfaces
                .chain([&self.device])
                .filter_map(Engine::deadline)
                .min();
            let next = next.map_or(end, |next| Duration::from_nanos(next.as_nanos()));
            self.now = next.clamp(self.now, self.now + Duration::from_secs(1));
            self.tick();
        }
        let writer = self.peers.get(peer).map(|peer| peer.engine.counters());
        let device = self.device.counters();
        panic!("peer {peer} does not get through: it counted {writer:?}, the device {device:?}");
    }

    /// Everything that is under way arrives, with all that it leads to.
    fn carry_honestly(&mut self) {
        for _ in 0..4 {
            let letters = std::mem::take(&mut self.mail.letters);
            self.mail.letters = letters.clone();
            for (number, letter) in letters.into_iter().enumerate() {
                let arrival = Arrival {
                    bytes: letter.bytes,
                    from: place(letter.peer as u8),
                    letter: Some(number),
                };
                self.receive(&[arrival], None);
            }
            self.mail.letters.clear();
            while self.device.has_handshakes() {
                self.handshakes(false);
            }
            self.carry_to_peers();
        }
    }

    /// What a peer wrote goes to the mail.
    fn collect(&mut self, peer: usize) {
        let Some(writer) = self.peers.get_mut(peer) else {
            return;
        };
        for batch in writer.output.datagrams.drain(..) {
            for (_, bytes) in batch.packets() {
                self.mail.add(peer, bytes);
            }
            writer.engine.recycle(batch);
        }
        for batch in std::mem::take(&mut writer.output.packets) {
            writer.engine.recycle(batch);
        }
        writer.output.notices.clear();
    }

    /// How many messages of a type wait to be carried to the peers.
    pub(super) fn sent(&self, kind: u8) -> usize {
        let packets = self.output.datagrams.iter().flat_map(|batch| batch.packets());
        packets.filter(|(_, bytes)| bytes.first() == Some(&kind)).count()
    }

    fn device_key(&self) -> Option<PublicKey> {
        self.device.control().public_key().copied()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: Instant::from_nanos(self.now.as_nanos() as u64),
            wall: WallTime {
                seconds: 1_800_000_000 + self.now.as_secs(),
                nanos: self.now.subsec_nanos(),
            },
        }
    }
}

impl Peer {
    fn new(number: u8, limits: &Limits) -> Self {
        let limits = Limits {
            under_load: usize::MAX,
            ..limits.clone()
        };
        let (mut engine, mut output) = (interface(number, 1, &limits), Output::default());
        let secret = || SecretKey::from_bytes([1 + number; 32]);
        let at = Moment {
            now: Instant::from_nanos(0),
            wall: WallTime { seconds: 0, nanos: 0 },
        };
        engine.set_private_key(at, Some(secret()), &mut output);
        Self {
            engine,
            output,
            key: secret().public(),
            inner: inner(number),
            configured: false,
        }
    }
}

fn interface(number: u8, shards: u8, limits: &Limits) -> Interface {
    let rngs = (0..shards).map(|shard| ChaCha8Rng::from_seed([number ^ shard << 3; 32]));
    Engine::new(rngs, limits, MTU)
}

/// The address of a peer inside.
fn inner(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}
