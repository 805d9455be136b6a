//! Steady traffic allocates nothing: counted by an allocator that counts.
#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

mod steady;

/// Counts allocations of all threads but those that asked to be left out.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Constant and without a destructor, so that to look at it allocates nothing.
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
    static OWN: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: promised by the caller; all memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: promised by the caller; all memory is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }
}

fn note() {
    OWN.set(OWN.get() + 1);
    if !LEFT_OUT.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Leaves this thread out of the count.
fn leave_out() {
    LEFT_OUT.set(true);
}

/// Allocations of all threads but those that are left out.
fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Allocations of this thread.
fn own_allocations() -> u64 {
    OWN.get()
}
