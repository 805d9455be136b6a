//! ChaCha20-Poly1305 (RFC 8439) over batches of packets, written at a stride into the caller's slab.
//!
//! # Shape
//!
//! A batch is a list of [`Packet`]s over one [`Slab`]. The slab is cut into slots of `stride` bytes; a
//! packet occupies part of one slot:
//!
//! ```text
//! slab.bytes   |<------------- stride ------------->|<------------- stride ------------->|
//!              | ... | text, `len` bytes | tag | ...| ... | text, `len` bytes | tag | ...|
//!              ^     ^                         ^
//!    slot * stride   + start                   + start + len + 16 <= stride
//! ```
//!
//! All lengths and offsets are bytes. Slots must strictly increase along the batch: packets then cannot
//! overlap, and an implementation may work on all of them at once, in any order. Packets of a batch may have
//! different lengths and different keys, and a stride that is a multiple of 64 bytes keeps every packet's
//! cache lines its own. Nothing here allocates, except [`Key::new`].
//!
//! # Nonces
//!
//! The nonce is WireGuard's: four zero bytes, then the counter as 64 bits little-endian. It is the caller's
//! duty that a (key, counter) pair is sealed at most once; both the keystream and the forgery protection of
//! the pair are lost otherwise.
//!
//! # Errors and verdicts
//!
//! [`LayoutError`] means that the *caller* described the batch wrongly; it is found before any byte is
//! touched. What the *network* did wrong is a [`Verdict`], one for each packet: a forged packet never hides
//! the result of its neighbours, and its text is wiped, so that unauthenticated plaintext cannot be read
//! from the slot even by mistake.

#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod batch;
mod cipher;
mod key;
mod layout;
mod one;
pub mod safe;
#[cfg(test)]
mod vectors;

pub use batch::{open, seal};
pub use cipher::Verdict;
pub use key::Key;
pub use layout::{LayoutError, Packet, Slab};
pub use one::{open_one, seal_one};
pub use safe::Safe;

/// Length of a key, in bytes.
pub const KEY_LEN: usize = 32;
/// Length of the tag that stands behind every text, in bytes.
pub const TAG_LEN: usize = 16;
