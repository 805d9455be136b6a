//! Cookies: how a responder under load makes initiators prove their address (section 5.4.7).
//!
//! The responder answers a handshake message whose mac2 is missing with a cookie, a MAC of the sender's address
//! and port under a secret that changes every two minutes, sealed so that only somebody who saw the message
//! can read it. It keeps no state for that: [`CookieIssuer`] computes the cookie again to check mac2. The
//! sender keeps the cookie in its [`CookieJar`] and puts a mac2 under its next message.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use rand_core::CryptoRng;
use zerocopy::little_endian::U32;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::constants::{COOKIE_LATENCY, COOKIE_LIFETIME};
use crate::error::HandshakeError;
use crate::keys::PublicKey;
use crate::mac::{self, MAC_LEN, Macs};
use crate::noise::hash;
use crate::time::Instant;
use crate::wire::CookieReply;

#[cfg(test)]
mod tests;

const LABEL_SECRET: &[u8] = b"cookie secret of an epoch";

/// The responder's side: makes cookies and checks mac2. Wiped on drop.
///
/// The secret of each two minutes (an epoch) is derived from a seed, so that all shards of a device which
/// share seed and clock agree on it without speaking to each other.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CookieIssuer {
    seed: [u8; 32],
    reply_key: [u8; 32],
}

impl CookieIssuer {
    /// The seed must be random and new with every start of the device; `own` is the device's public key.
    #[must_use]
    pub fn new(seed: [u8; 32], own: &PublicKey) -> Self {
        Self {
            seed,
            reply_key: mac::cookie_key(own),
        }
    }

    /// The reply to `message`, a whole initiation or response that came from `source`; `None` if it is neither.
    ///
    /// Draws 24 bytes, the nonce.
    #[must_use]
    pub fn reply<R: CryptoRng + ?Sized>(
        &self,
        now: Instant,
        rng: &mut R,
        message: &[u8],
        source: SocketAddr,
    ) -> Option<CookieReply> {
        let macs = Macs::of(message)?;
        let mut nonce = [0; 24];
        rng.fill_bytes(&mut nonce);
        let mut encrypted_cookie = [0; MAC_LEN + 16];
        let (text, tag) = encrypted_cookie.split_at_mut(MAC_LEN);
        text.copy_from_slice(&*self.cookie(epoch(now), source));
        let cipher = XChaCha20Poly1305::new(&self.reply_key.into());
        let sealed = cipher
            .encrypt_inout_detached(&nonce.into(), macs.mac1, InOutBuf::from(text))
            .ok()?;
        tag.copy_from_slice(&sealed);
        Some(CookieReply {
            kind: U32::new(CookieReply::KIND),
            receiver: U32::new(macs.sender),
            nonce,
            encrypted_cookie,
        })
    }

    /// Whether `message`, a whole initiation or response, carries a mac2 under a valid cookie for `source`.
    #[must_use]
    pub fn check_mac2(&self, now: Instant, message: &[u8], source: SocketAddr) -> bool {
        let Some(macs) = Macs::of(message) else {
            return false;
        };
        let epoch = epoch(now);
        let since_turn = now.as_nanos() - epoch * EPOCH_NANOS;
        macs.mac2_is_by(&self.cookie(epoch, source))
            || (epoch > 0
                && since_turn < COOKIE_LATENCY.as_nanos() as u64
                && macs.mac2_is_by(&self.cookie(epoch - 1, source)))
    }

    fn cookie(&self, epoch: u64, source: SocketAddr) -> Zeroizing<[u8; MAC_LEN]> {
        let secret = Zeroizing::new(hash(&[LABEL_SECRET, &self.seed, &epoch.to_le_bytes()]));
        let port = source.port().to_be_bytes();
        Zeroizing::new(match source.ip() {
            IpAddr::V4(address) => mac::mac(&secret, &[&address.octets(), &port]),
            IpAddr::V6(address) => mac::mac(&secret, &[&address.octets(), &port]),
        })
    }
}

impl core::fmt::Debug for CookieIssuer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CookieIssuer(..)")
    }
}

/// How long a received cookie is used. Its secret may have been made with it, and a message takes time to arrive
/// (the kernel's `COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY`).
const COOKIE_USE: Duration = COOKIE_LIFETIME.saturating_sub(COOKIE_LATENCY);

const EPOCH_NANOS: u64 = COOKIE_LIFETIME.as_nanos() as u64;

const fn epoch(now: Instant) -> u64 {
    now.as_nanos() / EPOCH_NANOS
}

/// The initiator's (or answering responder's) side: what it remembers about one peer's cookies.
#[derive(Default)]
pub(crate) struct CookieJar {
    /// mac1 of the last message sent, until a cookie reply has answered it.
    unanswered: Option<[u8; MAC_LEN]>,
    cookie: Option<Box<Cookie>>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Cookie {
    value: [u8; MAC_LEN],
    #[zeroize(skip)]
    received: Instant,
}

impl CookieJar {
    /// Writes mac1, and mac2 if there is a fresh cookie, under a handshake message to `peer`.
    pub(crate) fn sign(&mut self, now: Instant, peer: &PublicKey, message: &mut [u8]) {
        if self
            .cookie
            .as_ref()
            .is_some_and(|cookie| now.saturating_since(cookie.received) >= COOKIE_USE)
        {
            self.cookie = None;
        }
        let Some((covered_by_mac2, mac2)) = message.split_last_chunk_mut::<MAC_LEN>() else {
            return;
        };
        let Some((covered_by_mac1, mac1)) = covered_by_mac2.split_last_chunk_mut::<MAC_LEN>() else {
            return;
        };
        *mac1 = mac::mac(&mac::mac1_key(peer), &[covered_by_mac1]);
        self.unanswered = Some(*mac1);
        *mac2 = match &self.cookie {
            Some(cookie) => mac::mac(&cookie.value, &[covered_by_mac2]),
            None => [0; MAC_LEN],
        };
    }

    /// Takes a cookie from `peer`. One reply is taken for each message, so that a replayed reply is refused.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        peer: &PublicKey,
        reply: &CookieReply,
    ) -> Result<(), HandshakeError> {
        let mac1 = self.unanswered.as_ref().ok_or(HandshakeError::Unexpected)?;
        let mut cookie = Box::new(Cookie {
            value: [0; MAC_LEN],
            received: now,
        });
        let (text, tag) = reply.encrypted_cookie.split_at(MAC_LEN);
        cookie.value.copy_from_slice(text);
        let tag = tag.try_into().map_err(|_| HandshakeError::Forged)?;
        let cipher = XChaCha20Poly1305::new(&mac::cookie_key(peer).into());
        cipher
            .decrypt_inout_detached(
                &reply.nonce.into(),
                mac1,
                InOutBuf::from(&mut cookie.value[..]),
                tag,
            )
            .map_err(|_| HandshakeError::Forged)?;
        self.cookie = Some(cookie);
        self.unanswered = None;
        Ok(())
    }
}
