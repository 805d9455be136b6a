//! The handshake `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` (section 5.4; Noise specification, sections 5 and 9).
//!
//! Both sides carry a chaining key, into which every Diffie-Hellman result is mixed, and a hash of everything
//! said so far, which authenticates each sealed field as associated data:
//!
//! ```text
//! before:      <- s           the initiator knows the responder's static key
//! initiation:  -> e, es, s, ss, {timestamp}
//! response:    <- e, ee, se, psk, {}
//! ```
//!
//! [`symmetric`] holds the two values and the operations on them, [`initiation`] and [`response`] are the two
//! messages, each with its writer and its reader side by side.

pub(crate) mod initiation;
pub(crate) mod response;
pub(crate) mod symmetric;

pub(crate) use symmetric::hash;
