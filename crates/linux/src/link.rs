//! The interface itself, whatever it is called by now and wherever it was moved to.
//!
//! # Theory
//!
//! A name can be given to another interface, and an index is known in one network namespace only. What cannot be taken for
//! another is the TUN's descriptor: it tells the name and the namespace of the time of asking. The rest is asked of that
//! name in that namespace, after each piece of news; a change while it is asked is news once more.
//!
//! Another namespace is neither entered, which takes more than `CAP_NET_ADMIN`, nor is a socket kept in it: that would keep
//! it, and the interface in it, alive after whoever it was made for. netlink answers for other namespaces by a number that
//! ours gives them, and one socket hears of all that have one.
//!
//! Where not even that is permitted, the descriptor still tells whether the interface is up: nothing can be written to one
//! that is down. It wakes who waits for that, but nobody when the interface is set down; then a later wake-up finds it so.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::ifreq;
use crate::netlink::{self, Facts};
use crate::sys;
use crate::tun;

/// How often an interface that is moved while it is asked is looked for anew.
const TRIES: usize = 4;

/// An interface, and news of it.
pub(crate) struct Link {
    tun: OwnedFd,
    news: OwnedFd,
    /// The network namespace that we began in.
    home: Option<(u64, u64)>,
    /// It was seen in another namespace, so that news are of all.
    hears_all: bool,
    index: Option<i32>,
}

/// What is known of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) is_up: bool,
    /// `None` if it cannot be asked.
    pub(crate) mtu: Option<usize>,
}

/// What came since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// Something changed.
    pub(crate) any: bool,
    /// The interface was down, if only for a moment.
    pub(crate) was_down: bool,
}

impl Link {
    /// Follows the interface of a TUN's descriptor from now on.
    pub(crate) fn new(tun: OwnedFd) -> io::Result<Self> {
        let news = netlink::news()?;
        let home = sys::namespace_of(&news)
            .and_then(|home| identity(&home))
            .or_else(|_| own_namespace())
            .ok();
        let mut link = Self {
            tun,
            news,
            home,
            hears_all: false,
            index: None,
        };
        link.index = link.facts().ok().map(|facts| facts.index);
        Ok(link)
    }

    /// Takes the news that came. They are no more than a reason to ask, since some may be lost. But that the interface was
    /// down and is up again is told by them alone.
    pub(crate) fn drain(&self) -> News {
        let mut buffer = [0_u8; 8192];
        let mut news = News::default();
        loop {
            match rustix::io::read(&self.news, &mut buffer) {
                Ok(0) => return news,
                Ok(len) => {
                    let bytes = buffer.get(..len).unwrap_or(&[]);
                    // In another namespace another interface may have its index.
                    let index = self.index.filter(|_| !self.hears_all);
                    news.was_down |= index.is_some_and(|index| netlink::says_down(bytes, index));
                }
                // An overflow of the queue is an error once, and news as well.
                Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => (),
                Err(_) => return news,
            }
            news.any = true;
        }
    }

    /// Asks what the interface is set to now. `None`: it was deleted.
    pub(crate) fn state(&mut self) -> Option<State> {
        let facts = self.facts().ok();
        self.index = facts.map(|facts| facts.index);
        let is_up = match facts {
            Some(facts) => facts.is_up,
            None => self.can_be_written()?,
        };
        Some(State {
            is_up,
            mtu: facts.map(|facts| facts.mtu),
        })
    }

    /// Sets the MTU, in bytes. An interface that was given to us in another namespace keeps its own, and the MTU that it has
    /// is returned; where it cannot be asked, it is taken for what was to be set.
    pub(crate) fn set_mtu(&mut self, mtu: usize) -> io::Result<usize> {
        if self.elsewhere()?.is_some() {
            return Ok(self.facts().map_or(mtu, |facts| facts.mtu));
        }
        let mut request = ifreq::request_for(&tun::name_now(&self.tun)?)?;
        request.ifr_ifru.ifru_mtu = i32::try_from(mtu).map_err(io::Error::other)?;
        ifreq::ask(libc::SIOCSIFMTU, request)?;
        Ok(mtu)
    }

    /// Bounds the segments of a super-packet, so that, sealed, they fit one train of UDP. It spares a second train for each,
    /// no more: where it cannot be set, as in another namespace, it is done without.
    pub(crate) fn set_most_segments(&mut self, segments: u32) {
        if let (Ok(None), Ok(facts)) = (self.namespace(), self.facts()) {
            let _ = netlink::set_most_segments(facts.index, segments);
        }
    }

    /// What becomes readable with news.
    pub(crate) fn news(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    /// What becomes writable when the interface is set up.
    pub(crate) fn tun(&self) -> BorrowedFd<'_> {
        self.tun.as_fd()
    }

    fn facts(&mut self) -> io::Result<Facts> {
        let mut outcome = self.try_facts();
        for _ in 1..TRIES {
            if outcome.is_ok() {
                break;
            }
            outcome = self.try_facts();
        }
        outcome
    }

    fn try_facts(&mut self) -> io::Result<Facts> {
        let namespace = self.namespace()?;
        netlink::facts(&tun::name_now(&self.tun)?, namespace)
    }

    /// The number of the namespace that it was moved to; `None`: it is in ours.
    fn namespace(&mut self) -> io::Result<Option<i32>> {
        let Some(namespace) = self.elsewhere()? else {
            return Ok(None);
        };
        if !self.hears_all {
            self.hears_all = netlink::hear_all(&self.news).is_ok();
        }
        netlink::number_of(&namespace).map(Some)
    }

    /// The namespace that it was moved to; `None`: it is in ours.
    fn elsewhere(&self) -> io::Result<Option<OwnedFd>> {
        match tun::namespace(&self.tun) {
            Ok(namespace) => {
                let is_ours = self.home.is_none() || Some(identity(&namespace)?) == self.home;
                Ok((!is_ours).then_some(namespace))
            }
            // A kernel before 5.7 cannot say; then it is looked for here.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn can_be_written(&self) -> Option<bool> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.tun, PollFlags::OUT)];
        // Where that cannot be said either, it is better to speak than to be silent.
        if poll(&mut fds, Some(&now)).is_err() {
            return Some(true);
        }
        let [tun] = fds;
        Some(tun.revents().contains(PollFlags::OUT)).filter(|_| !tun.revents().contains(PollFlags::ERR))
    }
}

fn identity(namespace: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The same of our namespace, for who may not open it.
fn own_namespace() -> io::Result<(u64, u64)> {
    let stat = rustix::fs::stat("/proc/thread-self/ns/net")?;
    Ok((stat.st_dev, stat.st_ino))
}
