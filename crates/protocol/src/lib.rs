//! One WireGuard conversation: handshake, cookies, sessions and timers, without I/O.
//!
//! Nothing here reads a clock, opens a socket or draws its own randomness: time, wall time and a random
//! number generator are arguments, messages come in as bytes and leave as bytes, and [`Conversation::deadline`]
//! tells when to call back. Section numbers in this crate refer to the WireGuard paper (Donenfeld, "WireGuard:
//! Next Generation Kernel Network Tunnel") unless another source is named.
//!
//! The way of a received handshake message: [`Message::parse`], [`Identity::check_mac1`], under load
//! [`CookieIssuer::check_mac2`], then [`Identity::open_initiation`] and [`Conversation::accept_initiation`], or
//! [`Conversation::accept_response`]. Data packets are sealed and opened by the caller with the keys of a
//! [`Session`]; the conversation hands out counters and is told afterwards what was sent and received.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;

mod conversation;
mod cookie;
mod error;
mod identity;
mod keys;
mod mac;
mod noise;
mod replay;
mod session;
mod tai64n;
mod time;
mod timers;

pub mod wire;

pub use conversation::{Cause, Conversation, Received, ReceivedOutcome, Sent, Wants};
pub use cookie::CookieIssuer;
pub use error::{HandshakeError, KeyError, ParseError, Replay};
pub use identity::{Identity, OpenedInitiation};
pub use keys::{PresharedKey, PublicKey, SecretKey};
pub use replay::ReplayWindow;
pub use session::{Reservation, Session, SessionKeys};
pub use tai64n::Tai64n;
pub use time::{Instant, WallTime};
pub use timers::Timeout;
pub use wire::{CookieReply, DataHeader, Initiation, Message, Response};

/// Durations and limits of the protocol (section 6.1), with the kernel's values where the paper is silent.
pub mod constants {
    use core::time::Duration;

    /// Packets under one key after which either side asks for a new one.
    pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
    /// Packets under one key after which none is sent or accepted.
    pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
    /// Age at which the initiator of a session, when it sends, asks for a new one.
    pub const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
    /// Age from which a session neither sends nor receives.
    pub const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
    /// Time between handshake messages sent to one peer, and the wait before an initiation is repeated.
    pub const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
    /// Upper bound (exclusive) of the random addition to handshake timers, so that two peers which began
    /// together do not go on colliding.
    pub const MAX_JITTER: Duration = Duration::from_nanos(333_333_333);
    /// Wait before received data is answered with an empty packet when nothing else was sent.
    pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
    /// Timer expiries counted before a handshake is abandoned (90 s / 5 s in the paper's terms).
    pub const MAX_HANDSHAKE_ATTEMPTS: u8 = 18;
    /// Age at which the initiator of a session, when it receives, asks for a new one: late enough that a peer
    /// which sends has had its turn, early enough that a keepalive and a handshake still fit in.
    pub const REKEY_ON_RECEIVE_AFTER_TIME: Duration = Duration::from_secs(165);
    /// Idle time after the last derived session at which every key is wiped.
    pub const ZERO_KEYS_AFTER_TIME: Duration = Duration::from_secs(540);
    /// Lifetime of a cookie secret (section 5.4.7).
    pub const COOKIE_LIFETIME: Duration = Duration::from_secs(120);
    /// How long a cookie of the previous secret is still taken, for packets under way at the turn; and how much
    /// sooner than the secret a received cookie ends, for the same reason.
    pub const COOKIE_LATENCY: Duration = Duration::from_secs(5);
    /// Least time between two initiations consumed from one peer.
    pub const INITIATION_INTERVAL: Duration = Duration::from_millis(20);
    /// How far behind the newest counter a packet is still accepted.
    pub const REPLAY_WINDOW: u64 = 8128;
}
