//! Somebody who speaks the protocol by hand, so that he can say what no engine would: initiations at will, and
//! sealed packets of any content.

use std::net::{IpAddr, SocketAddr};

use blake2::digest::consts::U16;
use blake2::digest::{Digest, KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wirewright_engine::{Moment, PeerConfig};
use wirewright_protocol::{
    Cause, Conversation, DataHeader, Identity, Instant, Message, PresharedKey, PublicKey, Reservation,
};

use super::{Network, secret};

/// A protocol speaker with a clock of his own, on which there is always time for another handshake.
pub struct Author {
    pub key: PublicKey,
    pub address: SocketAddr,
    pub inner: IpAddr,
    identity: Identity,
    conversation: Conversation,
    rng: ChaCha20Rng,
    clock: u64,
    index: u32,
    retired: Vec<u32>,
}

impl Author {
    /// The author with this number (which should be no node's), who writes to the owner of `to`.
    pub fn new(number: u8, to: PublicKey) -> Self {
        Self {
            key: secret(number).public(),
            address: SocketAddr::from(([198, 51, 100, number], 4000)),
            inner: IpAddr::from([10, 0, 1, number]),
            identity: Identity::new(secret(number)),
            conversation: Conversation::new(to),
            rng: ChaCha20Rng::from_seed([number; 32]),
            clock: 0,
            index: 0,
            retired: Vec::new(),
        }
    }

    /// An author who is a peer of `node`.
    pub fn introduced(network: &mut Network, node: usize, number: u8) -> Self {
        let author = Self::new(number, network.nodes[node].key);
        let config = PeerConfig {
            allowed_ips: vec![format!("{}/32", author.inner).parse().unwrap()],
            ..PeerConfig::default()
        };
        network.configure(node, author.key, config);
        author
    }

    /// An author with a session with `node`.
    pub fn connected(network: &mut Network, node: usize, number: u8) -> Self {
        let mut author = Self::introduced(network, node, number);
        let initiation = author.initiation(network.moment());
        network.inject(node, author.address, &initiation);
        let response = network.intercept().pop().unwrap();
        author.hear(&response.bytes);
        author
    }

    pub fn set_preshared_key(&mut self, key: [u8; 32]) {
        self.conversation.set_preshared_key(PresharedKey::from_bytes(key));
    }

    /// A new initiation, stamped with the given wall time.
    pub fn initiation(&mut self, at: Moment) -> Vec<u8> {
        self.clock += 6_000_000_000;
        self.index += 1;
        let initiation = self.conversation.initiate(
            self.now(),
            at.wall,
            &mut self.rng,
            &self.identity,
            self.index,
            Cause::Fresh,
            &mut self.retired,
        );
        initiation.unwrap().as_bytes().to_vec()
    }

    /// Takes a response or a cookie reply, which must be good.
    pub fn hear(&mut self, datagram: &[u8]) {
        let now = self.now();
        match Message::parse(datagram).unwrap() {
            Message::Response(response) => {
                self.conversation
                    .accept_response(now, &self.identity, response, &mut self.retired)
                    .unwrap();
            }
            Message::CookieReply(reply) => self.conversation.accept_cookie(now, reply).unwrap(),
            other => panic!("an author does not expect {other:?}"),
        }
    }

    /// A data message with `text` in it, whatever that is, padded with nothing.
    pub fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        let reservation = self.reserve(1);
        let header = DataHeader::new(reservation.remote_index, reservation.first_counter);
        let mut message = header.as_bytes().to_vec();
        message.extend_from_slice(text);
        message.extend_from_slice(&[0; 16]);
        let sealed = &mut message[DataHeader::LEN..];
        wirewright_aead::seal_one(&reservation.keys.seal, reservation.first_counter, &[], sealed);
        message
    }

    /// Leaves out `packets` counters.
    pub fn skip(&mut self, packets: u32) {
        self.reserve(packets);
    }

    fn reserve(&mut self, packets: u32) -> Reservation {
        self.conversation.reserve(self.now(), packets).unwrap()
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock)
    }
}

/// Writes the mac1 that belongs under a handshake message to the owner of `to`, and no mac2.
pub fn sign(message: &mut [u8], to: &PublicKey) {
    let key = Blake2s256::new_with_prefix(b"mac1----")
        .chain_update(to.as_bytes())
        .finalize();
    let at = message.len() - 32;
    let mac: [u8; 16] = Blake2sMac::<U16>::new_from_slice(&key)
        .unwrap()
        .chain_update(&message[..at])
        .finalize()
        .into_bytes()
        .into();
    message[at..at + 16].copy_from_slice(&mac);
    message[at + 16..].fill(0);
}
