//! Waiting for descriptors, however short the machine is of what that takes.

use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// A pause where the system cannot even put the thread to sleep.
const BREATH: Duration = Duration::from_millis(1);
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Waits like poll(2). False: nobody looked, so that any descriptor may be ready.
pub(crate) fn wait(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<bool, Errno> {
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::INTR) => Ok(true),
        // poll(2): memory of the kernel is short, for a while.
        Err(Errno::NOMEM | Errno::AGAIN) => {
            sleep(BREATH);
            Ok(false)
        }
        // Somebody allows us fewer descriptors (RLIMIT_NOFILE) than are waited for here.
        Err(Errno::INVAL) => Ok(one_by_one(fds)),
        Err(error) => Err(error),
    }
}

fn one_by_one(fds: &mut [PollFd<'_>]) -> bool {
    let mut any = false;
    for fd in fds {
        match poll(std::slice::from_mut(fd), Some(&NOW)) {
            Ok(ready) => any |= ready > 0,
            // Not even one is allowed.
            Err(_) => {
                sleep(BREATH);
                return false;
            }
        }
    }
    if !any {
        sleep(BREATH);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use rustix::event::PollFlags;

    use super::*;

    #[test]
    fn one_by_one_the_same_is_found_as_together() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut fds = [
            PollFd::new(&near, PollFlags::OUT),
            PollFd::new(&far, PollFlags::IN),
        ];
        assert!(one_by_one(&mut fds));
        assert_eq!(fds.each_ref().map(|fd| fd.revents().is_empty()), [false, true]);
        near.write_all(b"x").unwrap();
        let mut fds = [PollFd::new(&far, PollFlags::IN)];
        assert!(one_by_one(&mut fds));
        assert_eq!(fds[0].revents(), PollFlags::IN);
    }
}
