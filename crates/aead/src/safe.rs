//! A box for secrets: its memory is wiped, and comes from where the program keeps secrets.
//!
//! # Theory
//!
//! A key must not be written to swap, nor to a core file, nor be there in a forked child. That is for the operating system
//! to do, by the page, and this crate makes no system calls. So whoever may make them [installs](install) a [`Vault`] that
//! hands out memory from such pages; without one, secrets lie on the ordinary heap. Both are wiped when a [`Safe`] goes.
//!
//! A vault may be installed while secrets exist already: each piece of memory goes back to where it came from, which the
//! vault knows by the address.

use alloc::alloc::{alloc_zeroed, dealloc, handle_alloc_error};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use zerocopy::FromZeros;
use zeroize::Zeroize;

/// Where secrets are kept.
///
/// # Safety
/// `allocate` must give memory of that layout that nobody else uses until it is released.
pub unsafe trait Vault: Sync {
    /// Memory for a secret, all zeros; `None` if there is none left (the ordinary heap is then used).
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes memory back, which was wiped. False if it is not this vault's.
    ///
    /// # Safety
    /// If it is this vault's, it was given out with this layout, is not used any more, and was not released yet.
    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) -> bool;
}

static INSTALLED: AtomicPtr<&'static dyn Vault> = AtomicPtr::new(core::ptr::null_mut());

/// Keeps secrets made from now on in `vault`. Only the first call has an effect; false for the others.
pub fn install(vault: &'static dyn Vault) -> bool {
    let installed = Box::into_raw(Box::new(vault));
    let null = core::ptr::null_mut();
    match INSTALLED.compare_exchange(null, installed, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(_) => {
            // SAFETY: it was made by `into_raw` just above and given to nobody.
            drop(unsafe { Box::from_raw(installed) });
            false
        }
    }
}

fn vault() -> Option<&'static dyn Vault> {
    // SAFETY: what is stored there comes from `Box::into_raw`, is never changed again and never freed.
    unsafe { INSTALLED.load(Ordering::Acquire).as_ref() }.copied()
}

/// Owns a secret. When it goes, all its bytes are overwritten, whether or not `T` wipes itself.
///
/// The vault may put zeros in its place (in a forked child), so zeros must be a valid `T`: it owns nothing on the heap.
///
/// Moving it moves a pointer and leaves no copy behind. Moving a secret *into* it does: `T` was on the stack before.
pub struct Safe<T: FromZeros> {
    memory: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: it owns its `T` as a `Box` would.
unsafe impl<T: FromZeros + Send> Send for Safe<T> {}
// SAFETY: as above; a shared `Safe` gives shared references only.
unsafe impl<T: FromZeros + Sync> Sync for Safe<T> {}

impl<T: FromZeros> Safe<T> {
    /// Moves a value to where secrets are kept.
    #[must_use]
    pub fn new(value: T) -> Self {
        let memory = allocate(Layout::new::<T>()).cast::<T>();
        // SAFETY: the memory is of the layout of `T` and nobody else's.
        unsafe { memory.write(value) };
        Self {
            memory,
            owns: PhantomData,
        }
    }
}

impl<T: FromZeros> Deref for Safe<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it was written in `new` and lives as long as `self`.
        unsafe { self.memory.as_ref() }
    }
}

impl<T: FromZeros> DerefMut for Safe<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.memory.as_mut() }
    }
}

impl<T: FromZeros + Default> Default for Safe<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: FromZeros + Clone> Clone for Safe<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T: FromZeros> Drop for Safe<T> {
    fn drop(&mut self) {
        let layout = Layout::new::<T>();
        // SAFETY: the value is dropped once and not used afterwards; its memory is still ours, `layout.size()` bytes of
        // it, and any bytes are valid for `MaybeUninit`.
        unsafe {
            self.memory.drop_in_place();
            core::slice::from_raw_parts_mut(
                self.memory.cast::<core::mem::MaybeUninit<u8>>().as_ptr(),
                layout.size(),
            )
            .zeroize();
            release(self.memory.cast(), layout);
        }
    }
}

impl<T: FromZeros + Zeroize> Zeroize for Safe<T> {
    fn zeroize(&mut self) {
        T::zeroize(self);
    }
}

/// Nothing of what is inside.
impl<T: FromZeros> fmt::Debug for Safe<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Safe(..)")
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    if layout.size() == 0 {
        return NonNull::dangling();
    }
    if let Some(memory) = vault().and_then(|vault| vault.allocate(layout)) {
        return memory;
    }
    // SAFETY: the layout is not of size zero.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// The memory was given out by [`allocate`] with this layout, and is not used any more.
unsafe fn release(memory: NonNull<u8>, layout: Layout) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: promised by the caller; a vault that did not give it out says so, and then it was the heap.
    unsafe {
        if !vault().is_some_and(|vault| vault.release(memory, layout)) {
            dealloc(memory.as_ptr(), layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use std::format;

    /// Hands out pieces of one array and keeps what is released as it was left.
    struct Shelf {
        memory: core::cell::UnsafeCell<[u64; 512]>,
        next: AtomicUsize,
        released: AtomicUsize,
        dirty: AtomicUsize,
    }

    // SAFETY: pieces are given out once each, by an atomic counter.
    unsafe impl Sync for Shelf {}

    // SAFETY: as above.
    unsafe impl Vault for Shelf {
        fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
            if layout.size() > 64 || layout.align() > 8 {
                return None;
            }
            let at = self.next.fetch_add(8, Ordering::Relaxed);
            if at + 8 > 512 {
                return None;
            }
            // SAFETY: within the array, as was just checked.
            NonNull::new(unsafe { self.memory.get().cast::<u64>().add(at) }.cast())
        }

        unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) -> bool {
            let start = self.memory.get() as usize;
            if !(start..start + 4096).contains(&(memory.as_ptr() as usize)) {
                return false;
            }
            // SAFETY: the memory is this shelf's, and was written.
            let bytes = unsafe { core::slice::from_raw_parts(memory.as_ptr(), layout.size()) };
            self.dirty
                .fetch_add(bytes.iter().filter(|byte| **byte != 0).count(), Ordering::Relaxed);
            self.released.fetch_add(1, Ordering::Relaxed);
            true
        }
    }

    static SHELF: Shelf = Shelf {
        memory: core::cell::UnsafeCell::new([0; 512]),
        next: AtomicUsize::new(0),
        released: AtomicUsize::new(0),
        dirty: AtomicUsize::new(0),
    };

    #[test]
    fn secrets_lie_in_the_vault_and_come_back_wiped_and_others_on_the_heap() {
        let before = Safe::new([7_u8; 32]);
        assert!(install(&SHELF));
        assert!(!install(&SHELF), "the first one stays");
        let inside = Safe::new([8_u8; 32]);
        let copy = inside.clone();
        assert_eq!((*inside, *copy, *before), ([8; 32], [8; 32], [7; 32]));
        let large = Safe::new([9_u8; 100]);
        drop((before, large));
        assert_eq!(SHELF.released.load(Ordering::Relaxed), 0);
        drop((inside, copy));
        assert_eq!(SHELF.released.load(Ordering::Relaxed), 2);
        assert_eq!(SHELF.dirty.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_of_what_is_inside_is_shown() {
        assert_eq!(format!("{:?}", Safe::new([7_u8; 32])), "Safe(..)");
    }
}
