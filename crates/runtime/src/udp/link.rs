//! One socket, as quinn-udp drives it.
//!
//! quinn-udp says how many datagrams a train may have, and takes that back for good after one `EINVAL` or `EIO`, whoever the
//! datagrams were for. It goes on sending trains for those who ask all the same; so what it said at first is kept, and
//! who does not take trains is remembered by destination (`refusals.rs`).

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use wirewright_engine::{Batch, Endpoint};

/// Bytes asked for each socket's buffers; the system may give less.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long a full send buffer is waited for before datagrams are dropped.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What datagrams pass through: a socket, or in a test something that refuses them.
pub(super) trait Link {
    /// Whether it reaches IPv6 addresses; else it reaches IPv4 addresses.
    fn is_ipv6(&self) -> bool;
    /// The most datagrams of a train.
    fn most(&self) -> usize;
    /// Sends a train of datagrams of `segment` bytes each, of which the last may be shorter.
    fn send(&self, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()>;
    /// Fills batches with a train of datagrams each; returns how many.
    fn receive(&self, batches: &mut [Batch]) -> io::Result<usize>;
}

/// A bound socket for one family.
pub(super) struct Bound {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    most: usize,
}

impl Bound {
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system clips these to what it allows; less is slower, not wrong.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        allow_fragments(&socket, address.is_ipv6());
        Ok(Self {
            most: state.max_gso_segments().max(1),
            socket,
            state,
            is_ipv6: address.is_ipv6(),
        })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Link for Bound {
    fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    fn most(&self) -> usize {
        self.most
    }

    fn send(&self, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()> {
        let transmit = Transmit {
            destination: path.remote,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: path.source,
        };
        loop {
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
                    if poll(&mut fds, Some(&PATIENCE))? == 0 {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                result => return result,
            }
        }
    }

    fn receive(&self, batches: &mut [Batch]) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let count = batches.len().min(quinn_udp::BATCH_SIZE);
        let mut buffers: [IoSliceMut<'_>; quinn_udp::BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        for (buffer, batch) in buffers.iter_mut().zip(batches.iter_mut()) {
            *buffer = IoSliceMut::new(batch.buffer_mut());
        }
        let buffers = buffers.get_mut(..count).unwrap_or(&mut []);
        let received = self
            .state
            .recv(UdpSockRef::from(&self.socket), buffers, &mut metas)?;
        for (meta, batch) in metas.iter().take(received).zip(batches) {
            let path = Endpoint {
                remote: meta.addr,
                source: meta.dst_ip,
            };
            batch.set_received(meta.len, meta.stride, path);
        }
        Ok(received)
    }
}

/// Lets routers and the system cut datagrams that are too long for a path, as the kernel's WireGuard does. (quinn-udp
/// forbids it, since QUIC searches for the path's MTU itself.) A system that refuses drops them instead.
#[cfg(target_os = "linux")]
fn allow_fragments(socket: &UdpSocket, is_ipv6: bool) {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    let _ = if is_ipv6 {
        allow_ipv6_fragments(socket);
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)
    } else {
        sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)
    };
}

/// Takes back `IPV6_DONTFRAG`, which neither rustix nor socket2 has.
#[cfg(target_os = "linux")]
fn allow_ipv6_fragments(socket: &UdpSocket) {
    use std::os::fd::AsRawFd;
    let off: libc::c_int = 0;
    // SAFETY: the descriptor is open, since it is borrowed; the option is an int, and pointer and length are those of one
    // that lives until the call returns.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_DONTFRAG,
            (&raw const off).cast(),
            size_of_val(&off) as libc::socklen_t,
        )
    };
}

#[cfg(not(target_os = "linux"))]
fn allow_fragments(_: &UdpSocket, _: bool) {}

#[cfg(test)]
mod tests;
