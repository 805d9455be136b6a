//! What a conversation is told, and what it asks for.

#[cfg(doc)]
use crate::conversation::Conversation;

/// Why an initiation is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wants a session; the count of attempts begins anew, even if no initiation may be sent yet.
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
    /// The session should be replaced: initiate afresh if [`Conversation::request_handshake`] allows it.
    pub handshake: bool,
}

/// What receiving led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReceivedOutcome {
    /// The session was confirmed and is now sent under: send what is staged.
    pub confirmed: bool,
    /// The session should be replaced: initiate afresh if [`Conversation::request_handshake`] allows it. Said once
    /// a session.
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
