//! What a conversation is told, and what it asks for.

#[cfg(doc)]
use crate::conversation::Conversation;

/// Why an initiation is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wants a session; the count of attempts begins anew, even if no initiation may be sent yet.
    Fresh,
    /// The last initiation was not answered ([`Timeout::RetryHandshake`](crate::Timeout::RetryHandshake)).
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
