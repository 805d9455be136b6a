//! A descriptor that becomes readable when somebody should wake up.
//!
//! The engine's thread sleeps in `poll` and asyncio in its selector; both can watch a descriptor. A thousand calls
//! of [`Waker::wake`] before the sleeper looks cost one system call, and wake it once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Wakes whoever waits for [`Waker::as_fd`] to become readable.
pub struct Waker {
    read: OwnedFd,
    /// Where the descriptor that wakes is another than the one that is waited for (a pipe's two ends).
    write: Option<OwnedFd>,
    awake: AtomicBool,
}

impl Waker {
    /// A waker at rest.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (read, write) = descriptors()?;
        Ok(Self {
            read,
            write,
            awake: AtomicBool::new(false),
        })
    }

    /// Makes the descriptor readable, if it is not already.
    pub fn wake(&self) {
        if self.awake.swap(true, Ordering::AcqRel) {
            return;
        }
        let target = self.write.as_ref().unwrap_or(&self.read);
        // Eight bytes: an eventfd takes no less. It can only fail if it is full, and then it is readable anyway.
        let _ = rustix::io::write(target, &1_u64.to_ne_bytes());
    }

    /// Puts the waker to rest. To be called before looking for work, so that work which comes later wakes again.
    pub fn rest(&self) {
        let mut bytes = [0; 8];
        let _ = rustix::io::read(&self.read, &mut bytes);
        // A swap, not a store: what the caller looks at next must not be read before this is seen.
        self.awake.swap(false, Ordering::AcqRel);
    }
}

impl Waker {
    /// In a forked child: puts descriptors of its own in the place of those that it shares with the parent, so that
    /// neither takes the other's wake-ups.
    pub(crate) fn part_from_parent(&self) {
        let Ok(fresh) = Self::new() else { return };
        crate::fork::replace_descriptor(&self.read, &fresh.read);
        if let (Some(ours), Some(fresh)) = (&self.write, &fresh.write) {
            crate::fork::replace_descriptor(ours, fresh);
        }
        self.awake.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok((eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, None))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((read.into(), Some(write.into())))
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn readable(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker, PollFlags::IN)];
        poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap()
            == 1
    }

    #[test]
    fn waking_twice_is_waking_once() {
        let waker = Waker::new().unwrap();
        assert!(!readable(&waker));
        waker.wake();
        waker.wake();
        assert!(readable(&waker));
        waker.rest();
        assert!(!readable(&waker));
        waker.wake();
        assert!(readable(&waker));
    }
}
