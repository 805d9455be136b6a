//! What a child process must not inherit.
//!
//! # Theory
//!
//! After `fork` two processes hold the same session keys and the same next nonce. If both sent, one nonce would seal
//! two packets, and both could be read. So the child must find every interface closed and its keys gone. Only the
//! thread that forks goes on in the child, so a lock held by another thread would never be released there: before
//! the fork, the forking thread takes the lock of every interface ([`before`]); in the parent it lets them go
//! ([`after_in_parent`]); in the child it wipes what they protect ([`after_in_child`]). Locks are taken in the order in
//! which interfaces were made.
//!
//! Python calls these from `os.register_at_fork`. A fork that bypasses Python's and at once calls `exec` (as
//! `subprocess` does) loses the memory anyway; descriptors are closed on exec.

use std::any::Any;
use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{Mode, OFlags};

/// Something that must be wiped in a child process.
pub(crate) trait Forkable: Send + Sync + 'static {
    /// Waits for the lock, and keeps it in what is returned.
    fn lock(&self) -> Box<dyn Any>;
    /// In the child: wipes all that is secret, and closes.
    fn wipe(&self, guard: Box<dyn Any>);
}

static REGISTERED: Mutex<Registry> = Mutex::new(Vec::new());

type Registry = Vec<Weak<dyn Forkable>>;

/// What the forking thread holds between [`before`] and what comes after. The registry is among it, lest the child
/// find it locked for ever.
#[derive(Default)]
struct Held {
    interfaces: Vec<(Arc<dyn Forkable>, Box<dyn Any>)>,
    registry: Option<MutexGuard<'static, Registry>>,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

pub(crate) fn register<T: Forkable>(shared: &Arc<T>) {
    let weak: Weak<T> = Arc::downgrade(shared);
    let mut registered = REGISTERED.lock();
    registered.retain(|known| known.strong_count() > 0);
    registered.push(weak);
}

/// Before a fork, on the thread that forks: waits until no interface is at work.
pub fn before() {
    let registry = REGISTERED.lock();
    let interfaces = registry.iter().filter_map(Weak::upgrade).map(|shared| {
        let guard = shared.lock();
        (shared, guard)
    });
    let interfaces = interfaces.collect();
    HELD.set(Held {
        interfaces,
        registry: Some(registry),
    });
}

/// After a fork, in the parent, on the same thread: lets all interfaces go on.
pub fn after_in_parent() {
    let Held { interfaces, registry } = HELD.take();
    drop(interfaces);
    drop(registry);
}

/// After a fork, in the child: wipes and closes all interfaces.
pub fn after_in_child() {
    let held = HELD.take();
    for (shared, guard) in held.interfaces {
        shared.wipe(guard);
    }
}

/// Puts `/dev/null` in the place of a descriptor, so that the child does not keep the parent's port in use. The number
/// stays taken, since an object in memory still believes that it owns it.
pub(crate) fn give_up_descriptor(descriptor: RawFd) {
    let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else {
        return;
    };
    // SAFETY: the descriptor is open, since the socket that owns it lives as long as the interface; dup2 replaces what it
    // stands for without closing the number, so that its owner closes it once, as it would have done.
    let mut target = unsafe {
        std::mem::ManuallyDrop::new(<std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(
            descriptor,
        ))
    };
    let _ = rustix::io::dup2(&null, &mut target);
}
