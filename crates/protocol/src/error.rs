//! What can be wrong with a datagram, a handshake, a packet's counter, or a key in a configuration.

use core::fmt;

/// Why a datagram is not a WireGuard message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The length does not fit the message type, or is below that of any message.
    BadLength,
    /// The type is none of 1 to 4, or the three reserved bytes behind it are not zero.
    BadType,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadLength => "the datagram's length does not fit its message type",
            Self::BadType => "the datagram is not of a known message type",
        })
    }
}

impl core::error::Error for ParseError {}

/// Why a handshake message was not made or not accepted. The conversation is then as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// A handshake message was sent to this peer less than 5 s ago.
    TooSoon,
    /// A Diffie-Hellman result was all zeros: one of the public keys has low order.
    LowOrderKey,
    /// A part of the message did not authenticate.
    Forged,
    /// The initiation came from another peer than this conversation's.
    WrongPeer,
    /// The initiation's timestamp is not newer than the newest accepted one.
    TimestampReplay,
    /// The initiation came less than 20 ms after the last accepted one.
    Flood,
    /// The response or cookie reply answers no message of ours, or one that was answered already.
    Unexpected,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSoon => "a handshake message was sent to this peer less than 5 s ago",
            Self::LowOrderKey => {
                "the key exchange gave an all-zero secret: check the peer's public key, it has low order"
            }
            Self::Forged => "the handshake message does not authenticate: check both peers' keys",
            Self::WrongPeer => "the handshake initiation belongs to another peer",
            Self::TimestampReplay => {
                "the handshake initiation is not newer than the last one: a replay, or the peer's clock was set back"
            }
            Self::Flood => "the handshake initiation came less than 20 ms after the last one",
            Self::Unexpected => "no handshake message of ours awaits this answer",
        })
    }
}

impl core::error::Error for HandshakeError {}

/// Why a packet's counter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The counter is outside of what can be accepted: more than 8128 behind the newest, or not below
    /// [`REJECT_AFTER_MESSAGES`](crate::constants::REJECT_AFTER_MESSAGES).
    Old,
    /// A packet with this counter was accepted before.
    Duplicate,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "the packet's counter is outside of the replay window",
            Self::Duplicate => "a packet with this counter was received before",
        })
    }
}

impl core::error::Error for Replay {}

/// Why a text is not a key. It never quotes the text, which may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text has the wrong length, counted in bytes.
    Length {
        /// The length a key has in this encoding.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// The text has the right length but is not valid base64 of 32 bytes.
    Base64,
    /// The text has the right length but holds something else than hexadecimal digits.
    Hex,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(
                    f,
                    "a key has {expected} characters in this encoding, but {found} were given"
                )
            }
            Self::Base64 => f.write_str("not a key: expected 43 characters of base64 and a final '='"),
            Self::Hex => f.write_str("not a key: expected hexadecimal digits only"),
        }
    }
}

impl core::error::Error for KeyError {}
