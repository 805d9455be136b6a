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

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::CryptoRng;
use x25519_dalek::SharedSecret;
use zerocopy::IntoBytes;

use crate::constants::{
    INITIATION_INTERVAL, REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME,
    REKEY_ON_RECEIVE_AFTER_TIME, REKEY_TIMEOUT,
};
use crate::cookie::CookieJar;
use crate::error::HandshakeError;
use crate::identity::{Identity, OpenedInitiation};
use crate::keys::{PresharedKey, PublicKey, SecretKey};
use crate::noise::initiation::{self, Author, Initiated};
use crate::noise::{on_wiped_stack, response};
use crate::replay::ReplayWindow;
use crate::session::{Reservation, Session, SessionKeys, Slots};
use crate::tai64n::Tai64n;
use crate::time::{Instant, WallTime};
use crate::timers::{Timers, jitter};
use crate::wire::{CookieReply, Initiation, Response};

#[cfg(test)]
mod tests;

/// Why an initiation is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wants a session; the count of attempts begins anew.
    Fresh,
    /// The last initiation was not answered ([`Timeout::RetryHandshake`]).
    Retry,
}

/// What a batch sent to the peer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// At least one packet that is not empty.
    Data,
    /// Empty packets only.
    Keepalive,
}

/// What a batch received under one session held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// At least one packet that is not empty.
    Data,
    /// Empty packets only.
    Keepalive,
}

/// What sending asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// The session should be replaced: initiate afresh if [`Conversation::may_initiate`].
    pub handshake: bool,
}

/// What receiving led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReceivedOutcome {
    /// The session was confirmed and is now sent under: send what is staged.
    pub confirmed: bool,
    /// The session should be replaced: initiate afresh if [`Conversation::may_initiate`]. Said once a session.
    pub handshake: bool,
}

/// What an expired timer asks the caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The initiation was not answered: forget the cached source address and initiate with [`Cause::Retry`].
    RetryHandshake,
    /// No initiation was answered for about 100 s: drop the staged packets.
    GiveUp,
    /// Data was sent and nothing came back for 15 s: forget the cached source address and initiate with
    /// [`Cause::Fresh`].
    NewHandshake,
    /// Data was received and nothing was sent back for 10 s: send an empty packet.
    Keepalive,
    /// Nothing was sent or received for the persistent keepalive's interval: send an empty packet.
    PersistentKeepalive,
    /// No session was derived for 540 s; handshake and sessions have been wiped.
    ZeroKeys,
}

/// The protocol's state about one peer.
///
/// Local indices come from the caller, who maps them to conversations. Every method that lets go of one pushes
/// it on `retired`, and the caller may give it out again.
pub struct Conversation {
    peer: PublicKey,
    /// `None` for all zeros.
    preshared: Option<PresharedKey>,
    /// Diffie-Hellman of the two static keys, from the first handshake on.
    static_static: Option<Box<SharedSecret>>,
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
    /// device's identity changes, when the peer is removed, and when the host was suspended.
    ///
    /// Timestamps stay: an initiation from before is still a replay.
    pub fn forget(&mut self, retired: &mut Vec<u32>) {
        self.wipe(retired);
        self.static_static = None;
        self.last_sent = None;
        self.timers.keys_wiped();
    }

    /// Whether the last initiation or response was sent at least 5 s ago.
    #[must_use]
    pub fn may_initiate(&self, now: Instant) -> bool {
        self.gate() <= now
    }

    /// Makes an initiation, which replaces a pending one, and arms the timer that repeats it.
    ///
    /// Draws 32 bytes, the ephemeral key, then 4 bytes, the jitter (a little-endian fraction of 2^32). On error
    /// nothing is drawn or changed, and `local_index` is still the caller's.
    ///
    /// # Errors
    /// [`HandshakeError::TooSoon`] within the 5 s gate; [`HandshakeError::LowOrderKey`] if the peer's key is.
    #[expect(
        clippy::too_many_arguments,
        reason = "a core without I/O is given everything it does not own"
    )]
    pub fn initiate<R: CryptoRng + ?Sized>(
        &mut self,
        now: Instant,
        wall: WallTime,
        rng: &mut R,
        identity: &Identity,
        local_index: u32,
        cause: Cause,
        retired: &mut Vec<u32>,
    ) -> Result<Initiation, HandshakeError> {
        if !self.may_initiate(now) {
            return Err(HandshakeError::TooSoon);
        }
        let peer = self.peer;
        let static_static = self.static_static(identity)?;
        let (initiated, mut message) = on_wiped_stack(|| {
            initiation::write(Author {
                public: identity.public(),
                peer: &peer,
                static_static: static_static.as_bytes(),
                ephemeral: SecretKey::generate(rng),
                local_index,
                timestamp: Tai64n::coarse(wall),
            })
        })?;
        self.cookies.sign(now, &peer, message.as_mut_bytes());
        self.drop_initiated(retired);
        self.initiated = Some(initiated);
        self.last_sent = Some(now);
        self.timers.initiation_sent(now, cause, jitter(rng));
        Ok(message)
    }

    /// The local index of the pending initiation.
    #[must_use]
    pub fn handshake_index(&self) -> Option<u32> {
        self.initiated.as_ref().map(|initiated| initiated.local_index)
    }

    /// Accepts the peer's initiation and makes the response. The session derived is `next`: it receives, and is
    /// sent under once the peer has. An initiation of ours is given up.
    ///
    /// Draws 32 bytes, the ephemeral key, once the initiation is found good. On error nothing is changed, and
    /// `local_index` is still the caller's.
    ///
    /// # Errors
    /// [`HandshakeError::WrongPeer`], [`Forged`](HandshakeError::Forged),
    /// [`TimestampReplay`](HandshakeError::TimestampReplay), [`Flood`](HandshakeError::Flood),
    /// [`LowOrderKey`](HandshakeError::LowOrderKey).
    pub fn accept_initiation<R: CryptoRng + ?Sized>(
        &mut self,
        now: Instant,
        rng: &mut R,
        identity: &Identity,
        opened: OpenedInitiation,
        local_index: u32,
        retired: &mut Vec<u32>,
    ) -> Result<Response, HandshakeError> {
        if opened.peer() != self.peer {
            return Err(HandshakeError::WrongPeer);
        }
        let remote_index = opened.sender();
        let static_static = self.static_static(identity)?;
        let (proved, timestamp) =
            on_wiped_stack(|| initiation::read_timestamp(opened.0, static_static.as_bytes()))?;
        if timestamp <= self.newest_timestamp {
            return Err(HandshakeError::TimestampReplay);
        }
        if self
            .last_consumed
            .is_some_and(|last| now < last + INITIATION_INTERVAL)
        {
            return Err(HandshakeError::Flood);
        }
        let none = PresharedKey::default();
        let preshared = self.preshared.as_ref().unwrap_or(&none);
        let (keys, mut message) =
            on_wiped_stack(|| response::write(proved, &SecretKey::generate(rng), preshared, local_index))?;
        self.cookies.sign(now, &self.peer, message.as_mut_bytes());

        self.newest_timestamp = timestamp;
        self.last_consumed = Some(now);
        self.last_sent = Some(now);
        self.drop_initiated(retired);
        self.slots
            .add_answered(session(keys, local_index, remote_index, now, false), retired);
        self.timers.authenticated_received(now);
        self.timers.authenticated_sent(now);
        self.timers.session_derived(now);
        Ok(message)
    }

    /// Accepts the response to the pending initiation. The session derived is `current`; the caller now sends
    /// what is staged, or an empty packet, for the responder waits for one.
    ///
    /// # Errors
    /// [`HandshakeError::Unexpected`], [`Forged`](HandshakeError::Forged),
    /// [`LowOrderKey`](HandshakeError::LowOrderKey); the initiation then stays pending.
    pub fn accept_response(
        &mut self,
        now: Instant,
        identity: &Identity,
        message: &Response,
        retired: &mut Vec<u32>,
    ) -> Result<(), HandshakeError> {
        let initiated = self
            .initiated
            .as_ref()
            .filter(|initiated| initiated.local_index == message.receiver())
            .ok_or(HandshakeError::Unexpected)?;
        let local_index = initiated.local_index;
        let none = PresharedKey::default();
        let preshared = self.preshared.as_ref().unwrap_or(&none);
        let keys = on_wiped_stack(|| response::read(initiated, identity.secret(), preshared, message))?;

        self.initiated = None;
        self.slots
            .add_initiated(session(keys, local_index, message.sender(), now, true), retired);
        self.timers.authenticated_received(now);
        self.timers.session_derived(now);
        self.handshake_complete(now);
        Ok(())
    }

    /// Accepts a cookie; handshake messages carry a mac2 while it is younger than 120 s. The pending
    /// initiation is not repeated before its timer says so.
    ///
    /// # Errors
    /// [`HandshakeError::Unexpected`] if no message of ours awaits one,
    /// [`Forged`](HandshakeError::Forged) if it is not the peer's answer to our last message.
    pub fn accept_cookie(&mut self, now: Instant, reply: &CookieReply) -> Result<(), HandshakeError> {
        self.cookies.accept(now, &self.peer, reply)
    }

    /// The session to send under, if it is younger than 180 s and has counters left.
    #[must_use]
    pub fn sending_session(&self, now: Instant) -> Option<&Session> {
        self.slots.current().filter(|session| session.can_send(now))
    }

    /// Sets `packets` counters of the sending session aside. They are never given out again, sent or not.
    #[must_use]
    pub fn reserve(&mut self, now: Instant, packets: u32) -> Option<Reservation> {
        let session = self.slots.current_mut().filter(|session| session.can_send(now))?;
        let first_counter = session.next_counter;
        let next = first_counter
            .checked_add(packets.into())
            .filter(|&next| next <= REJECT_AFTER_MESSAGES)?;
        session.next_counter = next;
        Some(Reservation {
            keys: Arc::clone(&session.keys),
            remote_index: session.remote_index,
            first_counter,
        })
    }

    /// The session that the peer addresses by `local_index`.
    #[must_use]
    pub fn session(&self, local_index: u32) -> Option<&Session> {
        self.slots.find(local_index)
    }

    /// The session that the peer addresses by `local_index`, to accept counters.
    pub fn session_mut(&mut self, local_index: u32) -> Option<&mut Session> {
        self.slots.find_mut(local_index)
    }

    /// Sealed packets were sent: to be called once a batch.
    ///
    /// Draws 4 bytes, the jitter, if `what` is [`Sent::Data`] and the new-handshake timer was not armed.
    pub fn sent<R: CryptoRng + ?Sized>(&mut self, now: Instant, rng: &mut R, what: Sent) -> Wants {
        match what {
            Sent::Data => self.timers.data_sent(now, || jitter(rng)),
            Sent::Keepalive => self.timers.keepalive_sent(now),
        }
        let handshake = self.sending_session(now).is_some_and(|session| {
            session.next_counter > REKEY_AFTER_MESSAGES
                || (session.initiator && now.saturating_since(session.created) >= REKEY_AFTER_TIME)
        });
        Wants { handshake }
    }

    /// Authentic packets, whose counters were accepted, came under the session `local_index`: to be called once
    /// a batch and session. Nothing happens if the session is gone.
    pub fn received(
        &mut self,
        now: Instant,
        local_index: u32,
        what: Received,
        retired: &mut Vec<u32>,
    ) -> ReceivedOutcome {
        if self.slots.find(local_index).is_none() {
            return ReceivedOutcome::default();
        }
        let confirmed = self.slots.confirm(local_index, retired);
        if confirmed {
            self.handshake_complete(now);
        }
        match what {
            Received::Data => self.timers.data_received(now),
            Received::Keepalive => self.timers.authenticated_received(now),
        }
        ReceivedOutcome {
            confirmed,
            handshake: self.ask_on_receive(now),
        }
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

    fn static_static(&mut self, identity: &Identity) -> Result<&SharedSecret, HandshakeError> {
        match self.static_static {
            Some(ref shared) => Ok(shared),
            ref mut empty => {
                let step = || identity.secret().diffie_hellman(&self.peer).map(Box::new);
                Ok(empty.insert(on_wiped_stack(step)?))
            }
        }
    }

    fn handshake_complete(&mut self, now: Instant) {
        self.timers.handshake_complete();
        self.last_handshake = Some(now);
    }

    /// The 165 s rule: an initiator that only receives asks for a new session while a keepalive and a handshake
    /// still fit into the old one's life.
    fn ask_on_receive(&mut self, now: Instant) -> bool {
        let Some(session) = self.slots.current_mut() else {
            return false;
        };
        let due = session.initiator
            && !session.asked_on_receive
            && now.saturating_since(session.created) >= REKEY_ON_RECEIVE_AFTER_TIME;
        session.asked_on_receive |= due;
        due
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

fn session(
    keys: SessionKeys,
    local_index: u32,
    remote_index: u32,
    created: Instant,
    initiator: bool,
) -> Session {
    Session {
        keys: Arc::new(keys),
        local_index,
        remote_index,
        created,
        initiator,
        window: ReplayWindow::new(),
        next_counter: 0,
        asked_on_receive: false,
    }
}
