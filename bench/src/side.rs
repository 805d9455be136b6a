//! One of two interfaces that speak with each other in virtual time.

use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_engine::allowed_ips::Prefix;
use wirewright_engine::{Batch, Endpoint, Engine, Limits, Moment, Output, PeerConfig};
use wirewright_protocol::{PublicKey, SecretKey};

/// The largest inner packet.
const MTU: usize = 1420;

/// An interface of one shard with its addresses, at 192.0.2.`number` outside and 10.0.0.`number` inside.
pub struct Side {
    /// The interface.
    pub engine: Engine<ChaCha20Rng>,
    /// What it wants done.
    pub output: Output,
    /// Its public key.
    pub key: PublicKey,
    /// Where datagrams reach it.
    pub address: SocketAddr,
    /// Where packets reach it, inside the tunnel.
    pub inner: IpAddr,
}

impl Side {
    /// An interface without peers.
    #[must_use]
    pub fn new(at: Moment, number: u8, secret: SecretKey) -> Self {
        let mut side = Self {
            engine: Engine::new([ChaCha20Rng::from_seed([number; 32])], &Limits::default(), MTU),
            output: Output::default(),
            key: secret.public(),
            address: SocketAddr::from(([192, 0, 2, number], 51820)),
            inner: IpAddr::from([10, 0, 0, number]),
        };
        side.engine.set_private_key(at, Some(secret), &mut side.output);
        side
    }

    /// Makes the two each other's peers.
    pub fn introduce(at: Moment, sides: &mut [Self; 2]) {
        let others = [&sides[1], &sides[0]].map(|other| (other.key, other.address, other.inner));
        for (side, (key, address, inner)) in sides.iter_mut().zip(others) {
            let config = PeerConfig {
                endpoint: Some(address),
                allowed_ips: vec![Prefix::host(inner)],
                ..PeerConfig::default()
            };
            let added = side.engine.set_peer(at, key, config, &mut side.output);
            assert!(added.is_ok());
        }
    }

    /// A handshake that the first side begins, until the second one, too, may send: it has received an empty packet.
    pub fn shake_hands(at: Moment, [initiator, responder]: &mut [Self; 2]) {
        let to = responder.key;
        initiator.engine.initiate(at, &to, &mut initiator.output);
        initiator.carry(at, responder);
        responder.carry(at, initiator);
        initiator.carry(at, responder);
    }

    /// Lets what this side has to send arrive at the other one, each datagram in a batch of its own.
    pub fn carry(&mut self, at: Moment, other: &mut Self) {
        for sent in self.output.datagrams.drain(..) {
            for (_, datagram) in sent.packets() {
                let mut batch = Batch::new(1, datagram.len());
                batch.push_datagram(Endpoint::new(self.address), datagram.len(), |bytes| {
                    bytes.copy_from_slice(datagram);
                });
                other.engine.receive(at, batch, &mut other.output);
            }
            self.engine.recycle(sent);
        }
        other.engine.handshakes(at, false, &mut other.output);
    }
}
