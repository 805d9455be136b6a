//! Whether an address is one of this host's own, asked of the kernel.
//!
//! Comparing with the addresses of the interfaces would miss whole networks that are routed to the host itself, and what
//! changed since; the kernel is asked for the route that it would take, which says so (rtnetlink(7), `RTM_GETROUTE`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use super::orders::Failure;

const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
/// `RTA_DST`.
const DESTINATION: u16 = 1;
/// `RTN_UNICAST`, and in tests `RTN_LOCAL`.
const UNICAST: u8 = 1;
#[cfg(test)]
const LOCAL: u8 = 2;
/// Of the header of a message, and of `struct rtmsg`.
const HEADER: usize = 16;
const ROUTE: usize = 12;

/// Asks for routes.
pub(super) struct Routes {
    socket: OwnedFd,
    number: u32,
}

impl Routes {
    pub(super) fn new() -> io::Result<Self> {
        let kind = Type::from(libc::SOCK_RAW).cloexec().nonblocking();
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new_raw(Domain::from(libc::AF_NETLINK), kind, Some(protocol))?;
        Ok(Self {
            socket: socket.into(),
            number: 0,
        })
    }

    /// Whether a socket may lead to `address`: a single host, and not this one unless `own` says so.
    ///
    /// # Errors
    /// Why not. Where the kernel does not say, the address counts as this host's own.
    pub(super) fn admits(&mut self, address: IpAddr, own: bool) -> Result<(), Failure> {
        if own {
            return Ok(());
        }
        match self.kind_of(address) {
            Ok(UNICAST) => Ok(()),
            Ok(_) => Err(Failure::Own),
            Err(Errno::NETUNREACH) => Err(Failure::NetworkUnreachable),
            Err(Errno::HOSTUNREACH) => Err(Failure::HostUnreachable),
            Err(Errno::ACCESS) => Err(Failure::Prohibited),
            Err(_) => Err(Failure::Own),
        }
    }

    /// The kind of the route to an address (`RTN_*`).
    fn kind_of(&mut self, address: IpAddr) -> Result<u8, Errno> {
        self.number = self.number.wrapping_add(1);
        send(&self.socket, &request(address, self.number), SendFlags::empty())?;
        let mut answer = [0; 4096];
        // The kernel answers before it returns from the request; what is older is of another one.
        loop {
            let (_, len) = recv(&self.socket, &mut answer[..], RecvFlags::DONTWAIT)?;
            let message = answer.get(..len).unwrap_or_default();
            if let Some(outcome) = read(message, self.number) {
                return outcome;
            }
        }
    }
}

impl AsFd for Routes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn request(address: IpAddr, number: u32) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let len = u8::try_from(bytes.len()).unwrap_or(0);
    let mut message = Vec::with_capacity(HEADER + ROUTE + 4 + bytes.len());
    message.extend((u32::from(len) + 32).to_ne_bytes());
    message.extend(GET_ROUTE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend([0; 4]);
    message.extend([u8::try_from(family).unwrap_or(0), len * 8]);
    message.extend([0; ROUTE - 2]);
    message.extend((u16::from(len) + 4).to_ne_bytes());
    message.extend(DESTINATION.to_ne_bytes());
    message.extend(bytes);
    message
}

/// The route's kind if this is the answer to that request.
fn read(message: &[u8], number: u32) -> Option<Result<u8, Errno>> {
    let (head, body) = message.split_first_chunk::<HEADER>()?;
    let &[_, _, _, _, k1, k2, _, _, n1, n2, n3, n4, ..] = head;
    if u32::from_ne_bytes([n1, n2, n3, n4]) != number {
        return None;
    }
    match u16::from_ne_bytes([k1, k2]) {
        NEW_ROUTE => body.get(7).map(|kind| Ok(*kind)),
        ERROR => {
            let error = i32::from_ne_bytes(*body.first_chunk()?);
            Some(Err(Errno::from_raw_os_error(error.saturating_neg())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_routed_to_this_host_is_its_own_and_opened_only_on_demand() {
        let mut routes = Routes::new().unwrap();
        for text in ["127.0.0.1", "127.9.9.9", "::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(routes.admits(address, false), Err(Failure::Own), "{text}");
            assert_eq!(routes.admits(address, true), Ok(()), "{text}");
        }
        assert_eq!(routes.kind_of("127.0.0.1".parse().unwrap()), Ok(LOCAL));
    }

    #[test]
    fn a_group_is_no_single_host() {
        let mut routes = Routes::new().unwrap();
        assert!(routes.admits("224.0.0.1".parse().unwrap(), false).is_err());
    }
}
