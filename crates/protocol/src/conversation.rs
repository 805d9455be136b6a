//! Everything about one peer but its endpoint and its queues: handshake, sessions, cookies and timers.
//!
//! The handshake is a state of at most one pending initiation of ours:
//!
//! ```text
//!              initiate                     accept_response
//!   (nothing) ----------> initiated(index) -----------------> (nothing), session is `current`
//!       ^                     |      ^  \
//!       |  accept_initiation  |      |__/ initiate: replaces ephemeral key and index
//!       '---------------------'  the peer's initiation replaces ours; session is `next`
//! ```
//!
//! A response is accepted against the pending initiation only, and consumes it; so a replayed response finds
//! nothing. When both sides initiate at once, each answers the other and neither response finds its
//! initiation any more: the jittered retransmission of one of them succeeds, as in the kernel.

mod data;
mod events;
mod handshake;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::CryptoRng;
use wirewright_aead::Safe;

pub use self::events::{Cause, Received, ReceivedOutcome, Sent, Wants};
use crate::constants::REKEY_TIMEOUT;
use crate::cookie::CookieJar;
use crate::keys::{PresharedKey, PublicKey};
use crate::noise::initiation::Initiated;
use crate::session::Slots;
use crate::tai64n::Tai64n;
use crate::time::Instant;
use crate::timers::{Timeout, Timers, jitter};

/// The protocol's state about one peer.
///
/// Local indices come from the caller, who maps them to conversations. Every method that lets go of one pushes
/// it on `retired`, and the caller may give it out again.
pub struct Conversation {
    peer: PublicKey,
    /// `None` for all zeros.
    preshared: Option<PresharedKey>,
    /// Diffie-Hellman of the two static keys, from the first handshake on.
    static_static: Option<Safe<[u8; 32]>>,
    initiated: Option<Box<Initiated>>,
    slots: Slots,
    timers: Timers,
    cookies: CookieJar,
    /// The newest timestamp of the peer's initiations.
    newest_timestamp: Tai64n,
    last_consumed: Option<Instant>,
    last_sent: Option<Instant>,
    last_handshake: Option<Instant>,
}

impl Conversation {
    /// A conversation that has not begun. Any key is taken; with one of low order no handshake succeeds.
    #[must_use]
    pub fn new(peer: PublicKey) -> Self {
        Self {
            peer,
            preshared: None,
            static_static: None,
            initiated: None,
            slots: Slots::default(),
            timers: Timers::new(),
            cookies: CookieJar::default(),
            newest_timestamp: Tai64n::default(),
            last_consumed: None,
            last_sent: None,
            last_handshake: None,
        }
    }

    /// The peer's public key.
    #[must_use]
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Sets the preshared key, all zeros for none. Sessions stay; a pending handshake ends with the new key.
    pub fn set_preshared_key(&mut self, key: PresharedKey) {
        self.preshared = Some(key).filter(|key| !key.is_none());
    }

    /// The preshared key, if there is one.
    #[must_use]
    pub fn preshared_key(&self) -> Option<&PresharedKey> {
        self.preshared.as_ref()
    }

    /// Sets the interval of persistent keepalive; `None` or zero switches it off. Switched on, it is due at
    /// once; a changed interval counts from `now` if that is earlier.
    pub fn set_persistent_keepalive(&mut self, now: Instant, interval: Option<Duration>) {
        self.timers.set_persistent_interval(now, interval);
    }

    /// The interval of persistent keepalive.
    #[must_use]
    pub fn persistent_keepalive(&self) -> Option<Duration> {
        self.timers.persistent_interval()
    }

    /// Wipes handshake, sessions and the static shared secret, and opens the 5 s gate: to be called when the
    /// device's identity changes, when the peer is removed, and after the machine was suspended.
    ///
    /// Timestamps stay: an initiation from before is still a replay.
    pub fn forget(&mut self, retired: &mut Vec<u32>) {
        self.wipe(retired);
        self.static_static = None;
        self.last_sent = None;
        self.timers.keys_wiped();
    }

    /// [`forget`](Self::forget), and no timer runs any more: to be called when the interface is set down.
    pub fn stop(&mut self, retired: &mut Vec<u32>) {
        self.forget(retired);
        self.timers.stop();
    }

    /// The interface is up again: persistent keepalive, if it is on, is due at once.
    pub fn resume(&mut self, now: Instant) {
        self.timers.resume(now);
    }

    /// When [`expire`](Self::expire) is next to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Expires one timer that is due, the one due longest first: to be called until it gives `None`.
    ///
    /// Draws 4 bytes, the jitter, if a retransmission is due within the 5 s gate and is put off until its end.
    pub fn expire<R: CryptoRng + ?Sized>(
        &mut self,
        now: Instant,
        rng: &mut R,
        retired: &mut Vec<u32>,
    ) -> Option<Timeout> {
        let timeout = self.timers.expire(now, self.gate(), || jitter(rng))?;
        if timeout == Timeout::ZeroKeys {
            self.wipe(retired);
        }
        Some(timeout)
    }

    /// When the last handshake was completed: for a responder, when its session was confirmed.
    #[must_use]
    pub const fn last_handshake(&self) -> Option<Instant> {
        self.last_handshake
    }

    fn gate(&self) -> Instant {
        self.last_sent
            .map_or(Instant::default(), |last| last + REKEY_TIMEOUT)
    }

    fn handshake_complete(&mut self, now: Instant) {
        self.timers.handshake_complete();
        self.last_handshake = Some(now);
    }

    fn drop_initiated(&mut self, retired: &mut Vec<u32>) {
        retired.extend(self.initiated.take().map(|initiated| initiated.local_index));
    }

    fn wipe(&mut self, retired: &mut Vec<u32>) {
        self.drop_initiated(retired);
        self.slots.clear(retired);
    }
}

impl core::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Conversation")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
