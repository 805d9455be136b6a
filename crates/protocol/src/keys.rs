//! Curve25519 key pairs and preshared keys, and the texts they are written as.

use alloc::string::String;
use core::fmt;

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use wirewright_aead::Safe;
use x25519_dalek::{SharedSecret, StaticSecret};
use zerocopy::FromZeros;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{HandshakeError, KeyError};
use crate::noise::on_wiped_stack;

#[cfg(test)]
mod tests;

/// Characters of 32 bytes in base64, the final `=` included.
const BASE64_LEN: usize = 44;

/// What secret and preshared keys have in common: 32 bytes kept safe, read and written as base64, compared in constant
/// time, not shown.
macro_rules! hidden_key {
    ($key:ident) => {
        impl $key {
            /// Reads 44 characters of base64.
            ///
            /// # Errors
            /// [`KeyError`] if the text is anything else, surrounding space included.
            pub fn from_base64(text: &str) -> Result<Self, KeyError> {
                Self::written(|key| decode_base64(text, key))
            }

            /// A key that `write` fills in where it stays, so that no copy of it was ever elsewhere.
            ///
            /// # Errors
            /// That of `write`.
            pub fn written<E>(write: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
                let mut key = Self(Safe::default());
                write(&mut key.0)?;
                Ok(key)
            }

            /// 44 characters of base64, wiped on drop.
            #[must_use]
            pub fn to_base64(&self) -> Zeroizing<String> {
                Zeroizing::new(Base64::encode_string(&*self.0))
            }

            /// The key's 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl PartialEq for $key {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&*other.0).into()
            }
        }

        impl Eq for $key {}

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($key), "(..)"))
            }
        }
    };
}

/// A Curve25519 secret key. Wiped on drop, compared in constant time, not shown by `Debug`.
///
/// It stays in one allocation, where secrets are kept, so that moving it leaves no copy behind.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(Safe<[u8; 32]>);

impl SecretKey {
    /// Draws 32 bytes from `rng` and clamps them (RFC 7748, section 5), as `wg genkey` does.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self(Safe::default());
        rng.fill_bytes(&mut *key.0);
        key.0[0] &= 0b1111_1000;
        key.0[31] = key.0[31] & 0b0111_1111 | 0b0100_0000;
        key
    }

    /// Takes 32 bytes as they are. An unclamped key is kept as given and clamped in use, so that it can be
    /// written back as it was read.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Safe::new(bytes))
    }

    /// The public half of the pair.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        on_wiped_stack(|| self.multiply_base_point())
    }

    /// [`public`](Self::public) for a step whose caller wipes the stack.
    pub(crate) fn multiply_base_point(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&StaticSecret::from(*self.0)).to_bytes())
    }

    /// X25519. Section 5.4 leaves the check to the reader; the kernel refuses an all-zero result, which any
    /// key of low order gives and which everybody can predict. The check takes constant time.
    pub(crate) fn diffie_hellman(&self, public: &PublicKey) -> Result<SharedSecret, HandshakeError> {
        let shared = StaticSecret::from(*self.0).diffie_hellman(&x25519_dalek::PublicKey::from(public.0));
        if shared.was_contributory() {
            Ok(shared)
        } else {
            Err(HandshakeError::LowOrderKey)
        }
    }
}

hidden_key!(SecretKey);

/// A Curve25519 public key, the name of a peer. Shown in base64.
#[derive(Clone, Copy, FromZeros, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes 32 bytes; every value is a public key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 44 characters of base64.
    ///
    /// # Errors
    /// [`KeyError`] if the text is anything else, surrounding space included.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        decode_base64(text, &mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`KeyError`] if the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        if text.len() != 64 {
            return Err(KeyError::Length {
                expected: 64,
                found: text.len(),
            });
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            for &digit in digits {
                let value = char::from(digit).to_digit(16).ok_or(KeyError::Hex)?;
                *byte = *byte << 4 | value as u8;
            }
        }
        Ok(Self(bytes))
    }

    /// The key's 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the key generates only a small subgroup, so that every shared secret with it is zero. Such a
    /// peer may be configured, as in the kernel, but no handshake with it succeeds.
    #[must_use]
    pub fn is_low_order(&self) -> bool {
        // A clamped scalar is a multiple of the cofactor and not of the large prime order, on the curve and on
        // its twist: so the product with any one of them is zero exactly for the keys of low order.
        SecretKey(Safe::default()).diffie_hellman(self).is_err()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; BASE64_LEN];
        f.write_str(Base64::encode(&self.0, &mut text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A symmetric key mixed into the handshake (section 5.2); all zeros stands for none. Wiped on drop, compared
/// in constant time, not shown by `Debug`.
///
/// It stays in one allocation, where secrets are kept, so that moving it leaves no copy behind.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey(Safe<[u8; 32]>);

impl PresharedKey {
    /// Draws 32 bytes from `rng`.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self::default();
        rng.fill_bytes(&mut *key.0);
        key
    }

    /// Takes 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Safe::new(bytes))
    }

    /// Whether the key is all zeros, which the protocol takes for no preshared key.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

hidden_key!(PresharedKey);

fn decode_base64(text: &str, key: &mut [u8; 32]) -> Result<(), KeyError> {
    if text.len() != BASE64_LEN {
        return Err(KeyError::Length {
            expected: BASE64_LEN,
            found: text.len(),
        });
    }
    match Base64::decode(text, key) {
        Ok(bytes) if bytes.len() == 32 => Ok(()),
        _ => Err(KeyError::Base64),
    }
}
