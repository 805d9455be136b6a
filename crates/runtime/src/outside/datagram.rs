//! One socket for UDP, or for echo requests, with one remote address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::complaints::{self, Found};
use super::orders::{Complaint, Kind, Report, Reports};
use super::turn::{Turn, failure};

/// Datagrams read in one turn, so that others get theirs.
const TURN: usize = 64;
/// Errors taken from the queue in one turn.
const COMPLAINTS: usize = 64;

pub(super) struct Datagrams {
    socket: Socket,
    is_ipv6: bool,
    readable: bool,
    /// The system has an error to tell.
    broken: bool,
    /// What the system was told last.
    hop_limit: Option<u8>,
}

impl Datagrams {
    pub(super) fn open(kind: Kind, remote: SocketAddr) -> io::Result<Self> {
        let is_ipv6 = remote.is_ipv6();
        let protocol = match (kind, is_ipv6) {
            (Kind::Echo, false) => Protocol::ICMPV4,
            (Kind::Echo, true) => Protocol::ICMPV6,
            _ => Protocol::UDP,
        };
        let socket = Socket::new(
            Domain::for_address(remote),
            Type::DGRAM.nonblocking(),
            Some(protocol),
        )?;
        complaints::listen(&socket, is_ipv6)?;
        allow_fragments(&socket, is_ipv6);
        socket.connect(&remote.into())?;
        Ok(Self {
            socket,
            is_ipv6,
            readable: false,
            broken: false,
            hop_limit: None,
        })
    }

    /// Takes note of what epoll says.
    pub(super) fn became(&mut self, flags: EventFlags) {
        self.broken |= flags.contains(EventFlags::ERR);
        self.readable |= flags.contains(EventFlags::IN);
    }

    /// Sends one datagram. Whether its errors are told depends on what becomes of it.
    pub(super) fn send(&mut self, bytes: &[u8], hop_limit: u8, name: u64, reports: &mut Reports) -> Turn {
        if self.hop_limit != Some(hop_limit) {
            let hops = u32::from(hop_limit);
            let told = if self.is_ipv6 {
                self.socket.set_unicast_hops_v6(hops)
            } else {
                self.socket.set_ttl_v4(hops)
            };
            self.hop_limit = told.is_ok().then_some(hop_limit);
        }
        // An error of an earlier datagram is told instead of this one's being sent.
        for _ in 0..2 {
            match send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => return Turn::Done,
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::MSGSIZE) => {
                    reports.push(name, Report::Lost);
                    return Turn::Done;
                }
                Err(Errno::PERM | Errno::ACCESS) => {
                    reports.push(name, Report::Complained(self.prohibited()));
                    return Turn::Done;
                }
                Err(_) => self.complain(name, reports),
            }
        }
        reports.push(name, Report::Lost);
        Turn::Done
    }

    /// Reads what came.
    pub(super) fn turn(&mut self, name: u64, reports: &mut Reports) -> Turn {
        if std::mem::take(&mut self.broken) {
            self.complain(name, reports);
        }
        for _ in 0..TURN {
            if !self.readable {
                return Turn::Done;
            }
            if !reports.has_room() {
                return Turn::More;
            }
            match recv(&self.socket, reports.room(), RecvFlags::DONTWAIT) {
                Ok((_, len)) => reports.received(name, len),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::BADF | Errno::NOTSOCK) => return Turn::Over(failure(&Errno::BADF.into())),
                Err(_) => self.complain(name, reports),
            }
        }
        Turn::More
    }

    /// Tells what the system kept of errors.
    fn complain(&mut self, name: u64, reports: &mut Reports) {
        for _ in 0..COMPLAINTS {
            match complaints::take(&self.socket) {
                Found::Complaint(complaint) => reports.push(name, Report::Complained(complaint)),
                Found::Local(libc::EACCES | libc::EPERM) => {
                    reports.push(name, Report::Complained(self.prohibited()));
                }
                Found::Local(libc::EHOSTUNREACH | libc::ENETUNREACH) => {
                    reports.push(name, Report::Complained(self.unreachable()));
                }
                Found::Local(_) => (),
                Found::Nothing => break,
            }
        }
        // Cleared, so that the next call is not answered with an error that was told.
        let _ = self.socket.take_error();
    }

    fn prohibited(&self) -> Complaint {
        let (kind, code) = if self.is_ipv6 { (1, 1) } else { (3, 13) };
        Complaint {
            kind,
            code,
            offender: None,
            sequence: None,
        }
    }

    fn unreachable(&self) -> Complaint {
        let (kind, code) = if self.is_ipv6 { (1, 3) } else { (3, 1) };
        Complaint {
            kind,
            code,
            offender: None,
            sequence: None,
        }
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets routers and the system cut what is too long for a path: who sent it is behind the tunnel, and not told.
fn allow_fragments(socket: &Socket, is_ipv6: bool) {
    use sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    let _ = if is_ipv6 {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)
    } else {
        sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)
    };
}
