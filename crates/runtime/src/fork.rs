//! What a child process must not inherit.
//!
//! # Theory
//!
//! After `fork` two processes hold the same session keys and the same next nonce. If both sent, one nonce would seal
//! two packets, and both could be read. So the child must find every interface closed and its keys gone. Only the
//! thread that forks goes on in the child, so a lock held by another thread would never be released there: before
//! the fork, the forking thread takes the lock of every interface ([`before`]); in the parent it lets them go
//! ([`after_in_parent`]); in the child it wipes what they protect ([`after_in_child`]) and never unlocks them, since to
//! unlock may mean to hand the lock to a thread that waited, and is not there. Locks are taken in the order in which
//! interfaces were made.
//!
//! An interface that is being made has sockets before it is registered, so forks wait until it is whole ([`while_making`]).
//!
//! Python calls these from `os.register_at_fork`. A fork that bypasses Python's and at once calls `exec` (as
//! `subprocess` does) loses the memory anyway; descriptors are closed on exec.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::fs::{Mode, OFlags};

/// Something that must be wiped in a child process.
pub(crate) trait Forkable: Send + Sync + 'static {
    /// Waits for the lock, and keeps it in what is returned.
    fn lock(&self) -> Box<dyn Any>;
    /// In the child: wipes all that is secret, and closes.
    fn wipe(&self, guard: Box<dyn Any>);
}

/// The interfaces of this process. A child gets a list of its own: the parent's may be locked, or waited for, by threads
/// that the child does not have.
static REGISTRY: AtomicPtr<Registry> = AtomicPtr::new(std::ptr::null_mut());

#[derive(Default)]
struct Registry {
    /// Read by who makes an interface, written by who forks: nothing half made gets into a child.
    making: RwLock<()>,
    interfaces: Mutex<Vec<Weak<dyn Forkable>>>,
}

/// An interface and its lock.
type Held = (Arc<dyn Forkable>, Box<dyn Any>);

thread_local! {
    /// What the forking thread holds between [`before`] and what comes after.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
    /// Taken before all of these, and so set as long as this thread forks.
    static MAKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
    /// What was given up meanwhile.
    static LEFT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    /// Whether this thread holds a [`Whole`] already.
    static IS_MAKING: Cell<bool> = const { Cell::new(false) };
}

/// Forks wait for it to be dropped.
struct Whole {
    _guard: RwLockReadGuard<'static, ()>,
}

impl Drop for Whole {
    fn drop(&mut self) {
        IS_MAKING.set(false);
    }
}

pub(crate) fn register<T: Forkable>(shared: &Arc<T>) {
    let weak: Weak<T> = Arc::downgrade(shared);
    let mut registered = registry().interfaces.lock();
    registered.retain(|known| known.strong_count() > 0);
    registered.push(weak);
}

/// Whether this thread is between [`before`] and what comes after, and so holds the lock of every interface.
#[must_use]
pub fn is_forking() -> bool {
    MAKING.with_borrow(Option::is_some)
}

/// Keeps forks waiting until it is dropped. To be held from before an interface has sockets until it has its keys, for
/// what is not registered yet would not be wiped; and while a thread begins or ends, since the standard library has a lock
/// for that, which would stay locked in the child. On a thread that forks itself, or keeps forks waiting already, it does
/// nothing.
///
/// A fork that waits goes before whoever comes after it; threads that make and end interfaces without a pause could keep it
/// waiting for ever otherwise. So this may wait for a fork, which may wait for the interpreter: not to be called with it.
#[must_use]
pub fn while_making() -> impl Sized {
    if is_forking() || IS_MAKING.get() {
        return None;
    }
    let guard = registry().making.read();
    IS_MAKING.set(true);
    Some(Whole { _guard: guard })
}

/// Keeps something until this thread no longer [forks](is_forking): to drop it may mean to wait for an interface, which
/// waits for its lock.
pub fn drop_afterwards(thing: impl Any) {
    LEFT.with_borrow_mut(|left| left.push(Box::new(thing)));
}

/// Before a fork, on the thread that forks: waits until no interface is at work.
pub fn before() {
    MAKING.set(Some(registry().making.write()));
    let registered = registry().interfaces.lock();
    let interfaces: Vec<Arc<dyn Forkable>> = registered.iter().filter_map(Weak::upgrade).collect();
    drop(registered);
    let held = interfaces.into_iter().map(|shared| {
        let guard = shared.lock();
        (shared, guard)
    });
    HELD.set(held.collect());
}

/// After a fork, in the parent, on the same thread: lets all interfaces go on.
pub fn after_in_parent() {
    drop(HELD.take());
    drop(MAKING.take());
    drop(LEFT.take());
}

/// After a fork, in the child: wipes and closes all interfaces.
pub fn after_in_child() {
    REGISTRY.store(new_registry(), Ordering::Release);
    // Not unlocked either.
    std::mem::forget(MAKING.take());
    for (shared, guard) in HELD.take() {
        shared.wipe(guard);
    }
    drop(LEFT.take());
}

fn registry() -> &'static Registry {
    let mut current = REGISTRY.load(Ordering::Acquire);
    if current.is_null() {
        let fresh = new_registry();
        let null = std::ptr::null_mut();
        current = match REGISTRY.compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(other) => other,
        };
    }
    // SAFETY: what is stored in REGISTRY comes from `new_registry` and is never freed.
    unsafe { &*current }
}

fn new_registry() -> *mut Registry {
    Box::into_raw(Box::new(Registry::default()))
}

/// Puts `/dev/null` in the place of a descriptor that the child shares with its parent.
pub(crate) fn give_up_descriptor(descriptor: &impl AsFd) {
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        replace_descriptor(descriptor, &null);
    }
}

/// Makes a descriptor stand for what another one stands for. Its number stays taken, since an object in memory believes
/// that it owns it, and will close it once.
pub(crate) fn replace_descriptor(descriptor: &impl AsFd, by: &impl AsFd) {
    let number = descriptor.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, since it is borrowed; dup2 replaces what it stands for without closing the number,
    // and ManuallyDrop keeps this second owner from closing it.
    let mut target = unsafe { std::mem::ManuallyDrop::new(OwnedFd::from_raw_fd(number)) };
    let _ = rustix::io::dup2(by, &mut target);
}
