//! Chaining key, transcript hash and the operations on them (Noise specification, section 5.2).

use blake2::{Blake2s256, Digest};
use wirewright_aead as aead;
use wirewright_aead::Verdict;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::HandshakeError;
use crate::keys::{PresharedKey, PublicKey};
use crate::session::SessionKeys;

#[cfg(test)]
mod tests;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// A key derived within a handshake, wiped on drop.
pub(crate) type HandshakeKey = Zeroizing<[u8; 32]>;

/// The symmetric state of a handshake; wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Symmetric {
    chaining_key: [u8; 32],
    hash: [u8; 32],
}

impl Symmetric {
    /// The state before the first message to the owner of `responder`.
    pub(crate) fn new(responder: &PublicKey) -> Self {
        let chaining_key = hash(&[CONSTRUCTION]);
        let mut state = Self {
            chaining_key,
            hash: hash(&[&chaining_key, IDENTIFIER]),
        };
        state.mix_hash(responder.as_bytes());
        state
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// An ephemeral public key enters both values, as psk handshakes require (Noise, section 9.2).
    pub(crate) fn mix_ephemeral(&mut self, ephemeral: &[u8; 32]) {
        self.mix_secret(ephemeral);
        self.mix_hash(ephemeral);
    }

    /// Mixes in a secret after which nothing is sealed.
    pub(crate) fn mix_secret(&mut self, secret: &[u8; 32]) {
        let [chaining_key] = kdf(&self.chaining_key, secret);
        self.chaining_key = *chaining_key;
    }

    /// Mixes in a secret and gives the key for the next field.
    pub(crate) fn mix_key(&mut self, secret: &[u8; 32]) -> HandshakeKey {
        let [chaining_key, key] = kdf(&self.chaining_key, secret);
        self.chaining_key = *chaining_key;
        key
    }

    /// Mixes in the preshared key and gives the key for the next field.
    pub(crate) fn mix_preshared_key(&mut self, preshared: &PresharedKey) -> HandshakeKey {
        let [chaining_key, temporary, key] = kdf(&self.chaining_key, preshared.as_bytes());
        self.chaining_key = *chaining_key;
        self.mix_hash(&*temporary);
        key
    }

    /// Seals the text that fills all but the last 16 bytes of `field`.
    pub(crate) fn seal<const N: usize>(&mut self, key: &HandshakeKey, field: &mut [u8; N]) {
        const { assert!(N >= aead::TAG_LEN) };
        aead::seal_one(&aead::Key::new(key), 0, &self.hash, field);
        self.mix_hash(field);
    }

    /// Opens a sealed field; the text is all but the last 16 bytes of the result.
    pub(crate) fn open<const N: usize>(
        &mut self,
        key: &HandshakeKey,
        field: &[u8; N],
    ) -> Result<Zeroizing<[u8; N]>, HandshakeError> {
        let mut text = Zeroizing::new(*field);
        match aead::open_one(&aead::Key::new(key), 0, &self.hash, &mut *text) {
            Verdict::Authentic => {
                self.mix_hash(field);
                Ok(text)
            }
            Verdict::Forged => Err(HandshakeError::Forged),
        }
    }

    /// The keys of the session (section 5.4.5): the initiator seals with the first, the responder with the second.
    pub(crate) fn session_keys(&self, initiator: bool) -> SessionKeys {
        let [first, second] = kdf(&self.chaining_key, &[]);
        let (first, second) = (aead::Key::new(&first), aead::Key::new(&second));
        if initiator {
            SessionKeys {
                seal: first,
                open: second,
            }
        } else {
            SessionKeys {
                seal: second,
                open: first,
            }
        }
    }
}

/// BLAKE2s of 32 bytes over the parts, one behind the other.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Blake2s256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// HMAC (RFC 2104) over BLAKE2s. The `hmac` crate's would serve, but it leaves its padded key in memory.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> HandshakeKey {
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([pad; 64]);
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let mut inner = Blake2s256::new();
    inner.update(*padded(0x36));
    for part in parts {
        inner.update(part);
    }
    let inner: HandshakeKey = Zeroizing::new(inner.finalize().into());
    Zeroizing::new(hash(&[&*padded(0x5c), &*inner]))
}

/// HKDF (RFC 5869) with `N` outputs, called KDF1 to KDF3 in section 5.4.
fn kdf<const N: usize>(chaining_key: &[u8; 32], input: &[u8]) -> [HandshakeKey; N] {
    const { assert!(1 <= N && N <= 3) };
    let secret = hmac(chaining_key, &[input]);
    let mut last: Option<HandshakeKey> = None;
    core::array::from_fn(|index| {
        let previous: &[u8] = last.as_deref().map_or(&[], |key| key);
        let output = hmac(&secret, &[previous, &[index as u8 + 1]]);
        last = Some(output.clone());
        output
    })
}
