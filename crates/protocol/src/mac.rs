//! The two MACs at the end of a handshake message (section 5.4.4).

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac as _};
use subtle::ConstantTimeEq;

use crate::keys::PublicKey;
use crate::noise::hash;
use crate::wire::{Initiation, Response};

/// Length of a MAC and of a cookie, in bytes.
pub(crate) const MAC_LEN: usize = 16;

const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";

/// The key of every mac1 sent to the owner of `public`.
pub(crate) fn mac1_key(public: &PublicKey) -> [u8; 32] {
    hash(&[LABEL_MAC1, public.as_bytes()])
}

/// The key of every cookie reply sent by the owner of `public`.
pub(crate) fn cookie_key(public: &PublicKey) -> [u8; 32] {
    hash(&[LABEL_COOKIE, public.as_bytes()])
}

/// Keyed BLAKE2s of 16 bytes over the parts. The key has at most 32 bytes.
pub(crate) fn mac<const KEY: usize>(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; MAC_LEN] {
    const { assert!(0 < KEY && KEY <= 32) };
    let Ok(mut mac) = Blake2sMac::<U16>::new_from_slice(key) else {
        unreachable!("BLAKE2s takes every key of 1 to 32 bytes, and the type fixes the length");
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A received handshake message, cut at its MACs.
pub(crate) struct Macs<'a> {
    /// The sender index.
    pub(crate) sender: u32,
    /// What mac1 covers.
    covered_by_mac1: &'a [u8],
    /// What mac2 covers: all of the above and mac1.
    covered_by_mac2: &'a [u8],
    pub(crate) mac1: &'a [u8; MAC_LEN],
    mac2: &'a [u8; MAC_LEN],
}

impl<'a> Macs<'a> {
    /// Cuts an initiation or a response; `None` for anything of another length.
    pub(crate) fn of(message: &'a [u8]) -> Option<Self> {
        if message.len() != Initiation::LEN && message.len() != Response::LEN {
            return None;
        }
        let (_, rest) = message.split_first_chunk::<4>()?;
        let (sender, _) = rest.split_first_chunk::<4>()?;
        let (covered_by_mac2, mac2) = message.split_last_chunk()?;
        let (covered_by_mac1, mac1) = covered_by_mac2.split_last_chunk()?;
        Some(Self {
            sender: u32::from_le_bytes(*sender),
            covered_by_mac1,
            covered_by_mac2,
            mac1,
            mac2,
        })
    }

    pub(crate) fn mac1_is_by(&self, key: &[u8; 32]) -> bool {
        mac(key, &[self.covered_by_mac1]).ct_eq(self.mac1).into()
    }

    pub(crate) fn mac2_is_by(&self, cookie: &[u8; MAC_LEN]) -> bool {
        mac(cookie, &[self.covered_by_mac2]).ct_eq(self.mac2).into()
    }
}
