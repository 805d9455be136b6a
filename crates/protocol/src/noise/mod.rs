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

#[cfg(test)]
mod captured;

use zeroize::zeroize_stack;

pub(crate) use symmetric::hash;

/// Stack that a step may have used: twice what the deepest does (7.9 kB, measured on x86-64, release build).
const DEAD_FRAMES: usize = 16 << 10;

/// Runs a step of the handshake, then wipes the stack it used.
///
/// Values of our own are wiped when they are dropped, but moving one leaves a copy behind, and the arithmetic
/// on the curve spills what it computes. So secrets that outlive a step are boxed within it.
pub(crate) fn on_wiped_stack<T>(step: impl FnOnce() -> T) -> T {
    #[inline(never)] // so that its frame is dead, and within reach of `zeroize_stack`, when it returns
    fn run<T>(step: impl FnOnce() -> T) -> T {
        step()
    }
    let result = run(step);
    zeroize_stack::<DEAD_FRAMES>();
    result
}
