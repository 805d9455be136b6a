//! Single messages with associated data: what handshakes need.

use crate::cipher::{self, Verdict};
use crate::{Key, TAG_LEN};

/// Encrypts all but the last 16 bytes of `text_and_tag` in place; the last 16 bytes receive the tag.
///
/// `counter` as in the crate's section on nonces: never twice for one key.
///
/// # Panics
///
/// If `text_and_tag` is shorter than a tag. The buffer is the caller's own, never a received datagram.
pub fn seal_one(key: &Key, counter: u64, aad: &[u8], text_and_tag: &mut [u8]) {
    let Some((text, tag)) = text_and_tag.split_last_chunk_mut::<TAG_LEN>() else {
        panic!("seal_one needs room for a tag of {TAG_LEN} bytes");
    };
    cipher::seal(key, cipher::nonce(counter), aad, text, tag);
    cipher::wipe_dead_frames();
}

/// Decrypts all but the last 16 bytes of `text_and_tag` in place, if those are the right tag.
///
/// After [`Verdict::Forged`] the text is wiped. A buffer shorter than a tag is forged, and untouched.
pub fn open_one(key: &Key, counter: u64, aad: &[u8], text_and_tag: &mut [u8]) -> Verdict {
    let Some((text, tag)) = text_and_tag.split_last_chunk_mut::<TAG_LEN>() else {
        return Verdict::Forged;
    };
    let verdict = cipher::open(key, cipher::nonce(counter), aad, text, tag);
    cipher::wipe_dead_frames();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn what_one_seals_one_opens() {
        let key = Key::new(&[7; 32]);
        let mut message = *b"static public key...0123456789abcdef";
        seal_one(&key, 0, b"hash", &mut message);
        assert_ne!(&message[..20], b"static public key...");
        assert_eq!(open_one(&key, 0, b"hash", &mut message), Verdict::Authentic);
        assert_eq!(&message[..20], b"static public key...");
    }

    #[test]
    fn other_associated_data_is_a_forgery_and_wipes_the_text() {
        let key = Key::new(&[7; 32]);
        let mut message = *b"static public key...0123456789abcdef";
        seal_one(&key, 0, b"hash", &mut message);
        assert_eq!(open_one(&key, 0, b"hasH", &mut message), Verdict::Forged);
        assert_eq!(&message[..20], &[0; 20]);
    }

    #[test]
    fn a_message_without_room_for_a_tag_is_forged() {
        for len in 0..TAG_LEN {
            let mut short = vec![0; len];
            assert_eq!(open_one(&Key::new(&[7; 32]), 0, &[], &mut short), Verdict::Forged);
        }
    }

    #[test]
    #[should_panic(expected = "room for a tag")]
    fn sealing_without_room_for_a_tag_panics() {
        seal_one(&Key::new(&[7; 32]), 0, &[], &mut [0; TAG_LEN - 1]);
    }
}
