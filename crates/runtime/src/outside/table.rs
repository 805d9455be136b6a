//! All sockets of one interface, and which of them have something to do.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, getrlimit};

use super::datagram::Datagrams;
use super::orders::{Failure, Kind, Order, Orders, Report, Reports};
use super::route::Routes;
use super::stream::Stream;
use super::turn::{Turn, failure};

/// Descriptors that are left to the rest of the process.
const SPARED: usize = 64;
/// Events of epoll that are taken at once.
const EVENTS: usize = 64;
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The sockets of one interface.
pub struct Outside {
    epoll: Arc<OwnedFd>,
    places: usize,
    table: Arc<Mutex<Table>>,
}

/// What the lock protects.
pub(crate) struct Table {
    epoll: Arc<OwnedFd>,
    routes: Routes,
    /// By the low half of their names.
    entries: Vec<Option<Entry>>,
    /// Those that can do something at once, each once.
    work: VecDeque<u64>,
    count: usize,
    places: usize,
}

struct Entry {
    name: u64,
    socket: Socket,
    /// Whether it stands in the list of those with work.
    listed: bool,
}

enum Socket {
    Stream(Stream),
    Datagrams(Datagrams),
}

impl Outside {
    /// Up to `wanted` sockets, or as many as the limit of open descriptors leaves.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptors left.
    pub fn new(wanted: usize) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let places = wanted.min(limit.saturating_sub(SPARED));
        Ok(Self {
            places,
            table: Arc::new(Mutex::new(Table {
                epoll: epoll.clone(),
                routes: Routes::new()?,
                entries: Vec::new(),
                work: VecDeque::new(),
                count: 0,
                places,
            })),
            epoll,
        })
    }

    /// How many sockets there may be.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// Readable when a socket can do something.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The sockets. To be locked by the interface's thread, or by one that forks.
    pub(crate) fn table(&self) -> &Arc<Mutex<Table>> {
        &self.table
    }

    /// In a forked child: lets go of everything that the parent has too.
    pub(crate) fn part_from_parent(&self, table: &mut Table) {
        // Not taken out of epoll: that one is the parent's.
        table.entries.clear();
        table.work.clear();
        crate::fork::give_up_descriptor(&self.epoll);
        crate::fork::give_up_descriptor(&table.routes);
    }
}

impl Table {
    /// Does what was ordered.
    pub(crate) fn perform(&mut self, orders: &mut Orders, reports: &mut Reports) {
        for (order, bytes) in orders.iter() {
            match order {
                Order::Open {
                    name,
                    kind,
                    remote,
                    own,
                } => {
                    let outcome = match self.routes.admits(remote.ip(), own) {
                        Ok(()) => self.open(name, kind, remote),
                        Err(failure) => Err(failure),
                    };
                    if let Err(failure) = outcome {
                        reports.push(name, Report::Failed(failure));
                    }
                }
                Order::Close { name, abort } => self.close(name, abort),
                Order::Send { name, hop_limit, .. } => {
                    self.with(name, reports, |socket, reports| match socket {
                        Socket::Stream(stream) => stream.send(bytes, name, reports),
                        Socket::Datagrams(datagrams) => datagrams.send(bytes, hop_limit, name, reports),
                    })
                }
                Order::Read { name, more } => self.with(name, reports, |socket, _| {
                    if let Socket::Stream(stream) = socket {
                        stream.allow(more);
                    }
                    Turn::More
                }),
                Order::Finish { name } => self.with(name, reports, |socket, _| match socket {
                    Socket::Stream(stream) => stream.finish(),
                    Socket::Datagrams(_) => Turn::Done,
                }),
            }
        }
        orders.clear();
    }

    /// Looks which sockets became ready, and lets each that can do something do it, as far as there is room for reports.
    pub(crate) fn look(&mut self, reports: &mut Reports) {
        self.gather();
        for _ in 0..self.work.len() {
            // Who had no turn is first in the next round.
            if !reports.has_room() {
                break;
            }
            let Some(name) = self.work.pop_front() else {
                break;
            };
            if let Some(entry) = self.entry(name) {
                entry.listed = false;
                self.with(name, reports, |socket, reports| match socket {
                    Socket::Stream(stream) => stream.turn(name, reports),
                    Socket::Datagrams(datagrams) => datagrams.turn(name, reports),
                });
            }
        }
    }

    /// Whether a socket can do something without the system saying so first.
    pub(crate) fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// Closes all sockets.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.work.clear();
        self.count = 0;
    }

    /// Takes what epoll has to tell.
    fn gather(&mut self) {
        let mut room = [MaybeUninit::uninit(); EVENTS];
        loop {
            let Ok((events, _)) = epoll::wait(&self.epoll, &mut room[..], Some(&NOW)) else {
                return;
            };
            let is_all = events.len() < EVENTS;
            for event in events {
                let (name, flags) = (event.data.u64(), event.flags);
                let Some(entry) = self.entry(name) else {
                    continue;
                };
                match &mut entry.socket {
                    Socket::Stream(stream) => stream.became(flags),
                    Socket::Datagrams(datagrams) => datagrams.became(flags),
                }
                self.list(name);
            }
            if is_all {
                return;
            }
        }
    }

    fn open(&mut self, name: u64, kind: Kind, remote: std::net::SocketAddr) -> Result<(), Failure> {
        if self.count >= self.places {
            return Err(Failure::Exhausted);
        }
        let slot = usize::try_from(name & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let socket = match kind {
            Kind::Stream => Stream::open(remote).map(Socket::Stream),
            Kind::Datagram | Kind::Echo => Datagrams::open(kind, remote).map(Socket::Datagrams),
        }
        .map_err(|error| failure(&error))?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(
            &self.epoll,
            socket.as_fd(),
            epoll::EventData::new_u64(name),
            flags,
        )
        .map_err(|_| Failure::Exhausted)?;
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(slot) {
            *place = Some(Entry {
                name,
                socket,
                listed: false,
            });
            self.count += 1;
        }
        Ok(())
    }

    fn close(&mut self, name: u64, abort: bool) {
        let slot = usize::try_from(name & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let Some(place) = self.entries.get_mut(slot) else {
            return;
        };
        let Some(entry) = place.take_if(|entry| entry.name == name) else {
            return;
        };
        self.count -= 1;
        // A copy in another process would keep it there.
        let _ = epoll::delete(&self.epoll, entry.socket.as_fd());
        if let (Socket::Stream(stream), true) = (&entry.socket, abort) {
            stream.abort();
        }
    }

    /// Lets one socket work, and draws the consequences.
    fn with(
        &mut self,
        name: u64,
        reports: &mut Reports,
        work: impl FnOnce(&mut Socket, &mut Reports) -> Turn,
    ) {
        let Some(entry) = self.entry(name) else {
            return;
        };
        match work(&mut entry.socket, reports) {
            Turn::Done => (),
            Turn::More => self.list(name),
            Turn::Over(failure) => {
                reports.push(name, Report::Failed(failure));
                self.close(name, true);
            }
        }
    }

    fn list(&mut self, name: u64) {
        if let Some(entry) = self.entry(name)
            && !entry.listed
        {
            entry.listed = true;
            self.work.push_back(name);
        }
    }

    fn entry(&mut self, name: u64) -> Option<&mut Entry> {
        let slot = usize::try_from(name & u64::from(u32::MAX)).ok()?;
        let entry = self.entries.get_mut(slot)?.as_mut()?;
        (entry.name == name).then_some(entry)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => stream.as_fd(),
            Self::Datagrams(datagrams) => datagrams.as_fd(),
        }
    }
}
