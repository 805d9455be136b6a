//! Chaining key, transcript hash and the operations on them (Noise specification, section 5.2).

use blake2::{Blake2s256, Digest};
use wirewright_aead as aead;
use wirewright_aead::Verdict;
use zerocopy::{FromZeros, IntoBytes};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::HandshakeError;
use crate::keys::{PresharedKey, PublicKey};
use crate::session::SessionKeys;

#[cfg(test)]
mod tests;

/// Hash of the construction's name, `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`.
const INITIAL_CHAINING_KEY: [u8; 32] = [
    0x60, 0xe2, 0x6d, 0xae, 0xf3, 0x27, 0xef, 0xc0, 0x2e, 0xc3, 0x35, 0xe2, 0xa0, 0x25, 0xd2, 0xd0, 0x16,
    0xeb, 0x42, 0x06, 0xf8, 0x72, 0x77, 0xf5, 0x2d, 0x38, 0xd1, 0x98, 0x8b, 0x78, 0xcd, 0x36,
];
/// Hash of that and of the identifier, `WireGuard v1 zx2c4 Jason@zx2c4.com`.
const INITIAL_HASH: [u8; 32] = [
    0x22, 0x11, 0xb3, 0x61, 0x08, 0x1a, 0xc5, 0x66, 0x69, 0x12, 0x43, 0xdb, 0x45, 0x8a, 0xd5, 0x32, 0x2d,
    0x9c, 0x6c, 0x66, 0x22, 0x93, 0xe8, 0xb7, 0x0e, 0xe1, 0x9c, 0x65, 0xba, 0x07, 0x9e, 0xf3,
];

/// A key derived within a handshake, wiped on drop.
pub(crate) type HandshakeKey = Zeroizing<[u8; 32]>;

/// The symmetric state of a handshake; wiped on drop.
#[derive(Clone, FromZeros, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Symmetric {
    chaining_key: [u8; 32],
    hash: [u8; 32],
}

impl Symmetric {
    /// The state before the first message to the owner of `responder`.
    pub(crate) fn new(responder: &PublicKey) -> Self {
        let mut state = Self {
            chaining_key: INITIAL_CHAINING_KEY,
            hash: INITIAL_HASH,
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
    // In words, because wiping takes a store for each element.
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([u64::from_ne_bytes([pad; 8]); 8]);
        for (word, key) in block.iter_mut().zip(key.as_chunks().0) {
            *word ^= u64::from_ne_bytes(*key);
        }
        block
    };
    let mut inner = Blake2s256::new();
    inner.update(padded(0x36).as_bytes());
    for part in parts {
        inner.update(part);
    }
    let inner: HandshakeKey = Zeroizing::new(inner.finalize().into());
    Zeroizing::new(hash(&[padded(0x5c).as_bytes(), &*inner]))
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
