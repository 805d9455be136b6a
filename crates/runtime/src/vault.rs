//! Pages for secrets: locked in memory, left out of core files, empty in a forked child.
//!
//! # Theory
//!
//! Memory is taken from the system in chunks and cut into slots of one size a chunk; a bitmap says which are given out. A
//! chunk is never given back: there are as many as secrets once needed at a time. Nothing here takes a lock, since a lock
//! that another thread holds at the time of a fork would never be released in the child, which drops the secrets that it
//! finds wiped: a slot is taken and given back by one atomic operation on its bit.
//!
//! What the system refuses is done without: memory that may not be locked (`RLIMIT_MEMLOCK`) still is not dumped.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mlock, mmap_anonymous};
use wirewright_aead::safe::{self, Vault};

/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// Slots are a multiple of this many bytes: no two secrets share a cache line.
const GRAIN: usize = 64;
/// Slots are of up to so many grains; larger secrets there are none.
const CLASSES: usize = 32;
/// Words of a bitmap.
const WORDS: usize = CHUNK / GRAIN / 64;

/// What was achieved of the protection that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// No secret can be swapped out.
    pub locked: bool,
    /// No secret is in a core file.
    pub undumped: bool,
    /// A forked child finds zeros.
    pub wiped_on_fork: bool,
}

/// Keeps secrets of this process in protected pages from now on. Calling it again does nothing.
pub fn install() {
    safe::install(&PAGES);
}

/// Takes and gives back a slot as keys need it, so that [`protection`] can tell how they will fare.
pub fn prepare() {
    let layout = Layout::new::<[u8; 32]>();
    if let Some(slot) = PAGES.allocate(layout) {
        // SAFETY: it was given out just before, with this layout, to nobody else.
        unsafe { PAGES.release(slot, layout) };
    }
}

/// What has been achieved so far, for all secrets there were.
#[must_use]
pub fn protection() -> Protection {
    Protection {
        locked: !PAGES.unlocked.load(Ordering::Relaxed),
        undumped: !PAGES.dumped.load(Ordering::Relaxed),
        wiped_on_fork: !PAGES.forked.load(Ordering::Relaxed),
    }
}

static PAGES: Pages = Pages {
    classes: [const { AtomicPtr::new(std::ptr::null_mut()) }; CLASSES],
    unlocked: AtomicBool::new(false),
    dumped: AtomicBool::new(false),
    forked: AtomicBool::new(false),
};

struct Pages {
    /// The chunks of each size of slots, the newest first.
    classes: [AtomicPtr<Chunk>; CLASSES],
    unlocked: AtomicBool,
    dumped: AtomicBool,
    forked: AtomicBool,
}

struct Chunk {
    memory: NonNull<u8>,
    slots: usize,
    used: AtomicUsize,
    taken: [AtomicU64; WORDS],
    next: *const Chunk,
}

// SAFETY: the slots are given out and taken back by atomic operations, and `next` points to a chunk that lives for ever.
unsafe impl Sync for Chunk {}

// SAFETY: a slot is of the size that was asked for or larger, its alignment is that of a grain, and its bit gives it to one
// owner at a time.
unsafe impl Vault for Pages {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let class = class_of(layout)?;
        let head = self.classes.get(class)?;
        loop {
            let newest = head.load(Ordering::Acquire);
            for chunk in chunks(newest) {
                if let Some(slot) = chunk.take((class + 1) * GRAIN) {
                    return Some(slot);
                }
            }
            self.grow(class, newest)?;
        }
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) -> bool {
        let Some(head) = class_of(layout).and_then(|class| self.classes.get(class)) else {
            return false;
        };
        let address = memory.as_ptr() as usize;
        chunks(head.load(Ordering::Acquire)).any(|chunk| chunk.put(address, layout))
    }
}

impl Pages {
    /// Adds a chunk, unless somebody else did since `newest` was seen. `None`: the system has no memory.
    fn grow(&self, class: usize, newest: *mut Chunk) -> Option<()> {
        // SAFETY: asks for new memory, at no given address.
        let memory = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                CHUNK,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let memory = NonNull::new(memory.ok()?.cast::<u8>())?;
        self.protect(memory);
        let chunk = Box::into_raw(Box::new(Chunk {
            memory,
            slots: CHUNK / ((class + 1) * GRAIN),
            used: AtomicUsize::new(0),
            taken: [const { AtomicU64::new(0) }; WORDS],
            next: newest,
        }));
        let head = self.classes.get(class)?;
        if head
            .compare_exchange(newest, chunk, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: both were made above and given to nobody.
            unsafe {
                let _ = rustix::mm::munmap(memory.as_ptr().cast(), CHUNK);
                drop(Box::from_raw(chunk));
            }
        }
        Some(())
    }

    fn protect(&self, memory: NonNull<u8>) {
        let pages = memory.as_ptr().cast();
        // SAFETY: the chunk was mapped just before, is `CHUNK` bytes long, and holds nothing yet.
        let locked = unsafe { mlock(pages, CHUNK) };
        self.unlocked.fetch_or(locked.is_err(), Ordering::Relaxed);
        let (undumped, wiped) = keep_to_ourselves(pages);
        self.dumped.fetch_or(!undumped, Ordering::Relaxed);
        self.forked.fetch_or(!wiped, Ordering::Relaxed);
    }
}

/// Keeps a chunk out of core files and out of forked children; says which of both was achieved.
#[cfg(target_os = "linux")]
fn keep_to_ourselves(pages: *mut std::ffi::c_void) -> (bool, bool) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: a chunk that was mapped just before, and holds nothing yet.
    let advise = |advice| unsafe { madvise(pages, CHUNK, advice) }.is_ok();
    (advise(Advice::LinuxDontDump), advise(Advice::LinuxWipeOnFork))
}

/// Other systems have other words for it, or none.
#[cfg(not(target_os = "linux"))]
fn keep_to_ourselves(_: *mut std::ffi::c_void) -> (bool, bool) {
    (false, false)
}

impl Chunk {
    fn take(&self, slot_len: usize) -> Option<NonNull<u8>> {
        if self.used.load(Ordering::Relaxed) >= self.slots {
            return None;
        }
        for (number, word) in self.taken.iter().enumerate().take(self.slots.div_ceil(64)) {
            let mut taken = word.load(Ordering::Relaxed);
            loop {
                let bit = (!taken).trailing_zeros() as usize;
                let slot = number * 64 + bit;
                if bit == 64 || slot >= self.slots {
                    break;
                }
                match word.compare_exchange_weak(
                    taken,
                    taken | 1 << bit,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        self.used.fetch_add(1, Ordering::Relaxed);
                        // SAFETY: the slot lies in the chunk, since there are `slots` of them.
                        return Some(unsafe { self.memory.add(slot * slot_len) });
                    }
                    Err(now) => taken = now,
                }
            }
        }
        None
    }

    /// False if the address is not in this chunk.
    fn put(&self, address: usize, layout: Layout) -> bool {
        let Some(offset) = address
            .checked_sub(self.memory.as_ptr() as usize)
            .filter(|offset| *offset < CHUNK)
        else {
            return false;
        };
        let slot = offset / (layout.size().div_ceil(GRAIN).max(1) * GRAIN);
        if let Some(word) = self.taken.get(slot / 64) {
            word.fetch_and(!(1 << (slot % 64)), Ordering::Release);
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

/// Which chunks have slots for this; `None` if none have.
fn class_of(layout: Layout) -> Option<usize> {
    let class = layout.size().div_ceil(GRAIN).max(1) - 1;
    (class < CLASSES && layout.align() <= GRAIN).then_some(class)
}

fn chunks(newest: *const Chunk) -> impl Iterator<Item = &'static Chunk> {
    // SAFETY: a chunk that is in a list was made by `Box::into_raw`, is never changed but by atomics, and never freed.
    let resolve = |chunk: *const Chunk| unsafe { chunk.as_ref::<'static>() };
    std::iter::successors(resolve(newest), move |chunk| resolve(chunk.next))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    /// The flags of the mapping that an address is in.
    fn flags(address: NonNull<u8>) -> String {
        let address = address.as_ptr() as usize;
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in text.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to))) {
                inside = (from..to).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
                return format!("{flags} ");
            }
        }
        panic!("no mapping has the address");
    }

    #[test]
    fn a_secret_is_locked_undumped_and_wiped_on_fork() {
        let memory = PAGES.allocate(layout(32)).unwrap();
        let flags = flags(memory);
        for flag in [" dd ", " wf "] {
            assert!(flags.contains(flag), "{flags}");
        }
        // A machine may allow too little to be locked; then the vault says so.
        assert_eq!(flags.contains(" lo "), protection().locked, "{flags}");
        // SAFETY: it was given out above with this layout.
        assert!(unsafe { PAGES.release(memory, layout(32)) });
    }

    #[test]
    fn slots_do_not_overlap_and_are_given_out_again() {
        for size in [1, 64, 65, 600, 2048] {
            let all: Vec<NonNull<u8>> = (0..3000).map(|_| PAGES.allocate(layout(size)).unwrap()).collect();
            let mut starts: Vec<usize> = all.iter().map(|memory| memory.as_ptr() as usize).collect();
            starts.sort_unstable();
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= size));
            assert!(starts.iter().all(|start| start % GRAIN == 0));
            for memory in &all {
                // SAFETY: each was given out above with this layout, and is released once.
                assert!(unsafe { PAGES.release(*memory, layout(size)) });
            }
            let again: BTreeSet<usize> = (0..3000)
                .map(|_| PAGES.allocate(layout(size)).unwrap().as_ptr() as usize)
                .collect();
            assert!(
                again.len() == 3000 && again.iter().filter(|start| starts.contains(start)).count() > 2000
            );
            for start in again {
                let memory = NonNull::new(start as *mut u8).unwrap();
                // SAFETY: as above.
                assert!(unsafe { PAGES.release(memory, layout(size)) });
            }
        }
    }

    #[test]
    fn threads_do_not_get_the_same_slot() {
        let work = || {
            let mut mine = vec![];
            for round in 0..2000_u64 {
                let memory = PAGES.allocate(layout(128)).unwrap().cast::<u64>();
                // SAFETY: 128 bytes were given out.
                unsafe { memory.write(round) };
                mine.push((memory, round));
                if round % 3 == 0 {
                    let (memory, expected) = mine.swap_remove(mine.len() / 2);
                    // SAFETY: given out above, and released once.
                    unsafe {
                        assert_eq!(memory.read(), expected);
                        assert!(PAGES.release(memory.cast(), layout(128)));
                    }
                }
            }
            for (memory, expected) in mine {
                // SAFETY: as above.
                unsafe {
                    assert_eq!(memory.read(), expected);
                    assert!(PAGES.release(memory.cast(), layout(128)));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(work);
            }
        });
    }

    #[test]
    fn what_is_too_large_and_what_is_not_the_vaults_is_not_taken() {
        assert!(PAGES.allocate(layout(CLASSES * GRAIN + 1)).is_none());
        let mut other = 0_u64;
        // SAFETY: not the vault's, which must say so and leave it alone.
        assert!(!unsafe { PAGES.release(NonNull::from(&mut other).cast(), layout(8)) });
    }
}
