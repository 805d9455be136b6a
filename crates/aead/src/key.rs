//! Keys that leave nothing behind.

use core::fmt;
use core::mem::MaybeUninit;

use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use zerocopy::FromZeros;
use zeroize::{Zeroize, zeroize_stack};

use crate::{KEY_LEN, Safe};

/// A key for sealing and opening, wiped from memory when it is dropped.
///
/// The secret lives in one allocation, where secrets are kept ([`Safe`]), for all its life: moving a `Key` moves a pointer and leaves no copy
/// behind. `Debug` prints no part of it. There is no `Clone`; share it by reference or in an `Arc`.
pub struct Key(Safe<Expanded>);

impl Key {
    /// Takes a copy of 32 uniformly random bytes; wiping the original is the caller's task.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let mut safe = Safe::new(Expanded(MaybeUninit::uninit()));
        safe.fill(bytes);
        // ring builds its key on the stack and moves it several times; none of those copies is wiped by it.
        zeroize_stack::<DEAD_FRAMES>();
        Self(safe)
    }

    pub(crate) fn expanded(&self) -> &LessSafeKey {
        self.0.get()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Stack below us that a call into ring may have left key material in: a few copies of its key type, which is
/// as large as its largest (AES-GCM) variant.
const DEAD_FRAMES: usize = 8 * size_of::<LessSafeKey>();

/// ring's key, which does not wipe itself. `MaybeUninit` because the zeros that [`Drop`] leaves are no valid
/// `LessSafeKey` (it holds a reference). Filled by `Key::new` before anybody else sees it.
#[derive(FromZeros)]
struct Expanded(MaybeUninit<LessSafeKey>);

// Nothing is leaked by not running the drop glue of what is inside.
const _: () = assert!(!core::mem::needs_drop::<LessSafeKey>());

impl Expanded {
    #[inline(never)] // so that its frame is dead, and within reach of `zeroize_stack`, when it returns
    fn fill(&mut self, bytes: &[u8; KEY_LEN]) {
        match UnboundKey::new(&CHACHA20_POLY1305, bytes) {
            Ok(unbound) => {
                self.0.write(LessSafeKey::new(unbound));
            }
            // ring checks the length only, and the type fixes it.
            Err(_) => unreachable!("ring refused a key of {KEY_LEN} bytes"),
        }
    }

    fn get(&self) -> &LessSafeKey {
        // SAFETY: an `Expanded` leaves `Key::new` only after `fill` has written the value (`fill` panics
        // otherwise, and the unfinished `Key` is never returned). It is overwritten only in `Drop`, which
        // needs exclusive access and after which no reference can be made.
        unsafe { self.0.assume_init_ref() }
    }
}

impl Drop for Expanded {
    fn drop(&mut self) {
        // As a slice: that form overwrites every byte, padding too, and the compiler may not remove it.
        core::slice::from_mut(&mut self.0).zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    const SECRET: [u8; KEY_LEN] = *b"a key of exactly thirty-two byte";

    /// The bytes of a value that has been dropped in place, in memory that the caller still owns.
    fn bytes_of(memory: &MaybeUninit<Expanded>) -> Vec<u8> {
        let start = memory.as_ptr().cast::<MaybeUninit<u8>>();
        (0..size_of::<Expanded>())
            .map(|i| {
                // SAFETY: `i` is inside the allocation, `MaybeUninit<u8>` may be read from any memory, and
                // both tests below have initialised every byte (by zeroing the memory before use, or by the
                // wipe itself).
                unsafe { start.add(i).read().assume_init() }
            })
            .collect()
    }

    #[test]
    fn a_dropped_key_leaves_only_zeros() {
        let mut memory = MaybeUninit::<Expanded>::zeroed();
        // SAFETY: `Expanded` is a `MaybeUninit` inside, for which any memory is valid.
        let expanded = unsafe { memory.assume_init_mut() };
        expanded.fill(&SECRET);
        // SAFETY: the value is dropped once, in memory this test owns, and not used as a value afterwards.
        unsafe { core::ptr::drop_in_place(memory.as_mut_ptr()) };
        assert!(bytes_of(&memory).iter().all(|&byte| byte == 0));
    }

    #[test]
    fn the_wipe_covers_memory_that_never_was_part_of_the_key() {
        let mut memory = MaybeUninit::<Expanded>::uninit();
        // SAFETY: in bounds of memory this test owns; any byte is valid for a `MaybeUninit`.
        unsafe { core::ptr::write_bytes(memory.as_mut_ptr(), 0xa5, 1) };
        assert!(
            bytes_of(&memory).iter().all(|&byte| byte == 0xa5),
            "the view shows what is there"
        );
        // SAFETY: as in the test above.
        unsafe { core::ptr::drop_in_place(memory.as_mut_ptr()) };
        assert!(bytes_of(&memory).iter().all(|&byte| byte == 0));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", Key::new(&SECRET)), "Key(..)");
    }

    #[test]
    fn a_key_may_be_shared_between_threads() {
        fn assert_shareable<T: Send + Sync + 'static>() {}
        assert_shareable::<Key>();
    }
}
