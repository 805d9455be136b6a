//! The handshake of a conversation: sending and accepting its messages.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use wirewright_aead::Safe;
use zerocopy::IntoBytes;

use super::{Cause, Conversation};
use crate::constants::INITIATION_INTERVAL;
use crate::error::HandshakeError;
use crate::identity::{Identity, OpenedInitiation};
use crate::keys::{PresharedKey, SecretKey};
use crate::noise::initiation::{self, Author};
use crate::noise::{on_wiped_stack, response};
use crate::replay::ReplayWindow;
use crate::session::{Session, SessionKeys};
use crate::tai64n::Tai64n;
use crate::time::{Instant, WallTime};
use crate::timers::jitter;
use crate::wire::{CookieReply, Initiation, Response};

impl Conversation {
    /// Whether the last initiation or response was sent at least 5 s ago.
    #[must_use]
    pub fn may_initiate(&self, now: Instant) -> bool {
        self.gate() <= now
    }

    /// Notes that a handshake is asked for, and says whether an initiation may be sent now.
    ///
    /// A [fresh](Cause::Fresh) request begins the count of attempts anew, even within the 5 s gate: somebody
    /// still wants the session, so the attempts under way go on for its sake.
    pub fn request_handshake(&mut self, now: Instant, cause: Cause) -> bool {
        if cause == Cause::Fresh {
            self.timers.handshake_requested();
        }
        self.may_initiate(now)
    }

    /// Makes an initiation, which replaces a pending one, and arms the timer that repeats it. It is itself a
    /// [request](Self::request_handshake).
    ///
    /// Draws 32 bytes, the ephemeral key, then 4 bytes, the jitter (a little-endian fraction of 2^32). On error
    /// nothing is drawn or changed but the count of attempts, and `local_index` is still the caller's.
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
        if !self.request_handshake(now, cause) {
            return Err(HandshakeError::TooSoon);
        }
        let peer = self.peer;
        let static_static = self.static_static(identity)?;
        let (initiated, mut message) = on_wiped_stack(|| {
            initiation::write(Author {
                public: identity.public(),
                peer: &peer,
                static_static,
                ephemeral: SecretKey::generate(rng),
                local_index,
                timestamp: Tai64n::coarse(wall),
            })
        })?;
        self.cookies.sign(now, &peer, message.as_mut_bytes());
        self.drop_initiated(retired);
        self.initiated = Some(Box::new(initiated));
        self.last_sent = Some(now);
        self.timers.initiation_sent(now, jitter(rng));
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
        let (proved, timestamp) = on_wiped_stack(|| initiation::read_timestamp(opened.0, static_static))?;
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

    /// Accepts a cookie; handshake messages carry a mac2 while it is younger than 115 s. The pending
    /// initiation is not repeated before its timer says so.
    ///
    /// # Errors
    /// [`HandshakeError::Unexpected`] if no message of ours awaits one,
    /// [`Forged`](HandshakeError::Forged) if it is not the peer's answer to our last message.
    pub fn accept_cookie(&mut self, now: Instant, reply: &CookieReply) -> Result<(), HandshakeError> {
        self.cookies.accept(now, &self.peer, reply)
    }

    fn static_static(&mut self, identity: &Identity) -> Result<&[u8; 32], HandshakeError> {
        match self.static_static {
            Some(ref shared) => Ok(shared),
            ref mut empty => {
                let step = || -> Result<_, HandshakeError> {
                    let shared = identity.secret().diffie_hellman(&self.peer)?;
                    Ok(Safe::new(shared.to_bytes()))
                };
                Ok(empty.insert(on_wiped_stack(step)?))
            }
        }
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
