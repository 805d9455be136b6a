//! The outer sockets of an interface: for each shard one for IPv4 and one for IPv6, all on the same port.
//!
//! The kernel hands a datagram to one socket of the group ([`steering`]), trains of equal datagrams at a time
//! (`UDP_GRO`), and takes trains (`UDP_SEGMENT`). Many messages go with one call (`recvmmsg`, `sendmmsg`).

#[cfg(test)]
mod fresh;
mod message;
mod receive;
mod send;
mod steering;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

pub use receive::{Batches, Received, Receiver};
pub use send::Sender;

/// Which of UDP's offloads are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOffloads {
    /// Trains out (`UDP_SEGMENT`).
    pub send: bool,
    /// Trains in (`UDP_GRO`).
    pub receive: bool,
}

/// What an interface's sockets are to be like.
#[derive(Clone, Copy, Debug)]
pub struct UdpConfig {
    /// The port; 0 for any that is free.
    pub port: u16,
    /// The mark of outgoing datagrams (`SO_MARK`); 0 for none.
    pub mark: u32,
    /// The offloads that are wanted.
    pub offloads: UdpOffloads,
}

/// The sockets of one shard.
pub struct Sockets {
    v4: Option<Bound>,
    v6: Option<Bound>,
}

/// One socket, and what it was found to be able to do.
struct Bound {
    socket: OwnedFd,
    /// Whether it takes trains.
    trains: bool,
    /// Whether it gives trains.
    joins: bool,
}

/// What the kernel was found to do for an interface's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether trains go out, and whether they come in.
    trains: UdpOffloads,
    /// Whether datagrams come to their own shard; `None` where there is one only.
    steered: Option<bool>,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.trains.send, self.trains.receive) {
            (true, true) => "trains of datagrams go out and come in",
            (true, false) => "trains of datagrams go out, none come in",
            (false, true) => "no trains of datagrams go out, some come in",
            (false, false) => "no trains of datagrams",
        })?;
        formatter.write_str(match self.steered {
            None => "",
            Some(true) => ", each to the thread of its peer",
            Some(false) => ", to any thread: the kernel takes no filter",
        })
    }
}

/// A socket's place in the group of those that share a port.
///
/// The kernel lets a socket that may share join any group of the same user, another interface's too. So the first one is
/// bound as one that does not share, which is refused where anybody has the port, and may share from then on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    First,
    Later,
}

/// Bytes asked for each socket's buffers, past the system's limit where we may.
const BUFFER: i32 = 7 << 20;
/// A port that is free for IPv4 may be taken for IPv6, so a free one takes a few tries.
const ATTEMPTS: usize = 16;

/// Opens the sockets of `shards` shards. Returns them with the port, and what they can.
///
/// # Errors
/// What the operating system says, such as that the port is in use. A family that the machine has not is left out.
pub fn bind(config: UdpConfig, shards: usize) -> io::Result<(Vec<Sockets>, u16, Found)> {
    let mut attempts = if config.port == 0 { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(config, shards) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => (),
            outcome => return outcome,
        }
    }
}

fn bind_once(config: UdpConfig, shards: usize) -> io::Result<(Vec<Sockets>, u16, Found)> {
    let mut port = config.port;
    let mut steered = true;
    let mut trains = config.offloads;
    let mut families: [Vec<Option<Bound>>; 2] = [Vec::new(), Vec::new()];
    for (family, is_ipv6) in families.iter_mut().zip([false, true]) {
        for shard in 0..shards {
            let place = match shard {
                0 if shards > 1 => Place::First,
                0 => Place::Alone,
                _ => Place::Later,
            };
            match Bound::new(config, is_ipv6, port, place) {
                Ok((bound, at)) => {
                    port = at;
                    // There is a group from its second socket on.
                    if shard == 1 {
                        // Without it the kernel spreads by addresses, and shards hand over.
                        steered &= steering::attach(&bound.socket, shards).is_ok();
                    }
                    trains.send &= bound.trains;
                    trains.receive &= bound.joins;
                    family.push(Some(bound));
                }
                Err(error) if is_absent(&error) => family.push(None),
                Err(error) => return Err(error),
            }
        }
    }
    let [v4, v6] = families;
    let sockets: Vec<Sockets> = v4
        .into_iter()
        .zip(v6)
        .map(|(v4, v6)| Sockets { v4, v6 })
        .collect();
    if sockets
        .iter()
        .all(|sockets| sockets.v4.is_none() && sockets.v6.is_none())
    {
        return Err(ErrorKind::AddrNotAvailable.into());
    }
    let found = Found {
        trains,
        steered: (shards > 1).then_some(steered),
    };
    Ok((sockets, port, found))
}

/// A machine without one of the families is no error.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPFNOSUPPORT)
    )
}

impl Sockets {
    /// The descriptors to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.v4, &self.v6]
            .into_iter()
            .flatten()
            .map(|bound| bound.socket.as_fd())
    }

    /// Sets the mark of outgoing datagrams.
    ///
    /// # Errors
    /// What the operating system says: without the capability nothing may be marked.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.descriptors()
            .try_for_each(|socket| sys::set_option(socket, libc::SOL_SOCKET, libc::SO_MARK, mark))
    }
}

impl Bound {
    fn new(config: UdpConfig, is_ipv6: bool, port: u16, place: Place) -> io::Result<(Self, u16)> {
        let (domain, address): (_, SocketAddr) = if is_ipv6 {
            (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into())
        } else {
            (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        if is_ipv6 {
            socket.set_only_v6(true)?;
            sys::set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1_i32)?;
            // As the kernel's own sockets: what does not fit is fragmented, by us or on the way.
            let dont = libc::IPV6_PMTUDISC_DONT;
            sys::set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, dont)?;
        } else {
            sys::set_option(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1_i32)?;
            let dont = libc::IP_PMTUDISC_DONT;
            sys::set_option(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, dont)?;
        }
        if place == Place::Later {
            socket.set_reuse_port(true)?;
        }
        if config.mark != 0 {
            sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_MARK, config.mark)?;
        }
        enlarge(&socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        enlarge(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
        socket.bind(&address.into())?;
        if place == Place::First {
            socket.set_reuse_port(true)?;
        }
        let bound = socket
            .local_addr()?
            .as_socket()
            .map_or(port, |address| address.port());
        // An older kernel has none; each datagram then comes alone.
        let joins =
            config.offloads.receive && sys::set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1_i32).is_ok();
        // A kernel that does not know the option does not know trains.
        let trains =
            config.offloads.send && sys::set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0_i32).is_ok();
        Ok((
            Self {
                socket: socket.into(),
                trains,
                joins,
            },
            bound,
        ))
    }
}

fn enlarge(socket: &Socket, forced: i32, plain: i32) {
    // Less is slower, not wrong.
    if sys::set_option(socket, libc::SOL_SOCKET, forced, BUFFER).is_err() {
        let _ = sys::set_option(socket, libc::SOL_SOCKET, plain, BUFFER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> UdpConfig {
        UdpConfig {
            port,
            mark: 0,
            offloads: UdpOffloads {
                send: true,
                receive: true,
            },
        }
    }

    #[test]
    fn a_port_is_one_groups_alone_until_it_is_left() {
        for ours in [1, 2, 4] {
            let (sockets, port, _) = bind(at(0), ours).unwrap();
            for theirs in [1, 2, 4] {
                let refused = bind(at(port), theirs).map(drop).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{theirs} beside {ours}");
            }
            drop(sockets);
            assert_eq!(bind(at(port), ours).unwrap().1, port);
        }
    }

    #[test]
    fn what_was_found_is_told_in_words() {
        let mut without = at(0);
        without.offloads.send = false;
        without.offloads.receive = false;
        assert_eq!(bind(without, 1).unwrap().2.to_string(), "no trains of datagrams");
        without.offloads.receive = true;
        let found = bind(without, 2).unwrap().2.to_string();
        assert_eq!(
            found,
            "no trains of datagrams go out, some come in, each to the thread of its peer"
        );
    }

    #[test]
    fn a_port_that_one_family_lacks_is_refused() {
        let holder = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        for shards in [1, 4] {
            let refused = bind(at(port), shards).map(drop).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        }
    }
}
