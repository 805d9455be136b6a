//! The one place that calls ring: one text, one nonce, tag apart from the text.

use ring::aead::{Aad, Nonce, Tag};
use zeroize::{Zeroize, zeroize_stack};

use crate::{Key, TAG_LEN};

/// What opening a packet found.
///
/// The bad case is zero, so that memory nobody wrote a verdict to does not read as authentic.
#[must_use = "an ignored verdict accepts forged packets"]
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The tag does not fit key, counter, associated data and text. The text has been wiped.
    #[default]
    Forged = 0,
    /// The tag fits: the slot now holds the plaintext.
    Authentic = 1,
}

pub(crate) const NONCE_LEN: usize = 12;

/// WireGuard's nonce for a message counter.
pub(crate) fn nonce(counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// Encrypts `text` in place and writes its tag.
#[inline(never)] // its frame must be dead, and below the caller's, for `wipe_dead_frames`
pub(crate) fn seal(key: &Key, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8], tag: &mut [u8; TAG_LEN]) {
    let nonce = Nonce::assume_unique_for_key(nonce);
    match key
        .expanded()
        .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
    {
        Ok(computed) => tag.copy_from_slice(computed.as_ref()),
        // Only a text longer than 2^38 - 64 bytes gets here (RFC 8439, 2.8). It must not leave unencrypted.
        Err(_) => {
            text.zeroize();
            tag.zeroize();
        }
    }
}

/// Decrypts `text` in place if `tag` fits, else wipes it.
#[inline(never)] // as `seal`
pub(crate) fn open(
    key: &Key,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Verdict {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = Tag::from(*tag);
    let opened = key
        .expanded()
        .open_in_place_separate_tag(nonce, Aad::from(aad), tag, text, 0..);
    if opened.is_ok() {
        return Verdict::Authentic;
    }
    // ring decrypts while it authenticates and wipes on failure, but its documentation does not promise that.
    text.zeroize();
    Verdict::Forged
}

/// Overwrites the stack that [`seal`] and [`open`] used: ring copies the key and the one-time Poly1305 key
/// there and leaves both. To be called once a batch, from the function that called them.
///
/// Best effort: 2 KiB is more than twice what ring's frames take on x86-64, and registers are out of reach.
pub(crate) fn wipe_dead_frames() {
    zeroize_stack::<2048>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_is_four_zeros_and_the_counter_little_endian() {
        assert_eq!(nonce(0x0102_0304_0506_0708), [0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn memory_without_a_verdict_reads_as_forged() {
        assert_eq!(Verdict::Forged as u8, 0);
        assert_eq!(Verdict::default(), Verdict::Forged);
    }
}
